import numpy as np
import pytest

from organome.compute.metrics.repeatability import repeatability

# Shrout and Fleiss 1979, table 2: six targets, four judges. ICC(2,1) is .29 and ICC(3,1) .71 there;
# the intervals are those that R's psych::ICC prints for them.
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
PAIRS = JUDGES[:, :2]


def test_values_and_intervals_are_the_published_ones() -> None:
    found = repeatability(JUDGES)
    assert found.agreement is not None
    assert found.consistency is not None
    assert found.agreement.value == pytest.approx(0.29, abs=0.005)
    assert (found.agreement.low, found.agreement.high) == pytest.approx((0.019, 0.76), abs=0.005)
    assert found.consistency.value == pytest.approx(0.71, abs=0.005)
    assert (found.consistency.low, found.consistency.high) == pytest.approx((0.34, 0.95), abs=0.005)


def test_intervals_hold_the_true_value_as_often_as_they_say() -> None:
    chance = np.random.default_rng(3)
    n_held, n_tried, true = 0, 400, 0.8  # variance 4 between, 1 within
    for _ in range(n_tried):
        subjects = chance.normal(0, 2, (40, 1))
        found = repeatability(subjects + chance.normal(0, 1, (40, 2))).agreement
        assert found is not None
        n_held += found.low <= true <= found.high
    assert 0.91 < n_held / n_tried < 0.99


def test_a_shift_lowers_agreement_and_not_consistency() -> None:
    shifted = repeatability(np.column_stack((PAIRS[:, 0], PAIRS[:, 0] + 3)))
    assert shifted.agreement is not None
    assert shifted.agreement.value < 0.6
    assert shifted.consistency is not None
    assert shifted.consistency.value == pytest.approx(1)


def test_unit_and_offset_do_not_matter() -> None:
    found, scaled = repeatability(PAIRS), repeatability(PAIRS * 1e12 + 1e15)
    assert found.agreement is not None
    assert scaled.agreement is not None
    assert scaled.agreement.value == pytest.approx(found.agreement.value)


def test_subjects_with_a_missing_value_are_left_out() -> None:
    more = np.vstack((PAIRS, [[np.nan, 1.0], [3.0, np.nan]]))
    assert repeatability(more) == repeatability(PAIRS)


def test_too_few_subjects_and_constant_values_have_none() -> None:
    for values in (PAIRS[:2], np.ones((5, 2)), np.array([[1, 2]] * 5)):
        assert repeatability(values).agreement is None


def test_subjects_that_only_exchange_their_values_have_no_correlation() -> None:
    """All means alike and no shift: the interval has no degrees of freedom."""
    values = np.array([[900.0, 1100.0], [1000.0, 1000.0], [1100.0, 900.0]])
    assert repeatability(values).agreement is None
