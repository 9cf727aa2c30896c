"""The paper's own arithmetic: Häntze et al. 2024, section 3.2."""

import numpy as np
import pytest
from scipy import stats

from organome.compute.metrics.hypothesis_tests import (
    Moments,
    compare_groups,
    compare_moments,
    correlate,
    p_of_correlation,
    power_of_t_test,
)

MALE, FEMALE = Moments(25, 0.87, 0.03), Moments(25, 0.85, 0.03)


def test_power_of_the_comparison_of_sexes() -> None:
    """The paper prints beta = 0.46 for a one-sided test of a medium effect, 25 and 25 people."""
    power = power_of_t_test(25, 25, effect_size=0.5, alpha=0.05, one_sided=True)
    assert 1 - power == pytest.approx(0.461, abs=5e-4)
    strict = power_of_t_test(25, 25, effect_size=0.5, alpha=0.05 / 40, one_sided=True)
    assert strict == pytest.approx(0.090, abs=1e-3)


def test_power_is_what_simulated_tests_find() -> None:
    chance = np.random.default_rng(1)
    pairs = chance.normal(size=(4000, 2, 20)) + np.array([0.8, 0.0])[None, :, None]
    p = stats.ttest_ind(pairs[:, 0], pairs[:, 1], axis=1).pvalue
    power = power_of_t_test(20, 20, effect_size=0.8, alpha=0.05, one_sided=False)
    assert np.mean(p < 0.05) == pytest.approx(power, abs=0.025)


@pytest.mark.parametrize(("r", "p"), [(0.32, 0.0235), (0.33, 0.0193)])
def test_age_and_dice_of_fifty_participants(r: float, p: float) -> None:
    assert p_of_correlation(r, 50) == pytest.approx(p, abs=5e-5)


def test_sexes_by_the_rounded_means_of_the_paper() -> None:
    found = compare_moments(MALE, FEMALE)
    assert found.difference == pytest.approx(0.02)
    assert found.student is not None
    assert found.welch is not None
    for test in (found.student, found.welch):
        assert test.t == pytest.approx(2.357, abs=5e-4)
        assert test.p_two_sided == pytest.approx(0.0225, abs=5e-4)
        assert test.p_first_greater == pytest.approx(0.0113, abs=5e-4)


def test_groups_of_unequal_spread_are_compared_by_welch() -> None:
    chance = np.random.default_rng(2)
    first, second = chance.normal(1, 1, 12), chance.normal(0, 4, 40)
    found = compare_groups(np.append(first, np.nan), second)
    assert found is not None
    assert found.welch is not None
    expected = stats.ttest_ind(first, second, equal_var=False)
    assert (found.welch.t, found.welch.p_two_sided) == pytest.approx(tuple(expected))
    assert (found.first.n, found.second.n) == (12, 40)


def test_what_cannot_be_tested_is_none() -> None:
    assert compare_groups(np.array([]), np.array([1.0])) is None
    one = compare_groups(np.array([1.0]), np.array([1.0, 2.0]))
    assert one is not None
    assert (one.welch, one.student) == (None, None)
    assert correlate(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
    assert correlate(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0])) is None
