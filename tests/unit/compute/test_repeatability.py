import numpy as np
import pytest

from organome.compute.repeatability import intraclass_correlation

# Shrout and Fleiss 1979, six targets, judges 1 and 2 of four.
FIRST = np.array([9, 6, 8, 7, 10, 6])
SECOND = np.array([2, 1, 4, 1, 5, 2])


def anova(first: np.ndarray, second: np.ndarray) -> float:
    """ICC(A,1) by explicit sums of squares, another way than the module's."""
    x = np.column_stack((first, second)).astype(float)
    n = len(x)
    total = ((x - x.mean()) ** 2).sum()
    between = 2 * ((x.mean(1) - x.mean()) ** 2).sum()
    raters = n * ((x.mean(0) - x.mean()) ** 2).sum()
    msr, msc = between / (n - 1), raters
    mse = (total - between - raters) / (n - 1)
    return float((msr - mse) / (msr + mse + 2 * (msc - mse) / n))


def test_value_is_that_of_the_sums_of_squares() -> None:
    assert intraclass_correlation(FIRST, SECOND) == pytest.approx(anova(FIRST, SECOND))


def test_equal_pairs_agree_wholly_and_a_shift_lowers_it() -> None:
    assert intraclass_correlation(FIRST, FIRST) == pytest.approx(1)
    shifted = intraclass_correlation(FIRST, FIRST + 3)
    assert shifted is not None
    assert shifted < 0.6


def test_pairs_with_a_missing_value_are_left_out() -> None:
    first = np.append(FIRST, [np.nan, 3.0])
    second = np.append(SECOND, [1.0, np.nan])
    assert intraclass_correlation(first, second) == intraclass_correlation(FIRST, SECOND)


def test_too_few_pairs_and_constant_values_have_none() -> None:
    assert intraclass_correlation(FIRST[:2], SECOND[:2]) is None
    assert intraclass_correlation(np.ones(5), np.ones(5)) is None
