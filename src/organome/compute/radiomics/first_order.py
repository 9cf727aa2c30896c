"""Grey levels of a region, and its first-order features.

First-order features are of intensities as they are, entropy and uniformity of grey levels.

Source: pyradiomics 3.0.1, ``imageoperations.getBinEdges``. Where the sum of the greatest intensity
and two bin widths does not fit the type of an integer image, pyradiomics wraps around; we do not.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats, Levels, Places
from organome.compute.kernels import kernel
from organome.compute.radiomics.formula_kernels import EPS
from organome.domain.radiomics_settings import BinsFrom, TextureSettings


@kernel()
def count_intensities(intensities: NDArray[Any], lowest: int, counts: Counts) -> None:
    """Count how often each integer intensity occurs; the first count is that of ``lowest``."""
    for place in range(np.uint64(intensities.size)):
        counts[np.uint64(np.int64(intensities[place]) - lowest)] += 1


@kernel()
def place_by_table(
    intensities: NDArray[Any], lowest: int, table: Levels, places: Places, levels: Levels
) -> None:
    """Write grey levels into the box of a region.

    Args:
        intensities: Integers of its voxels.
        lowest: The least of them.
        table: Grey level of each integer from there.
        places: The voxels, flat indices into the box.
        levels: The box.
    """
    for place in range(np.uint64(intensities.size)):
        level = table[np.uint64(np.int64(intensities[place]) - lowest)]
        levels[np.uint64(places[place])] = level


@kernel()
def place_by_edges(
    intensities: NDArray[Any],
    edges: NDArray[Any],
    places: Places,
    levels: Levels,
    counts: Counts,
) -> None:
    """Write grey levels into the box of a region: how many edges do not exceed an intensity.

    Edges are nearly as far apart from each other, so that the level is guessed, and put right.

    Args:
        intensities: Of its voxels.
        edges: Bin edges, rising, two at least.
        places: The voxels, flat indices into the box.
        levels: The box.
        counts: Voxels by level, zeros for all levels that there can be.
    """
    n_edges = np.int64(edges.size)
    begin, step = np.float64(edges[0]), np.float64(edges[1]) - np.float64(edges[0])
    per_unit = 1.0 / step if step > 0 else 0.0
    for place in range(np.uint64(intensities.size)):
        value = intensities[place]
        guess = (np.float64(value) - begin) * per_unit
        level = np.int64(min(max(guess, 0.0), np.float64(n_edges - 1))) + 1
        while level < n_edges and edges[np.uint64(level)] <= value:
            level += 1
        while level > 0 and edges[np.uint64(level - 1)] > value:
            level -= 1
        counts[np.uint64(level)] += 1
        levels[np.uint64(places[place])] = level


def bin_edges(values: NDArray[Any], settings: TextureSettings) -> NDArray[Any]:
    """Make the bin edges of a region.

    As a rule they start at a multiple of the bin width, not at the least intensity. Types matter:
    for a float32 image the edges are float32, and pyradiomics' levels depend on their rounding.

    Args:
        values: Intensities, or just the least and the greatest; their type is that of the image.
        settings: Bin width or bin count.
    """
    lowest, highest = values.min(), values.max()
    if settings.bin_count is not None:
        edges = np.histogram_bin_edges(
            np.array([lowest, highest], values.dtype), settings.bin_count
        )
        edges[-1] += 1
        return edges
    width = settings.bin_width
    if np.issubdtype(values.dtype, np.integer):
        lowest, highest = np.int64(lowest), np.int64(highest)
        width = int(width) if float(width).is_integer() else width
    start = lowest - (lowest % width)
    if settings.bins_from is not BinsFrom.MULTIPLE:
        start = lowest if settings.bins_from is BinsFrom.LEAST else settings.bins_from
    edges = np.arange(start, highest + 2 * width, width)
    if edges.size == 1:
        return np.array([edges[0] - 0.5, edges[0] + 0.5])
    return edges


def levels_of(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    """Find the grey level of each value: 1 from the first edge to the second, and so on."""
    return np.searchsorted(edges, values, side="right")


MAX_RANGE: Final = 1 << 20  # of integer intensities, for a table that has an entry for each


@kernel()
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


@kernel()
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
