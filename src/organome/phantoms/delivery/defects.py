"""Defects to plant in phantom deliveries, and what the pipeline is expected to do about each.

A defect is a function at one of three places: on the images before they are written, on the files
of an archive before it is packed, or on the packed archive. To add one: a name in ``Defect``, a
function, an entry in ``DEFECTS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
import SimpleITK as sitk
from numpy.random import Generator
from numpy.typing import NDArray

from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast


class Format(StrEnum):
    """How a phantom cohort is delivered; each format is a cohort of its own."""

    UKB = "ukb"  # zips of Dixon DICOM
    CT = "ct"  # CT as DICOM series, listed in a TSV
    BIDS = "bids"  # NIfTI, named by BIDS entities
    NIFTI = "nifti"  # NIfTI, NRRD and MetaImage files, listed in a TSV

    @property
    def cohort(self) -> str:
        """Name of the cohort, such as ``phantom_ukb``."""
        return f"phantom_{self.value}"

    @property
    def array(self) -> str:
        """Repeat within the visit of all its scans: UK Biobank counts from 0, others from 1."""
        return "0" if self is Format.UKB else "1"


@dataclass(frozen=True, slots=True)
class PhantomSeries:
    """One image of one contrast.

    Attributes:
        contrast: What it shows.
        image: Voxels and grid.
        station: Table position counted from the head; None for an image that is not part of one.
        take: 1, or 2 for a station that was acquired again.
        slice_order: Slice indices in the order in which they are numbered; all, upwards, if None.
            Slices left out get lost.
    """

    contrast: Contrast
    image: sitk.Image
    station: int | None = None
    take: int = 1
    slice_order: tuple[int, ...] | None = None


SPOILT_STATION: Final = 3  # in breath-hold, in the middle of the body: nothing hides it
REPEAT_SHIFT_PIXELS: Final = 3  # breathing during a station that is therefore acquired again
CROPPED_PIXELS: Final = 2
TRUNCATED_SHARE: Final = 0.6


class Defect(StrEnum):
    """What can be wrong, or merely odd, with a delivery."""

    TRUNCATED_ZIP = "truncated_zip"
    EMPTY_ZIP = "empty_zip"
    NO_DICOM_IN_ZIP = "no_dicom_in_zip"
    MISSING_STATION = "missing_station"
    DUPLICATE_STATION = "duplicate_station"
    WRONG_SIZE_SERIES = "wrong_size_series"
    SLICE_MISSING = "slice_missing"
    SHUFFLED_INSTANCES = "shuffled_instances"
    SWAPPED_FAT_WATER = "swapped_fat_water"
    NOT_FINITE = "not_finite"
    STORED_CORONAL = "stored_coronal"
    FLIPPED = "flipped"


Series: TypeAlias = tuple[PhantomSeries, ...]
SpoilSeries = Callable[[Series, Generator], Series]
SpoilFiles = Callable[[Mapping[str, bytes]], dict[str, bytes]]
SpoilArchive = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Planting:
    """Where a defect is planted, and what shall become of the scan.

    Attributes:
        formats: Formats that can have it.
        expected: Reason with which the scan shall fail; None: it shall go through.
        promise: What the pipeline shall do, in one sentence.
        series: Spoils the images.
        files: Spoils the files of an archive.
        archive: Spoils the packed archive.
    """

    formats: frozenset[Format]
    expected: Reason | None
    promise: str
    series: SpoilSeries | None = None
    files: SpoilFiles | None = None
    archive: SpoilArchive | None = None


def spoil_series(defect: Defect | None, series: Series, rng: Generator) -> Series:
    """Plant a defect in the images, if it belongs there."""
    spoil = DEFECTS[defect].series if defect else None
    return spoil(series, rng) if spoil else series


def spoil_files(defect: Defect | None, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Plant a defect in the files of an archive, if it belongs there."""
    spoil = DEFECTS[defect].files if defect else None
    return spoil(files) if spoil else dict(files)


def spoil_archive(defect: Defect | None, archive: bytes) -> bytes:
    """Plant a defect in a packed archive, if it belongs there."""
    spoil = DEFECTS[defect].archive if defect else None
    return spoil(archive) if spoil else archive


def _truncate(archive: bytes) -> bytes:
    """Cut the end off, and with it the central directory: a transfer that broke."""
    return archive[: int(len(archive) * TRUNCATED_SHARE)]


def _remove_files(_files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave nothing: a valid archive without a member."""
    return {}


def _remove_dicom(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave the manifest alone, as in the rare real archives without any DICOM file."""
    return {name: content for name, content in files.items() if not name.endswith(".dcm")}


def _remove_station(series: Series, _rng: Generator) -> Series:
    """Leave out one station in the middle: its neighbours no longer overlap."""
    return tuple(one for one in series if one.station != SPOILT_STATION)


def _repeat_station(series: Series, _rng: Generator) -> Series:
    """Have a station twice at the same place: a first take spoilt by motion, a good second one."""
    first = tuple(
        replace(one, image=_ghosted(one.image)) if one.station == SPOILT_STATION else one
        for one in series
    )
    second = tuple(replace(one, take=2) for one in series if one.station == SPOILT_STATION)
    return first + second


def _crop_one_series(series: Series, _rng: Generator) -> Series:
    """Give one series a smaller matrix than the other contrasts of its station."""
    margin = [CROPPED_PIXELS, CROPPED_PIXELS, 0]
    return tuple(
        replace(one, image=sitk.Crop(one.image, margin, margin))
        if (one.station, one.contrast) == (SPOILT_STATION, Contrast.FAT)
        else one
        for one in series
    )


def _remove_slice(series: Series, _rng: Generator) -> Series:
    """Lose one inner slice of one series: 43 for 44."""

    def order(n_slices: int) -> tuple[int, ...]:
        return tuple(index for index in range(n_slices) if index != n_slices // 2)

    return tuple(
        replace(one, slice_order=order(one.image.GetDepth()))
        if (one.station, one.contrast) == (SPOILT_STATION, Contrast.WATER)
        else one
        for one in series
    )


def _shuffle_instances(series: Series, rng: Generator) -> Series:
    """Number the slices of every series at random; each keeps its true position."""
    return tuple(
        replace(
            one, slice_order=tuple(int(index) for index in rng.permutation(one.image.GetDepth()))
        )
        for one in series
    )


def _swap_fat_water(series: Series, _rng: Generator) -> Series:
    """Take fat for water and water for fat in one station, or in the whole image if it has none."""
    other = {Contrast.FAT: Contrast.WATER, Contrast.WATER: Contrast.FAT}
    images = {(one.station, one.contrast): one.image for one in series}
    return tuple(
        replace(one, image=images[(one.station, other[one.contrast])])
        if one.contrast in other and one.station in (SPOILT_STATION, None)
        else one
        for one in series
    )


def _store_as(axes: str) -> SpoilSeries:
    """Store the voxels along other axes; the affine says so, nothing has moved."""
    return lambda series, _rng: tuple(
        replace(one, image=sitk.DICOMOrient(one.image, axes)) for one in series
    )


def _ghosted(image: sitk.Image) -> sitk.Image:
    voxels_zyx = sitk.GetArrayFromImage(image)
    ghost_zyx = np.roll(voxels_zyx, REPEAT_SHIFT_PIXELS, axis=1)
    spoilt_zyx = (voxels_zyx.astype(np.int32) + ghost_zyx) // 2
    return _like(spoilt_zyx.astype(voxels_zyx.dtype), image)


def _break_voxels(series: Series, _rng: Generator) -> Series:
    """Store floats, and a small block of NaN in the middle: a division by zero upstream."""
    return tuple(replace(one, image=_with_nan(one.image)) for one in series)


def _with_nan(image: sitk.Image) -> sitk.Image:
    voxels_zyx = sitk.GetArrayFromImage(image).astype(np.float32)
    voxels_zyx[tuple(slice(n // 2, n // 2 + 2) for n in voxels_zyx.shape)] = np.nan
    return _like(voxels_zyx, image)


def _like(voxels_zyx: NDArray[np.generic], image: sitk.Image) -> sitk.Image:
    made = sitk.GetImageFromArray(voxels_zyx)
    made.CopyInformation(image)
    return made


_ARCHIVES: Final = frozenset({Format.UKB})
_IMAGE_FILES: Final = frozenset({Format.BIDS, Format.NIFTI})
_ANY_MRI: Final = _ARCHIVES | _IMAGE_FILES

DEFECTS: Final[dict[Defect, Planting]] = {
    Defect.TRUNCATED_ZIP: Planting(
        _ARCHIVES,
        Reason.ARCHIVE_BROKEN,
        "Refuse the archive as a whole; nothing is read from what is left of it.",
        archive=_truncate,
    ),
    Defect.EMPTY_ZIP: Planting(
        _ARCHIVES,
        Reason.ARCHIVE_EMPTY,
        "Fail the scan: the archive holds nothing.",
        files=_remove_files,
    ),
    Defect.NO_DICOM_IN_ZIP: Planting(
        _ARCHIVES,
        Reason.ARCHIVE_EMPTY,
        "Fail the scan: the archive holds no DICOM file, whatever the manifest lists.",
        files=_remove_dicom,
    ),
    Defect.MISSING_STATION: Planting(
        _ARCHIVES,
        Reason.STATION_MISSING,
        "Fail the scan when stations are stitched; when they are kept, fail that station only.",
        series=_remove_station,
    ),
    Defect.DUPLICATE_STATION: Planting(
        _ARCHIVES,
        None,
        "Use the take that was acquired last, and flag the scan.",
        series=_repeat_station,
    ),
    Defect.WRONG_SIZE_SERIES: Planting(
        _ARCHIVES,
        Reason.GRIDS_DIFFER,
        "Fail the scan: contrasts of one station must share a grid.",
        series=_crop_one_series,
    ),
    Defect.SLICE_MISSING: Planting(
        _ARCHIVES,
        Reason.SLICES_MISSING,
        "Fail the scan: slices are never invented, and the gap would shift all organs beyond it.",
        series=_remove_slice,
    ),
    Defect.SHUFFLED_INSTANCES: Planting(
        _ARCHIVES,
        None,
        "Order slices by position; the volumes are those of an unshuffled archive.",
        series=_shuffle_instances,
    ),
    Defect.SWAPPED_FAT_WATER: Planting(
        _ANY_MRI,
        None,
        "Go through, flagged; labelled on a contrast that an exchange leaves alone.",
        series=_swap_fat_water,
    ),
    Defect.NOT_FINITE: Planting(
        _IMAGE_FILES,
        Reason.NOT_FINITE,
        "Fail the scan: a NaN would spread through resampling and statistics.",
        series=_break_voxels,
    ),
    Defect.STORED_CORONAL: Planting(
        _IMAGE_FILES,
        None,
        "Go through, labelmap on the very grid as delivered, volumes as of the axial image.",
        series=_store_as("LIP"),  # coronal slices
    ),
    Defect.FLIPPED: Planting(
        _IMAGE_FILES,
        None,
        "Go through, left and right by the affine and never by the order of the voxels.",
        series=_store_as("RPI"),  # from left to right, head to foot
    ),
}
