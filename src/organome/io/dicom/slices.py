"""DICOM slices: header facts for decisions; voxels stay encoded until it is decided for a slice.

Each file is parsed once, and only for the elements that are needed. Only single-slice images are
read, no enhanced multi-frame objects.

Source: DICOM PS3.3 C.7.6.2 (image plane: position of the first pixel, row then column cosines),
C.11.1 (rescale slope and intercept).
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from organome.domain.errors import ScanError
from organome.domain.headers import Header
from organome.domain.outcomes import Reason

SUFFIX: Final = ".dcm"
PREAMBLE_BYTES: Final = 128
MAGIC: Final = b"DICM"
PIXELS: Final = "PixelData"
_ELEMENTS: Final = (
    "ImageType",
    "SeriesDate",
    "SeriesTime",
    "Modality",
    "Manufacturer",
    "SeriesDescription",
    "ManufacturerModelName",
    "PatientSize",
    "PatientWeight",
    "MagneticFieldStrength",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
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
    "RescaleIntercept",
    "RescaleSlope",
    PIXELS,
)
_NATIVE: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@dataclass(frozen=True, slots=True)
class DicomSlice:
    """One DICOM file.

    Attributes:
        header: Facts for decisions.
        dataset: Its elements, voxels still encoded.
        content: The whole file where voxels are compressed, else empty.
        slope: Rescale slope; 1 if absent.
        intercept: Rescale intercept; 0 if absent.
    """

    header: Header
    dataset: FileDataset
    content: bytes
    slope: float
    intercept: float


def read_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read the files that lie directly in a folder, by name.

    Yields:
        Name and content of each file.

    Raises:
        ScanError: FILE_MISSING if there is no such folder.
    """
    if not folder.is_dir():
        raise ScanError(Reason.FILE_MISSING, "no folder where the list says")
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path.name, path.read_bytes()


def parse_slices(files: Iterable[tuple[str, bytes]]) -> tuple[DicomSlice, ...]:
    """Parse the image slices among files.

    Files that are no DICOM, and DICOM files without an image plane (reports, screenshots), are left
    out.

    Args:
        files: Name and content of each.

    Raises:
        ScanError: ARCHIVE_EMPTY if there is no slice; FILE_BROKEN or FORMAT_UNKNOWN, naming the
            file.
    """
    n_files = 0
    slices = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on values that break the standard
        for name, content in files:
            n_files += 1
            parsed = _parse_slice(name, content)
            if parsed is not None:
                slices.append(parsed)
    if not slices:
        raise ScanError(Reason.ARCHIVE_EMPTY, f"no DICOM image among {n_files} files")
    return tuple(slices)


def _parse_slice(name: str, content: bytes) -> DicomSlice | None:
    if content[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] != MAGIC:
        if name.lower().endswith(SUFFIX):
            raise ScanError(Reason.FILE_BROKEN, f"{name} is no DICOM file")
        return None
    try:
        dataset = pydicom.dcmread(BytesIO(content), specific_tags=list(_ELEMENTS))
        dataset.buffer = None  # else the whole file stays in memory with it
        if not _is_slice(dataset):
            return None
        if int(dataset.get("NumberOfFrames") or 1) > 1:
            raise ScanError(Reason.FORMAT_UNKNOWN, f"{name} is a multi-frame object")
        return DicomSlice(
            header=_header(name, dataset),
            dataset=dataset,
            content=b"" if _is_native(dataset) else content,
            slope=float(dataset.get("RescaleSlope", 1) or 1),
            intercept=float(dataset.get("RescaleIntercept", 0) or 0),
        )
    except (InvalidDicomError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ScanError(Reason.FILE_BROKEN, f"{name} has a broken header") from error


def _is_slice(dataset: FileDataset) -> bool:
    needed = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", PIXELS)
    return all(keyword in dataset for keyword in needed) and dataset.get("SamplesPerPixel", 1) == 1


def _header(name: str, dataset: FileDataset) -> Header:
    between_rows_mm, between_columns_mm = (float(value) for value in dataset.PixelSpacing)
    x_mm, y_mm, z_mm = (float(value) for value in dataset.ImagePositionPatient)
    rx, ry, rz, cx, cy, cz = (float(value) for value in dataset.ImageOrientationPatient)
    return Header(
        file=name,
        series_uid=str(dataset.SeriesInstanceUID),
        series_number=_integer(dataset.get("SeriesNumber")),
        series_description=str(dataset.get("SeriesDescription") or ""),
        series_time=f"{dataset.get('SeriesDate') or ''}{dataset.get('SeriesTime') or ''}",
        image_type=tuple(str(word).upper() for word in dataset.get("ImageType") or ()),
        instance_number=_integer(dataset.get("InstanceNumber")),
        modality=str(dataset.get("Modality") or ""),
        size_xy=(int(dataset.Columns), int(dataset.Rows)),
        spacing_xy_mm=(between_columns_mm, between_rows_mm),
        position_xyz_mm=(x_mm, y_mm, z_mm),
        orientation=(rx, ry, rz, cx, cy, cz),
        manufacturer=_text(dataset.get("Manufacturer")),
        scanner_model=_text(dataset.get("ManufacturerModelName")),
        field_strength_t=_number(dataset.get("MagneticFieldStrength")),
        height_m=_number(dataset.get("PatientSize")),
        weight_kg=_number(dataset.get("PatientWeight")),
    )


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value else None


def _integer(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _number(value: Any) -> float | None:
    """Read an optional number; 0 is how scanners write that nobody entered it."""
    return float(value) if value else None


def _is_native(dataset: FileDataset) -> bool:
    return dataset.file_meta.TransferSyntaxUID in _NATIVE
