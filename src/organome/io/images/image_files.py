"""Images in files: NIfTI, NRRD, MetaImage. Read only when whole, written whole or not at all."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from isal import isal_zlib

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.geometry import direction_fault, geometry_fault
from organome.domain.outcomes import Reason
from organome.io.files.atomic import atomic_path
from organome.io.files.delivered import check_file
from organome.io.files.published import ask_again, is_whole_gzip
from organome.io.images.nifti import nifti_header, read_nifti, write_nifti
from organome.io.images.nrrd_metaimage import read_with_itk
from organome.io.images.reading import GZIP_STREAM, Delivered

MAX_INTENSITY: Final = 3e38  # of single precision
# ISA-L's level 1 makes files of the size of zlib's level 1 in a fifth of its time.
DEFLATE_LEVEL: Final = 1
# Images shrink to a half or a tenth, zeros to a thousandth. Labelmaps may be nothing but zeros.
MAX_GROWTH: Final = 200
FREE_GROWTH_BYTES: Final = 512 << 20
FREE_LABEL_BYTES: Final = 2 << 30
_READERS: Final = {
    ".nii.gz": read_nifti,
    ".nii": read_nifti,
    ".nrrd": read_with_itk,
    ".mha": read_with_itk,
}
_NOT_READ: Final = {
    **{".bz2": "compressed by bzip2", ".xz": "compressed by xz", ".zst": "compressed by zstd"},
    **dict.fromkeys((".hdr", ".img"), "NIfTI or Analyze in two files"),
    **dict.fromkeys((".nhdr", ".mhd", ".raw"), "header and voxels in two files"),
    **dict.fromkeys((".mgz", ".mgh"), "an image of FreeSurfer"),
    ".mnc": "an image of MINC",
}


def read_image(path: Path, *, constant: bool = False) -> sitk.Image:
    """Read an image, voxels and grid as stored, nothing else of the header.

    Args and errors are those of ``read_delivered``.
    """
    return read_delivered(path, constant=constant).image


def read_delivered(path: Path, *, constant: bool = False, orientation: str = "") -> Delivered:
    """Read an image, and what its header says beside voxels and grid.

    Args:
        path: ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.
        constant: Whether all voxels may have the same value, as in an empty labelmap.
        orientation: How the axes lie where the file does not say it; empty: not known.

    Returns:
        A 3D image of scalars. A 4D file of one volume is one.

    Raises:
        ScanError: FILE_MISSING, CONTENT_NOT_FETCHED, FORMAT_UNKNOWN, FILE_BROKEN, NOT_3D,
            ORIENTATION_UNKNOWN, SPACING_DISPUTED, or what ``check_image`` finds. What the header
            declares is judged before a voxel is read.
    """
    size_bytes = check_file(path)
    name = path.name.lower()
    reader = next((_READERS[one] for one in _READERS if name.endswith(one)), None)
    if reader is None:
        what = _NOT_READ.get(path.suffix.lower(), "a file of an unknown suffix")
        raise ScanError(Reason.FORMAT_UNKNOWN, f"{what}: none of {', '.join(_READERS)}")
    free_bytes = FREE_LABEL_BYTES if constant else FREE_GROWTH_BYTES
    max_voxel_bytes = max(free_bytes, MAX_GROWTH * size_bytes)
    delivered = reader(path, max_voxel_bytes=max_voxel_bytes, orientation=orientation)
    check_image(delivered.image, constant=constant)
    if _is_identity(delivered.image):
        return replace(delivered, flags=delivered.flags | {Flag.AFFINE_IDENTITY})
    return delivered


def _is_identity(image: sitk.Image) -> bool:
    """Return whether a grid is the one of a program that knew none, in LPS or RAS."""
    is_default = image.GetSpacing() == (1, 1, 1) and image.GetOrigin() == (0, 0, 0)
    return is_default and np.array_equal(np.abs(image.GetDirection()), np.eye(3).ravel())


def check_image(image: sitk.Image, *, constant: bool = False) -> None:
    """Refuse an image that cannot be that of a body.

    Args:
        image: A 3D image of scalars.
        constant: Whether all voxels may have the same value.

    Raises:
        ScanError: GEOMETRY_IMPLAUSIBLE, NOT_FINITE or CONSTANT_IMAGE.
    """
    fault = geometry_fault(image.GetSize(), image.GetSpacing())
    if fault is None:
        fault = direction_fault(image.GetDirection())
    if fault is not None:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fault)
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    if constant and np.issubdtype(voxels_zyx.dtype, np.integer):
        return  # all integers are finite, and within MAX_INTENSITY
    lowest, highest = voxels_zyx.min(), voxels_zyx.max()  # NaN if any voxel is
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        n_bad = int(np.count_nonzero(~np.isfinite(voxels_zyx)))
        raise ScanError(Reason.NOT_FINITE, f"{n_bad} voxels are NaN or infinite")
    if max(abs(float(lowest)), abs(float(highest))) > MAX_INTENSITY:
        raise ScanError(Reason.NOT_FINITE, "voxels beyond what single precision holds")
    if lowest == highest and not constant:
        raise ScanError(Reason.CONSTANT_IMAGE, f"all voxels are {lowest:g}")


def write_image(path: Path, image: sitk.Image) -> None:
    """Write an image compressed; on one kind of processor, equal images give equal bytes.

    Args:
        path: Where; ``.nii.gz``, ``.nrrd`` or ``.mha``. NIfTI keeps the grid in single precision.
        image: Voxels and grid; 3D.
    """
    with atomic_path(path) as temporary:
        if path.name.endswith(".nii.gz"):
            encoder = isal_zlib.compressobj(DEFLATE_LEVEL, isal_zlib.DEFLATED, GZIP_STREAM)
            write_nifti(temporary, nifti_header(image), image, encoder=encoder)
        else:
            sitk.WriteImage(image, str(temporary), useCompression=True)


def read_published(path: Path) -> sitk.Image:
    """Read an image that a step before published; that step has judged it.

    Raises:
        MachineFault: If it is gone or damaged: then its step is asked for it again.
        ScanError: If it is whole and cannot be read all the same.
    """
    if not path.is_file():
        raise ask_again(path, found="gone")
    try:
        return read_image(path, constant=True)
    except ScanError as error:
        if is_whole_gzip(path):
            raise
        raise ask_again(path) from error


def read_published_slice(path: Path) -> sitk.Image:
    """Read an image of one slice that a step before published.

    Raises:
        MachineFault: If it is gone or damaged: then its step is asked for it again.
    """
    if not path.is_file():
        raise ask_again(path, found="gone")
    if not is_whole_gzip(path):
        raise ask_again(path)
    return sitk.ReadImage(str(path))
