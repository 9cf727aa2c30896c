"""How well a measurement repeats."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_PAIRS = 3  # below, two mean squares are estimated from one degree of freedom


def intraclass_correlation(first: NDArray[Any], second: NDArray[Any]) -> float | None:
    """Intraclass correlation of pairs, absolute agreement of single measurements: ICC(A,1).

    A shift between first and second lowers it, as it should where both shall be pooled.

    Args:
        first: First measurement of each participant.
        second: Second measurement; pairs with a NaN are left out.

    Returns:
        At most 1; None with fewer than three pairs, or where all values are the same.

    Source: McGraw and Wong 1996, Psychological Methods 1, table 4 (two-way random effects).
    """
    pairs = np.column_stack((first, second)).astype(np.float64)
    pairs = pairs[~np.isnan(pairs).any(axis=1)]
    n, k = pairs.shape
    if n < MIN_PAIRS:
        return None
    means, shifts = pairs.mean(axis=1), pairs.mean(axis=0)
    rows = k * np.square(means - pairs.mean()).sum() / (n - 1)
    columns = n * np.square(shifts - pairs.mean()).sum() / (k - 1)
    residuals = pairs - means[:, None] - shifts[None, :] + pairs.mean()
    error = np.square(residuals).sum() / ((n - 1) * (k - 1))
    divisor = rows + (k - 1) * error + k * (columns - error) / n
    return float((rows - error) / divisor) if divisor > 0 else None
