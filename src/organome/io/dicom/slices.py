"""DICOM slices: header facts for decisions; voxels stay encoded until it is decided for a slice.

Each file is parsed once, and only for the elements that are needed. Only single-slice images are
read, no enhanced multi-frame objects. A file is named by its place in the delivery: its own name
may be a person's.

Source: DICOM PS3.3 C.7.6.2 (image plane: position of the first pixel, row then column cosines),
C.11.1 (rescale slope and intercept); PS3.5 A.5 (deflated transfer syntax).
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from math import hypot, isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from organome.domain.errors import ScanError
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.io.files.delivered import check_fetched, check_file, refusing

SUFFIX: Final = ".dcm"
PREAMBLE_BYTES: Final = 128
MAGIC: Final = b"DICM"
PIXELS: Final = "PixelData"
MAX_FILE_BYTES: Final = 2 << 30
MAX_INFLATED_BYTES: Final = 256 << 20
_INFLATED_AT_ONCE_BYTES: Final = 1 << 20
MAX_PIXELS: Final = 1 << 26  # of one slice: 8192 x 8192
MAX_COORDINATE_MM: Final = 1e5
COSINE_SLACK: Final = 0.05  # rounded to few digits, cosines are not quite of length 1
MAX_RESCALE: Final = 1e9
_ELEMENTS: Final = (
    "SOPClassUID",
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
_PLANE: Final = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_NATIVE: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_STANDARD: Final = "1.2.840.10008."
_IMAGE_CLASS: Final = "Image Storage"  # how the standard's names of classes of images end
# Group length of the file meta information: value at byte 140, counted from byte 144 on.
_META_LENGTH_AT: Final = PREAMBLE_BYTES + len(MAGIC) + 8
_META_AT: Final = _META_LENGTH_AT + 4

# Its warnings quote the header, and a log must not.
logging.getLogger("pydicom").propagate = False


@dataclass(frozen=True, slots=True)
class DicomSlice:
    """One DICOM file.

    Attributes:
        header: Facts for decisions.
        which: How errors name the file: ``file 3``.
        encoded: Its voxels as stored, or the whole file where they are compressed.
        stored_type: Type of the voxels as stored, None where they are compressed.
        photometric: PhotometricInterpretation.
        slope: Rescale slope; 1 if absent.
        intercept: Rescale intercept; 0 if absent.
    """

    header: Header
    which: str
    encoded: bytes
    stored_type: np.dtype[Any] | None
    photometric: str
    slope: float
    intercept: float


def read_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read the files that lie directly in a folder, by name.

    Yields:
        Name and content of each file.

    Raises:
        ScanError: FILE_MISSING if there is no such folder, or a link in it leads nowhere;
            FORMAT_UNKNOWN for a FIFO, a socket or a device; FILE_BROKEN for what cannot be read.
    """
    if not folder.is_dir():
        raise ScanError(Reason.FILE_MISSING, "no folder where the list says")
    with refusing(Reason.FILE_BROKEN, "the folder cannot be read"):
        paths = [path for path in sorted(folder.iterdir()) if not path.is_dir()]
    for place, path in enumerate(paths, start=1):
        which = f"file {place} of {len(paths)}"
        try:
            size = check_file(path)
        except ScanError as error:
            raise ScanError(error.reason, f"{which}: {error.fact}") from error
        if size > MAX_FILE_BYTES:
            raise ScanError(Reason.FILE_BROKEN, f"{which} has {size} bytes, no slice does")
        with refusing(Reason.FILE_BROKEN, f"{which} cannot be read"):
            content = path.read_bytes()
        yield path.name, content


def parse_slices(files: Iterable[tuple[str, bytes]]) -> tuple[DicomSlice, ...]:
    """Parse the image slices among files.

    Files that are not DICOM, and DICOM files without an image plane (reports, screenshots), are
    left out, unless they are of one series with slices: then one of those is broken.

    Args:
        files: Name and content of each.

    Raises:
        ScanError: ARCHIVE_EMPTY if there is no slice; FILE_BROKEN, FORMAT_UNKNOWN or
            CONTENT_NOT_FETCHED, with the place of the file.
    """
    n_files = 0
    slices: list[DicomSlice] = []
    others: dict[str, str] = {}  # by series
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on values that break the standard
        for name, content in files:
            n_files += 1
            parsed = _parse_slice(name, content, f"file {n_files}")
            if isinstance(parsed, DicomSlice):
                slices.append(parsed)
            elif parsed is not None:
                others.setdefault(parsed, f"file {n_files}")
    broken = next(
        (others[uid] for uid in {one.header.series_uid for one in slices} & set(others)), None
    )
    if broken is not None:
        fact = f"{broken} is of a series of slices, but without its place or its pixels"
        raise ScanError(Reason.FILE_BROKEN, fact)
    if not slices:
        raise ScanError(Reason.ARCHIVE_EMPTY, f"no DICOM image among {n_files} files")
    return tuple(slices)


def _parse_slice(name: str, content: bytes, which: str) -> DicomSlice | str | None:
    """Parse a file; of a DICOM file that is not a slice, return its series."""
    if content[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] != MAGIC:
        if name.lower().endswith(SUFFIX):
            check_fetched(content)
            raise ScanError(Reason.FILE_BROKEN, f"{which} is not a DICOM file")
        return None
    with refusing(Reason.FILE_BROKEN, f"{which} has a broken header"):
        _check_deflated(content, which)
        dataset = pydicom.dcmread(BytesIO(content), specific_tags=list(_ELEMENTS))
        dataset.buffer = None  # else the whole file stays in memory with it
        if not _is_slice(dataset, which):
            return str(dataset.get("SeriesInstanceUID"))
        if int(dataset.get("NumberOfFrames") or 1) > 1:
            raise ScanError(Reason.FORMAT_UNKNOWN, f"{which} is a multi-frame object")
        header = _header(name, dataset)
        _check_header(header, which)
        is_native = dataset.file_meta.TransferSyntaxUID in _NATIVE
        slope = float(dataset.get("RescaleSlope", 1) or 1)
        intercept = float(dataset.get("RescaleIntercept", 0) or 0)
        if not (abs(slope) <= MAX_RESCALE and abs(intercept) <= MAX_RESCALE):
            raise ScanError(Reason.FILE_BROKEN, f"{which} rescales by {slope:g} and {intercept:g}")
        return DicomSlice(
            header=header,
            which=which,
            encoded=bytes(dataset.get_item(PIXELS).value) if is_native else content,
            stored_type=_stored_type(dataset, which) if is_native else None,
            photometric=str(dataset.get("PhotometricInterpretation") or "MONOCHROME2"),
            slope=slope,
            intercept=intercept,
        )


def _check_deflated(content: bytes, which: str) -> None:
    """Refuse a deflated file out of which far more would come than a slice.

    Raises:
        ScanError: If so: pydicom inflates without a limit.
    """
    end = _META_AT + struct.unpack_from("<I", content, _META_LENGTH_AT)[0]
    if DeflatedExplicitVRLittleEndian.encode() not in content[:end]:
        return
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    n_bytes, rest = 0, content[end:]
    while rest and n_bytes <= MAX_INFLATED_BYTES:
        n_bytes += len(decoder.decompress(rest, _INFLATED_AT_ONCE_BYTES))
        rest = decoder.unconsumed_tail
    if n_bytes > MAX_INFLATED_BYTES:
        fact = f"{which} inflates to more than {MAX_INFLATED_BYTES} bytes, no slice does"
        raise ScanError(Reason.FILE_BROKEN, fact)


def _is_slice(dataset: FileDataset, which: str) -> bool:
    """Return whether a file is a slice, or something else that may lie beside one.

    Raises:
        ScanError: It ends before its pixels, and nothing says that it is not an image.
    """
    if PIXELS not in dataset:
        meta = dataset.file_meta
        stored_as = dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or ""
        name = UID(stored_as).name  # the number itself where it is cut short or not the standard's
        is_private = not (stored_as.startswith(_STANDARD) or _STANDARD.startswith(stored_as))
        if is_private or (name != stored_as and not name.endswith(_IMAGE_CLASS)):
            return False
        raise ScanError(Reason.FILE_BROKEN, f"{which} ends before its pixels")
    return all(one in dataset for one in _PLANE) and dataset.get("SamplesPerPixel", 1) == 1


def _check_header(header: Header, which: str) -> None:
    """Refuse numbers that no slice has, before anything is made from them.

    Raises:
        ScanError: FILE_BROKEN.
    """
    columns, rows = header.size_xy
    row, column = header.orientation[:3], header.orientation[3:]
    numbers = (*header.position_xyz_mm, *header.orientation, *header.spacing_xy_mm)
    if not all(isfinite(one) and abs(one) <= MAX_COORDINATE_MM for one in numbers):
        why = "a position, direction or spacing that is not a length"
    elif min(header.spacing_xy_mm) <= 0:
        why = "a pixel spacing that is not positive"
    elif not (min(columns, rows) > 0 and columns * rows <= MAX_PIXELS):
        why = f"{columns} x {rows} pixels"
    elif (
        max(abs(hypot(*row) - 1), abs(hypot(*column) - 1)) > COSINE_SLACK
        or abs(sum(a * b for a, b in zip(row, column, strict=True))) > COSINE_SLACK
    ):
        why = "directions that are not two unit vectors at a right angle"
    else:
        return
    raise ScanError(Reason.FILE_BROKEN, f"{which} has {why}")


def _stored_type(dataset: FileDataset, which: str) -> np.dtype[Any]:
    kind = "i" if dataset.get("PixelRepresentation", 0) else "u"
    n_bytes = int(dataset.get("BitsAllocated", 16)) // 8
    if n_bytes not in (1, 2, 4):
        raise ScanError(Reason.FILE_BROKEN, f"{which} has {8 * n_bytes} bits a voxel")
    return np.dtype(f"<{kind}{n_bytes}")


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
        field_strength_t=_number(dataset, "MagneticFieldStrength"),
        height_m=_number(dataset, "PatientSize"),
        weight_kg=_number(dataset, "PatientWeight"),
    )


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value else None


def _integer(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _number(dataset: FileDataset, keyword: str) -> float | None:
    """Read an optional number; 0 is how scanners write that nobody entered it."""
    with suppress(Exception):  # pydicom's errors are many, and nothing depends on the number
        number = float(dataset.get(keyword) or 0)
        return number if number and isfinite(number) else None
    return None
