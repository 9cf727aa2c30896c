"""Images in files: NIfTI, NRRD, MetaImage. Read only when whole, written whole or not at all."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.geometry import geometry_fault
from organome.domain.outcomes import Reason
from organome.io.files.atomic import atomic_path
from organome.io.files.delivered import check_file, refusing
from organome.io.files.itk import quiet_itk
from organome.io.files.published import ask_again, is_whole_gzip
from organome.io.images.integrity import GZIP_STREAM, check_header, check_integrity

# Level 1 takes 0.7 s for a stitched contrast; ITK's writer, at level 6 whatever level is asked for,
# takes 1.4 s for a file that is 15 % smaller.
DEFLATE_LEVEL: Final = 1
CHUNK_BYTES: Final = 1 << 24
# Images shrink to a half or a tenth, zeros to a thousandth. Labelmaps may be nothing but zeros.
MAX_GROWTH: Final = 200
FREE_GROWTH_BYTES: Final = 512 << 20
FREE_LABEL_BYTES: Final = 2 << 30
NIFTI_FROM_LPS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])
SCANNER_SPACE: Final = 1  # NIFTI_XFORM_SCANNER_ANAT


def read_image(path: Path, *, constant: bool = False) -> sitk.Image:
    """Read an image, voxels and grid as stored, nothing else of the header.

    Args:
        path: ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.
        constant: Whether all voxels may have the same value, as in an empty labelmap.

    Returns:
        A 3D image of scalars. A 4D file of one volume is one.

    Raises:
        ScanError: FILE_MISSING, CONTENT_NOT_FETCHED, FORMAT_UNKNOWN, FILE_BROKEN, NOT_3D, or what
            ``check_image`` finds. What the header declares is judged before a voxel is read.
    """
    size = check_file(path)
    check_header(path)
    with _unshadowed(path) as readable:
        voxel_bytes = _declared_voxel_bytes(readable)
        free_bytes = FREE_LABEL_BYTES if constant else FREE_GROWTH_BYTES
        if voxel_bytes > max(free_bytes, MAX_GROWTH * size):
            fact = f"{voxel_bytes} bytes of voxels in a file of {size} bytes, no image is like that"
            raise ScanError(Reason.FILE_BROKEN, fact)
        check_integrity(path, voxel_bytes=voxel_bytes)
        image = _as_3d(_read(readable))
    check_image(image, constant=constant)
    return image


def check_image(image: sitk.Image, *, constant: bool = False) -> None:
    """Refuse an image that cannot be that of a body.

    Args:
        image: A 3D image of scalars.
        constant: Whether all voxels may have the same value.

    Raises:
        ScanError: GEOMETRY_IMPLAUSIBLE, NOT_FINITE or CONSTANT_IMAGE.
    """
    fault = geometry_fault(image.GetSize(), image.GetSpacing())
    if fault is not None:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fault)
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    lowest, highest = voxels_zyx.min(), voxels_zyx.max()  # NaN if any voxel is
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        n_bad = int(np.count_nonzero(~np.isfinite(voxels_zyx)))
        raise ScanError(Reason.NOT_FINITE, f"{n_bad} voxels are NaN or infinite")
    if lowest == highest and not constant:
        raise ScanError(Reason.CONSTANT_IMAGE, f"all voxels are {lowest:g}")


def write_image(path: Path, image: sitk.Image) -> None:
    """Write an image compressed; equal images give equal bytes.

    Args:
        path: Where; ``.nii.gz``, ``.nrrd`` or ``.mha``. NIfTI keeps the grid in single precision.
        image: Voxels and grid; 3D.
    """
    with atomic_path(path) as temporary:
        if path.name.endswith(".nii.gz"):
            write_nifti(temporary, nifti_header(image), image, level=DEFLATE_LEVEL)
        else:
            sitk.WriteImage(image, str(temporary), useCompression=True)


def _declared_voxel_bytes(path: Path) -> int:
    """Judge what ITK makes of the header, and return what the voxels will take.

    Raises:
        ScanError: NOT_3D, GEOMETRY_IMPLAUSIBLE or FILE_BROKEN.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _itk_reading():
        reader.ReadImageInformation()
    size, n_components = reader.GetSize(), reader.GetNumberOfComponents()
    _check_3d(size, n_components)
    fault = geometry_fault(size[:3], reader.GetSpacing()[:3])
    if fault is not None:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fault)
    bytes_per_voxel: int = sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent()
    n_voxels: int = prod(size)
    return n_voxels * bytes_per_voxel


def _read(path: Path) -> sitk.Image:
    with _itk_reading():
        image = sitk.ReadImage(str(path))
    try:
        for key in image.GetMetaDataKeys():
            image.EraseMetaData(key)
    except (
        TypeError,
        UnicodeDecodeError,
    ):  # a comment in another alphabet is not a fault of the image
        copy = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(image))
        copy.CopyInformation(image)
        return copy
    return image


@contextmanager
def _itk_reading() -> Iterator[None]:
    """Turn what ITK raises into a ScanError; its message names the path, and so the participant.

    Raises:
        ScanError: GEOMETRY_IMPLAUSIBLE or FILE_BROKEN.
    """
    with refusing(Reason.FILE_BROKEN, "SimpleITK cannot read it"), quiet_itk():
        try:
            yield
        except RuntimeError as error:
            if "orthonormal" in str(error):
                fact = "axes of the grid are not at right angles"
                raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fact) from error
            raise


def _check_3d(size: Sequence[int], n_components: int) -> None:
    if n_components > 1:
        raise ScanError(Reason.NOT_3D, f"{n_components} values per voxel")
    is_3d = len(size) == 3 or (len(size) == 4 and size[3] == 1)
    if not is_3d or min(size[:3]) < 2:
        raise ScanError(Reason.NOT_3D, f"size {' x '.join(map(str, size))}")


def _as_3d(image: sitk.Image) -> sitk.Image:
    size = image.GetSize()
    _check_3d(size, image.GetNumberOfComponentsPerPixel())
    return sitk.Extract(image, (*size[:3], 0)) if len(size) == 4 else image


@contextmanager
def _unshadowed(path: Path) -> Iterator[Path]:
    """Yield a path to the file under which ITK reads this very file.

    Asked for ``x.nii.gz``, ITK reads ``x.nii`` if that exists, too.
    """
    if not (path.name.endswith(".nii.gz") and path.with_suffix("").exists()):
        yield path
        return
    with TemporaryDirectory(prefix="organome-") as folder:
        link = Path(folder, "image.nii.gz")
        link.symlink_to(path.absolute())
        yield link


def nifti_header(image: sitk.Image) -> nib.Nifti1Header:
    """Return type and grid of an image as NIfTI does."""
    affine = NIFTI_FROM_LPS @ _affine_lps(image)
    voxels_xyz = sitk.GetArrayViewFromImage(image).T
    nifti = nib.Nifti1Image(voxels_xyz, affine, dtype=voxels_xyz.dtype)
    nifti.set_sform(affine, SCANNER_SPACE)
    nifti.set_qform(affine, SCANNER_SPACE)
    nifti.header.set_xyzt_units("mm")
    nifti.header.set_slope_inter(1, 0)
    return nifti.header


def write_nifti(path: Path, header: nib.Nifti1Header, image: sitk.Image, *, level: int) -> None:
    """Write header and voxels as a gzip file without time or name.

    Equal ones give equal bytes. The voxels are compressed piece by piece and never copied whole.

    Args:
        path: Where.
        header: As ``nifti_header`` made it; extensions may have been added.
        image: The voxels.
        level: Effort of zlib, 0 to 9.
    """
    head = BytesIO()
    header.write_to(head)
    voxels = sitk.GetArrayViewFromImage(image).reshape(-1).data.cast("B")
    encoder = zlib.compressobj(level, zlib.DEFLATED, GZIP_STREAM)
    with path.open("wb") as file:
        file.write(encoder.compress(head.getvalue()))
        for start in range(0, len(voxels), CHUNK_BYTES):
            file.write(encoder.compress(voxels[start : start + CHUNK_BYTES]))
        file.write(encoder.flush())


def _affine_lps(image: sitk.Image) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine


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
