"""Loops over the voxels of one region that fill its texture matrices.

A region lies in a flat box that is padded by one layer of zeros, so that no neighbour is looked for
outside. Voxels hold their grey level, 1 and up. A plane is compared, as a whole, with itself
shifted: that takes in voxels between those of the region, but becomes vector instructions, so that
a direction costs a fraction of a nanosecond. Indices are unsigned, for numba need then not look for
those that count from the end.

For every voxel and direction a code is found: the level of the voxel before it, or, where that is
the voxel's own level, ``n_levels`` and the number of voxels of its run up to there. Counts of codes
hold both the pairs and the runs. Zones of equal grey level are joined voxel by voxel, in one pass.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Levels, Places
from organome.compute.kernels import kernel

Index = Any  # np.uint64, which mixes with nothing else

_ONE = np.uint64(1)
_TWO = np.uint64(2)
_THREE = np.uint64(3)


Steps = tuple[tuple[int, int, int], ...]
_MAX_GROUPS = 4  # of neighbours in one half-space that do not touch each other


@kernel()
def tally_textures(
    levels: Levels,
    places: Places,
    starts: NDArray[np.uint64],
    box_zyx: tuple[int, int, int],
    steps_zyx: NDArray[np.int64],
    wide_zyx: tuple[bool, bool, bool],
    alpha: int,
    codes: NDArray[np.int32],
    gldm: NDArray[np.int32],
    ngtdm: NDArray[np.float64],
    same: NDArray[np.uint16],
) -> None:
    """Fill all matrices but that of zones, plane by plane.

    Args:
        levels: Grey levels of the region, 0 outside.
        places: Its voxels in raster order.
        starts: Where in ``places`` each plane of equal z begins, and the last one ends.
        box_zyx: Size of the padded box.
        steps_zyx: Steps to the neighbours of one half-space, 13 in 3D.
        wide_zyx: Axes along which there are neighbours.
        alpha: Grey levels that differ by no more depend on each other.
        codes: (step, level, code), zeros: voxels; see above.
        gldm: (level, number of dependent neighbours), zeros.
        ngtdm: (level, 2), zeros: voxels, and sum of differences from the mean of the neighbours.
        same: Filled for every voxel: bit i is set where the voxel before it along step i has its
            level.
    """
    n_z, n_y, n_x = np.uint64(box_zyx[0]), np.uint64(box_zyx[1]), np.uint64(box_zyx[2])
    n = n_y * n_x
    n_steps, n_rows, n_codes = codes.shape
    flat_codes = codes.reshape(-1)
    of_plane = np.zeros((2, n_steps, n), np.uint16).reshape(-1)
    lines = np.empty((2, n), np.uint16)
    sums, rows = np.zeros(np.uint64(6) * n, np.uint16), np.zeros(_TWO * n, np.uint16)
    n_dependent, bits = np.empty(n, np.uint16), np.empty(n, np.uint16)
    voxels, firsts = np.empty(n, np.uint32), np.empty(n, np.uint32)
    for ahead in range(_ONE, n_z):
        _sum_neighbours(
            levels, ahead * n, n_x, n, wide_zyx, rows, sums, (ahead % _THREE) * _TWO * n
        )
        z = ahead - _ONE
        begin, n_voxels = starts[z], starts[ahead] - starts[z]
        if n_voxels == 0:
            continue
        for place in range(n_voxels):
            voxels[place] = np.uint64(places[begin + place]) - z * n
            firsts[place] = levels[z * n + voxels[place]] * np.uint64(n_codes)
        first = np.uint64(voxels[0])
        length = np.uint64(voxels[n_voxels - _ONE]) - first + _ONE
        here = z * n + first
        n_dependent[:] = 0
        bits[:] = 0
        now = (z % _TWO) * np.uint64(n_steps) * n
        earlier = (ahead % _TWO) * np.uint64(n_steps) * n
        for step in range(np.uint64(n_steps)):
            dz, dy, dx = steps_zyx[step]
            in_plane = np.uint64(dy * np.int64(n_x) + dx)
            offset = np.uint64(dz) * n + in_plane
            _count_dependent(levels, here, offset, length, alpha, n_dependent, first)
            _mark_same(levels, here, offset, length, np.uint16(1) << np.uint16(step), bits, first)
            bins = step * np.uint64(n_rows) * np.uint64(n_codes)
            to = now + step * n
            if dz:
                before = earlier + step * n + first - in_plane
                _continue_runs(
                    levels, here, offset, length, n_rows - 1, of_plane, before, to + first
                )
            elif dy:
                _follow_lines(levels, here, offset, length, n_rows - 1, lines, of_plane, to + first)
            else:
                _bin_rows(levels, z * n, offset, voxels, firsts, n_voxels, flat_codes, bins, n_rows)
                continue
            _bin_codes(of_plane, to, voxels, firsts, n_voxels, flat_codes, bins)
        for place in range(n_voxels):
            same[begin + place] = bits[voxels[place]]
            level = np.uint64(levels[z * n + voxels[place]])
            gldm[level, n_dependent[voxels[place]]] += 1
        _sum_differences(levels, z, n, voxels, n_voxels, wide_zyx[0], sums, ngtdm)


@kernel()
def _count_dependent(
    levels: Levels, here: Index, offset: Index, n: Index, alpha: int, counts: Levels, to: Index
) -> None:
    before, after = here - offset, here + offset
    if alpha == 0:
        for p in range(n):
            level = levels[here + p]
            counts[to + p] += np.uint16(levels[before + p] == level) + np.uint16(
                levels[after + p] == level
            )
        return
    for p in range(n):
        level = np.int32(levels[here + p])
        first, second = np.int32(levels[before + p]), np.int32(levels[after + p])
        counts[to + p] += np.uint16((first > 0) & (abs(first - level) <= alpha)) + np.uint16(
            (second > 0) & (abs(second - level) <= alpha)
        )


@kernel()
def _mark_same(
    levels: Levels, here: Index, offset: Index, n: Index, bit: Any, bits: Levels, to: Index
) -> None:
    before = here - offset
    for p in range(n):
        bits[to + p] |= bit if levels[before + p] == levels[here + p] else np.uint16(0)


@kernel()
def _continue_runs(
    levels: Levels,
    here: Index,
    offset: Index,
    n: Index,
    n_levels: int,
    codes: Levels,
    old: Index,
    new: Index,
) -> None:
    """Make the codes of a plane from those of the plane before."""
    before, none = here - offset, np.uint16(n_levels)
    for p in range(n):
        level = levels[before + p]
        run = max(codes[old + p], none) + np.uint16(1)
        codes[new + p] = run if level == levels[here + p] else level


@kernel()
def _follow_lines(
    levels: Levels,
    here: Index,
    offset: Index,
    n: Index,
    n_levels: int,
    lines: Levels,
    codes: Levels,
    new: Index,
) -> None:
    """Make the codes of a step within a plane.

    How far back a line goes on with the same level is found by doubling: voxels from which it goes
    back by all of 1, 2, 4, ... look how far it goes on from there.
    """
    before, old, other = here - offset, lines[0], lines[1]
    for p in range(n):
        level = levels[here + p]
        old[p] = np.uint16((levels[before + p] == level) & (level > 0))
    reach, back = np.uint16(1), offset
    while back < n:
        longest = np.uint16(0)
        other[:back] = old[:back]
        for p in range(n - back):
            length = old[back + p]
            length += old[p] if length == reach else np.uint16(0)
            other[back + p] = length
            longest = max(longest, np.uint16(length))
        old, other = other, old
        reach, back = np.uint16(_TWO * reach), _TWO * back
        if longest < reach:
            break
    none = np.uint16(n_levels)
    for p in range(n):
        codes[new + p] = none + old[p] if old[p] else levels[before + p]


@kernel()
def _bin_codes(
    codes: Levels,
    plane: Index,
    voxels: NDArray[np.uint32],
    firsts: NDArray[np.uint32],
    n: Index,
    counts: NDArray[np.int32],
    begin: Index,
) -> None:
    for place in range(n):
        counts[begin + firsts[place] + codes[plane + voxels[place]]] += np.int32(1)


@kernel()
def _bin_rows(
    levels: Levels,
    plane: Index,
    offset: Index,
    voxels: NDArray[np.uint32],
    firsts: NDArray[np.uint32],
    n: Index,
    counts: NDArray[np.int32],
    begin: Index,
    n_rows: int,
) -> None:
    """Count the codes of the step along rows; a run goes on from voxel to voxel."""
    run, none = np.uint64(0), np.uint64(n_rows - 1)
    for place in range(n):
        here = plane + voxels[place]
        level = np.uint64(levels[here - offset])
        mask = np.uint64(0) - np.uint64(level == np.uint64(levels[here]))  # no branch to mispredict
        run &= mask
        code = level + (mask & (none + run - level))
        run += _ONE
        counts[begin + firsts[place] + code] += np.int32(1)


@kernel()
def _sum_neighbours(
    levels: Levels,
    plane: Index,
    n_x: Index,
    n: Index,
    wide_zyx: tuple[bool, bool, bool],
    rows: Levels,
    sums: Levels,
    to: Index,
) -> None:
    """Sum levels, and count voxels, over the neighbourhood of each voxel in its plane."""
    for p in range(n):
        rows[p] = levels[plane + p]
        rows[n + p] = np.uint16(levels[plane + p] > 0)
    if wide_zyx[2]:
        left, right = plane - _ONE, plane + _ONE  # a plane before there always is
        for p in range(n - _ONE):
            rows[p] += levels[left + p] + levels[right + p]
            rows[n + p] += np.uint16(levels[left + p] > 0) + np.uint16(levels[right + p] > 0)
    for p in range(_TWO * n):
        sums[to + p] = rows[p]
    if wide_zyx[1]:
        for part in range(_TWO):
            row, above = to + part * n + n_x, part * n
            below = above + _TWO * n_x
            for p in range(n - _TWO * n_x):
                sums[row + p] += rows[above + p] + rows[below + p]


@kernel()
def _sum_differences(
    levels: Levels,
    z: Index,
    n: Index,
    voxels: NDArray[np.uint32],
    n_voxels: Index,
    wide_z: bool,
    sums: Levels,
    ngtdm: NDArray[np.float64],
) -> None:
    above = ((z + _TWO) % _THREE) * _TWO * n
    middle = (z % _THREE) * _TWO * n
    below = ((z + _ONE) % _THREE) * _TWO * n
    for place in range(n_voxels):
        p = np.uint64(voxels[place])
        level = np.int64(levels[z * n + p])
        total, count = np.int64(sums[middle + p]), np.int64(sums[middle + n + p])
        if wide_z:
            total += np.int64(sums[above + p]) + np.int64(sums[below + p])
            count += np.int64(sums[above + n + p]) + np.int64(sums[below + n + p])
        row = np.uint64(level)
        ngtdm[row, 0] += 1
        if count > 1:
            ngtdm[row, 1] += abs(level - (total - level) / (count - 1))


@lru_cache(maxsize=16)
def linked_neighbours(steps_zyx: Steps) -> NDArray[np.uint8]:
    """Return which neighbours have to be joined with a voxel, for all sets of them with its level.

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


@kernel()
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


@kernel()
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
        large: (place, 2): level and size of each larger zone, space for all there can be.

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
