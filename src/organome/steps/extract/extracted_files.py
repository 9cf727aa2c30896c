"""One labelmap in the format that somebody asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import assert_never

import SimpleITK as sitk

from organome import __version__
from organome.compute.labelmaps.remapping import label_extents
from organome.domain.errors import ScanError
from organome.domain.organ_codes import codes_of
from organome.domain.outcomes import Outcome, Reason
from organome.domain.schemes import LabelScheme
from organome.io.files.atomic import write_bytes_atomic
from organome.io.images.labelmaps import label_table, labelmap_content, read_labelmap
from organome.io.viewers.dicom_segmentations import (
    CodedLabel,
    Origin,
    SegmentationType,
    write_dicom_segmentation,
)
from organome.io.viewers.itk_snap import write_label_descriptions
from organome.io.viewers.slicer import SUFFIX, Segment, write_slicer_segmentation
from organome.steps.extract.source_series import find_labelled_series


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
            write_label_descriptions(description, label_table(labelled.scheme).labels)
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
    extents = label_extents(labelmap)
    segments = [
        Segment(one.label, one.codes, extents[one.label.label])
        for one in _coded_labels(labelled.scheme)
        if one.label.label in extents
    ]
    write_slicer_segmentation(folder / f"{labelled.outcome.scan}{SUFFIX}", labelmap, segments)


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
        labels=_coded_labels(labelled.scheme),
        origin=_origin_of(labelled),
        kind=kind,
    )


def _coded_labels(scheme: LabelScheme) -> list[CodedLabel]:
    """Name the structures of a scheme in words and codes."""
    names = label_table(scheme).labels
    return [
        CodedLabel(named, codes_of(structure))
        for named, structure in zip(names, scheme.structures, strict=True)
    ]


def _origin_of(labelled: Labelled) -> Origin:
    """Return who made a labelmap."""
    facts = labelled.outcome.facts
    if facts["source"] == "model":
        model = f"model {facts['model_name']}, sha256 {facts['model_digest']}"
        return Origin("Organome", __version__, labelled.made, model)
    given = f"labelmap as the cohort has it, scheme {labelled.scheme.name}"
    return Origin(labelled.scheme.name, "unknown", labelled.made, given)
