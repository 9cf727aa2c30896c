"""What each of several overlapping stations owns, so that no voxel of a body counts twice.

A place belongs to the station in which it lies deepest along the body: at a seam that is the
midline of the overlap. Where a neighbour is narrower, the wider station goes on beside it. A voxel
across the midline is owned in part, so that the parts of an organ add up to its volume whatever the
slices of the stations are; labels themselves stay where they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from organome.compute.geometry.arrays import Floats, Singles
from organome.compute.geometry.grids import Grid
from organome.compute.labelmaps.view import Box, View

Seen: TypeAlias = tuple[Grid, Sequence[Box] | None]  # a station, and what of it was seen if not all

GAP_TOLERANCE: Final = 0.1  # of a voxel, for positions that headers round
_SAME_PLACE: Final = 1e-3  # of a voxel
_OUTSIDE: Final = -1e6  # deeper is any place that was seen


@dataclass(frozen=True, slots=True, eq=False)
class Ownership:
    """What a station owns, on its grid.

    Attributes:
        share_zyx: Share of each voxel that is its own, 0 to 1.
        view: What all stations saw together; boxes reach beyond the grid.
    """

    share_zyx: Singles
    view: View

    @classmethod
    def of(cls, station: Seen, others: Sequence[Seen]) -> "Ownership | None":
        """Find out what a station owns.

        Args:
            station: The station.
            others: The other stations of the scan.

        Returns:
            None if the axes of one are not parallel to those of the station.
        """
        grid, seen_xyz = station
        boxes = [
            [grid.faces_xyz(other, box) for box in seen or (None,)]
            for other, seen in (station, *others)
        ]
        own, *beside = ([box for box in of_one if box is not None] for of_one in boxes)
        if not own or not all(beside):
            return None
        beyond = [box for of_one in beside for box in of_one]
        whole = [list(map(_whole_voxels, box)) for box in beyond]
        seen_here = list(seen_xyz or [[(0, size) for size in grid.size]])
        seen_beyond = [box for box in whole if all(low < high for low, high in box)]
        share_zyx = np.ones(grid.size[::-1], np.float32)
        along = np.moveaxis(share_zyx, 2 - grid.body_axis, 0)
        for place, plane in enumerate(along):
            depth = _depth(own, place, plane.shape, grid.body_axis)
            # Along the body one depth grows as the other falls: their difference by 2 a voxel.
            depth -= _depth(beyond, place, plane.shape, grid.body_axis)
            np.clip(0.5 + depth / 2, 0, 1, out=plane)
        return cls(share_zyx, View.of(grid.size, [*seen_here, *seen_beyond]))


def _whole_voxels(ends: Floats) -> tuple[int, int]:
    """Return the first voxel that is wholly between two faces, and the one after the last."""
    low, high = ends + 0.5
    return int(np.ceil(low - GAP_TOLERANCE)), int(np.floor(high + GAP_TOLERANCE))


def _depth(boxes: Sequence[Floats], place: int, shape: tuple[int, ...], axis: int) -> Singles:
    """Return how deep in any of the boxes the voxels of a slice lie along the body, in voxels."""
    depth = np.full(shape, _OUTSIDE, np.float32)
    others = [one for one in (2, 1, 0) if one != axis]
    for box in boxes:
        inside = tuple(
            slice(*(max(int(np.ceil(end)), 0) for end in (low - _SAME_PLACE, high + _SAME_PLACE)))
            for low, high in box[others]
        )
        low, high = box[axis]
        np.maximum(depth[inside], min(place - low, high - place), out=depth[inside])
    return depth
