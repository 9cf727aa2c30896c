"""Grids of images: how they lie in the body, what a voxel holds, and whether two agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.arrays import Floats, Labels, Voxels
from organome.domain.geometry import Face

MM3_PER_ML: Final = 1000.0
# Far below half a voxel, where voxels would pair with their neighbours; far above what float32
# headers and NIfTI's quaternions lose (up to 0.1 mm across a body).
GRID_TOLERANCE_VOXELS: Final = 0.1

COSINE_TOLERANCE: Final = 1e-3  # 0.06 degrees: half a millimetre over half a metre
_HALF: Final = 0.5  # of a voxel: its faces lie half a voxel from its centre

_OPPOSITE: Final = {"R": "L", "A": "P", "I": "S"}

# Along x, y, z of scanner space (LPS): the face at the least coordinate, that at the greatest.
_FACES_LPS: Final = (
    (Face.RIGHT, Face.LEFT),
    (Face.ANTERIOR, Face.POSTERIOR),
    (Face.INFERIOR, Face.SUPERIOR),
)


@dataclass(frozen=True, slots=True)
class Grid:
    """The grid of an image, to the last bit.

    Array indices run z, y, x; places are in scanner space (LPS: x grows to the left, z upwards).
    Axes are turned and flipped as views: nothing is copied.

    Attributes:
        size: Voxels along x, y, z.
        spacing_mm: Along x, y, z.
        origin_mm: Of the first voxel, in LPS.
        direction: Cosines, row by row.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def of(cls, image: sitk.Image) -> "Grid":
        """Take the grid of an image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def steps_xyz_mm(self) -> Floats:
        """Step along each array axis (z, y, x), one column each; shape (3, 3)."""
        cosines = np.reshape(np.asarray(self.direction), (3, 3))
        steps: Floats = (cosines * np.asarray(self.spacing_mm))[:, ::-1]
        return steps

    def places_xyz_mm(self, indices_zyx: npt.ArrayLike) -> Floats:
        """Turn array indices, shape (n, 3), into places."""
        places: Floats = np.asarray(indices_zyx, np.float64) @ self.steps_xyz_mm.T
        return places + np.asarray(self.origin_mm, np.float64)

    @property
    def body_axis(self) -> int:
        """Which of the axes x, y, z runs along the body."""
        return next(axis for axis, letter in enumerate(_code(self.direction)) if letter in "SI")

    def height_mm(self, index: float) -> float:
        """Return how high a place along the body axis lies, along that very axis.

        It is z of scanner space unless the grid is tilted. On a tilted one z differs within a
        slice, so that heights of slices could not be compared by it.
        """
        axis = self.body_axis
        step = np.asarray(self.direction)[axis::3]
        along_mm = float(step @ np.asarray(self.origin_mm)) + index * self.spacing_mm[axis]
        return along_mm if step[2] > 0 else -along_mm

    def faces_xyz(
        self, other: "Grid", box_xyz: Sequence[Sequence[int]] | None = None
    ) -> Floats | None:
        """Find where the faces of another grid lie on this one.

        Args:
            other: A grid whose axes are parallel to those of this one, either way.
            box_xyz: Part of it: first voxel and the one after the last along x, y, z; None: all.

        Returns:
            Least and greatest index along x, y, z, shape (3, 2), whole in the middle of a voxel;
            None if axes are not parallel.
        """
        here, there = (np.reshape(np.asarray(one.direction), (3, 3)) for one in (self, other))
        cosines = np.abs(here.T @ there)
        if (np.minimum(cosines, np.abs(1 - cosines)) > COSINE_TOLERANCE).any():
            return None
        ends = np.asarray(box_xyz or [(0, size) for size in other.size], np.float64).T - _HALF
        places_mm = (ends * other.spacing_mm) @ there.T + other.origin_mm - self.origin_mm
        faces: Floats = np.sort((places_mm @ here) / self.spacing_mm, axis=0).T
        return faces

    @property
    def _stored_axes_zyx(self) -> str:
        return _code(self.direction)[::-1]

    @property
    def _order_zyx(self) -> tuple[int, ...]:
        """Stored axis, counted as z, y, x, for each of the axes S, P, L."""
        stored = [_OPPOSITE.get(letter, letter) for letter in self._stored_axes_zyx]
        return tuple(stored.index(letter) for letter in "SPL")

    @property
    def _flips_zyx(self) -> tuple[slice, ...]:
        """Steps through each of the axes S, P, L."""
        stored = self._stored_axes_zyx
        return tuple(
            slice(None, None, -1 if stored[axis] in _OPPOSITE else 1) for axis in self._order_zyx
        )

    @property
    def lps_spacing_zyx_mm(self) -> tuple[float, ...]:
        """Spacing of the view in LPS."""
        stored = self.spacing_mm[::-1]
        return tuple(stored[axis] for axis in self._order_zyx)

    def to_lps(self, voxels_zyx: Voxels) -> Voxels:
        """View voxels as they are stored in LPS, or in what is nearest to it."""
        return voxels_zyx.transpose(self._order_zyx)[self._flips_zyx]

    def labelmap(self, labels_zyx: Labels) -> sitk.Image:
        """Make a labelmap on this grid of labels in LPS."""
        stored_zyx = labels_zyx[self._flips_zyx].transpose(np.argsort(self._order_zyx))
        labelmap = sitk.GetImageFromArray(np.ascontiguousarray(stored_zyx))
        labelmap.SetSpacing(self.spacing_mm)
        labelmap.SetOrigin(self.origin_mm)
        labelmap.SetDirection(self.direction)
        return labelmap


def orientation_code(image: sitk.Image) -> str:
    """Name the side of the body towards which each axis of an image runs.

    Returns:
        Three letters for x, y, z: ``LPS`` means towards left, posterior, superior. Oblique axes
        take the nearest side.
    """
    return _code(image.GetDirection())


def _code(direction: Sequence[float]) -> str:
    code: str = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction)
    return code


def voxel_ml(image: sitk.Image) -> float:
    """Return the volume of a voxel in mL."""
    return float(np.prod(image.GetSpacing())) / MM3_PER_ML


def array_faces_xyz(direction: Sequence[float]) -> tuple[tuple[Face, Face], ...]:
    """Name the faces of an image array by the side of the body.

    Each array axis goes to the anatomical axis that it is nearest to; on an oblique grid the three
    are chosen together, so that no two axes share one.

    Args:
        direction: Direction cosines as SimpleITK gives them, row by row, LPS.

    Returns:
        For each array axis x, y, z: the face at index 0 and the face at the last index.
    """
    cosines = np.reshape(np.asarray(direction, dtype=np.float64), (3, 3))  # column: an array axis
    anatomical = max(
        permutations(range(3)),
        key=lambda order: sum(abs(cosines[order[axis], axis]) for axis in range(3)),
    )
    return tuple(
        _FACES_LPS[anatomical[axis]]
        if cosines[anatomical[axis], axis] > 0
        else _FACES_LPS[anatomical[axis]][::-1]
        for axis in range(3)
    )


def share_grid(one: sitk.Image, other: sitk.Image, *, error_mm: float = 0.0) -> bool:
    """Return whether two images have one size and put every voxel at the same place.

    Places are compared at the eight corners, to a tenth of the smallest spacing.

    Args:
        one: 3D.
        other: 3D.
        error_mm: How far rounding of their headers may have moved a corner.
    """
    if one.GetSize() != other.GetSize():
        return False
    apart_mm = np.linalg.norm(_corners_xyz_mm(one) - _corners_xyz_mm(other), axis=1)
    return bool(apart_mm.max() <= GRID_TOLERANCE_VOXELS * min(one.GetSpacing()) + error_mm)


def _corners_xyz_mm(image: sitk.Image) -> Floats:
    ends = [(0, size - 1) for size in image.GetSize()]
    return np.array([image.TransformIndexToPhysicalPoint(corner) for corner in product(*ends)])
