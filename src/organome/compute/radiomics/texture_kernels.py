"""Loops over the voxels of one region that fill its texture matrices.

A region lies in a flat box that is padded by one layer of zeros, so that no neighbour is looked for
outside. Voxels hold their grey level, 1 and up.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Levels = NDArray[Any]  # uint8 where they fit, else uint16
Places = NDArray[np.int32]
Counts = NDArray[np.int64]


@njit(cache=True, nogil=True)
def tally_textures(
    levels: Levels,
    places: Places,
    offsets: NDArray[np.int64],
    alpha: int,
    glcm: NDArray[np.int32],
    glrlm: NDArray[np.int32],
    gldm: NDArray[np.int32],
    ngtdm: NDArray[np.float64],
) -> None:
    """Fill four matrices in one pass.

    Args:
        levels: Grey levels of the region, 0 outside.
        places: Its voxels in raster order.
        offsets: Steps to the neighbours of one half-space, 13 in 3D.
        alpha: Grey levels that differ by no more depend on each other.
        glcm: (offset, level, level of the neighbour), one way; row and column 0 are to be ignored.
        glrlm: (offset, level, length of the run).
        gldm: (level, number of dependent neighbours).
        ngtdm: (level, 2): voxels, and sum of differences from the mean of the neighbours.
    """
    for place in places:
        level: Any = np.int64(levels[place])
        n_neighbours, sum_levels, n_dependent = 0, 0, 0
        for angle in range(offsets.size):
            offset = offsets[angle]
            after: Any = np.int64(levels[place + offset])
            before: Any = np.int64(levels[place - offset])
            glcm[angle, level, after] += 1
            n_neighbours += (after > 0) + (before > 0)
            sum_levels += after + before
            if alpha == 0:
                n_dependent += (after == level) + (before == level)
            else:
                n_dependent += after > 0 and abs(after - level) <= alpha
                n_dependent += before > 0 and abs(before - level) <= alpha
            if before != level:
                length = 1
                if after == level:
                    length = 2
                    step = place + 2 * offset
                    while levels[step] == level:
                        length += 1
                        step += offset
                glrlm[angle, level, length] += 1
        gldm[level, n_dependent] += 1
        ngtdm[level, 0] += 1
        if n_neighbours:
            ngtdm[level, 1] += abs(level - sum_levels / n_neighbours)


@njit(cache=True, nogil=True)
def find_zones(
    levels: Levels,
    places: Places,
    steps: NDArray[np.int64],
    small: NDArray[np.int32],
    large: Counts,
) -> int:
    """Find the zones of equal grey level; the region is consumed.

    Args:
        levels: Grey levels of the region, 0 outside; all 0 afterwards.
        places: Its voxels.
        steps: Steps to all neighbours, 26 in 3D.
        small: (level, size), for sizes below the width of this table.
        large: (place, 2): level and size of each larger zone, room for all there can be.

    Returns:
        Number of larger zones.
    """
    stack = np.empty(places.size, np.int32)
    n_large = 0
    n_small = small.shape[1]
    for start in places:
        level = levels[start]
        if level == 0:
            continue
        levels[start] = 0
        stack[0] = start
        n_stack, size = 1, 0
        while n_stack:
            n_stack -= 1
            place = stack[n_stack]
            size += 1
            for step in steps:
                beside = place + step
                if levels[beside] == level:
                    levels[beside] = 0
                    stack[n_stack] = beside
                    n_stack += 1
        if size < n_small:
            small[level, size] += 1
        else:
            large[n_large, 0] = level
            large[n_large, 1] = size
            n_large += 1
    return n_large
