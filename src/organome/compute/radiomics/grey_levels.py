"""Grey levels of a region, by the bin edges of pyradiomics.

Source: pyradiomics 3.0.1, ``imageoperations.getBinEdges``. Where the sum of the greatest intensity
and two bin widths does not fit the type of an integer image, pyradiomics wraps around; we do not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from organome.domain.radiomics_settings import TextureSettings


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
