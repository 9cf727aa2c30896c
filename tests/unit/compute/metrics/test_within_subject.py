import numpy as np
import pytest

from organome.compute.metrics.within_subject import within_subject


def test_variation_of_three_pairs_is_that_worked_by_hand() -> None:
    """Pairs 90/110, 100/100, 110/90: relative SD 20 / sqrt(2) / 100, 0 and the same."""
    found = within_subject(np.array([90.0, 100.0, 110.0]), np.array([110.0, 100.0, 90.0]))
    assert found.n == 3
    assert found.cv_pct is not None
    assert found.cv_pct.value == pytest.approx(100 * (2 * 0.02 / 3) ** 0.5)
    # 95 % of chi-square with three degrees of freedom lies between 0.21580 and 9.34840.
    low, high = (found.cv_pct.value * (3 / end) ** 0.5 for end in (9.34840, 0.21580))
    assert (found.cv_pct.low, found.cv_pct.high) == pytest.approx((low, high), rel=1e-4)
    assert found.cv_log_pct is not None
    variance = 2 * np.log(11 / 9) ** 2 / 2 / 3
    assert found.cv_log_pct.value == pytest.approx(100 * (np.exp(variance) - 1) ** 0.5)


def test_a_known_variation_is_found_and_covered() -> None:
    chance, inside = np.random.default_rng(2), 0
    for _ in range(400):
        sizes = chance.uniform(100, 2000, 60)[:, None]
        first, second = (sizes * chance.normal(1, 0.03, (60, 2))).T
        found = within_subject(first, second).cv_pct
        assert found is not None
        inside += found.low <= 3 <= found.high
    assert inside / 400 == pytest.approx(0.95, abs=0.03)


def test_few_pairs_and_volumes_that_are_none_say_nothing() -> None:
    found = within_subject(np.array([1.0, 2.0, np.nan, 0.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert (found.n, found.cv_pct, found.cv_log_pct) == (2, None, None)
