"""First-order features: of intensities as they are, entropy and uniformity of grey levels."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats
from organome.compute.radiomics.formula_kernels import EPS
from organome.compute.radiomics.grey_levels import count_intensities
from organome.domain.radiomics_settings import TextureSettings

MAX_RANGE: Final = 1 << 20  # of integer intensities, for a table that has an entry for each


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


@dataclass(frozen=True, slots=True)
class Sample:
    """Intensities of a region, sorted and without repetition.

    Attributes:
        values: Intensities, rising.
        counts: How often each occurs.
        mean: Their mean, summed as pyradiomics does.
    """

    values: Floats
    counts: NDArray[np.int64]
    mean: float

    @property
    def n(self) -> int:
        """Number of voxels."""
        return int(self.counts.sum())


def sample_of(intensities: NDArray[Any]) -> Sample:
    """Sort the intensities of a region."""
    values = intensities.astype(np.float64)
    mean = float(values.mean())
    values.sort()
    return Sample(values=values, counts=np.ones(values.size, np.int64), mean=mean)


def sample_of_integers(intensities: NDArray[Any]) -> Sample:
    """Count integer intensities that lie less than ``MAX_RANGE`` apart."""
    lowest, highest = int(intensities.min()), int(intensities.max())
    histogram = np.zeros(highest - lowest + 1, np.int64)
    count_intensities(intensities, lowest, histogram)
    return sample_of_histogram(lowest, histogram)


def sample_of_histogram(lowest: int, histogram: NDArray[np.int64]) -> Sample:
    """Make a sample of integer intensities from how often each occurs."""
    occurring = np.flatnonzero(histogram)
    counts = histogram[occurring]
    total = int(np.dot(occurring, counts))  # exact
    n = int(counts.sum())
    return Sample(
        values=(occurring + lowest).astype(np.float64), counts=counts, mean=lowest + total / n
    )


def first_order_features(
    sample: Sample,
    level_counts: NDArray[np.int64],
    *,
    settings: TextureSettings,
    voxel_volume_mm3: float,
) -> dict[str, float]:
    """Compute the 18 first-order features.

    Args:
        sample: Intensities.
        level_counts: Voxels by grey level, each at least 1.
        settings: The shift of the energy is taken from there.
        voxel_volume_mm3: Volume of a voxel.
    """
    values, counts, n = sample.values, sample.counts, sample.n
    p10, p25, median, p75, p90 = percentiles(sample, (0.1, 0.25, 0.5, 0.75, 0.9))
    m2, m3, m4, absolute, energy = sums_about(
        values, counts, sample.mean, settings.voxel_array_shift
    )
    m2, m3, m4 = m2 / n, m3 / n, m4 / n
    divisor = m2 if m2 != 0 else 1.0
    p = level_counts / level_counts.sum()
    return {
        "10Percentile": p10,
        "90Percentile": p90,
        "Energy": energy,
        "Entropy": float(-np.sum(p * np.log2(p + EPS))),
        "InterquartileRange": p75 - p25,
        "Kurtosis": m4 / divisor**2,
        "Maximum": float(values[-1]),
        "MeanAbsoluteDeviation": absolute / n,
        "Mean": sample.mean,
        "Median": median,
        "Minimum": float(values[0]),
        "Range": float(values[-1] - values[0]),
        "RobustMeanAbsoluteDeviation": deviations(values, counts, p10, p90),
        "RootMeanSquared": float(np.sqrt(energy / n)),
        "Skewness": m3 / divisor**1.5,
        "TotalEnergy": energy * voxel_volume_mm3,
        "Uniformity": float(np.sum(p**2)),
        "Variance": m2,
    }


def percentiles(sample: Sample, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Interpolate percentiles linearly between voxels, rounding as numpy does."""
    n = sample.n
    each_once = n == sample.values.size
    below = None if each_once else np.cumsum(sample.counts)
    found = []
    for share in shares:
        place = (n - 1) * share
        low = int(np.floor(place))
        ranks = [low, min(low + 1, n - 1)]
        if below is not None:
            ranks = np.searchsorted(below, ranks, side="right").tolist()
        first, second = sample.values[ranks].tolist()
        weight = place - low
        step = second - first
        found.append(first + step * weight if weight < 0.5 else second - step * (1 - weight))
    return tuple(found)
