"""Where the middle of the body is: the plane that parts left from right, in scanner space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from organome.compute.geometry.arrays import Floats
from organome.compute.geometry.grids import Grid

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
    boxes = ndimage.find_objects(labels_zyx, max(labels, default=0))
    found = [
        np.argwhere(labels_zyx[box] == label) + [extent.start for extent in box]
        for label, box in ((label, boxes[label - 1]) for label in labels)
        if box is not None
    ]
    return grid.places_xyz_mm(np.concatenate(found)) if found else np.zeros((0, 3))
