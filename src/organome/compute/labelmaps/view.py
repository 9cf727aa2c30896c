"""What of a grid was seen: the whole of an image, the boxes of its stations, a round field of view.

A station is a box of the common grid. Where stations differ in width, or one is shifted, the grid
has corners that none of them saw; an organ that reaches one is cut there as by a face of the image.
So it is where a CT was reconstructed in a circle, and the corners of its slices are filled up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.arrays import Mask, Voxels

Box: TypeAlias = Sequence[Sequence[int]]  # first voxel and the one after the last, along x, y, z
# Centre and radius in voxels along x, y, z; None along the axis on which the field does not depend.
RoundField: TypeAlias = Sequence[Sequence[float] | None]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The cells into which the faces of all boxes cut a grid, each seen as a whole or not.

    Of a round field of view, what lies in the circle was seen as well as in the cells.

    Attributes:
        cuts_zyx: Where cells begin, and where the last one ends, along each axis.
        seen_zyx: Whether a cell was seen.
        runs_zyx: By axis (z, y, x): where the run of seen cells through each cell begins and ends
            along that axis, shape (2, z, y, x).
        round_zyx: Centre and radius of a round field of view, by axis as in ``RoundField``; None
            where it is not round.
    """

    cuts_zyx: tuple[npt.NDArray[np.int64], ...]
    seen_zyx: Mask
    runs_zyx: tuple[npt.NDArray[np.int64], ...]
    round_zyx: RoundField | None = None

    @classmethod
    def of(
        cls,
        size_xyz: Sequence[int],
        boxes_xyz: Sequence[Box] | None = None,
        round_xyz: RoundField | None = None,
    ) -> "View":
        """Cut a grid along the faces of what was seen of it; None: all of it was."""
        boxes = [box[::-1] for box in boxes_xyz or [[(0, size) for size in size_xyz]]]
        cuts_zyx = tuple(
            np.unique([0, size, *(end for box in boxes for end in box[axis])])
            for axis, size in enumerate(reversed(size_xyz))
        )
        seen_zyx = np.zeros([len(cuts) - 1 for cuts in cuts_zyx], np.bool_)
        for box in boxes:
            seen_zyx[
                tuple(
                    slice(*np.searchsorted(cuts, ends))
                    for cuts, ends in zip(cuts_zyx, box, strict=True)
                )
            ] = True
        runs_zyx = tuple(_runs(seen_zyx, cuts, axis) for axis, cuts in enumerate(cuts_zyx))
        return cls(cuts_zyx, seen_zyx, runs_zyx, round_xyz and round_xyz[::-1])

    def gaps_zyx(self, mask_zyx: Mask, start_zyx: Sequence[int]) -> npt.NDArray[np.int64]:
        """Count the voxels between a mask and what was not seen, towards either end of each axis.

        Args:
            mask_zyx: Part of the grid.
            start_zyx: Where it begins in the grid.

        Returns:
            Shape (3, 2): the least over all voxels of the mask, 0 where one of them lies at the end
            of what was seen. All are 0 for a mask of which nothing was seen.
        """
        gaps = np.full((3, 2), np.iinfo(np.int64).max)
        spans = [
            [(max(low - start, 0), min(high - start, n)) for low, high in pairwise(cuts)]
            for cuts, start, n in zip(self.cuts_zyx, start_zyx, mask_zyx.shape, strict=True)
        ]
        for cell in map(tuple, np.argwhere(self.seen_zyx)):
            part = [spans[axis][place] for axis, place in enumerate(cell)]
            if any(low >= high for low, high in part):
                continue
            inside = mask_zyx[tuple(slice(*ends) for ends in part)]
            for axis, runs in enumerate(self.runs_zyx):
                others = tuple(other for other in range(3) if other != axis)
                places = np.flatnonzero(inside.any(axis=others))
                if places.size:
                    at = places[[0, -1]] + part[axis][0] + start_zyx[axis]
                    low, high = runs[(slice(None), *cell)]
                    gaps[axis] = np.minimum(gaps[axis], [at[0] - low, high - 1 - at[1]])
        gaps = np.where(gaps < np.iinfo(np.int64).max, gaps, 0)
        if self.round_zyx is not None and mask_zyx.any():
            gaps = np.minimum(gaps, _rim_gaps(self.round_zyx, mask_zyx, start_zyx))
        return gaps


def _runs(seen_zyx: Mask, cuts: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.int64]:
    seen = np.moveaxis(seen_zyx, axis, 0)
    lows = np.empty(seen.shape, np.int64)
    highs = np.empty(seen.shape, np.int64)
    last = len(seen) - 1
    for place in range(len(seen)):
        joined = seen[place - 1] if place else np.zeros(seen.shape[1:], np.bool_)
        lows[place] = np.where(joined, lows[place - 1] if place else 0, cuts[place])
    for place in reversed(range(len(seen))):
        joined = seen[place + 1] if place < last else np.zeros(seen.shape[1:], np.bool_)
        after = highs[place + 1] if place < last else 0
        highs[place] = np.where(joined, after, cuts[place + 1])
    return np.stack([np.moveaxis(lows, 0, axis), np.moveaxis(highs, 0, axis)])


def _rim_gaps(
    round_zyx: RoundField, mask_zyx: Mask, start_zyx: Sequence[int]
) -> npt.NDArray[np.int64]:
    """Count the voxels between a mask and the rim of a round field, as ``View.gaps_zyx`` does."""
    gaps = np.full((3, 2), np.iinfo(np.int64).max)
    fields = {axis: of_one for axis, of_one in enumerate(round_zyx) if of_one is not None}
    rows, columns = fields
    flat = np.asarray(mask_zyx.any(axis=3 - rows - columns))
    for along, beside, lines in ((columns, rows, flat), (rows, columns, flat.T)):
        (centre, radius), (centre_beside, radius_beside) = fields[along], fields[beside]
        places = np.flatnonzero(lines.any(axis=1))
        off = (places + start_zyx[beside] - centre_beside) / radius_beside
        half = radius * np.sqrt(np.maximum(1 - off**2, 0))
        first, last = _ends_of_lines(lines[places])
        gaps[along, 0] = max((first + start_zyx[along] - np.ceil(centre - half)).min(), 0)
        gaps[along, 1] = max((np.floor(centre + half) - last - start_zyx[along]).min(), 0)
    return gaps


def _ends_of_lines(lines: Mask) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first and the last place of each line that is set, in lines that have one."""
    return lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of an image in one piece, as far as one can see.

    Attributes:
        boxes_xyz: Boxes along x, y, z: first voxel and the one after the last; None: all of it.
        round_xyz: Its field of view as in ``RoundField``, half a voxel within the outermost voxels
            that were seen; None: it is not round.
    """

    boxes_xyz: list[list[list[int]]] | None
    round_xyz: list[list[float] | None] | None


def find_seen(image: sitk.Image, padded_zyx: Mask | None = None) -> Seen:
    """Find what of an image in one piece was seen, where the rest was filled up.

    Images are padded to a common size, and stations of different widths are stitched elsewhere; the
    fill is the least value of the image, 0 or less, or else whatever most of its corners hold: a CT
    is padded with 0 as well, and interpolation leaves MRI a little below it. Slices of one value at
    the ends of an axis are padding, whatever else was filled up. Where the air was set to one
    value, no box is found.

    A CT is reconstructed in a circle. What is filled up around has one value in all slices, in the
    corners too, and ends on a circle: a body in air of one value does not.

    Args:
        image: 3D.
        padded_zyx: Where voxels are known to stand for nothing, whatever they hold now; they count
            as filled up with one value of their own.
    """
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    if padded_zyx is not None and padded_zyx.any():
        low = voxels_zyx.min().item()
        fill = low - max(1, abs(low))
        kind = np.result_type(voxels_zyx.dtype, np.min_scalar_type(fill))
        voxels_zyx = np.where(padded_zyx, kind.type(fill), voxels_zyx)
    inner = _without_filled_ends(voxels_zyx)
    fills = _fills(voxels_zyx)
    voxels_zyx = voxels_zyx[tuple(slice(*ends) for ends in inner)]
    fills += [one for one in _fills(voxels_zyx) if one not in fills]
    found = (_unfilled_boxes(voxels_zyx != fill) for fill in fills)
    boxes = next((boxes for boxes in found if boxes), None)
    if boxes is None and inner != [[0, size] for size in reversed(image.GetSize())]:
        boxes = [[[0, size] for size in reversed(voxels_zyx.shape)]]
    field = _round_field(voxels_zyx, image.GetSpacing()[::-1])
    starts_xyz = [start for start, _ in reversed(inner)]
    return Seen(
        boxes and [_moved(box, starts_xyz) for box in boxes],
        field
        and [
            one and [round(one[0] + start, 2), one[1]]
            for one, start in zip(field, starts_xyz, strict=True)
        ],
    )


def _moved(box: Box, starts: Sequence[int]) -> list[list[int]]:
    return [[low + start, high + start] for (low, high), start in zip(box, starts, strict=True)]


MIN_RIM_POINTS: Final = 32
RIM_TOLERANCE: Final = 1.0  # of a voxel, for nearly all points of a rim
RIM_SHARE: Final = 0.95
# Between neighbouring points: two sides of a body are no circle. Those of a stack of thick slices
# are nearly one, so less is borne where pixels are not square, as those of CT are.
MAX_RIM_GAP_DEG: Final = 120.0
MAX_OBLONG_RIM_GAP_DEG: Final = 90.0
MAX_PIXEL_RATIO: Final = 1.05


def _round_field(
    voxels_zyx: Voxels, spacing_zyx_mm: Sequence[float]
) -> list[list[float] | None] | None:
    for across in range(3):
        others = [axis for axis in range(3) if axis != across]
        spacing_mm = [spacing_zyx_mm[axis] for axis in others]
        voxels = np.moveaxis(voxels_zyx, across, 0)
        corners = voxels[:, [0, 0, -1, -1], [0, -1, 0, -1]]
        if (corners != corners[0, 0]).any():
            continue
        circle = _rim_circle((voxels != corners[0, 0]).any(axis=0), spacing_mm)
        if circle is not None:
            by_axis = dict(zip(others, circle, strict=True))
            return [by_axis.get(axis) for axis in (2, 1, 0)]
    return None


def _rim_circle(seen: Mask, spacing_mm: Sequence[float]) -> list[list[float]] | None:
    """Fit a circle to the outermost seen places of a plane; None if they do not lie on one.

    Source: least squares of Kasa 1976, which are linear.
    """
    points = []
    for axis, lines in enumerate((seen, seen.T)):
        n = lines.shape[1]
        places = np.flatnonzero(lines.any(axis=1))
        first, last = _ends_of_lines(lines[places])
        for end, is_within in ((first, first > 0), (last, last < n - 1)):
            pair = np.stack([places, end], axis=1)[is_within]
            points.append(pair[:, ::-1] if axis else pair)
    rim_mm = np.concatenate(points) * spacing_mm
    if len(rim_mm) < MIN_RIM_POINTS:
        return None
    terms = np.column_stack([2 * rim_mm, np.ones(len(rim_mm))])
    (*centre_mm, rest), *_ = np.linalg.lstsq(terms, (rim_mm**2).sum(axis=1), rcond=None)
    radius_mm = float(np.sqrt(max(rest + np.square(centre_mm).sum(), 0)))
    off_mm = np.abs(np.hypot(*(rim_mm - centre_mm).T) - radius_mm)
    if np.quantile(off_mm, RIM_SHARE) > RIM_TOLERANCE * max(spacing_mm):
        return None
    is_square = max(spacing_mm) <= MAX_PIXEL_RATIO * min(spacing_mm)
    max_gap_deg = MAX_RIM_GAP_DEG if is_square else MAX_OBLONG_RIM_GAP_DEG
    angles_deg = np.sort(np.degrees(np.arctan2(*(rim_mm - centre_mm).T)))
    if np.diff(angles_deg, append=angles_deg[0] + 360).max() > max_gap_deg:
        return None
    return [
        [round(float(one_mm / mm), 2), round(radius_mm / mm - 0.5, 2)]
        for one_mm, mm in zip(centre_mm, spacing_mm, strict=True)
    ]


MIN_FILLED_CORNERS: Final = 4  # of 8: those of a face
MAX_RUNS: Final = 12  # of slices that were filled up alike; a body cut out of its image has more
MIN_SEEN_SHARE: Final = (
    0.5  # of the last plane that was seen: a scan ends there, not a bright thing
)


def _fills(voxels_zyx: Voxels) -> list[Any]:
    """Return what an image may be filled up with, the least value first."""
    lowest = voxels_zyx.min()
    corners, counts = np.unique(voxels_zyx[np.ix_(*[(0, -1)] * 3)], return_counts=True)
    of_corners = corners[counts >= MIN_FILLED_CORNERS]
    fills = [lowest] if lowest <= 0 else []
    return fills + [one for one in of_corners if one not in fills]


def _without_filled_ends(voxels_zyx: Voxels) -> list[list[int]]:
    """Leave out slices of one value at the ends of an axis, beside which the scan ends in full.

    Returns:
        First and end of the rest, by axis; the whole extent where nothing is left out.
    """
    inner = [[0, size] for size in voxels_zyx.shape]
    before = None
    while inner != before:
        before = [list(ends) for ends in inner]
        for axis in range(3):
            for end in (0, 1):
                rest = voxels_zyx[tuple(slice(*ends) for ends in inner)]
                planes = np.moveaxis(rest, axis, 0)[:: -1 if end else 1]
                n_filled = _n_filled(planes)
                inner[axis][end] += -n_filled if end else n_filled
    return inner


def _n_filled(planes: Voxels) -> int:
    """Count the first planes that hold one value, if less than half of the next one does."""
    fill = planes[0].flat[0]
    for place, plane in enumerate(planes):
        share_seen = np.count_nonzero(plane != fill) / plane.size
        if share_seen:
            return place if share_seen >= MIN_SEEN_SHARE else 0
    return 0


def _unfilled_boxes(seen_zyx: Mask) -> list[list[list[int]]] | None:
    """Find the boxes of an image that were seen; None if that is all of it, or nothing."""
    if seen_zyx.all() or not seen_zyx.any():
        return None
    found = [_boxes_along(seen_zyx, axis) for axis in range(3)]
    boxes = min(found, key=lambda of_axis: sum(prod(b - a for a, b in box) for box in of_axis))
    whole = [[0, size] for size in reversed(seen_zyx.shape)]
    return None if boxes == [whole] else boxes


def _boxes_along(seen_zyx: Mask, along: int) -> list[list[list[int]]]:
    """Find boxes that follow each other along an axis; one of the whole extent if unsure."""
    seen = np.moveaxis(seen_zyx, along, 0)
    whole = [[0, n] for n in seen.shape]
    runs = _equal_slices(seen)
    boxes = [whole]
    if len(runs) <= MAX_RUNS:
        boxes = [
            [[start, stop], *(_filled_ends(seen[start:stop], axis) for axis in (1, 2))]
            for start, stop in _seen_slices(seen, runs)
        ]
    if all(box[1:] == whole[1:] for box in boxes) and _length(boxes) == len(seen):
        boxes = [whole]
    order = [along, *(axis for axis in range(3) if axis != along)]
    return [[box[order.index(axis)] for axis in (2, 1, 0)] for box in boxes]


def _equal_slices(seen: Mask) -> list[tuple[int, int]]:
    """Join slices whose seen voxels lie in the same box, or that have none."""
    rows, columns = (np.asarray(seen.any(axis=axis)) for axis in (2, 1))
    ends = np.zeros((len(seen), 4), np.int64)
    is_seen = rows.any(axis=1)
    for place, lines in enumerate((rows, columns)):
        ends[:, 2 * place], ends[:, 2 * place + 1] = _ends_of_lines(lines)
    ends[~is_seen] = 0
    starts = [0, *(np.flatnonzero((ends[1:] != ends[:-1]).any(axis=1)) + 1).tolist(), len(seen)]
    return list(pairwise(starts))


def _seen_slices(seen: Mask, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave out runs of empty slices beside which the scan ends in full."""
    kept = []
    for start, stop in runs:
        beside = [seen[place] for place in (start - 1, stop) if 0 <= place < len(seen)]
        if seen[start].any() or any(plane.mean() < MIN_SEEN_SHARE for plane in beside):
            kept.append((start, stop))
    return kept


def _filled_ends(part: Mask, axis: int) -> list[int]:
    """Return where rows or columns begin and end that were seen; the whole extent if unsure."""
    lines = np.flatnonzero(part.any(axis=tuple(other for other in range(3) if other != axis)))
    n = part.shape[axis]
    if not lines.size:
        return [0, n]
    first, last = int(lines[0]), int(lines[-1])
    return [
        first if part.take(first, axis).mean() >= MIN_SEEN_SHARE else 0,
        last + 1 if part.take(last, axis).mean() >= MIN_SEEN_SHARE else n,
    ]


def _length(boxes: Sequence[Box]) -> int:
    return sum(box[0][1] - box[0][0] for box in boxes)
