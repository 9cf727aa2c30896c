"""Images in files: NIfTI, NRRD, MetaImage. Read only when whole, written whole or not at all."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from organome.domain.errors import ScanError, SetupError
from organome.domain.geometry import geometry_fault
from organome.domain.outcomes import Reason
from organome.io.files.atomic import atomic_path
from organome.io.images.integrity import GZIP_STREAM, check_integrity

# Level 1 takes 0.7 s for a stitched contrast; ITK's writer, at level 6 whatever level it is told,
# takes 1.4 s for a file that is 15 % smaller.
DEFLATE_LEVEL: Final = 1
CHUNK_BYTES: Final = 1 << 24
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
        ScanError: FILE_MISSING, FORMAT_UNKNOWN, FILE_BROKEN, NOT_3D, or what ``check_image`` finds.
    """
    if not path.is_file():
        raise ScanError(Reason.FILE_MISSING, "no file where the list says")
    check_integrity(path)
    image = _as_3d(_read(path))
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


def _read(path: Path) -> sitk.Image:
    with _unshadowed(path) as readable, _quiet():
        try:
            image = sitk.ReadImage(str(readable))
        except RuntimeError as error:
            # The library's message names the path, and so the participant.
            if "orthonormal" in str(error):
                fact = "axes of the grid are not at right angles"
                raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fact) from error
            raise ScanError(Reason.FILE_BROKEN, "SimpleITK cannot read it") from error
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    return image


def _as_3d(image: sitk.Image) -> sitk.Image:
    size = image.GetSize()
    if image.GetNumberOfComponentsPerPixel() > 1:
        n_values = image.GetNumberOfComponentsPerPixel()
        raise ScanError(Reason.NOT_3D, f"{n_values} values per voxel")
    if len(size) == 4 and size[3] == 1:
        image = sitk.Extract(image, (*size[:3], 0))
    elif len(size) != 3:
        raise ScanError(Reason.NOT_3D, f"size {' x '.join(map(str, size))}")
    if min(image.GetSize()) < 2:
        raise ScanError(Reason.NOT_3D, f"size {' x '.join(map(str, image.GetSize()))}")
    return image


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence ITK, whose warnings name the path, and so the participant."""
    loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(loud)


def nifti_header(image: sitk.Image) -> nib.Nifti1Header:
    """Tell type and grid of an image as NIfTI does."""
    affine = NIFTI_FROM_LPS @ _affine_lps(image)
    voxels_xyz = sitk.GetArrayViewFromImage(image).T
    nifti = nib.Nifti1Image(voxels_xyz, affine, dtype=voxels_xyz.dtype)
    nifti.set_sform(affine, SCANNER_SPACE)
    nifti.set_qform(affine, SCANNER_SPACE)
    nifti.header.set_xyzt_units("mm")
    nifti.header.set_slope_inter(1, 0)
    return nifti.header


def write_nifti(path: Path, header: nib.Nifti1Header, image: sitk.Image, *, level: int) -> None:
    """Write header and voxels as a gzip file that tells neither time nor name.

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
    """Read an image that a step before published.

    Raises:
        SetupError: If it is gone: then the run is at fault, not the scan.
        ScanError: If it is broken.
    """
    if not path.is_file():
        raise SetupError(f"{path}: gone since it was published, run the step that makes it again")
    return read_image(path, constant=True)  # prepare_images has judged it
