"""Zones of equal grey level, joined voxel by voxel in one pass over a region."""

from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Steps = tuple[tuple[int, int, int], ...]

_MAX_GROUPS = 4  # of neighbours in one half-space that do not touch each other


@lru_cache(maxsize=16)
def linked_neighbours(steps_zyx: Steps) -> NDArray[np.uint8]:
    """Tell which neighbours have to be joined with a voxel, for all sets of them with its level.

    Neighbours that touch each other are joined already, so that one of them is enough.

    Args:
        steps_zyx: Steps back to the neighbours.

    Returns:
        (set of neighbours as bits, 5): how many have to be joined, and which.
    """
    n = len(steps_zyx)
    touching = np.array(
        [
            sum(
                1 << place
                for place, other in enumerate(steps_zyx)
                if max(abs(a - b) for a, b in zip(step, other, strict=True)) <= 1
            )
            for step in steps_zyx
        ],
        np.int64,
    )
    table = np.zeros((1 << n, 1 + _MAX_GROUPS), np.uint8)
    _choose_one_of_each_group(touching, table)
    return table


@njit(cache=True, nogil=True)
def _choose_one_of_each_group(touching: NDArray[np.int64], table: NDArray[np.uint8]) -> None:
    n = touching.size
    for members in range(len(table)):
        left = members
        for first in range(n):
            if not (left >> first) & 1:
                continue
            table[members, 0] += 1
            table[members, table[members, 0]] = first
            group, reached = 0, 1 << first
            while reached:
                group |= reached
                near = 0
                for place in range(n):
                    if (reached >> place) & 1:
                        near |= touching[place]
                reached = near & left & ~group
            left &= ~group


@njit(cache=True, nogil=True)
def find_zones(
    levels: NDArray[np.uint16],
    places: NDArray[np.int32],
    offsets: NDArray[np.uint32],
    same: NDArray[np.uint16],
    linked: NDArray[np.uint8],
    parents: NDArray[np.uint32],
    sizes: NDArray[np.uint32],
    small: NDArray[np.int32],
    large: NDArray[np.int64],
) -> int:
    """Count the zones of equal grey level.

    Args:
        levels: Flat padded box, grey levels of the region.
        places: Its voxels in raster order.
        offsets: Steps back to the neighbours of one half-space, 13 in 3D.
        same: For every voxel: bit i is set where the neighbour i has its level.
        linked: From ``linked_neighbours``.
        parents: Scratch of the size of the box.
        sizes: Likewise.
        small: (level, size), for sizes below the width of this table.
        large: (place, 2): level and size of each larger zone, room for all there can be.

    Returns:
        Number of larger zones.
    """
    n = np.uint64(places.size)
    for voxel in range(n):
        place, group = np.uint32(places[voxel]), np.uint64(same[voxel])
        n_linked = np.uint64(linked[group, np.uint64(0)])
        root = place
        for which in range(n_linked):
            other = np.uint32(place - offsets[linked[group, which + np.uint64(1)]])
            while parents[other] != other:
                parents[other] = parents[parents[other]]
                other = parents[other]
            if other < root:
                parents[root] = other
                root = other
            else:
                parents[other] = root
        parents[place] = root
    for voxel in range(n):  # in this order a parent knows its root already
        place = np.uint32(places[voxel])
        root = parents[parents[place]]
        parents[place] = root
        if root == place:
            sizes[place] = 0
        sizes[root] += np.uint32(1)
    n_large, n_small = 0, small.shape[1]
    for voxel in range(n):
        place = np.uint32(places[voxel])
        if parents[place] != place:
            continue
        if sizes[place] < n_small:
            small[levels[place], sizes[place]] += 1
        else:
            large[n_large, 0] = levels[place]
            large[n_large, 1] = sizes[place]
            n_large += 1
    return n_large
