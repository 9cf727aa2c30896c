"""The DICOM series that a labelmap was drawn on, found again by where it lies in the body."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk
from pydicom.dataset import Dataset

from organome.cohorts.dixon import series_contrast
from organome.cohorts.series import Series, group_series
from organome.compute.geometry.grids import orientation_code, share_grid
from organome.domain.errors import ScanError
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import Scan, Source
from organome.io.dicom.slices import parse_slices, read_folder
from organome.io.dicom.voxels import set_grid
from organome.io.files.archives import ARCHIVE_SUFFIX, read_members
from organome.io.viewers.dicom_segmentations import read_headers

_MIN_SLICES = 2


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """A series and the labels on it.

    Attributes:
        headers: Header of each slice, without voxels.
        labelmap: The labels, one plane for each slice, axes as the series has them.
    """

    headers: tuple[Dataset, ...]
    labelmap: sitk.Image


def dicom_sources(scan: Scan, contrast: str) -> list[Path]:
    """Name folders and archives in which the series of a scan and contrast may be.

    Raises:
        ScanError: FORMAT_UNKNOWN if the scan was not delivered as DICOM.
    """
    shown = [one for one in scan.sources if one.contrast in (None, contrast)]
    paths = [Path(one.path) for one in shown if _may_hold_dicom(one)]
    if not paths:
        raise ScanError(Reason.FORMAT_UNKNOWN, "the scan was not delivered as DICOM")
    return paths


def find_labelled_series(
    paths: Sequence[Path], labelmap: sitk.Image, contrast: str
) -> LabelledSeries:
    """Find the series on whose voxels a labelmap lies.

    A labelmap may have fewer slices than the series, and its axes may run otherwise: an image that
    came as NIfTI is found on the series that it was made of. Of several series on the same voxels
    the one of the labelled contrast is taken, of repeats the last one.

    Args:
        paths: Folders or archives of DICOM files.
        labelmap: The labels.
        contrast: Contrast that was labelled.

    Raises:
        ScanError: GRIDS_DIFFER if there is no such series (a stitched image has none), or what is
            wrong with the files.
    """
    found = [
        (path, series, *match)
        for path in paths
        for series in _series_in(path)
        if (match := _matching_slices(series, labelmap)) is not None
    ]
    if not found:
        raise ScanError(
            Reason.GRIDS_DIFFER,
            "no DICOM series lies on the voxels of the labelmap; a stitched image is of several",
        )
    of_contrast = [one for one in found if series_contrast(one[1]) == contrast]
    path, _, slices, oriented = (of_contrast or found)[-1]
    headers = read_headers(_files(path), [header.file for header in slices])
    return LabelledSeries(tuple(headers), oriented)


def _may_hold_dicom(source: Source) -> bool:
    path = Path(source.path)
    return path.suffix == ARCHIVE_SUFFIX or path.is_dir()


def _series_in(path: Path) -> tuple[Series, ...]:
    return group_series(one.header for one in parse_slices(_files(path)))


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    return read_folder(path) if path.is_dir() else read_members(path)


def _matching_slices(
    series: Series, labelmap: sitk.Image
) -> tuple[tuple[Header, ...], sitk.Image] | None:
    """Find the slices that a labelmap covers, and turn its axes to theirs."""
    if series.fault is not None or len(series.slices) < _MIN_SLICES:
        return None
    whole = _grid_of(series.slices)
    oriented = sitk.DICOMOrient(labelmap, orientation_code(whole))
    first_mm = sum(a * b for a, b in zip(oriented.GetOrigin(), series.first.normal, strict=True))
    start = round((first_mm - series.first.offset_mm) / series.step_mm)
    n_slices = oriented.GetSize()[2]
    if start < 0 or start + n_slices > len(series.slices) or n_slices < _MIN_SLICES:
        return None
    slices = series.slices[start : start + n_slices]
    return (slices, oriented) if share_grid(_grid_of(slices), oriented) else None


def _grid_of(slices: Sequence[Header]) -> sitk.Image:
    """Make an empty image where slices lie."""
    grid = sitk.Image((*slices[0].size_xy, len(slices)), sitk.sitkUInt8)
    set_grid(grid, slices)
    return grid
