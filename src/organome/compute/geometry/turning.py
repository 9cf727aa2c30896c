"""Labelmaps stored in another order of axes than their image, or as a part of it, put onto it."""

from itertools import product
from typing import Final

import numpy as np
import SimpleITK as sitk

from organome.compute.geometry.arrays import Floats, Voxels
from organome.compute.geometry.grids import GRID_TOLERANCE_VOXELS, Grid, share_grid
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason

_AXES: Final = 3


def onto_grid(
    labelmap: sitk.Image, image: sitk.Image, *, may_be_part: bool = False, error_mm: float = 0.0
) -> sitk.Image:
    """Put a labelmap onto the very grid of an image, if its voxels are voxels of the image.

    Programs store one and the same grid with axes exchanged and flipped: dcm2niix flips the rows of
    a DICOM series, others turn to RAS or LPS. Nothing is interpolated.

    Args:
        labelmap: 3D.
        image: 3D.
        may_be_part: Whether the labelmap may cover less than the image, because its format leaves
            out what holds no label; the rest becomes 0.
        error_mm: How far rounding of the labelmap's header may have moved a corner.

    Returns:
        The labelmap on the grid of the image; the same object if it lies there.

    Raises:
        ScanError: LABELMAP_OFF_GRID, with the distance.
    """
    if share_grid(labelmap, image, error_mm=error_mm):
        labelmap.CopyInformation(image)  # the grids may still differ by rounding
        return labelmap
    steps, steps_of_image = _steps_xyz_mm(labelmap), _steps_xyz_mm(image)
    relation = np.linalg.solve(steps_of_image, steps)
    axes = np.abs(relation).argmax(axis=0)  # of the image, for each of the labelmap
    if sorted(axes) != [0, 1, 2]:
        raise _off_grid(labelmap, image, "axes of another direction")
    signs = np.sign(relation[axes, range(_AXES)]).astype(int)
    size = np.array(labelmap.GetSize())
    apart_mm = np.subtract(labelmap.GetOrigin(), image.GetOrigin())
    first = np.linalg.solve(steps_of_image, apart_mm)[axes]  # along the axes of the labelmap
    start = np.rint(np.where(signs > 0, first, first - size + 1)).astype(int)
    size_of_image = np.array(image.GetSize())[axes]
    if not may_be_part:
        start[:] = 0
        if (size != size_of_image).any():
            raise _off_grid(labelmap, image, "another size")
    elif (start < 0).any() or (start + size > size_of_image).any():
        raise _off_grid(labelmap, image, "it reaches beyond the image")
    distance_mm = _distance_mm(labelmap, image, axes, signs, start)
    if distance_mm > GRID_TOLERANCE_VOXELS * min(image.GetSpacing()) + error_mm:
        raise _off_grid(labelmap, image, f"up to {distance_mm:.2f} mm off")
    flips = tuple(slice(None, None, int(sign)) for sign in signs[::-1])
    order = [2 - int(np.flatnonzero(axes == axis)[0]) for axis in (2, 1, 0)]
    turned_zyx = sitk.GetArrayViewFromImage(labelmap)[flips].transpose(order)
    whole_zyx = np.zeros(image.GetSize()[::-1], turned_zyx.dtype)
    place = dict(
        zip(axes.tolist(), zip(start.tolist(), (start + size).tolist(), strict=True), strict=True)
    )
    whole_zyx[tuple(slice(*place[axis]) for axis in (2, 1, 0))] = turned_zyx
    turned = sitk.GetImageFromArray(whole_zyx)
    turned.CopyInformation(image)
    return turned


def _steps_xyz_mm(image: sitk.Image) -> Floats:
    """Return the step along each axis x, y, z of an image, one column each."""
    return Grid.of(image).steps_xyz_mm[:, ::-1]


def _distance_mm(
    labelmap: sitk.Image, image: sitk.Image, axes: Voxels, signs: Voxels, start: Voxels
) -> float:
    """Return how far corners lie from the voxels of the image that they are taken for."""
    worst = 0.0
    size = np.array(labelmap.GetSize())
    for ends in product((0, 1), repeat=_AXES):
        corner = (size - 1) * ends
        along = start + np.where(signs > 0, corner, size - 1 - corner)
        index = np.empty(_AXES)
        index[axes] = along
        meant = image.TransformContinuousIndexToPhysicalPoint(index.tolist())
        found = labelmap.TransformIndexToPhysicalPoint(corner.tolist())
        worst = max(worst, float(np.linalg.norm(np.subtract(meant, found))))
    return worst


def _off_grid(labelmap: sitk.Image, image: sitk.Image, why: str) -> ScanError:
    sizes = (" x ".join(map(str, one.GetSize())) for one in (labelmap, image))
    fact = "labelmap of {} voxels does not lie on the image's grid of {}".format(*sizes)
    return ScanError(Reason.LABELMAP_OFF_GRID, f"{fact}: {why}")
