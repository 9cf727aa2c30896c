"""Sums over the intensities of a region."""

import numpy as np
from numba import njit

from organome.compute.geometry.arrays import Counts, Floats


@njit(cache=True, nogil=True)
def sums_about(
    values: Floats, counts: Counts, mean: float, shift: float
) -> tuple[float, float, float, float, float]:
    """Sum powers 2, 3, 4 and the absolute value of deviations, and squares of shifted values."""
    second, third, fourth, absolute, energy = 0.0, 0.0, 0.0, 0.0, 0.0
    for place in range(values.size):
        n = counts[place]
        away = values[place] - mean
        squared = away * away
        second += n * squared
        third += n * squared * away
        fourth += n * squared * squared
        absolute += n * abs(away)
        shifted = values[place] + shift
        energy += n * shifted * shifted
    return second, third, fourth, absolute, energy


@njit(cache=True, nogil=True)
def deviations(values: Floats, counts: Counts, low: float, high: float) -> float:
    """Mean absolute deviation of the values from low to high, from their own mean."""
    n, total = 0, 0.0
    for place in range(values.size):
        if low <= values[place] <= high:
            n += counts[place]
            total += counts[place] * values[place]
    if n == 0:
        return np.nan
    mean, absolute = total / n, 0.0
    for place in range(values.size):
        if low <= values[place] <= high:
            absolute += counts[place] * abs(values[place] - mean)
    return absolute / n
