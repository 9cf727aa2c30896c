"""The connected pieces of all organs that have a side, and how far left or right each lies.

Left and right part at the midline: a plane through the middle of the body, in scanner space.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cc3d
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.arrays import Floats, Indices, Labels
from organome.compute.geometry.boxes import joint_box, label_boxes
from organome.compute.geometry.grids import Grid
from organome.domain.organs import MIDLINE_ORGANS, USUAL_SIDES, Organ, Side, pairs_of

MAX_SLOPE: Final = 0.2  # of the body's axis against the scanner's, 11 degrees
MIN_HEIGHT_SD_MM: Final = 30.0  # of what a slope is fitted to: about 100 mm of spine


@dataclass(frozen=True, slots=True)
class Midline:
    """The plane x = at_mm + slope * z of scanner space."""

    at_mm: float
    slope: float


@dataclass(frozen=True, slots=True)
class Leftness:
    """How far to the left of the midline each voxel of a grid is, in mm; negative: to the right.

    Attributes:
        at_zero_mm: Of index (0, 0, 0).
        steps_zyx_mm: What a step along each array axis adds.
    """

    at_zero_mm: float
    steps_zyx_mm: Floats

    @classmethod
    def on(cls, grid: Grid, midline: Midline) -> "Leftness":
        """Measure from a midline on a grid."""
        normal = np.array([1.0, 0.0, -midline.slope])
        at_zero_mm = float(normal @ np.asarray(grid.origin_mm)) - midline.at_mm
        return cls(at_zero_mm, normal @ grid.steps_xyz_mm)

    def at(self, indices_zyx: npt.ArrayLike) -> Floats:
        """Measure at array indices, shape (n, 3)."""
        lefts_mm: Floats = np.asarray(indices_zyx, np.float64) @ self.steps_zyx_mm
        return lefts_mm + self.at_zero_mm

    def reach_mm(self, boxes: npt.NDArray[Any]) -> Floats:
        """Measure the least and the greatest over boxes of voxels.

        Args:
            boxes: First and last index along z, y, x; shape (n, 3, 2).

        Returns:
            Shape (n, 2).
        """
        ends_mm = np.asarray(boxes, np.float64) * self.steps_zyx_mm[:, None]
        least, greatest = ends_mm.min(axis=2).sum(axis=1), ends_mm.max(axis=2).sum(axis=1)
        return np.stack([least, greatest], axis=1) + self.at_zero_mm


def fit_midline(places_xyz_mm: Floats) -> Midline:
    """Lay the plane through an organ that lies in the middle, such as the spine.

    A short piece says where the middle is, and nothing about how the body is tilted.
    """
    x_mm, z_mm = places_xyz_mm[:, 0], places_xyz_mm[:, 2]
    slope = 0.0
    if z_mm.std() >= MIN_HEIGHT_SD_MM:
        covariance = float(np.mean((x_mm - x_mm.mean()) * (z_mm - z_mm.mean())))
        slope = float(np.clip(covariance / float(z_mm.var()), -MAX_SLOPE, MAX_SLOPE))
    return Midline(float(x_mm.mean() - slope * z_mm.mean()), slope)


def midline_between(partners_xyz_mm: Sequence[tuple[Floats, Floats]]) -> Midline | None:
    """Lay the plane halfway between partners; crossed pairs do no harm. None without a pair."""
    if not partners_xyz_mm:
        return None
    middles_mm = [(one[0] + other[0]) / 2 for one, other in partners_xyz_mm]
    return Midline(float(np.median(middles_mm)), 0.0)


def places_of_labels_xyz_mm(
    labels_zyx: npt.NDArray[Any], labels: Sequence[int], grid: Grid
) -> Floats:
    """Return the places of all voxels with one of these labels; shape (n, 3)."""
    boxes = label_boxes(labels_zyx)
    found = [
        np.argwhere(labels_zyx[boxes[label]] == label) + [extent.start for extent in boxes[label]]
        for label in labels
        if label in boxes
    ]
    return grid.places_xyz_mm(np.concatenate(found)) if found else np.zeros((0, 3))


NEAR_MM: Final = 10.0  # closer to the midline, a place says nothing about the side
CONNECTIVITY: Final = 26
N_VALUES: Final = 256  # of uint8


@dataclass(frozen=True, slots=True)
class SidePieces:
    """All pieces; arrays are by number of the piece, and 0 is what has no side.

    Attributes:
        pieces_zyx: Number of the piece of each voxel, within ``box``.
        box: The part of the labelmap in which they lie.
        labels: Label of each piece.
        n_voxels: Size of each piece.
        lefts_mm: How far to the left of the midline each centroid is.
        reach_mm: Least and greatest distance to the left, over the box of each piece.
        n_beyond: Voxels clearly to the left, and to the right, by label; shape (2, 256).
    """

    pieces_zyx: npt.NDArray[Any]
    box: tuple[slice, ...]
    labels: Labels
    n_voxels: npt.NDArray[np.int64]
    lefts_mm: Floats
    reach_mm: Floats
    n_beyond: npt.NDArray[np.int64]

    def of(self, label: int) -> Indices:
        """Number the pieces of a label."""
        return np.flatnonzero(self.labels == label)

    def left_mm(self, label: int) -> float:
        """Return how far to the left the centroid of all voxels of a label is."""
        own = self.of(label)
        return float(np.average(self.lefts_mm[own], weights=self.n_voxels[own]))

    def main(self, label: int) -> int | None:
        """Number the largest piece of a label, None if it has none."""
        own = self.of(label)
        return int(own[self.n_voxels[own].argmax()]) if own.size else None

    def neighbours(self) -> dict[int, set[int]]:
        """Number the pieces that each piece touches, by a face, an edge or a corner."""
        touched: dict[int, set[int]] = {}
        for one, other in cc3d.region_graph(self.pieces_zyx, connectivity=CONNECTIVITY):
            touched.setdefault(int(one), set()).add(int(other))
            touched.setdefault(int(other), set()).add(int(one))
        return touched


def find_side_pieces(labelmap: sitk.Image, structures: Sequence[Organ]) -> SidePieces | None:
    """Find the pieces of all organs that have a side.

    The midline is that of spine and sacrum, else the one halfway between partners.

    Args:
        labelmap: uint8 labels, any orientation.
        structures: What they mean.

    Returns:
        None where no such organ is in view, or nothing tells where the middle of the body is.
    """
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    sided = _lookup(structures)
    box = joint_box([box for label, box in label_boxes(labels_zyx).items() if sided[label]])
    if box is None:
        return None
    kept_zyx = np.ascontiguousarray(sided[labels_zyx[box]])
    pieces_zyx, n_pieces = cc3d.connected_components(
        kept_zyx, connectivity=CONNECTIVITY, return_N=True
    )
    labels = np.zeros(n_pieces + 1, np.uint8)
    labels[pieces_zyx] = kept_zyx
    statistics = cc3d.statistics(pieces_zyx, no_slice_conversion=True)
    n_voxels = statistics["voxel_counts"].astype(np.int64)
    start_zyx = np.array([extent.start for extent in box])
    centroids_zyx = np.nan_to_num(statistics["centroids"]) + start_zyx
    boxes = statistics["bounding_boxes"].reshape(-1, 3, 2).astype(np.int64)
    grid = Grid.of(labelmap)
    midline = _midline(
        labels_zyx,
        structures,
        grid,
        main_places={
            label: grid.places_xyz_mm(centroids_zyx[_largest(labels, n_voxels, label)])
            for label in np.unique(labels[1:])
        },
    )
    if midline is None:
        return None
    leftness = Leftness.on(grid, midline)
    return SidePieces(
        pieces_zyx=pieces_zyx,
        box=box,
        labels=labels,
        n_voxels=n_voxels,
        lefts_mm=leftness.at(centroids_zyx),
        reach_mm=leftness.reach_mm(boxes + start_zyx[:, None]),
        n_beyond=_count_beyond(kept_zyx, start_zyx, leftness),
    )


def _lookup(structures: Iterable[Organ]) -> Labels:
    """Make the table that keeps labels with a side, and makes background of all others."""
    table = np.zeros(N_VALUES, np.uint8)
    for organ in structures:
        if organ.side is not Side.NONE or organ.name in USUAL_SIDES:
            table[organ.label] = organ.label
    return table


def _largest(labels: Labels, n_voxels: npt.NDArray[np.int64], label: int) -> int:
    return int(np.where(labels == label, n_voxels, 0).argmax())


def _midline(
    labels_zyx: npt.NDArray[Any],
    structures: Sequence[Organ],
    grid: Grid,
    *,
    main_places: dict[int, Floats],
) -> Midline | None:
    in_the_middle = [organ.label for organ in structures if organ.name in MIDLINE_ORGANS]
    places_xyz_mm = places_of_labels_xyz_mm(labels_zyx, in_the_middle, grid)
    if len(places_xyz_mm):
        return fit_midline(places_xyz_mm)
    return midline_between(
        [
            (main_places[left.label], main_places[right.label])
            for left, right in pairs_of(structures)
            if left.label in main_places and right.label in main_places
        ]
    )


def _count_beyond(
    kept_zyx: Labels, start_zyx: npt.NDArray[Any], leftness: Leftness
) -> npt.NDArray[np.int64]:
    """Count voxels by label that are clearly on the left, and clearly on the right."""
    counts = np.zeros((2, N_VALUES), np.int64)
    rows, columns = (
        np.arange(n) + start for n, start in zip(kept_zyx.shape[1:], start_zyx[1:], strict=True)
    )
    _, row_mm, column_mm = leftness.steps_zyx_mm
    of_plane = row_mm * rows[:, None] + column_mm * columns
    for index, labels_yx in enumerate(kept_zyx):
        lefts_mm = of_plane + leftness.at([[index + start_zyx[0], 0, 0]])
        counts[0] += np.bincount(labels_yx[lefts_mm > NEAR_MM], minlength=N_VALUES)
        counts[1] += np.bincount(labels_yx[lefts_mm < -NEAR_MM], minlength=N_VALUES)
    return counts
