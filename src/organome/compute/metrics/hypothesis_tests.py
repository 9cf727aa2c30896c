"""Two groups compared, the power of that, and correlation: scipy's tests with what they leave open.

Sidedness is always named: ``p_two_sided``, and ``p_first_greater`` for the one-sided alternative
that the first group has the greater mean.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
MIN_PAIRS: Final = 3  # two points always lie on a line


@dataclass(frozen=True, slots=True)
class Moments:
    """A group: how many, mean, and standard deviation with divisor n - 1 (None: one value)."""

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True, slots=True)
class TTest:
    """What a t-test found."""

    t: float
    p_two_sided: float
    p_first_greater: float


@dataclass(frozen=True, slots=True)
class GroupComparison:
    """Two independent groups.

    Attributes:
        first: The one group.
        second: The other.
        difference: Mean of the first less that of the second.
        welch: Test for unequal variances; None with fewer than two values in a group, or without
            any spread.
        student: Test for equal variances; None likewise.
    """

    first: Moments
    second: Moments
    difference: float
    welch: TTest | None
    student: TTest | None


@dataclass(frozen=True, slots=True)
class LinearCorrelation:
    """Pearson's correlation, its two-sided p, and its 95 % confidence interval (Fisher's z)."""

    n: int
    r: float
    p_two_sided: float
    low: float
    high: float


def compare_groups(first: NDArray[Any], second: NDArray[Any]) -> GroupComparison | None:
    """Compare the means of two independent groups; values that are NaN are left out.

    Returns:
        None if one of the groups is empty.
    """
    one, other = (_moments(values.astype(np.float64)) for values in (first, second))
    return None if one is None or other is None else compare_moments(one, other)


def compare_moments(first: Moments, second: Moments) -> GroupComparison:
    """Compare two independent groups of which only mean and spread are known."""
    return GroupComparison(
        first,
        second,
        first.mean - second.mean,
        welch=_t_test(first, second, equal_var=False),
        student=_t_test(first, second, equal_var=True),
    )


def power_of_t_test(
    n_first: int, n_second: int, *, effect_size: float, alpha: float, one_sided: bool
) -> float:
    """Return the chance that Student's t-test finds a difference that is there.

    Args:
        n_first: Members of the first group.
        n_second: Members of the second group.
        effect_size: Cohen's d, difference over common standard deviation; above 0.
        alpha: Level of significance, 0 to 1.
        one_sided: Whether the direction of the difference was fixed beforehand.

    Source:
        Faul et al. 2007, Behavior Research Methods 39 (G*Power 3): the noncentral t distribution.
    """
    freedom = n_first + n_second - 2
    shift = effect_size * np.sqrt(n_first * n_second / (n_first + n_second))
    if one_sided:
        return float(scipy.stats.nct.sf(scipy.stats.t.ppf(1 - alpha, freedom), freedom, shift))
    critical = scipy.stats.t.ppf(1 - alpha / 2, freedom)
    beyond = scipy.stats.nct.sf(critical, freedom, shift) + scipy.stats.nct.cdf(
        -critical, freedom, shift
    )
    return float(beyond)


def correlate(first: NDArray[Any], second: NDArray[Any]) -> LinearCorrelation | None:
    """Correlate two measurements of the same participants; pairs with a NaN are left out.

    Returns:
        None with fewer than three pairs, or where one of the two does not vary.
    """
    pairs = np.column_stack((first, second)).astype(np.float64)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if len(pairs) < MIN_PAIRS or not np.ptp(pairs, axis=0).all():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.NearConstantInputWarning)
        found = scipy.stats.pearsonr(*pairs.T)
    between = found.confidence_interval(CONFIDENCE)
    return LinearCorrelation(
        len(pairs), float(found.statistic), float(found.pvalue), *map(float, between)
    )


def p_of_correlation(r: float, n: int) -> float:
    """Return the two-sided p of a Pearson correlation of n pairs.

    Args:
        r: Above -1 and below 1.
        n: 3 or more.
    """
    freedom = n - 2
    return float(2 * scipy.stats.t.sf(abs(r) * np.sqrt(freedom / (1 - r * r)), freedom))


def _moments(values: NDArray[np.float64]) -> Moments | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    sd = float(known.std(ddof=1)) if len(known) > 1 else None
    return Moments(len(known), float(known.mean()), sd)


def _t_test(first: Moments, second: Moments, *, equal_var: bool) -> TTest | None:
    if first.sd is None or second.sd is None or not (first.sd or second.sd):
        return None
    groups = (first.mean, first.sd, first.n, second.mean, second.sd, second.n)
    two_sided = scipy.stats.ttest_ind_from_stats(*groups, equal_var=equal_var)
    greater = scipy.stats.ttest_ind_from_stats(*groups, equal_var=equal_var, alternative="greater")
    return TTest(float(two_sided.statistic), float(two_sided.pvalue), float(greater.pvalue))
