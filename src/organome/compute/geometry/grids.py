"""Grids of images: how they lie in the body, what a voxel holds, and whether two agree."""

from collections.abc import Sequence
from itertools import permutations, product
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.domain.faces import Face

MM3_PER_ML: Final = 1000.0
# Far below half a voxel, where voxels would pair with their neighbours; far above what float32
# headers and NIfTI's quaternions lose (up to 0.1 mm across a body).
GRID_TOLERANCE_VOXELS: Final = 0.1

# Along x, y, z of scanner space (LPS): the face at the least coordinate, that at the greatest.
_FACES_LPS: Final = (
    (Face.RIGHT, Face.LEFT),
    (Face.ANTERIOR, Face.POSTERIOR),
    (Face.INFERIOR, Face.SUPERIOR),
)


def orientation_code(image: sitk.Image) -> str:
    """Name the side of the body towards which each axis of an image runs.

    Returns:
        Three letters for x, y, z: ``LPS`` means towards left, posterior, superior. Oblique axes
        take the nearest side.
    """
    code: str = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.GetDirection())
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


def share_grid(one: sitk.Image, other: sitk.Image) -> bool:
    """Return whether two images have one size and put every voxel at the same place.

    Places are compared at the eight corners, to a tenth of the smallest spacing.
    """
    if one.GetSize() != other.GetSize():
        return False
    apart_mm = np.linalg.norm(_corners_xyz_mm(one) - _corners_xyz_mm(other), axis=1)
    return bool(apart_mm.max() <= GRID_TOLERANCE_VOXELS * min(one.GetSpacing()))


def _corners_xyz_mm(image: sitk.Image) -> npt.NDArray[np.float64]:
    ends = [(0, size - 1) for size in image.GetSize()]
    return np.array([image.TransformIndexToPhysicalPoint(corner) for corner in product(*ends)])
