"""How well a measurement repeats: intraclass correlations with their confidence intervals."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.estimates import Estimate

MIN_SUBJECTS: Final = 3  # below, two mean squares are estimated from one degree of freedom
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Repeatability:
    """How well single measurements agree, by correlations of at most 1.

    Attributes:
        n_subjects: Subjects with all measurements.
        agreement: ICC(2,1), also ICC(A,1): a shift between measurements lowers it, as it must where
            they shall be pooled. None with too few subjects, or where all values are the same.
        consistency: ICC(3,1), also ICC(C,1): a shift of all subjects alike does not count.
    """

    n_subjects: int
    agreement: Estimate | None = None
    consistency: Estimate | None = None


@dataclass(frozen=True, slots=True)
class _MeanSquares:
    """Two-way analysis of variance of n subjects and k measurements."""

    n: int
    k: int
    subjects: float
    measurements: float
    error: float


def repeatability(values: NDArray[Any], *, confidence: float = CONFIDENCE) -> Repeatability:
    """Compare measurements of the same subjects.

    Args:
        values: Array (subjects, measurements); subjects with a NaN are left out.
        confidence: Of the intervals.

    Source:
        McGraw and Wong 1996, Psychological Methods 1, tables 4 and 7; Shrout and Fleiss 1979,
        Psychological Bulletin 86, whose names ICC(2,1) and ICC(3,1) are.
    """
    known = values.astype(np.float64)
    known = known[~np.isnan(known).any(axis=1)]
    n, k = known.shape
    if n < MIN_SUBJECTS or k < 2 or np.ptp(known) == 0:
        return Repeatability(n_subjects=n)
    # A shift and a scale that change nothing but the rounding: energies go up to 1e12.
    squares = _mean_squares((known - known.mean()) / np.ptp(known))
    tail = 0.5 + confidence / 2
    return Repeatability(
        n_subjects=n,
        agreement=_agreement(squares, tail),
        consistency=_consistency(squares, tail),
    )


def _mean_squares(values: Floats) -> _MeanSquares:
    n, k = values.shape
    means, shifts, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    residuals = values - means[:, None] - shifts[None, :] + mean
    return _MeanSquares(
        n=n,
        k=k,
        subjects=k * float(np.square(means - mean).sum()) / (n - 1),
        measurements=n * float(np.square(shifts - mean).sum()) / (k - 1),
        error=float(np.square(residuals).sum()) / ((n - 1) * (k - 1)),
    )


def _agreement(ms: _MeanSquares, tail: float) -> Estimate | None:
    n, k = ms.n, ms.k
    divisor = ms.subjects + (k - 1) * ms.error + k * (ms.measurements - ms.error) / n
    if divisor <= 0 or ms.subjects == ms.error == 0:
        return None
    value = (ms.subjects - ms.error) / divisor
    if value >= 1:
        return Estimate(1.0, 1.0, 1.0)
    a = k * value / (n * (1 - value))
    b = 1 + k * value * (n - 1) / (n * (1 - value))
    spread = (a * ms.measurements) ** 2 / (k - 1) + (b * ms.error) ** 2 / ((n - 1) * (k - 1))
    if not spread:  # all means alike, and measurements exchanged between subjects
        return None
    freedom = (a * ms.measurements + b * ms.error) ** 2 / spread
    rest = k * ms.measurements + (k * n - k - n) * ms.error
    upper = float(scipy.special.fdtri(n - 1, freedom, tail))
    lower = float(scipy.special.fdtri(freedom, n - 1, tail))
    return Estimate(
        value,
        n * (ms.subjects - upper * ms.error) / (upper * rest + n * ms.subjects),
        n * (lower * ms.subjects - ms.error) / (rest + n * lower * ms.subjects),
    )


def _consistency(ms: _MeanSquares, tail: float) -> Estimate | None:
    n, k = ms.n, ms.k
    if ms.subjects + (k - 1) * ms.error <= 0:
        return None
    if ms.error == 0:
        return Estimate(1.0, 1.0, 1.0)
    ratio, freedom = ms.subjects / ms.error, (n - 1) * (k - 1)
    low = ratio / float(scipy.special.fdtri(n - 1, freedom, tail))
    high = ratio * float(scipy.special.fdtri(freedom, n - 1, tail))
    return Estimate(*((each - 1) / (each + k - 1) for each in (ratio, low, high)))
