"""Voxels of DICOM slices: decoded, rescaled, stacked to one image.

Source: DICOM PS3.3 C.7.6.3 (pixel data), C.11.1 (rescale slope and intercept).
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.io.dicom.slices import DicomSlice
from organome.io.files.delivered import refusing
from organome.io.files.itk import quiet_itk

Voxels: TypeAlias = npt.NDArray[Any]


def stack_slices(slices: Sequence[DicomSlice]) -> sitk.Image:
    """Decode slices into one image, in the units that the headers rescale to (HU in CT).

    Integers stay integers: as stored where nothing is rescaled, else int16 where that holds all
    values, int32 where not. A slope or an intercept that is not an integer makes float32.

    Args:
        slices: Slices of one series at regular positions, in order along their normal.

    Returns:
        The image, z along the normal, LPS.

    Raises:
        ScanError: FILE_BROKEN or FORMAT_UNKNOWN, with the place of the file.
    """
    voxels_zyx = _rescaled([_stored_voxels(one) for one in slices], slices)
    image = sitk.GetImageFromArray(voxels_zyx)
    set_grid(image, [one.header for one in slices])
    return image


def set_grid(image: sitk.Image, headers: Sequence[Header]) -> None:
    """Put an image where slices lie.

    Args:
        image: 3D, of as many planes as there are slices.
        headers: Slices of one series at regular positions, in order along their normal.
    """
    first, last = headers[0], headers[-1]
    step_mm = (last.offset_mm - first.offset_mm) / (len(headers) - 1)
    image.SetOrigin(first.position_xyz_mm)
    image.SetSpacing((*first.spacing_xy_mm, step_mm))
    row, column = np.reshape(first.orientation, (2, 3))
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row  # cosines are rounded; ITK wants right angles
    column = column / np.linalg.norm(column)
    image.SetDirection(np.stack([row, column, np.cross(row, column)], axis=1).ravel().tolist())


def _stored_voxels(one: DicomSlice) -> Voxels:
    """Decode the voxels of a slice, not rescaled."""
    if one.photometric != "MONOCHROME2":
        raise ScanError(Reason.FORMAT_UNKNOWN, f"{one.which} is not MONOCHROME2")
    columns, rows = one.header.size_xy
    if one.stored_type is None:
        voxels_yx = _decompressed(one)
        if voxels_yx.shape != (rows, columns):
            raise ScanError(Reason.FILE_BROKEN, f"{one.which} decompresses to another size")
        return voxels_yx
    if len(one.encoded) < rows * columns * one.stored_type.itemsize:
        raise ScanError(Reason.FILE_BROKEN, f"{one.which} has too few voxels")
    voxels = np.frombuffer(one.encoded, dtype=one.stored_type, count=rows * columns)
    return voxels.reshape(rows, columns)


def _decompressed(one: DicomSlice) -> Voxels:
    """Decode compressed voxels by ITK's GDCM, which brings the decoders and rescales itself."""
    with TemporaryDirectory(prefix="organome-") as folder:
        path = Path(folder, "slice.dcm")
        path.write_bytes(one.encoded)
        with refusing(Reason.FILE_BROKEN, f"{one.which} cannot be decompressed"), quiet_itk():
            image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
            rescaled: Voxels = sitk.GetArrayFromImage(image)[0]
    return rescaled


def _rescaled(stored: Sequence[Voxels], slices: Sequence[DicomSlice]) -> Voxels:
    """Apply slope and intercept of each slice; decompressed slices have theirs applied."""
    factors = [
        (1.0, 0.0) if one.stored_type is None else (one.slope, one.intercept) for one in slices
    ]
    voxels_zyx = np.stack(stored)
    if set(factors) == {(1.0, 0.0)}:
        return voxels_zyx
    slopes, intercepts = np.array(factors).T[:, :, None, None]
    if not (
        all(value.is_integer() for pair in factors for value in pair)
        and _fit_into_int32(voxels_zyx, slopes, intercepts)
    ):
        rescaled: Voxels = (voxels_zyx * slopes + intercepts).astype(np.float32)
        return rescaled
    integers = voxels_zyx.astype(np.int32) * slopes.astype(np.int32) + intercepts.astype(np.int32)
    limits = np.iinfo(np.int16)
    fits = limits.min <= integers.min() and integers.max() <= limits.max
    narrowed: Voxels = integers.astype(np.int16) if fits else integers
    return narrowed


def _fit_into_int32(voxels_zyx: Voxels, slopes: Voxels, intercepts: Voxels) -> bool:
    largest = max(abs(int(voxels_zyx.min())), abs(int(voxels_zyx.max())))
    reach = largest * float(np.abs(slopes).max()) + float(np.abs(intercepts).max())
    return reach <= np.iinfo(np.int32).max
