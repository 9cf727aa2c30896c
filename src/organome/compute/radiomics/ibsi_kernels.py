"""Loops behind the textures of the IBSI: features summed over matrices, slices in one pass.

Matrices are those of ``texture_kernels``, formulas those of ``formula_kernels``.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats, Levels, Places
from organome.compute.kernels import kernel
from organome.compute.radiomics.formula_kernels import (
    cooccurrence_features,
    emphasis_features,
    list_entries,
    neighbour_features,
    read_pairs,
)
from organome.compute.radiomics.texture_kernels import find_zones, tally_textures

N_PAIR_SUMS = 23  # 20 of ``cooccurrence_features``, joint entropy, both correlations
N_SIZE_SUMS = 17  # 16 of ``emphasis_features``, energy
N_NEIGHBOUR_SUMS = 5


@kernel(error_model="numpy")
def add_pairs(pairs_ij: Floats, levels: Floats, n_levels: int, sums: Floats) -> int:
    """Add the features of one symmetric matrix of pairs; return 1, or 0 where it is empty."""
    total = pairs_ij.sum()
    if total == 0.0:
        return 0
    p_aij = (pairs_ij / total).reshape((1, levels.size, levels.size))
    cooccurrence_features(p_aij, levels, n_levels, sums)
    p_ij = p_aij[0]
    entropy, of_one = 0.0, 0.0
    for i in range(levels.size):
        p_i = 0.0
        for j in range(levels.size):
            p = p_ij[i, j]
            p_i += p
            if p > 0.0:
                entropy -= p * math.log2(p)
        if p_i > 0.0:
            of_one -= p_i * math.log2(p_i)
    # Both entropies of independent levels are twice that of one level.
    shared = max(2.0 * of_one - entropy, 0.0)
    sums[20] += entropy
    sums[21] -= shared / of_one if of_one > 0.0 else 0.0
    sums[22] += math.sqrt(1.0 - math.exp(-2.0 * shared))
    return 1


@kernel(error_model="numpy")
def add_sizes(entries: Floats, n_levels: int, n_voxels: float, sums: Floats) -> int:
    """Add the features of one matrix of sizes; return 1, or 0 where it is empty.

    Args:
        entries: Rows of size, level, count, by rising size.
        n_levels: Highest grey level.
        n_voxels: What the number of things is divided by for a share.
        sums: 17 sums to add to.
    """
    if entries.shape[0] == 0:
        return 0
    before = sums[15]
    emphasis_features(entries, n_levels, sums)
    n = entries[:, 2].sum()
    sums[15] = before + n / n_voxels
    for row in range(entries.shape[0]):
        sums[16] += (entries[row, 2] / n) ** 2
    return 1


@kernel()
def entries_of(counts: NDArray[Any]) -> Floats:
    """List a matrix (level, size from 1) as rows of size, level, count, by rising size."""
    n = 0
    for level in range(counts.shape[0]):
        for place in range(counts.shape[1]):
            n += counts[level, place] != 0
    entries = np.empty((n, 3))
    list_entries(counts, entries)
    return entries


@kernel()
def entries_of_keys(keys: Counts, n_rows: int) -> Floats:
    """Do so from keys, size times ``n_rows`` plus level, one for each thing; they are sorted."""
    keys.sort()
    n = 0
    for place in range(keys.size):
        n += place == 0 or keys[place] != keys[place - 1]
    entries = np.empty((n, 3))
    n = -1
    for place in range(keys.size):
        if place == 0 or keys[place] != keys[place - 1]:
            n += 1
            entries[n, 0] = keys[place] // n_rows
            entries[n, 1] = keys[place] % n_rows
            entries[n, 2] = 0
        entries[n, 2] += 1
    return entries


@kernel()
def add_runs(codes_ic: NDArray[np.int32], level_counts: Counts, runs: NDArray[np.int64]) -> None:
    """Add the runs of one direction to a matrix (level, length from 1)."""
    n_rows, n_codes = codes_ic.shape
    for level in range(1, n_rows):
        at_least = level_counts[level]
        for code in range(n_rows, n_codes):
            at_least -= codes_ic[level, code]
        for code in range(n_rows, n_codes):  # voxels that come second in their run, and so on
            longer = np.int64(codes_ic[level, code])
            runs[level, code - n_rows] += at_least - longer
            at_least = longer
        runs[level, n_codes - n_rows] += at_least


@kernel()
def zone_keys(
    levels: Levels,
    places: Places,
    parents: NDArray[np.uint32],
    sizes: NDArray[np.uint32],
    distances: NDArray[np.uint16],
    n_rows: int,
    keys: Counts,
) -> int:
    """Make the keys of all zones.

    Args:
        levels: Flat padded box.
        places: Voxels of the region, in raster order.
        parents: First voxel of each voxel's zone, from ``find_zones``.
        sizes: Of the zone, at its first voxel.
        distances: Steps from each voxel to the outside.
        n_rows: Number of levels, and 0.
        keys: (2, zones at most), filled: by size, and by least distance.

    Returns:
        Number of zones.
    """
    n, number = 0, np.empty(levels.size, np.int32)
    for voxel in range(places.size):
        place = places[voxel]
        root = parents[place]
        if root == place:
            number[place] = n
            keys[0, n] = np.int64(sizes[place]) * n_rows + levels[place]
            keys[1, n] = np.int64(distances[place])
            n += 1
        else:
            zone = number[root]
            keys[1, zone] = min(keys[1, zone], np.int64(distances[place]))
    for voxel in range(places.size):
        place = places[voxel]
        if parents[place] == place:
            zone = number[place]
            keys[1, zone] = keys[1, zone] * n_rows + levels[place]
    return n


@kernel()
def steps_to_outside(
    inside: NDArray[np.uint8],
    box_zyx: tuple[int, int, int],
    in_plane: bool,
    distances: NDArray[np.uint16],
) -> None:
    """Count steps, each to a voxel with which it shares a face, from a voxel to the outside.

    Args:
        inside: Flat padded box, 1 in the region.
        box_zyx: Its size.
        in_plane: Whether steps along z are left out.
        distances: Filled, 0 outside.
    """
    n_x, n_yx = box_zyx[2], box_zyx[1] * box_zyx[2]
    n = inside.size
    for place in range(n):
        if not inside[place]:
            distances[place] = 0
            continue
        least = min(distances[place - 1], distances[place - n_x])
        if not in_plane:
            least = min(least, distances[place - n_yx])
        distances[place] = least + 1
    for place in range(n - 1, -1, -1):
        if not inside[place]:
            continue
        least = min(distances[place + 1], distances[place + n_x])
        if not in_plane:
            least = min(least, distances[place + n_yx])
        distances[place] = min(distances[place], least + 1)


@kernel(error_model="numpy")
def add_directions(
    codes_aic: NDArray[np.int32],
    level_counts: Counts,
    n_voxels: int,
    pairs: Floats,
    runs: Floats,
    n_pairs: Counts,
    n_runs: Counts,
) -> None:
    """Add the features of pairs and runs, of each direction and of all directions merged.

    Args:
        codes_aic: Voxels by direction, level and code.
        level_counts: Voxels by level, from 0.
        n_voxels: Their number.
        pairs: (2, 23): sums over directions; of the merged matrix.
        runs: (2, 17), likewise.
        n_pairs: How many matrices were added to each row of ``pairs``.
        n_runs: Likewise.
    """
    n_angles, n_rows, n_codes = codes_aic.shape
    present = np.flatnonzero(level_counts)
    levels = present.astype(np.float64)
    pairs_aij = np.empty((n_angles, present.size, present.size))
    read_pairs(codes_aic, present, pairs_aij)
    merged_pairs = np.zeros((present.size, present.size))
    merged_runs = np.zeros((n_rows, n_codes - n_rows + 1), np.int64)
    of_angle = np.zeros_like(merged_runs)
    for angle in range(n_angles):
        n_pairs[0] += add_pairs(pairs_aij[angle], levels, n_rows - 1, pairs[0])
        merged_pairs += pairs_aij[angle]
        of_angle[:] = 0
        add_runs(codes_aic[angle], level_counts, of_angle)
        n_runs[0] += add_sizes(entries_of(of_angle), n_rows - 1, n_voxels, runs[0])
        merged_runs += of_angle
    n_pairs[1] += add_pairs(merged_pairs, levels, n_rows - 1, pairs[1])
    n_runs[1] += add_sizes(entries_of(merged_runs), n_rows - 1, n_voxels * n_angles, runs[1])


@kernel(error_model="numpy")
def add_slices(
    levels: Levels,
    distances: NDArray[np.uint16],
    box_zyx: tuple[int, int, int],
    steps_zyx: NDArray[np.int64],
    linked: NDArray[np.uint8],
    alpha: int,
    codes_sum: NDArray[np.int32],
    gldm_sum: NDArray[np.int32],
    ngtdm_sum: Floats,
    keys: Counts,
    pairs: Floats,
    runs: Floats,
    n_pairs: Counts,
    n_runs: Counts,
    others: Floats,
    neighbours: Floats,
) -> tuple[int, int]:
    """Add the features of every slice, and the matrices of all.

    Args:
        levels: Flat padded box, grey levels of the region.
        distances: Steps to the outside within the slice.
        box_zyx: Size of the box.
        steps_zyx: The four steps in a slice.
        linked: From ``linked_neighbours``, of these.
        alpha: Grey levels that differ by no more depend on each other.
        codes_sum: (4, level, code), zeros to add to.
        gldm_sum: (level, number of dependent neighbours), likewise.
        ngtdm_sum: (level, 2), likewise.
        keys: (2, voxels): keys of the zones of all slices.
        pairs: As in ``add_directions``.
        runs: Likewise.
        n_pairs: Likewise.
        n_runs: Likewise.
        others: (3, 17): sums of zones by size, by distance, and of dependencies.
        neighbours: 5 sums.

    Returns:
        Number of slices with voxels, number of zones.
    """
    n_z, n_y, n_x = box_zyx
    n, n_rows = n_y * n_x, codes_sum.shape[1]
    three = np.zeros(3 * n, np.uint16)
    plane_distances = np.zeros(3 * n, np.uint16)
    parents, sizes = np.empty(3 * n, np.uint32), np.empty(3 * n, np.uint32)
    codes, gldm = np.zeros_like(codes_sum), np.zeros_like(gldm_sum)
    ngtdm, of_slice = np.zeros_like(ngtdm_sum), np.empty(N_NEIGHBOUR_SUMS)
    offsets = np.empty(4, np.uint32)
    for step in range(4):
        offsets[step] = steps_zyx[step, 1] * n_x + steps_zyx[step, 2]
    n_slices, n_zones = 0, 0
    none, starts = np.zeros((n_rows, 0), np.int32), np.zeros(4, np.uint64)
    for z in range(1, n_z - 1):
        three[n : 2 * n] = levels[z * n : (z + 1) * n]
        plane_distances[n : 2 * n] = distances[z * n : (z + 1) * n]
        places = np.flatnonzero(three).astype(np.int32)
        if places.size == 0:
            continue
        n_slices += 1
        starts[2:] = places.size
        codes[:], gldm[:], ngtdm[:] = 0, 0, 0.0
        same, large = np.empty(places.size, np.uint16), np.empty((places.size, 2), np.int64)
        tally_textures(
            three, places, starts, (3, n_y, n_x), steps_zyx, (False, True, True), alpha,
            codes, gldm, ngtdm, same,
        )  # fmt: skip
        find_zones(three, places, offsets, same, linked, parents, sizes, none, large)
        level_counts = np.zeros(n_rows, np.int64)
        for level in range(n_rows):
            level_counts[level] = np.int64(ngtdm[level, 0])
        add_directions(codes, level_counts, places.size, pairs, runs, n_pairs, n_runs)
        of_zones = keys[:, n_zones:]
        found = zone_keys(three, places, parents, sizes, plane_distances, n_rows, of_zones)
        for kind in range(2):
            entries = entries_of_keys(of_zones[kind, :found].copy(), n_rows)
            add_sizes(entries, n_rows - 1, places.size, others[kind])
        add_sizes(entries_of(gldm), n_rows - 1, places.size, others[2])
        neighbour_features(ngtdm, of_slice)
        neighbours += of_slice
        n_zones += found
        codes_sum += codes
        gldm_sum += gldm
        ngtdm_sum += ngtdm
    return n_slices, n_zones
