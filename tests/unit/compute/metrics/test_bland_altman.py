import numpy as np
import pytest
from scipy import stats

from organome.compute.metrics.bland_altman import bland_altman


def test_bias_and_limits_are_those_worked_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, SD 1, limits 2 -/+ 1.96; t of two degrees of freedom 4.303."""
    found = bland_altman(np.array([11.0, 22.0, 33.0]), np.array([10.0, 20.0, 30.0]))
    assert found.n == 3
    assert found.absolute is not None
    bias, lower, upper = found.absolute.bias, found.absolute.lower, found.absolute.upper
    assert (bias.value, found.absolute.sd) == pytest.approx((2.0, 1.0))
    assert (lower.value, upper.value) == pytest.approx((0.04004, 3.95996), abs=1e-5)
    assert (bias.low, bias.high) == pytest.approx((2 - 4.3026527 / 3**0.5, 2 + 4.3026527 / 3**0.5))
    of_limit = 4.3026527 * (1 / 3 + 1.959964**2 / 4) ** 0.5
    assert (lower.low, lower.high) == pytest.approx((0.04004 - of_limit, 0.04004 + of_limit))
    assert found.percent is not None
    percent = [100 * 1 / 10.5, 100 * 2 / 21, 100 * 3 / 31.5]
    assert found.percent.bias.value == pytest.approx(np.mean(percent))


def test_intervals_cover_as_often_as_they_say() -> None:
    chance = np.random.default_rng(3)
    n_draws, inside = 2000, np.zeros(2)
    for _ in range(n_draws):
        differences = chance.normal(1.0, 2.0, 30)
        found = bland_altman(100 + differences, np.full(30, 100.0)).absolute
        assert found is not None
        truth = (1.0, 1.0 + 2.0 * stats.norm.ppf(0.975))
        for place, (one, true) in enumerate(zip((found.bias, found.upper), truth, strict=True)):
            inside[place] += one.low <= true <= one.high
    assert inside / n_draws == pytest.approx(0.95, abs=0.015)


def test_pairs_without_a_number_are_left_out_and_few_say_nothing() -> None:
    found = bland_altman(np.array([1.0, 2.0, np.nan]), np.array([1.0, 3.0, 3.0]))
    assert (found.n, found.absolute, found.percent) == (2, None, None)


def test_per_cent_of_nothing_is_not_given() -> None:
    found = bland_altman(np.array([0.0, 2.0, 3.0]), np.array([0.0, 3.0, 4.0]))
    assert found.absolute is not None
    assert found.percent is None
