"""Agreement of two ways to measure the same: bias and limits, with their confidence intervals."""

from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.estimates import Estimate

COVERAGE: Final = 0.95  # of the limits: that share of differences lies between them
CONFIDENCE: Final = 0.95
MIN_PAIRS: Final = 3  # as for ICC: below, a spread from one degree of freedom


@dataclass(frozen=True, slots=True)
class Agreement:
    """Differences between two measurements, in the unit of what was measured or in per cent.

    Attributes:
        bias: Mean difference, first less second.
        sd: Standard deviation of the differences, divisor n - 1.
        lower: Bias - 1.96 SD.
        upper: Bias + 1.96 SD.
    """

    bias: Estimate
    sd: float
    lower: Estimate
    upper: Estimate


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """How two measurements of the same things agree.

    Attributes:
        n: Pairs; those with a NaN are left out.
        absolute: In the unit of the measurements; None with fewer than three pairs.
        percent: Each difference as per cent of the mean of its pair; None likewise, or where a mean
            is not positive.
    """

    n: int
    absolute: Agreement | None = None
    percent: Agreement | None = None


def bland_altman(first: NDArray[Any], second: NDArray[Any]) -> BlandAltman:
    """Compare two measurements of the same things, pair by pair.

    Args:
        first: Array (pairs,).
        second: Array (pairs,), in the same unit.

    Source:
        Bland and Altman 1999, Statistical Methods in Medical Research 8: standard error of a limit
        s * sqrt(1 / n + z^2 / (2 (n - 1))), of which their sqrt(3 / n) is the approximation.
    """
    pairs = np.column_stack((first, second)).astype(np.float64)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    n = len(pairs)
    if n < MIN_PAIRS:
        return BlandAltman(n)
    differences, means = pairs[:, 0] - pairs[:, 1], pairs.mean(axis=1)
    relative = _agreement(100 * differences / means) if (means > 0).all() else None
    return BlandAltman(n, _agreement(differences), relative)


def _agreement(differences: Floats) -> Agreement:
    n = len(differences)
    bias, sd = float(differences.mean()), float(differences.std(ddof=1))
    z = float(scipy.special.ndtri(0.5 + COVERAGE / 2))
    t = float(scipy.special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2))
    of_bias, of_limit = t * sd / sqrt(n), t * sd * sqrt(1 / n + z * z / (2 * (n - 1)))
    lower, upper = bias - z * sd, bias + z * sd
    return Agreement(
        bias=Estimate(bias, bias - of_bias, bias + of_bias),
        sd=sd,
        lower=Estimate(lower, lower - of_limit, lower + of_limit),
        upper=Estimate(upper, upper - of_limit, upper + of_limit),
    )
