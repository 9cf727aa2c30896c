"""Grey levels and texture features of one region."""

from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.radiomics.first_order import (
    Sample,
    first_order_features,
    sample_of,
    sample_of_histogram,
)
from organome.compute.radiomics.formula_kernels import neighbour_features
from organome.compute.radiomics.glcm import glcm_features
from organome.compute.radiomics.grey_levels import bin_edges, levels_of
from organome.compute.radiomics.size_matrices import gldm_features, glrlm_features, glszm_features
from organome.compute.radiomics.texture_kernels import find_zones, tally_textures
from organome.domain.feature_names import NGTDM, FeatureClass
from organome.domain.radiomics_settings import TextureSettings

Features = dict[FeatureClass, dict[str, float]]
Box = tuple[int, int, int]

MAX_LEVELS: Final = 1000  # above, matrices grow beyond use: 52 MB for a GLCM of 13 directions
_MAX_RANGE: Final = 1 << 20  # of integer intensities, for a table that has an entry for each
_SMALL_ZONE: Final = 64  # zones up to here are counted in a table, larger ones listed
# Steps to the neighbours of one half-space; the other half are their opposites.
_HALF_SPACE_ZYX: Final = tuple(step for step in product((1, 0, -1), repeat=3) if step > (0, 0, 0))


class TooManyLevelsError(ValueError):
    """More grey levels than texture matrices are made for."""


def intensity_features(
    intensities: NDArray[Any],
    places: NDArray[np.int32],
    box_zyx: Box,
    *,
    settings: TextureSettings,
    voxel_volume_mm3: float,
) -> Features:
    """Compute all features of a region that depend on intensities.

    Args:
        intensities: Of its voxels in raster order, in the image's own type.
        places: The voxels, flat indices into a box with one empty layer around.
        box_zyx: Size of that box.
        settings: How grey levels and neighbours are made.
        voxel_volume_mm3: Volume of a voxel.

    Raises:
        TooManyLevelsError: If there are more than ``MAX_LEVELS``.
    """
    sample, levels = _discretise(intensities, settings)
    level_counts = np.bincount(levels)
    n_levels = level_counts.size - 1
    if level_counts[0]:
        raise TooManyLevelsError("an intensity lies before the first bin edge")
    small = np.uint8 if n_levels <= np.iinfo(np.uint8).max else np.uint16
    box = np.zeros(box_zyx[0] * box_zyx[1] * box_zyx[2], small)
    box[places] = levels
    first_order = first_order_features(
        sample,
        level_counts[level_counts > 0],
        settings=settings,
        voxel_volume_mm3=voxel_volume_mm3,
    )
    return {FeatureClass.FIRSTORDER: first_order} | _texture_features(
        box, places, box_zyx, np.flatnonzero(level_counts), settings
    )


def _discretise(
    intensities: NDArray[Any], settings: TextureSettings
) -> tuple[Sample, NDArray[np.int64]]:
    ends = np.array([intensities.min(), intensities.max()], intensities.dtype)
    edges = bin_edges(ends, settings)
    if edges.size - 1 > MAX_LEVELS + 1:
        raise TooManyLevelsError(f"{edges.size - 1} grey levels, {MAX_LEVELS} possible")
    is_integer = np.issubdtype(intensities.dtype, np.integer)
    if is_integer and int(ends[1]) - int(ends[0]) < _MAX_RANGE:
        lowest = int(ends[0])
        above = intensities.astype(np.int64) - lowest
        histogram = np.bincount(above)
        table = levels_of(np.arange(lowest, lowest + histogram.size), edges)
        return sample_of_histogram(lowest, histogram), table[above]
    return sample_of(intensities), levels_of(intensities, edges)


def _texture_features(
    box: NDArray[Any],
    places: NDArray[np.int32],
    box_zyx: Box,
    present: NDArray[np.int64],
    settings: TextureSettings,
) -> Features:
    steps_zyx = _steps_zyx(box_zyx, settings)
    n_angles, n_levels = len(steps_zyx), int(present[-1])
    offsets = steps_zyx @ np.array([box_zyx[1] * box_zyx[2], box_zyx[2], 1])
    glcm = np.zeros((n_angles, n_levels + 1, n_levels + 1), np.int32)
    glrlm = np.zeros((n_angles, n_levels + 1, max(box_zyx) - 1), np.int32)
    gldm = np.zeros((n_levels + 1, 2 * n_angles + 1), np.int32)
    ngtdm = np.zeros((n_levels + 1, 2))
    tally_textures(box, places, offsets, settings.gldm_a, glcm, glrlm, gldm, ngtdm)
    used = np.array(
        [
            angle
            for angle in range(n_angles)
            if glcm[angle, 1:, 1:].any() or _lines_hold_two(places, box_zyx, steps_zyx[angle])
        ],
        np.int64,
    )
    neighbours = np.empty(len(NGTDM))
    neighbour_features(ngtdm, neighbours)
    zones = np.zeros((n_levels + 1, _SMALL_ZONE), np.int32)
    large = np.empty((places.size // _SMALL_ZONE + 1, 2), np.int64)
    n_large = find_zones(box, places, np.concatenate((offsets, -offsets)), zones, large)
    return {
        FeatureClass.GLCM: glcm_features(glcm, present, n_angles=n_angles),
        FeatureClass.GLDM: gldm_features(gldm),
        FeatureClass.GLRLM: glrlm_features(glrlm, used),
        FeatureClass.GLSZM: glszm_features(zones, large[:n_large], n_levels=n_levels),
        FeatureClass.NGTDM: dict(zip(NGTDM, neighbours.tolist(), strict=True)),
    }


def _steps_zyx(box_zyx: Box, settings: TextureSettings) -> NDArray[np.int64]:
    """Steps of one half-space along which a region of this box can extend."""
    flat = {axis for axis in range(3) if box_zyx[axis] <= 3}  # one voxel and the layers around it
    if settings.force_2d:
        flat.add(settings.force_2d_dimension)
    steps = [step for step in _HALF_SPACE_ZYX if not any(step[axis] for axis in flat)]
    return np.array(steps, np.int64).reshape(-1, 3)


def _lines_hold_two(places: NDArray[np.int32], box_zyx: Box, step_zyx: NDArray[np.int64]) -> bool:
    """Tell whether any line along a step holds two voxels of the region, neighbours or not."""
    where = np.array(np.unravel_index(places, box_zyx))
    axis = int(np.flatnonzero(step_zyx)[0])
    start = where - where[axis] * step_zyx[axis] * step_zyx[:, None]
    return bool(np.unique(start, axis=1).shape[1] < places.size)
