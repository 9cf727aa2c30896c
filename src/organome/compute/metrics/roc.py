"""The interval of an area under a ROC."""

from math import sqrt
from typing import Any, Final

import scipy
from numpy.typing import NDArray

from organome.compute.metrics.estimates import Estimate

CONFIDENCE: Final = 0.95


def auc_interval(area: float, is_positive: NDArray[Any]) -> Estimate:
    """Return an area with the interval that the numbers of positives and negatives allow.

    Source:
        Hanley and McNeil 1982, Radiology 143: standard error by the exponential approximation.
    """
    n_positive, n_negative = int(is_positive.sum()), int((~is_positive).sum())
    two_positive, two_negative = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (n_positive - 1) * (two_positive - area**2)
        + (n_negative - 1) * (two_negative - area**2)
    ) / (n_positive * n_negative)
    half = float(scipy.special.ndtri(0.5 + CONFIDENCE / 2)) * sqrt(max(variance, 0.0))
    return Estimate(area, max(area - half, 0.0), min(area + half, 1.0))
