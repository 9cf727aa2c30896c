"""How much a measurement varies within a person who is measured twice."""

from dataclasses import dataclass
from math import exp, sqrt
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from organome.compute.metrics.bland_altman import MIN_PAIRS
from organome.compute.metrics.estimates import Estimate

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class WithinSubject:
    """Variation of one measurement within persons; None with fewer than three pairs.

    Attributes:
        n: Persons measured twice, both values positive.
        cv_pct: Root mean square of the coefficients of variation of the persons, in per cent.
        cv_log_pct: The same by logarithms, in per cent: a few small values weigh less in it.
    """

    n: int
    cv_pct: Estimate | None = None
    cv_log_pct: Estimate | None = None


def within_subject(first: NDArray[Any], second: NDArray[Any]) -> WithinSubject:
    """Return the within-subject coefficient of variation of pairs.

    With two values a and b of a person the standard deviation is |a - b| / sqrt(2). Intervals are
    those of a variance, by chi-square with as many degrees of freedom as there are persons.

    Args:
        first: Array (persons,).
        second: Array (persons,), in the same unit.

    Source:
        Bland and Altman 1996, BMJ 313:106 (by logarithms); Quan and Shih 1996, Biometrics 52
        (root mean square); Obuchowski and Bullen 2018, Statistical Methods in Medical Research 27.
    """
    pairs = np.column_stack((first, second)).astype(np.float64)
    pairs = pairs[np.isfinite(pairs).all(axis=1) & (pairs > 0).all(axis=1)]
    n = len(pairs)
    if n < MIN_PAIRS:
        return WithinSubject(n)
    relative = (pairs[:, 0] - pairs[:, 1]) ** 2 / 2 / pairs.mean(axis=1) ** 2
    logarithms = np.log(pairs[:, 0] / pairs[:, 1]) ** 2 / 2
    plain, by_logarithms = (_interval(float(each.mean()), n) for each in (relative, logarithms))
    return WithinSubject(
        n,
        Estimate(*(100 * sqrt(one) for one in plain)),
        Estimate(*(100 * sqrt(exp(one) - 1) for one in by_logarithms)),
    )


def detectable_change(cv_pct: Estimate | None) -> Estimate | None:
    """Return the smallest change that is more than repeating shows in 95 of 100, in per cent.

    Args:
        cv_pct: Within-subject coefficient of variation.

    Source:
        Raunig et al. 2015, Statistical Methods in Medical Research 24: repeatability coefficient.
    """
    if cv_pct is None:
        return None
    times = float(scipy.special.ndtri(0.5 + CONFIDENCE / 2)) * sqrt(2)
    return Estimate(*(times * one for one in (cv_pct.value, cv_pct.low, cv_pct.high)))


def _interval(variance: float, n: int) -> tuple[float, float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = (n * variance / float(scipy.special.chdtri(n, share)) for share in (tail, 1 - tail))
    return variance, low, high
