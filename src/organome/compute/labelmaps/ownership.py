"""What each of several overlapping stations owns, so that no voxel of a body counts twice.

A place belongs to the station in which it lies deepest along the body: at a seam that is the
midline of the overlap. Where a neighbour is narrower, the wider station goes on beside it. A voxel
across the midline is owned in part, so that the parts of an organ add up to its volume whatever the
slices of the stations are; labels themselves stay where they are. Stations in which a place lies
equally deep share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np

from organome.compute.geometry.arrays import Floats, Singles
from organome.compute.geometry.grids import Grid
from organome.compute.labelmaps.view import Box, RoundField, View

Seen: TypeAlias = tuple[Grid, Sequence[Box] | None]  # a station, and what of it was seen if not all

GAP_TOLERANCE: Final = 0.1  # of a voxel, for positions that headers round
_SAME_PLACE: Final = 1e-3  # of a voxel
_SAME_DEPTH_MM: Final = 0.01  # one measure for all stations, whatever their voxels are
_Span: TypeAlias = tuple[int, float, float]  # which station, and from where to where it reaches


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
    def of(
        cls, station: Seen, others: Sequence[Seen], round_xyz: RoundField | None = None
    ) -> "Ownership | None":
        """Find out what a station owns.

        Args:
            station: The station.
            others: The other stations of the scan.
            round_xyz: Field of view of the station, if it is round; others see nothing beside it.

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
        whole = [list(map(_whole_voxels, box)) for of_one in beside for box in of_one]
        seen_here = list(seen_xyz or [[(0, size) for size in grid.size]])
        seen_beyond = [box for box in whole if all(low < high for low, high in box)]
        share_zyx = np.ones(grid.size[::-1], np.float32)
        _fill_shares(share_zyx, [own, *beside], grid)
        return cls(share_zyx, View.of(grid.size, [*seen_here, *seen_beyond], round_xyz))


def _whole_voxels(ends: Floats) -> tuple[int, int]:
    """Return the first voxel that is wholly between two faces, and the one after the last."""
    low, high = ends + 0.5
    return int(np.ceil(low - GAP_TOLERANCE)), int(np.floor(high + GAP_TOLERANCE))


def _fill_shares(share_zyx: Singles, boxes: Sequence[Sequence[Floats]], grid: Grid) -> None:
    """Fill in the share of the first of several stations, from boxes in voxels of its grid."""
    axis = grid.body_axis
    along = np.moveaxis(share_zyx, 2 - axis, 0)
    n_places, *n_across = along.shape
    others = [one for one in (2, 1, 0) if one != axis]
    spans: list[_Span] = []
    extents = []
    for station, of_one in enumerate(boxes):
        for box in of_one:
            low, high = box[axis].tolist()
            if low < n_places - 0.5 and high > -0.5:  # who lies beyond owns nothing here
                ends = np.ceil(box[others] - [_SAME_PLACE, -_SAME_PLACE]).astype(int).T
                spans.append((station, low, high))
                extents.append(np.clip(ends, 0, n_across).T.tolist())
    rows, columns = (
        np.unique([0, n, *(end for extent in extents for end in extent[which])]).tolist()
        for which, n in enumerate(n_across)
    )
    tolerance = _SAME_DEPTH_MM / grid.spacing_mm[axis]
    known: dict[tuple[_Span, ...], Floats] = {}
    for row in pairwise(rows):
        for column in pairwise(columns):
            here = tuple(
                span
                for span, (of_rows, of_columns) in zip(spans, extents, strict=True)
                if of_rows[0] <= row[0] < of_rows[1] and of_columns[0] <= column[0] < of_columns[1]
            )
            if here not in known:
                known[here] = _share_along(here, n_places, tolerance)
            along[:, slice(*row), slice(*column)] = known[here][:, None, None]


def _share_along(spans: Sequence[_Span], n_places: int, tolerance: float) -> Floats:
    """Return the share of station 0 in each voxel of a line along the body."""
    if not spans:
        return np.ones(n_places)  # nobody saw it, so nobody else has it
    station, low, high = np.array(spans).T
    # Depths are made of two kinds of lines, and change places only where such lines cross.
    crossings = (low[:, None] + high).ravel() / 2
    ends = np.concatenate([np.arange(n_places + 1) - 0.5, low, high, crossings])
    ends = np.unique(np.clip(ends, -0.5, n_places - 0.5))
    middles = (ends[1:] + ends[:-1]) / 2
    depth = np.minimum(middles - low[:, None], high[:, None] - middles)
    is_deepest = depth >= depth.max(axis=0) - tolerance
    n_deepest = sum(is_deepest[station == one].any(axis=0).astype(int) for one in set(station))
    share = is_deepest[station == 0].any(axis=0) / n_deepest * np.diff(ends)
    voxels = np.clip(np.round(middles).astype(int), 0, n_places - 1)
    owned = np.zeros(n_places)
    np.add.at(owned, voxels, share)
    return owned
