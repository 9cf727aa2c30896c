"""One labelmap in the format that was asked for.

For DICOM, the series that it was drawn on is found again by where it lies in the body.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import assert_never

import SimpleITK as sitk
from pydicom.dataset import Dataset

from organome import __version__
from organome.cohorts.dixon import series_contrast
from organome.cohorts.series import Series, group_series
from organome.cohorts.ukb import own_sources
from organome.compute.geometry.grids import orientation_code, share_grid
from organome.compute.labelmaps.remapping import label_extents
from organome.domain.errors import ScanError
from organome.domain.headers import Header
from organome.domain.outcomes import Outcome, Reason
from organome.domain.scans import Scan, Source
from organome.domain.schemes import LabelScheme
from organome.io.dicom.slices import parse_files, read_folder
from organome.io.dicom.voxels import set_grid
from organome.io.files.archives import ARCHIVE_SUFFIX, read_members
from organome.io.files.atomic import write_bytes_atomic
from organome.io.files.delivered import is_folder
from organome.io.images.labelmaps import labelmap_content, read_labelmap
from organome.io.viewers.dicom_segmentations import (
    Origin,
    SegmentationType,
    read_headers,
    write_dicom_segmentation,
)
from organome.io.viewers.itk_snap import write_label_descriptions
from organome.io.viewers.slicer import SUFFIX, write_slicer_segmentation

_MIN_SLICES = 2


class Format(StrEnum):
    """What a labelmap can be extracted as."""

    NIFTI = "nifti"
    ITK_SNAP = "itk-snap"
    SEG_NRRD = "seg-nrrd"
    DICOM_SEG = "dicom-seg"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A published labelmap and all that is known of it.

    Attributes:
        path: Where it lies, unless it is packed.
        outcome: How it was made.
        made: When.
        scheme: What its labels mean.
    """

    path: Path
    outcome: Outcome
    made: datetime
    scheme: LabelScheme


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """A series and the labels on it.

    Attributes:
        headers: Header of each slice, without voxels.
        labelmap: The labels, one plane for each slice, axes as the series has them.
    """

    headers: tuple[Dataset, ...]
    labelmap: sitk.Image


def write_as(
    wanted: Format,
    labelled: Labelled,
    folder: Path,
    *,
    sources: Callable[[], Sequence[Path]],
    segmentation_type: SegmentationType,
) -> None:
    """Write a labelmap in a format.

    Args:
        wanted: The format.
        labelled: The labelmap.
        folder: Where.
        sources: Says where its DICOM series may be; for DICOM.
        segmentation_type: Of a DICOM segmentation.

    Raises:
        ScanError: If it is broken or cannot be written so.
    """
    match wanted:
        case Format.NIFTI:
            _write_nifti(labelled, folder)
        case Format.ITK_SNAP:
            _write_nifti(labelled, folder)
            description = folder / f"{labelled.path.name.removesuffix('.nii.gz')}.txt"
            write_label_descriptions(description, labelled.scheme.structures)
        case Format.SEG_NRRD:
            _write_seg_nrrd(labelled, folder)
        case Format.DICOM_SEG:
            _write_dicom_seg(labelled, folder, sources=sources(), kind=segmentation_type)
        case _:
            assert_never(wanted)


def _write_nifti(labelled: Labelled, folder: Path) -> None:
    """Write it as it was published, byte for byte."""
    write_bytes_atomic(folder / labelled.path.name, labelmap_content(labelled.path))


def _write_seg_nrrd(labelled: Labelled, folder: Path) -> None:
    """Write it as a segmentation of 3D Slicer, a segment for each structure that is there."""
    labelmap = read_labelmap(labelled.path)
    path = folder / f"{labelled.outcome.scan}{SUFFIX}"
    structures = labelled.scheme.structures
    write_slicer_segmentation(path, labelmap, structures, label_extents(labelmap))


def _write_dicom_seg(
    labelled: Labelled, folder: Path, *, sources: Sequence[Path], kind: SegmentationType
) -> None:
    """Write it as a DICOM segmentation of the series that it was drawn on."""
    facts = labelled.outcome.facts
    labelmap = read_labelmap(labelled.path)
    series = find_labelled_series(sources, labelmap, str(facts["contrast"]))
    labels_zyx = sitk.GetArrayFromImage(series.labelmap)
    if not labels_zyx.any():
        raise ScanError(Reason.CONSTANT_IMAGE, "no structure was found, and DICOM needs a segment")
    write_dicom_segmentation(
        folder / f"{labelled.outcome.scan}_seg.dcm",
        labels_zyx,
        series.headers,
        structures=labelled.scheme.structures,
        origin=_origin_of(labelled),
        kind=kind,
    )


def _origin_of(labelled: Labelled) -> Origin:
    """Return who made a labelmap."""
    facts = labelled.outcome.facts
    if facts["source"] == "model":
        model = f"model {facts['model_name']}, sha256 {facts['model_digest']}"
        return Origin("Organome", __version__, labelled.made, model)
    given = f"labelmap as the cohort has it, scheme {labelled.scheme.name}"
    return Origin(labelled.scheme.name, "unknown", labelled.made, given)


def dicom_sources(scan: Scan, contrast: str) -> list[Path]:
    """Name folders and archives in which the series of a scan and contrast may be.

    Raises:
        ScanError: FORMAT_UNKNOWN if the scan was not delivered as DICOM.
    """
    shown = [one for one in own_sources(scan) if one.contrast in (None, contrast)]
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
    if any(header.frame for header in slices):
        raise ScanError(Reason.FORMAT_UNKNOWN, "not made for series in multi-frame files")
    headers = read_headers(_files(path), [header.file for header in slices])
    return LabelledSeries(tuple(headers), oriented)


def _may_hold_dicom(source: Source) -> bool:
    path = Path(source.path)
    return path.suffix.lower() == ARCHIVE_SUFFIX or is_folder(path)


def _series_in(path: Path) -> tuple[Series, ...]:
    return group_series(one.header for one in parse_files(_files(path)).slices)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    return read_folder(path) if is_folder(path) else read_members(path)


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
