"""DICOM segmentations: labels as a DICOM object that belongs to the series they were drawn on.

What the series says of participant and study stands in the object too, because DICOM wants it
there: whoever may not have the series may not have this. Identifiers are digests of what is in the
object and the time is that at which the labels were made, so the same labels give the same bytes.

Source: DICOM PS3.3 A.51 and C.8.20 (segmentation), PS3.16 CID 7150, 7151, 244; made by highdicom.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Final, Literal

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)

from organome import __version__
from organome.domain.errors import ScanError
from organome.domain.geometry import MAX_VOXELS
from organome.domain.organ_codes import PRIVATE, Code, codes_of, colour_of
from organome.domain.organs import Organ
from organome.domain.outcomes import Reason
from organome.io.files.atomic import atomic_path
from organome.io.files.delivered import check_file, is_folder, refusing
from organome.io.images.reading import Delivered

SegmentationType = Literal["binary", "labelmap"]
_NEEDED: Final = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
# Type 2 in DICOM: must be there and may be empty. Pseudonymised series lack some altogether.
_MAY_BE_EMPTY: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
_LABELMAP_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.7"  # newer than pydicom's dictionary
_SEGMENTATIONS: Final = (SegmentationStorage, _LABELMAP_SEGMENTATION)
_OFF_STEP: Final = 0.01  # of a slice
_SERIES_NUMBER: Final = 7000  # far above what scanners give
_MAX_SHORT_TEXT: Final = 64  # of LO
_PRIVATE_SCHEME: Final = "Structures of Organome without a code elsewhere"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made the labels.

    Attributes:
        algorithm: Name of the program, or of what is known of the tool that made them.
        version: Its version.
        made: When.
        description: All else that is known of it, in a line.
    """

    algorithm: str
    version: str
    made: datetime
    description: str


def read_headers(files: Iterable[tuple[str, bytes]], names: Sequence[str]) -> list[Dataset]:
    """Read whole headers of DICOM files, without voxels.

    Args:
        files: Name and content of each; others may be among them.
        names: Those that are wanted, in order.

    Raises:
        ScanError: FILE_BROKEN if a header lacks what a segmentation must say of its source.
    """
    wanted = set(names)
    with _quiet():
        found = {
            name: pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
            for name, content in files
            if name in wanted
        }
    headers: list[Dataset] = [found[name] for name in names]
    for name, header in zip(names, headers, strict=True):
        for keyword in _NEEDED:
            if not header.get(keyword):
                raise ScanError(Reason.FILE_BROKEN, f"{name} has no {keyword}")
        for keyword in _MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, "")
    return headers


def write_dicom_segmentation(
    path: Path,
    labels_zyx: npt.NDArray[np.uint8],
    headers: Sequence[Dataset],
    *,
    structures: Sequence[Organ],
    origin: Origin,
    kind: SegmentationType = "binary",
) -> None:
    """Write labels as a DICOM segmentation; equal ones give equal bytes.

    Args:
        path: Where, ``.dcm``.
        labels_zyx: One plane for each header, on the very grid of it.
        headers: Headers of the slices that the labels were drawn on.
        structures: What the labels mean; those without a voxel get no segment.
        origin: Who made them.
        kind: ``binary`` has a plane of bits for each segment and slice, and every viewer shows it;
            ``labelmap``, of 2024, has one plane a slice and keeps the label values.

    Raises:
        ScanError: FILE_BROKEN if a header breaks the standard where it matters.
        ValueError: If no label has a voxel, or one has no meaning.
    """
    segments = _segments(labels_zyx, structures)
    seed = _seed(labels_zyx, headers, origin, kind)
    numbers = _numbers(segments, kind)
    renumbering = np.zeros(256, np.uint8)
    renumbering[list(numbers)] = list(numbers.values())
    try:
        with _quiet():
            made = hd.seg.Segmentation(
                source_images=headers,
                pixel_array=renumbering[labels_zyx],
                segmentation_type=kind.upper(),
                segment_descriptions=[
                    _description(one, numbers[one.label], origin) for one in segments
                ],
                series_instance_uid=_uid(*seed, "series"),
                series_number=_SERIES_NUMBER,
                sop_instance_uid=_uid(*seed, "instance"),
                instance_number=1,
                manufacturer="Organome",
                manufacturer_model_name="Organome",
                software_versions=__version__,
                device_serial_number="0",
                content_label="ORGANS",
                content_description=origin.description[:_MAX_SHORT_TEXT],
                transfer_syntax_uid=ExplicitVRLittleEndian if kind == "binary" else RLELossless,
                coding_schemes=_private_scheme(segments),
                series_description=f"Organs, {origin.algorithm}"[:_MAX_SHORT_TEXT],
                content_date=origin.made.date(),
                content_time=origin.made.time(),
                series_date=origin.made.date(),
                series_time=origin.made.time(),
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Its message holds header texts, and so may name the participant.
        fact = f"headers of the series break the standard ({type(error).__name__})"
        raise ScanError(Reason.FILE_BROKEN, fact) from error
    _make_reproducible(made, seed)
    with atomic_path(path) as temporary, _quiet():
        made.save_as(temporary, enforce_file_format=True)


def read_dicom_segmentation(path: Path) -> Delivered:
    """Read a DICOM segmentation as a labelmap.

    Args:
        path: The object, or a folder that holds it and nothing else.

    Returns:
        The labelmap, each value the number of a segment; frames without labels may be missing at
        its ends. Names are those of the segments.

    Raises:
        ScanError: FORMAT_UNKNOWN if it is another object, or a segmentation of fractions; NOT_3D if
            segments overlap or frames are not slices of one volume; FILE_BROKEN.
    """
    if is_folder(path):
        with refusing(Reason.FILE_BROKEN, "the folder cannot be read"):
            files = [one for one in sorted(path.iterdir()) if not one.name.startswith(".")]
        if len(files) != 1:
            fact = f"a folder of {len(files)} files, one DICOM segmentation needed"
            raise ScanError(Reason.FORMAT_UNKNOWN, fact)
        path = files[0]
    check_file(path)
    with refusing(Reason.FILE_BROKEN, "not a DICOM segmentation that can be read"), _quiet():
        sop_class = pydicom.dcmread(path, specific_tags=["SOPClassUID"]).get("SOPClassUID")
        if sop_class not in _SEGMENTATIONS:
            raise ScanError(Reason.FORMAT_UNKNOWN, "a DICOM object, but not a segmentation")
        dataset = pydicom.dcmread(path)
        _state_spacing(dataset)
        found = hd.seg.Segmentation.from_dataset(dataset, copy=False)
        if found.segmentation_type == hd.seg.SegmentationTypeValues.FRACTIONAL:
            raise ScanError(Reason.FORMAT_UNKNOWN, "a segmentation of fractions, not of labels")
        names = {
            int(number): str(found.get_segment_description(number).segment_label)
            for number in found.segment_numbers
        }
        geometry = found.get_volume_geometry(allow_missing_positions=True)
        if geometry is None:
            raise ScanError(Reason.NOT_3D, "frames are not slices of one volume")
        # Missing frames are filled: two that lie far apart may declare any number.
        if (n_voxels := prod(geometry.spatial_shape)) > MAX_VOXELS:
            raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, f"{n_voxels} voxels")
        try:
            volume = found.get_volume(combine_segments=True)
        except RuntimeError as error:
            fact = "segments overlap, so that voxels have two labels"
            raise ScanError(Reason.NOT_3D, fact) from error
        return Delivered(volume.to_simpleitk(), names=names, is_part=True)


def _state_spacing(dataset: Dataset) -> None:
    """State how far frames lie apart where the object does not: slices without labels have none.

    Their distance is the thickness if all distances are multiples of it, else the least distance.
    """
    (shared,) = dataset.SharedFunctionalGroupsSequence
    measures = shared.get("PixelMeasuresSequence")
    orientation = shared.get("PlaneOrientationSequence")
    if not measures or measures[0].get("SpacingBetweenSlices") or not orientation:
        return
    cosines = np.reshape(orientation[0].ImageOrientationPatient, (2, 3)).astype(float)
    positions = [
        frame.PlanePositionSequence[0].ImagePositionPatient
        for frame in dataset.PerFrameFunctionalGroupsSequence
    ]
    offsets_mm = np.unique(np.round(np.asarray(positions, float) @ np.cross(*cosines), 3))
    if len(offsets_mm) < 2:
        return
    steps_mm = np.diff(offsets_mm)
    thickness_mm = float(measures[0].get("SliceThickness") or 0)
    step_mm = float(steps_mm.min())
    if thickness_mm > 0:
        n_slices = steps_mm / thickness_mm
        if n_slices.min() > 0.5 and np.abs(n_slices - np.round(n_slices)).max() < _OFF_STEP:
            step_mm = thickness_mm
    measures[0].SpacingBetweenSlices = step_mm


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what highdicom and pydicom say of headers: it holds names of participants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _segments(labels_zyx: npt.NDArray[np.uint8], structures: Sequence[Organ]) -> list[Organ]:
    present = set(np.flatnonzero(np.bincount(labels_zyx.ravel(), minlength=256)).tolist()) - {0}
    segments = [one for one in structures if one.label in present]
    if unknown := present - {one.label for one in segments}:
        raise ValueError(f"labels without a meaning: {sorted(unknown)}")
    if not segments:
        raise ValueError("no label has a voxel")
    return segments


def _numbers(segments: Sequence[Organ], kind: SegmentationType) -> dict[int, int]:
    """Number segments by label; binary ones must be numbered without gaps."""
    if kind == "labelmap":
        return {one.label: one.label for one in segments}
    return {one.label: number for number, one in enumerate(segments, start=1)}


def _description(one: Organ, number: int, origin: Origin) -> hd.seg.SegmentDescription:
    coded = codes_of(one)
    made = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=one.name[:_MAX_SHORT_TEXT],
        segmented_property_category=_concept(coded.category),
        segmented_property_type=_concept(coded.kind),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=origin.algorithm[:_MAX_SHORT_TEXT],
            family=codes.cid7162.ArtificialIntelligence,
            version=origin.version,
        ),
        display_color=hd.color.CIELabColor.from_rgb(*colour_of(one)),
    )
    made.SegmentDescription = f"{one.name}, label {one.label}; {origin.description}"
    if coded.side is not None:
        kind = made.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(coded.side)]
    return made


def _concept(code: Code) -> hd.sr.CodedConcept:
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _private_scheme(segments: Sequence[Organ]) -> list[CodingSchemeIdentificationItem] | None:
    if all(codes_of(one).kind.scheme != PRIVATE for one in segments):
        return None
    return [CodingSchemeIdentificationItem(designator=PRIVATE, name=_PRIVATE_SCHEME)]


def _seed(
    labels_zyx: npt.NDArray[np.uint8],
    headers: Sequence[Dataset],
    origin: Origin,
    kind: SegmentationType,
) -> tuple[str, ...]:
    """Return all that distinguishes this object from any other."""
    voxels = hashlib.sha256(labels_zyx.tobytes()).hexdigest()
    sources = [str(header.SOPInstanceUID) for header in headers]
    made_by = (origin.algorithm, origin.version, origin.description, origin.made.isoformat())
    return (kind, voxels, *made_by, *sources)


def _make_reproducible(made: hd.seg.Segmentation, seed: Sequence[str]) -> None:
    """Replace what comes from the clock or from chance."""
    made.InstanceCreationDate = made.ContentDate
    made.InstanceCreationTime = made.ContentTime
    for item in made.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = f"{made.ContentDate}{made.ContentTime}"
    dimensions = _uid(*seed, "dimensions")
    for item in made.get("DimensionOrganizationSequence", ()):
        item.DimensionOrganizationUID = dimensions
    for item in made.get("DimensionIndexSequence", ()):
        item.DimensionOrganizationUID = dimensions


def _uid(*parts: str) -> UID:
    return generate_uid(entropy_srcs=["organome", *parts])
