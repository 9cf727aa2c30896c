"""Elements of DICOM headers, wherever they stand: in the file, or in its functional groups.

What decides on geometry and voxels must be in order. What is only of interest may break the
standard: it is read with a comma for a decimal point where that helps, else it counts as absent.

Source: DICOM PS3.3 C.7.6.16.2 (functional group macros), C.8.13 (enhanced MR), C.8.15 (enhanced
CT), C.11.1 (modality lookup table); PS3.5 6.2 (decimal and integer strings). Philips' private
scaling as in its conformance statements and Chenevert et al. 2014.
"""

import re
from collections.abc import Iterator, MutableSequence
from functools import cache, lru_cache
from math import isfinite
from typing import Any, Final, cast

from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import BaseTag, Tag

from organome.domain.covariates import Covariates, age_at, read_age_years, read_month, read_sex
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import (
    PLAUSIBLE,
    Condition,
    Header,
    agent_given,
    coil_name,
    patient_position,
)
from organome.domain.outcomes import Reason

PIXELS: Final = "PixelData"
SHARED: Final = "SharedFunctionalGroupsSequence"
PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"
TABLE: Final = "ModalityLUTSequence"
PHILIPS_SCALE_SLOPE: Final = Tag(0x2005, 0x100E)
MAX_FRAMES: Final = 20_000
MAX_LETTERS: Final = 64  # of a LO, PS3.5 6.2
MAX_RESCALE: Final = 1e9
_ELEMENTS: Final = (
    "SOPClassUID",
    "ImageType",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "ContentDate",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
    "Modality",
    "Manufacturer",
    "SeriesDescription",
    "ManufacturerModelName",
    "PatientSize",
    "PatientWeight",
    "SliceThickness",
    "EchoTime",
    "InversionTime",
    "EchoNumbers",
    "MagneticFieldStrength",
    "SpacingBetweenSlices",
    "TriggerTime",
    "ConvolutionKernel",
    "ContrastBolusAgent",
    "ContrastBolusAgentSequence",
    "ReceiveCoilName",
    "PatientPosition",
    "SoftwareVersions",
    "RepetitionTime",
    "KVP",
    "FlipAngle",
    "DiffusionBValue",
    "PatientSex",
    "PatientAge",
    "PatientBirthDate",
    "StudyDate",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SeriesNumber",
    "AcquisitionNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "TemporalPositionIdentifier",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    TABLE,
    SHARED,
    PER_FRAME,
    PIXELS,
)
# Where functional groups have another name for what single-slice objects call so.
_NAMES_IN_GROUPS: Final = {
    "ImageType": "FrameType",
    "EchoTime": "EffectiveEchoTime",
    "InversionTime": "InversionTimes",
    "AcquisitionNumber": "FrameAcquisitionNumber",
    "AcquisitionDateTime": "FrameAcquisitionDateTime",
    "TemporalPositionIdentifier": "TemporalPositionIndex",
    "TriggerTime": "NominalCardiacTriggerDelayTime",
}


_MAX_CONVERTED_BYTES: Final = 256
# Value representations whose values depend on nothing else in the file; texts only if all letters
# are the same in all character sets.
_WITH_LETTERS: Final = frozenset({"LO", "SH"})
_CONVERTED_ONCE: Final = _WITH_LETTERS | {
    *("AS", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "SL", "SS", "TM", "UI", "UL", "US")
}
_ASCII: Final = bytes(set(range(0x20, 0x7E)) - set(b"\\"))


@lru_cache(maxsize=1)
def tags_to_read() -> dict[int, BaseTag]:
    """Return the elements that anything is made of, by number."""
    tags = [*(Tag(keyword) for keyword in _ELEMENTS), PHILIPS_SCALE_SLOPE]
    return {int(tag): tag for tag in tags}


# Facts by what files say that are alike, and whether anything was odd; a scan has 24 series.
_KNOWN: Final[dict[Any, tuple[dict[str, Any], bool]]] = {}
_MAX_KNOWN: Final = 64
_WITH_COMMA: Final = re.compile(r"(-?\d+),(\d+)")


@cache
def _tag(keyword: str) -> BaseTag:
    """Return the tag of a keyword; pydicom looks it up each time."""
    return Tag(keyword)


def value_of(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    """Return the value of an element, which is not to be changed.

    The slices of a scan say nearly everything alike, so that each text is converted once.

    Args:
        dataset: With or without the element.
        keyword: The standard's name of it.
        default: For an element that is absent.
    """
    tag = _tag(keyword)
    raw = dataset.get_item(tag)
    if (
        isinstance(raw, RawDataElement)
        and raw.VR in _CONVERTED_ONCE
        and isinstance(raw.value, bytes)
        and len(raw.value) <= _MAX_CONVERTED_BYTES
        and not raw.is_implicit_VR
        and (raw.VR not in _WITH_LETTERS or raw.value.translate(None, _ASCII) == b"")
    ):
        return _converted(tag, raw.VR, raw.value, raw.is_little_endian)
    return dataset[tag].value if raw is not None else default


@lru_cache(maxsize=4096)
def _converted(tag: BaseTag, vr: str, written: bytes, is_little_endian: bool) -> Any:
    raw = RawDataElement(tag, vr, len(written), written, 0, False, is_little_endian)
    return convert_raw_data_element(raw).value


class Elements:
    """The elements that hold for one frame of a file.

    An element is looked for in the functional groups of the frame, then in those that all frames
    share, then in the file, which errors call ``which``.
    """

    def __init__(self, dataset: FileDataset, which: str, *groups: Dataset) -> None:
        self._file = dataset
        self._which = which
        self._groups = groups
        self.is_odd = False

    def frames(self) -> Iterator["Elements"]:
        """Yield the elements of each frame, of a single-slice file its own.

        Raises:
            ScanError: FILE_BROKEN if the groups do not fit the number of frames.
        """
        n_frames = int(self._file.get("NumberOfFrames") or 1)
        per_frame = self._file.get(PER_FRAME) or ()
        if not 0 < n_frames <= MAX_FRAMES or (per_frame and len(per_frame) != n_frames):
            fact = f"{self._which} has groups for {len(per_frame)} of {n_frames} frames"
            raise ScanError(Reason.FILE_BROKEN, fact)
        shared = [_flattened(one) for one in self._file.get(SHARED) or ()][:1]
        if per_frame:
            for group in per_frame:
                yield Elements(self._file, self._which, _flattened(group), *shared)
        else:
            for _ in range(n_frames):
                yield Elements(self._file, self._which, *shared)

    def has(self, keyword: str) -> bool:
        """Return whether an element is there and not empty."""
        return self.value(keyword) not in (None, "")

    def value(self, keyword: str) -> Any:
        """Return an element that must be in order; None if absent."""
        tag = _tag(keyword)
        for group in self._groups:
            for one in (_tag(_NAMES_IN_GROUPS.get(keyword, keyword)), tag):
                if one in group:
                    return group[one].value
        return value_of(self._file, keyword)

    def text(self, keyword: str) -> str | None:
        """Return an optional text, None if absent, empty or unreadable."""
        try:
            value = self.value(keyword)
        except Exception:  # whatever pydicom raises; nothing depends on the text
            self.is_odd = True
            return None
        if value in (None, ""):
            return None
        words = value if isinstance(value, MutableSequence) else [value]
        return ", ".join(str(one).strip() for one in words) or None

    def number(self, keyword: str) -> float | None:
        """Return an optional number; None if absent, unreadable or not plausible."""
        try:
            value = self.value(keyword)
            if value is None or value == "" or (not isinstance(value, str) and not _size(value)):
                return None
            number = float(value[0] if _size(value) > 1 else value)
        except Exception:  # whatever pydicom raises; nothing depends on the number
            self.is_odd = True
            return self._as_written(keyword)
        return self._plausible(keyword, number)

    def integer(self, keyword: str) -> int | None:
        """Return an optional integer; None if absent or unreadable."""
        number = self.number(keyword)
        if number is None:
            return None
        if not number.is_integer():
            self.is_odd = True
            return None
        return int(number)

    def facts_of_series(self) -> dict[str, Any]:
        """Return the facts that slices of a series share, made once for slices that are alike."""
        alike = None if self._groups else getattr(self._file, "alike", None)
        known = _KNOWN.get(alike)
        if known is None:
            was_odd, self.is_odd = self.is_odd, False
            known = _facts_of_series(self), self.is_odd
            self.is_odd |= was_odd
            if alike is not None:
                if len(_KNOWN) >= _MAX_KNOWN:
                    _KNOWN.clear()
                _KNOWN[alike] = known
        facts, is_odd = known
        self.is_odd |= is_odd
        return facts

    def rescale(self) -> tuple[float, float]:
        """Return slope and intercept, 1 and 0 if absent; a slope of 0 counts as absent.

        Raises:
            ScanError: FILE_BROKEN if they cannot be meant.
        """
        slope, intercept = self.value("RescaleSlope"), self.value("RescaleIntercept")
        pair = float(slope or 1) or 1.0, float(intercept or 0)
        if not (abs(pair[0]) <= MAX_RESCALE and abs(pair[1]) <= MAX_RESCALE):
            raise ScanError(
                Reason.FILE_BROKEN, f"{self._which} rescales by {pair[0]:g} and {pair[1]:g}"
            )
        return pair

    def is_rescaled(self) -> bool:
        """Return whether both slope and intercept are there."""
        slope = self.value("RescaleSlope")
        return self.has("RescaleIntercept") and bool(slope) and float(slope) != 0

    def has_sequence(self, keyword: str) -> bool:
        """Return whether the file has a sequence with an item."""
        return bool(self._file.get(keyword))

    def modality_table(self) -> Dataset | None:
        """Return a data set with the modality lookup table, None if there is none."""
        if not self._file.get(TABLE):
            return None
        table = Dataset()
        table[TABLE] = self._file[TABLE]
        table.set_original_encoding(*self._file.original_encoding)  # of words in the table
        return table

    def padding(self, *, bits_stored: int, signed: bool) -> tuple[int, int] | None:
        """Return the range of stored values that stand for nothing, None if there is none.

        A value outside the stored bits is cut to them, as the voxels that hold it are.
        """
        found = [
            self.integer(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")
        ]
        if found[0] is None:
            return None
        bits = int(self._file.get("BitsAllocated", 16))
        ends = [_as_stored(one, bits=bits, signed=signed) for one in found if one is not None]
        low, high = min(ends), max(ends)
        cut = [_as_stored(one, bits=bits_stored, signed=signed) for one in (low, high)]
        if cut[1] - cut[0] != high - low:  # part of the range lies within the stored bits
            return low, high
        return cut[0], cut[1]

    def has_philips_scaling(self) -> bool:
        """Return whether Philips' private slope is there."""
        return any(PHILIPS_SCALE_SLOPE in one for one in (*self._groups, self._file))

    def _as_written(self, keyword: str) -> float | None:
        """Read a number that has a comma for its point."""
        written = getattr(self._file.get_item(_tag(keyword)), "value", None)
        if isinstance(written, bytes):
            written = written.decode("latin-1")
        if not isinstance(written, str):
            return None
        match = _WITH_COMMA.fullmatch(written.strip(" \0"))
        return self._plausible(keyword, float(".".join(match.groups()))) if match else None

    def _plausible(self, keyword: str, number: float) -> float | None:
        """Zero is how scanners write that nobody entered it."""
        low, high = PLAUSIBLE.get(keyword, (-float("inf"), float("inf")))
        if keyword in PLAUSIBLE and number == 0:
            return None
        if isfinite(number) and low <= number <= high:
            return number
        self.is_odd = True
        return None


def read_header(name: str, frame: int, elements: Elements, odd: set[Flag]) -> Header:
    """Make the facts of a slice of its elements.

    Args:
        name: Of the file.
        frame: Which frame of it, from 0 on.
        elements: Of the frame.
        odd: What was odd about the file.
    """
    between_rows_mm, between_columns_mm = map(float, elements.value("PixelSpacing"))
    x_mm, y_mm, z_mm = map(float, elements.value("ImagePositionPatient"))
    rx, ry, rz, cx, cy, cz = map(float, elements.value("ImageOrientationPatient"))
    facts = elements.facts_of_series()
    return Header(
        file=name,
        frame=frame,
        instance_number=elements.integer("InstanceNumber"),
        acquired_at=_acquired_at(elements),
        series_uid=str(elements.value("SeriesInstanceUID")),
        size_xy=(int(elements.value("Columns")), int(elements.value("Rows"))),
        spacing_xy_mm=(between_columns_mm, between_rows_mm),
        position_xyz_mm=(x_mm, y_mm, z_mm),
        orientation=(rx, ry, rz, cx, cy, cz),
        flags=frozenset(odd | ({Flag.HEADER_ODD} if elements.is_odd else set())),
        **facts,
    )


def _facts_of_series(elements: "Elements") -> dict[str, Any]:
    return {
        "series_number": elements.integer("SeriesNumber"),
        "series_description": elements.text("SeriesDescription") or "",
        "series_time": (elements.text("SeriesDate") or "") + (elements.text("SeriesTime") or ""),
        "image_type": _words(elements),
        "modality": elements.text("Modality") or "",
        "manufacturer": elements.text("Manufacturer"),
        "scanner_model": elements.text("ManufacturerModelName"),
        "field_strength_t": elements.number("MagneticFieldStrength"),
        "height_m": elements.number("PatientSize"),
        "weight_kg": elements.number("PatientWeight"),
        "software_version": _short(elements.text("SoftwareVersions")),
        "repetition_time_ms": elements.number("RepetitionTime"),
        "echo_time_ms": elements.number("EchoTime"),
        "flip_angle_deg": elements.number("FlipAngle"),
        "tube_voltage_kv": elements.number("KVP"),
        "kernel": _short(elements.text("ConvolutionKernel")),
        "contrast_agent": elements.has_sequence("ContrastBolusAgentSequence")
        or agent_given(elements.text("ContrastBolusAgent")),
        "receive_coil": coil_name(_short(elements.text("ReceiveCoilName"))),
        "patient_position": patient_position(elements.text("PatientPosition")),
        "conditions": _conditions(elements),
        "slice_thickness_mm": elements.number("SliceThickness"),
        "slice_spacing_mm": elements.number("SpacingBetweenSlices"),
        "frame_of_reference_uid": elements.text("FrameOfReferenceUID") or "",
        "covariates": _covariates(elements),
    }


def _short(text: str | None) -> str | None:
    """Return a text as a table holds it: cut, and without what separates values there."""
    return None if text is None else text[:MAX_LETTERS].replace(";", ",")


def _conditions(elements: Elements) -> tuple[Condition, ...]:
    """Return what ``domain.headers.CONDITIONS`` names, in that order."""
    return (
        elements.integer("AcquisitionNumber"),
        elements.number("EchoTime"),
        elements.integer("EchoNumbers"),
        elements.number("InversionTime"),
        elements.number("FlipAngle"),
        elements.number("DiffusionBValue"),
        elements.text("ConvolutionKernel"),
        elements.integer("TemporalPositionIdentifier"),
        elements.number("TriggerTime"),
    )


def _covariates(elements: Elements) -> Covariates:
    """Read sex, age and month; of dates nothing else is kept."""
    dates = [elements.text(f"{one}Date") for one in ("Acquisition", "Series", "Study")]
    date = next(filter(read_month, dates), None)
    age = read_age_years(elements.text("PatientAge"))
    return Covariates(
        sex=read_sex(elements.text("PatientSex")),
        age_years=age_at(elements.text("PatientBirthDate"), date) if age is None else age,
        acq_month=read_month(date),
    )


def _acquired_at(elements: Elements) -> str:
    whole = elements.text("AcquisitionDateTime")
    times = [
        (elements.text(f"{event}Date") or "") + (elements.text(f"{event}Time") or "")
        for event in ("Content", "Acquisition")
        if elements.text(f"{event}Time")
    ]
    return whole or "/".join(times)


def _words(elements: Elements) -> tuple[str, ...]:
    words = elements.value("ImageType")
    if words is None:
        return ()
    return tuple(str(one).upper() for one in ([words] if isinstance(words, str) else words))


def _flattened(group: Dataset) -> Dataset:
    """Bring the elements of the macros of a functional group to one level.

    Of a private macro only private elements count: Philips repeats the position of a frame there,
    half a pixel aside.
    """
    flat = Dataset()
    for element in group:
        if element.VR == "SQ":
            is_private = element.tag.is_private
            for inner in element.value[:1]:
                flat.update(
                    {
                        one.tag: one
                        for one in inner
                        if one.VR != "SQ" and (one.tag.is_private or not is_private)
                    }
                )
        else:
            flat.add(element)
    return flat


def _as_stored(value: int, *, bits: int, signed: bool) -> int:
    """Return a value as voxels of this kind hold it; its own element may have the other sign."""
    wrapped = value % (1 << bits)
    return wrapped - (1 << bits) if signed and wrapped >= 1 << (bits - 1) else wrapped


def _size(value: Any) -> int:
    """Return how many values an element has."""
    return 1 if isinstance(value, (str, int, float)) else len(cast("list[Any]", value))
