"""Textures by the IBSI: in slices, in slices merged, in the volume; every aggregation."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats, Levels
from organome.compute.radiomics.formula_kernels import neighbour_features
from organome.compute.radiomics.ibsi_kernels import (
    N_NEIGHBOUR_SUMS,
    N_PAIR_SUMS,
    N_SIZE_SUMS,
    add_directions,
    add_sizes,
    add_slices,
    entries_of,
    entries_of_keys,
    steps_to_outside,
    zone_keys,
)
from organome.compute.radiomics.matrices import Matrices
from organome.compute.radiomics.texture_kernels import Steps, linked_neighbours
from organome.domain.ibsi_features import Extent

_IN_SLICE_ZYX: Final[Steps] = ((0, 1, 1), (0, 1, 0), (0, 1, -1), (0, 0, 1))
# Names of the sums, in the order of their kernels.
_PAIRS: Final = (
    *("auto_corr", "clust_prom", "clust_shade", "clust_tend", "contrast", "corr", "diff_avg"),
    *("diff_entr", "diff_var", "inv_diff", "inv_diff_mom", "inv_diff_mom_norm", "inv_diff_norm"),
    *("inv_var", "joint_avg", "energy", "joint_max", "sum_avg", "sum_entr", "joint_var"),
    *("joint_entr", "info_corr1", "info_corr2"),
)
_SAME_PAIRS: Final = {"dissimilarity": "diff_avg", "sum_var": "clust_tend"}
_SIZES: Final = {
    "rlm": "sre lre lgre hgre srlge srhge lrlge lrhge rl_var rl_entr glnu glnu_norm gl_var rlnu "
    "rlnu_norm r_perc",
    "szm": "sze lze lgze hgze szlge szhge lzlge lzhge zs_var zs_entr glnu glnu_norm gl_var zsnu "
    "zsnu_norm z_perc",
    "dzm": "sde lde lgze hgze sdlge sdhge ldlge ldhge zd_var zd_entr glnu glnu_norm gl_var zdnu "
    "zdnu_norm z_perc",
    "ngl": "lde hde lgce hgce ldlge ldhge hdlge hdhge dc_var dc_entr glnu glnu_norm gl_var dcnu "
    "dcnu_norm dc_perc dc_energy",
}
_NEIGHBOURS: Final = ("busyness", "coarseness", "complexity", "contrast", "strength")


def distances_inside(inside_zyx: NDArray[np.uint8], axis: int | None) -> NDArray[np.uint16]:
    """Count steps from voxels to the outside of a region.

    Args:
        inside_zyx: 1 in the region, with an empty layer around.
        axis: Axis along which no steps are made, None: none.
    """
    moved = np.ascontiguousarray(np.moveaxis(inside_zyx, axis or 0, 0))
    distances = np.zeros(moved.shape, np.uint16)
    steps_to_outside(moved.reshape(-1), moved.shape, axis is not None, distances.reshape(-1))
    return np.moveaxis(distances, 0, axis or 0)


def volume_textures(matrices: Matrices, distances: NDArray[np.uint16]) -> dict[str, float]:
    """Compute the textures of the volume.

    Args:
        matrices: Of the region, with neighbours in three dimensions.
        distances: Steps to the outside of the region, in its flat padded box.

    Returns:
        Features by tag; NaN where there is no pair of voxels.
    """
    n_voxels, n_rows = matrices.places.size, len(matrices.gldm)
    keys = np.empty((2, n_voxels), np.int64)
    n_zones = zone_keys(
        matrices.levels,
        matrices.places,
        matrices.parents,
        matrices.sizes,
        distances,
        n_rows,
        keys,
    )
    return _directed(matrices.codes, matrices.level_counts, n_voxels, Extent.VOLUME) | _merged(
        keys[:, :n_zones], matrices.gldm, matrices.ngtdm, n_voxels, Extent.VOLUME
    )


def slice_textures(
    levels_zyx: Levels, distances_zyx: NDArray[np.uint16], level_counts: Counts, alpha: int
) -> dict[str, float]:
    """Compute the textures of slices, each on its own and merged.

    Args:
        levels_zyx: Grey levels in a padded box, slices first.
        distances_zyx: Steps to the outside of the region within its slice.
        level_counts: Voxels by level, from 0.
        alpha: Grey levels that differ by no more depend on each other.

    Returns:
        Features by tag; NaN where there is no pair of voxels.
    """
    n_z, n_y, n_x = levels_zyx.shape
    n_rows, n_voxels = level_counts.size, int(level_counts.sum())
    levels, distances = levels_zyx.reshape(-1), distances_zyx.reshape(-1)
    codes = np.zeros((4, n_rows, n_rows + max(n_y, n_x) - 2), np.int32)
    gldm, ngtdm = np.zeros((n_rows, 9), np.int32), np.zeros((n_rows, 2))
    keys = np.empty((2, n_voxels), np.int64)
    pairs, runs = np.zeros((2, N_PAIR_SUMS)), np.zeros((2, N_SIZE_SUMS))
    n_pairs, n_runs = np.zeros(2, np.int64), np.zeros(2, np.int64)
    others, neighbours = np.zeros((3, N_SIZE_SUMS)), np.zeros(N_NEIGHBOUR_SUMS)
    n_slices, n_zones = add_slices(
        levels,
        distances,
        (n_z, n_y, n_x),
        np.array(_IN_SLICE_ZYX),
        linked_neighbours(_IN_SLICE_ZYX),
        alpha,
        codes,
        gldm,
        ngtdm,
        keys,
        pairs,
        runs,
        n_pairs,
        n_runs,
        others,
        neighbours,
    )
    return (
        _named_directed(pairs, runs, n_pairs, n_runs, Extent.SLICES)
        | _named(others, neighbours, n_slices, Extent.SLICES)
        | _directed(codes, level_counts, n_voxels, Extent.MERGED_SLICES)
        | _merged(keys[:, :n_zones], gldm, ngtdm, n_voxels, Extent.MERGED_SLICES)
    )


def _directed(
    codes: NDArray[np.int32], level_counts: Counts, n_voxels: int, extent: Extent
) -> dict[str, float]:
    pairs, runs = np.zeros((2, N_PAIR_SUMS)), np.zeros((2, N_SIZE_SUMS))
    n_pairs, n_runs = np.zeros(2, np.int64), np.zeros(2, np.int64)
    add_directions(codes, level_counts, n_voxels, pairs, runs, n_pairs, n_runs)
    return _named_directed(pairs, runs, n_pairs, n_runs, extent)


def _merged(
    keys: Counts, gldm: NDArray[np.int32], ngtdm: Floats, n_voxels: int, extent: Extent
) -> dict[str, float]:
    others, neighbours = np.zeros((3, N_SIZE_SUMS)), np.zeros(N_NEIGHBOUR_SUMS)
    n_rows = len(gldm)
    for kind in range(2):
        add_sizes(entries_of_keys(keys[kind].copy(), n_rows), n_rows - 1, n_voxels, others[kind])
    add_sizes(entries_of(gldm), n_rows - 1, n_voxels, others[2])
    neighbour_features(ngtdm, neighbours)
    return _named(others, neighbours, 1, extent)


def _named_directed(
    pairs: Floats, runs: Floats, n_pairs: Counts, n_runs: Counts, extent: Extent
) -> dict[str, float]:
    features: dict[str, float] = {}
    for row, aggregation in enumerate(("avg", "comb")):
        suffix = f"{extent}_{aggregation}"
        with np.errstate(invalid="ignore"):
            means = dict(zip(_PAIRS, (pairs[row] / n_pairs[row]).tolist(), strict=True))
            of_runs = (runs[row] / n_runs[row]).tolist()
        means |= {name: means[same] for name, same in _SAME_PAIRS.items()}
        features |= {f"cm_{name}_{suffix}": value for name, value in means.items()}
        names = _SIZES["rlm"].split()
        features |= {
            f"rlm_{name}_{suffix}": value for name, value in zip(names, of_runs, strict=False)
        }
    return features


def _named(others: Floats, neighbours: Floats, n: int, extent: Extent) -> dict[str, float]:
    features = {
        f"{family}_{name}_{extent}": value
        for family, sums in zip(("szm", "dzm", "ngl"), others, strict=True)
        for name, value in zip(_SIZES[family].split(), (sums / n).tolist(), strict=False)
    }
    return features | {
        f"ngt_{name}_{extent}": value
        for name, value in zip(_NEIGHBOURS, (neighbours / n).tolist(), strict=True)
    }
