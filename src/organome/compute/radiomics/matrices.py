"""The texture matrices of one region, filled in one pass over its voxels."""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats, Levels
from organome.compute.radiomics.texture_kernels import (
    Steps,
    find_zones,
    linked_neighbours,
    tally_textures,
)
from organome.domain.radiomics_settings import TextureSettings

Box = tuple[int, int, int]

_SMALL_ZONE: Final = 64  # zones up to here are counted in a table, larger ones listed
# Steps to the neighbours of one half-space; the other half are their opposites.
_HALF_SPACE_ZYX: Final[Steps] = tuple(
    (z, y, x) for z, y, x in product((1, 0, -1), repeat=3) if (z, y, x) > (0, 0, 0)
)


@dataclass(frozen=True, slots=True)
class Matrices:
    """The texture matrices of a region; see ``texture_kernels`` for their layout.

    Attributes:
        levels: Grey levels in the flat padded box.
        places: Voxels of the region in it.
        box_zyx: Its size.
        level_counts: Voxels by level, from 0 to the highest.
        steps_zyx: Steps to the neighbours of one half-space.
        codes: Pairs and runs.
        gldm: Dependencies.
        ngtdm: Differences from the neighbours.
        small: Zones by level and size.
        large: Level and size of each larger zone.
        parents: First voxel of each voxel's zone.
        sizes: Size of each zone, at its first voxel.
    """

    levels: Levels
    places: NDArray[np.int32]
    box_zyx: Box
    level_counts: Counts
    steps_zyx: NDArray[np.int64]
    codes: NDArray[np.int32]
    gldm: NDArray[np.int32]
    ngtdm: Floats
    small: NDArray[np.int32]
    large: NDArray[np.int64]
    parents: NDArray[np.uint32]
    sizes: NDArray[np.uint32]


def fill_matrices(
    levels: Levels,
    places: NDArray[np.int32],
    box_zyx: Box,
    level_counts: Counts,
    settings: TextureSettings,
) -> Matrices:
    """Fill all texture matrices of a region.

    Args:
        levels: Flat padded box, grey levels of the region.
        places: Its voxels, in raster order.
        box_zyx: Size of the box.
        level_counts: Voxels by level, from 0; the last levels may be empty.
        settings: Where neighbours are looked for.
    """
    steps = _steps_zyx(box_zyx, settings)
    n_angles, n_levels = len(steps), int(np.flatnonzero(level_counts)[-1])
    steps_zyx = np.array(steps, np.int64).reshape(-1, 3)
    plane = box_zyx[1] * box_zyx[2]
    # A run is at most as long as the box; codes begin at level 0.
    codes = np.zeros((n_angles, n_levels + 1, n_levels + max(box_zyx) - 1), np.int32)
    gldm = np.zeros((n_levels + 1, 2 * n_angles + 1), np.int32)
    ngtdm = np.zeros((n_levels + 1, 2))
    same = np.empty(places.size, np.uint16)
    starts = np.searchsorted(places, np.arange(box_zyx[0] + 1, dtype=np.int32) * np.int32(plane))
    z_wide, y_wide, x_wide = (bool(steps_zyx[:, axis].any()) for axis in range(3))
    tally_textures(
        levels,
        places,
        starts.astype(np.uint64),
        box_zyx,
        steps_zyx,
        (z_wide, y_wide, x_wide),
        settings.gldm_a,
        codes,
        gldm,
        ngtdm,
        same,
    )
    zones = np.zeros((n_levels + 1, _SMALL_ZONE), np.int32)
    large = np.empty((places.size // _SMALL_ZONE + 1, 2), np.int64)
    parents, sizes = np.empty((2, levels.size), np.uint32)
    offsets = (steps_zyx @ np.array([plane, box_zyx[2], 1])).astype(np.uint32)
    n_large = find_zones(
        levels, places, offsets, same, linked_neighbours(steps), parents, sizes, zones, large
    )
    return Matrices(
        levels=levels,
        places=places,
        box_zyx=box_zyx,
        level_counts=level_counts[: n_levels + 1],
        steps_zyx=steps_zyx,
        codes=codes,
        gldm=gldm,
        ngtdm=ngtdm,
        small=zones,
        large=large[:n_large],
        parents=parents,
        sizes=sizes,
    )


def _steps_zyx(box_zyx: Box, settings: TextureSettings) -> Steps:
    """Steps of one half-space along which a region of this box can extend."""
    flat = {axis for axis in range(3) if box_zyx[axis] <= 3}  # one voxel and the layers around it
    if settings.force_2d:
        flat.add(settings.force_2d_dimension)
    return tuple(step for step in _HALF_SPACE_ZYX if not any(step[axis] for axis in flat))
