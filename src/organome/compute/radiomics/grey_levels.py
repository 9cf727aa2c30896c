"""Grey levels of a region, by the bin edges of pyradiomics.

Source: pyradiomics 3.0.1, ``imageoperations.getBinEdges``. Where the sum of the greatest intensity
and two bin widths does not fit the type of an integer image, pyradiomics wraps around; we do not.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Levels, Places
from organome.domain.radiomics_settings import TextureSettings


@njit(cache=True, nogil=True)
def count_intensities(intensities: NDArray[Any], lowest: int, counts: Counts) -> None:
    """Count how often each integer intensity occurs; the first count is that of ``lowest``."""
    for place in range(np.uint64(intensities.size)):
        counts[np.uint64(np.int64(intensities[place]) - lowest)] += 1


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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

    They start at a multiple of the bin width, not at the least intensity. Types matter: for a
    float32 image the edges are float32, and pyradiomics' levels depend on their rounding.

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
    edges = np.arange(lowest - (lowest % width), highest + 2 * width, width)
    if edges.size == 1:
        return np.array([edges[0] - 0.5, edges[0] + 0.5])
    return edges


def levels_of(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[np.int64]:
    """Find the grey level of each value: 1 from the first edge to the second, and so on."""
    return np.searchsorted(edges, values, side="right")
