"""Voxels of DICOM slices: decoded, rescaled, stacked to one image.

Source: DICOM PS3.3 C.7.6.3 (pixel data), C.11.1 (rescale slope and intercept).
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.io.dicom.slices import PIXELS, DicomSlice

Voxels = npt.NDArray[Any]


def stack_slices(slices: Sequence[DicomSlice]) -> sitk.Image:
    """Decode slices into one image, in the units that the headers rescale to (HU in CT).

    Integers stay integers: as stored where nothing is rescaled, else int16 where that holds all
    values, int32 where not. A slope or an intercept that is no integer makes float32.

    Args:
        slices: Slices of one series at regular positions, in order along their normal.

    Returns:
        The image, z along the normal, LPS.

    Raises:
        ScanError: FILE_BROKEN or FORMAT_UNKNOWN, naming the file.
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
    if one.dataset.get("PhotometricInterpretation", "MONOCHROME2") != "MONOCHROME2":
        raise ScanError(Reason.FORMAT_UNKNOWN, f"{one.header.file} is not MONOCHROME2")
    if one.content:
        return _decompressed(one)
    columns, rows = one.header.size_xy
    kind = "i" if one.dataset.get("PixelRepresentation", 0) else "u"
    n_bytes = int(one.dataset.get("BitsAllocated", 16)) // 8
    encoded = one.dataset.get_item(PIXELS).value
    if n_bytes not in (1, 2, 4) or len(encoded) < rows * columns * n_bytes:
        raise ScanError(Reason.FILE_BROKEN, f"{one.header.file} has too few voxels")
    voxels = np.frombuffer(encoded, dtype=f"<{kind}{n_bytes}", count=rows * columns)
    return voxels.reshape(rows, columns)


def _decompressed(one: DicomSlice) -> Voxels:
    """Decode compressed voxels by ITK's GDCM, which brings the decoders and rescales itself."""
    with TemporaryDirectory(prefix="organome-") as folder:
        path = Path(folder, "slice.dcm")
        path.write_bytes(one.content)
        try:
            image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        except RuntimeError as error:
            fact = f"{one.header.file} cannot be decompressed"
            raise ScanError(Reason.FILE_BROKEN, fact) from error
    rescaled: Voxels = sitk.GetArrayFromImage(image)[0]
    return rescaled


def _rescaled(stored: Sequence[Voxels], slices: Sequence[DicomSlice]) -> Voxels:
    """Apply slope and intercept of each slice; decompressed slices have theirs applied."""
    factors = [(1.0, 0.0) if one.content else (one.slope, one.intercept) for one in slices]
    voxels_zyx = np.stack(stored)
    if set(factors) == {(1.0, 0.0)}:
        return voxels_zyx
    slopes, intercepts = np.array(factors).T[:, :, None, None]
    if not all(value.is_integer() for pair in factors for value in pair):
        rescaled: Voxels = (voxels_zyx * slopes + intercepts).astype(np.float32)
        return rescaled
    integers = voxels_zyx.astype(np.int32) * slopes.astype(np.int32) + intercepts.astype(np.int32)
    limits = np.iinfo(np.int16)
    fits = limits.min <= integers.min() and integers.max() <= limits.max
    narrowed: Voxels = integers.astype(np.int16) if fits else integers
    return narrowed
