"""What decisions about DICOM series are made from: a few facts per slice, no name and no date."""

import re
from dataclasses import dataclass, replace
from functools import cached_property
from math import hypot
from typing import Final, TypeAlias

from organome.domain.covariates import UNKNOWN, Covariates
from organome.domain.flags import Flag
from organome.domain.outcomes import Reason

Condition: TypeAlias = int | float | str | None

# Of what `Header.conditions` holds one value each, in this order.
CONDITIONS: Final = (
    "acquisition number",
    "echo time",
    "echo number",
    "inversion time",
    "flip angle",
    "b-value",
    "kernel",
    "temporal position",
    "trigger time",
)


# Lowest and highest value that is believed, by DICOM's keyword and in its unit; zero is how
# scanners write that nobody entered it.
PLAUSIBLE: Final = {
    "MagneticFieldStrength": (0.01, 25.0),
    "KVP": (10.0, 500.0),
    "PatientSize": (0.3, 2.6),
    "PatientWeight": (0.3, 600.0),
}


# PatientPosition, PS3.3 C.7.3.1.1.2.
PATIENT_POSITIONS: Final = (
    *("HFP", "HFS", "HFDR", "HFDL", "FFP", "FFS", "FFDR", "FFDL"),
    *("LFP", "LFS", "RFP", "RFS", "AFDR", "AFDL", "PFDR", "PFDL"),
)
_NO_AGENT: Final = frozenset({"none", "no", "n", "n/a", "na", "without", "native", "0"})
# What coils are called by: words, and elements of arrays such as HE1-4, SP1 or BC.
_COIL_WORDS: Final = frozenset(
    {
        *("body", "head", "neck", "spine", "torso", "trunk", "knee", "cardiac", "card", "abdomen"),
        *(
            "pelvis",
            "shoulder",
            "breast",
            "array",
            "matrix",
            "coil",
            "flex",
            "surface",
            "sense",
            "quad",
        ),
        *(
            "large",
            "small",
            "anterior",
            "posterior",
            "left",
            "right",
            "ch",
            "q",
            "t",
            "r",
            "x",
            "xl",
        ),
        *("l", "m", "s", "h", "hn", "he", "hea", "hep", "ne", "nec", "sp", "bc", "bo", "pa", "ta"),
    }
)
_COIL_PARTS: Final = re.compile(r"([A-Za-z]+)|(?<!\d)\d{1,3}(?!\d)|[ _+/;,.-]")


def agent_given(text: str | None) -> bool | None:
    """Return whether a text names a contrast agent, None if it is empty; never which one."""
    word = (text or "").strip().lower()
    return word not in _NO_AGENT if word else None


def coil_name(text: str | None) -> str | None:
    """Return the name of a coil, None if other words are in it: a person may have typed it."""
    if not text or _COIL_PARTS.sub("", text):
        return None
    words = {one.lower() for one in _COIL_PARTS.findall(text) if one}
    return text if words and words <= _COIL_WORDS else None


def patient_position(text: str | None) -> str | None:
    """Return how the participant lay in the scanner, None if it is none of the standard's words."""
    word = (text or "").strip().upper()
    return word if word in PATIENT_POSITIONS else None


@dataclass(frozen=True)
class Header:
    """Facts of one slice: of a DICOM file, or of a frame of a multi-frame one.

    The file's name and the texts serve decisions only. None of them goes into a table or a log,
    save manufacturer, model and software of the scanner, and the kernel.

    Attributes:
        file: Name within the archive or folder.
        series_uid: SeriesInstanceUID.
        series_number: SeriesNumber, None if absent.
        series_description: SeriesDescription, empty if absent.
        series_time: SeriesDate and SeriesTime run together, so that later ones sort after earlier
            ones; empty if absent.
        image_type: ImageType, upper case.
        instance_number: InstanceNumber, None if absent.
        modality: Modality: ``MR``, ``CT``.
        size_xy: Columns and rows.
        spacing_xy_mm: Distance between columns and between rows.
        position_xyz_mm: Centre of the first pixel, LPS.
        orientation: Direction cosines of a row, then of a column, LPS.
        manufacturer: Maker of the scanner.
        scanner_model: Model of the scanner.
        field_strength_t: Magnetic field.
        height_m: Height of the participant.
        weight_kg: Weight of the participant.
        frame: Which frame of the file it is, from 0 on.
        conditions: How it was acquired, None each where the header does not say: what tells slices
            at one position apart. See ``CONDITIONS``.
        acquired_at: Date and time at which it was acquired, or its content was made; empty if
            absent. Later ones sort after earlier ones.
        slice_thickness_mm: Thickness of the slice.
        slice_spacing_mm: Distance between slices as the header has it; geometry is by positions.
        software_version: Of the scanner.
        repetition_time_ms: Of MRI.
        echo_time_ms: Of MRI.
        flip_angle_deg: Of MRI.
        tube_voltage_kv: Of CT.
        kernel: Reconstruction kernel of CT.
        frame_of_reference_uid: FrameOfReferenceUID, empty if absent; for comparison alone.
        covariates: Sex, age and month of the scan, which leave on request only.
        contrast_agent: Whether one is named.
        receive_coil: Its name, if that is only made of words for coils.
        patient_position: How the participant lay: ``HFS`` ...
        flags: What was odd about the file.
        fault: Why its series is not whole though the slices may look so, None if nothing is known.
    """

    file: str
    series_uid: str
    series_number: int | None
    series_description: str
    series_time: str
    image_type: tuple[str, ...]
    instance_number: int | None
    modality: str
    size_xy: tuple[int, int]
    spacing_xy_mm: tuple[float, float]
    position_xyz_mm: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    manufacturer: str | None = None
    scanner_model: str | None = None
    field_strength_t: float | None = None
    height_m: float | None = None
    weight_kg: float | None = None
    frame: int = 0
    conditions: tuple[Condition, ...] = (None,) * len(CONDITIONS)
    acquired_at: str = ""
    slice_thickness_mm: float | None = None
    slice_spacing_mm: float | None = None
    software_version: str | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    flip_angle_deg: float | None = None
    tube_voltage_kv: float | None = None
    kernel: str | None = None
    frame_of_reference_uid: str = ""
    covariates: Covariates = UNKNOWN
    contrast_agent: bool | None = None
    receive_coil: str | None = None
    patient_position: str | None = None
    flags: frozenset[Flag] = frozenset()
    fault: tuple[Reason, str] | None = None

    @property
    def facts(self) -> "Header":
        """The header without the name of its file, for comparison."""
        return replace(self, file="")

    @cached_property
    def normal(self) -> tuple[float, float, float]:
        """Unit vector of the slice, right-handed with row and column, however rounded these are."""
        rx, ry, rz, cx, cy, cz = self.orientation
        across = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)
        length = hypot(*across) or 1.0
        return (across[0] / length, across[1] / length, across[2] / length)

    @cached_property
    def offset_mm(self) -> float:
        """Position of the slice along its own normal: what slices are ordered by."""
        return sum(p * n for p, n in zip(self.position_xyz_mm, self.normal, strict=True))
