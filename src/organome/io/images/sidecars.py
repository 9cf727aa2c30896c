"""The JSON beside an image, of which a few facts on scanner and participant are read.

Source: BIDS 1.10, "Sidecar JSON"; names as dcm2niix writes them.
"""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from organome.domain.covariates import UNKNOWN, Covariates, read_age_years, read_month, read_sex
from organome.domain.headers import PLAUSIBLE, agent_given, coil_name, patient_position

SIDECAR_SUFFIX: Final = ".json"
MAX_SIDECAR_BYTES: Final = 4 << 20
DECIMALS: Final = 6
MAX_LETTERS: Final = 64  # of a LO in DICOM
_TEXTS: Final = {
    "manufacturer": "Manufacturer",
    "scanner_model": "ManufacturersModelName",
    "software_version": "SoftwareVersions",
    "kernel": "ConvolutionKernel",
}
MS: Final = 1000.0  # times stand there in seconds
# Key, lowest and highest value that is believed, and a factor.
_NUMBERS: Final = {
    "field_strength_t": ("MagneticFieldStrength", *PLAUSIBLE["MagneticFieldStrength"], 1.0),
    "height_m": ("PatientSize", *PLAUSIBLE["PatientSize"], 1.0),
    "weight_kg": ("PatientWeight", *PLAUSIBLE["PatientWeight"], 1.0),
    "slice_thickness_mm": ("SliceThickness", 0.01, 100.0, 1.0),
    "repetition_time_ms": ("RepetitionTime", 1e-4, 100.0, MS),
    "echo_time_ms": ("EchoTime", 1e-6, 10.0, MS),
    "flip_angle_deg": ("FlipAngle", 0.01, 360.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says; an allow-list, so that no name or address passes, of dates the month.

    Attributes:
        manufacturer: Maker of the scanner.
        scanner_model: Model of the scanner.
        field_strength_t: Magnetic field.
        height_m: Height of the participant.
        weight_kg: Weight of the participant.
        slice_thickness_mm: Thickness of a slice.
        software_version: Software of the scanner.
        kernel: Convolution kernel of a CT.
        repetition_time_ms: Repetition time.
        echo_time_ms: Echo time.
        flip_angle_deg: Flip angle.
        covariates: Sex, age and month of the scan, which leave on request only.
        contrast_agent: Whether one is named.
        receive_coil: Its name, if that is only made of words for coils.
        patient_position: How the participant lay.
    """

    manufacturer: str | None = None
    scanner_model: str | None = None
    field_strength_t: float | None = None
    height_m: float | None = None
    weight_kg: float | None = None
    slice_thickness_mm: float | None = None
    software_version: str | None = None
    kernel: str | None = None
    repetition_time_ms: float | None = None
    echo_time_ms: float | None = None
    flip_angle_deg: float | None = None
    covariates: Covariates = UNKNOWN
    contrast_agent: bool | None = None
    receive_coil: str | None = None
    patient_position: str | None = None


def sidecar_path(image: Path) -> Path:
    """Return where the sidecar of an image lies, if it has one: the name less all suffixes."""
    stem = image.stem if image.suffix.lower() == ".gz" else image.name
    return image.with_name(stem.removesuffix(Path(stem).suffix) + SIDECAR_SUFFIX)


def read_sidecar(image: Path) -> Sidecar | None:
    """Read the sidecar of an image; nothing that is wrong with it fails a scan.

    Returns:
        What it says, null where it says nothing that can be; None without a readable one.
    """
    path = sidecar_path(image)
    try:
        if not path.is_file() or path.stat().st_size > MAX_SIDECAR_BYTES:
            return None
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    facts: dict[str, Any] = {name: _text(content.get(key)) for name, key in _TEXTS.items()}
    facts["contrast_agent"] = agent_given(_text(content.get("ContrastBolusIngredient")))
    facts["receive_coil"] = coil_name(_text(content.get("ReceiveCoilName")))
    facts["patient_position"] = patient_position(_text(content.get("PatientPosition")))
    for name, (key, low, high, factor) in _NUMBERS.items():
        number = _number(content.get(key), low, high)
        facts[name] = None if number is None else round(number * factor, DECIMALS)
    return Sidecar(**facts, covariates=_covariates(content))


def _covariates(content: dict[str, Any]) -> Covariates:
    sex, age, *dates = (
        _text(content.get(key))
        for key in ("PatientSex", "PatientAge", "AcquisitionDateTime", "AcquisitionDate")
    )
    months = map(read_month, dates)
    return Covariates(read_sex(sex), read_age_years(age), next(filter(None, months), None))


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return " ".join(value.split())[:MAX_LETTERS] or None


def _number(value: Any, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if isfinite(value) and low <= value <= high else None
