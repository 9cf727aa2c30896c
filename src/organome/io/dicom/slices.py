"""DICOM slices: header facts for decisions; voxels stay encoded until it is decided for a slice.

Each file is parsed once, and only for the elements that are needed. A frame of an enhanced
multi-frame object is a slice like any other. A file is named by its place in the delivery: its own
name may be a person's.

Source: DICOM PS3.3 C.7.6.2 (image plane: position of the first pixel, row then column cosines),
C.7.6.16 (functional groups of multi-frame objects), C.11.1 (modality lookup table, rescale slope
and intercept); PS3.5 A.5 (deflated transfer syntax).
"""

import logging
import struct
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from math import acos, degrees, hypot, isfinite
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.io.dicom.elements import (
    PER_FRAME,
    PIXELS,
    Elements,
    read_header,
    tags_to_read,
    value_of,
)
from organome.io.dicom.plain_files import read_plain
from organome.io.files.delivered import check_file, folder_files, is_folder, is_pointer, refusing

SUFFIX: Final = ".dcm"
PREAMBLE_BYTES: Final = 128
MAGIC: Final = b"DICM"
MAX_FILE_BYTES: Final = 2 << 30
MAX_INFLATED_BYTES: Final = 256 << 20
_INFLATED_AT_ONCE_BYTES: Final = 1 << 20
MAX_PIXELS: Final = 1 << 26  # of one slice: 8192 x 8192
MAX_COORDINATE_MM: Final = 1e5
# Rounded to few digits, cosines are not quite of length 1, or at a right angle.
MAX_COSINE_SLACK: Final = 0.05
MIN_COSINE_SLACK: Final = 1e-3  # half a millimetre over half a metre
_PLANE: Final = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_STANDARD: Final = "1.2.840.10008."
_IMAGE_CLASS: Final = "Image Storage"  # how the standard's names of classes of images end
_CAPTURE: Final = "Secondary Capture"  # screenshots and dose reports, in the series of the slices
_LOOKED_AT_BYTES: Final = 2048
_META_GROUP: Final = 2
# How data sets begin that lack the preamble: a group 2 or 8, in either order of bytes.
_BARE_STARTS: Final = (b"\x02\0", b"\x08\0", b"\0\x08")
_MAX_BARE_ELEMENT: Final = 0x1200
# What lies beside slices and may be named like them, less its suffix.
_COMPANIONS: Final = frozenset(
    {"dicomdir", "readme", "license", "licence", "manifest", "version", "changes", "notice"}
    | {"checksums", "md5sums", "sha256sums", "thumbs.db", "desktop.ini"}
)
# AppleDouble, JPEG, PNG, GIF, TIFF, PDF, zip.
_OTHER_KINDS: Final = (
    *(
        b"\0\x05\x16\x07",
        b"\xff\xd8\xff",
        b"\x89PNG",
        b"GIF8",
        b"II*\0",
        b"MM\0*",
        b"%PDF",
        b"PK\3\4",
    ),
)

# Its warnings quote the header, and a log must not.
logging.getLogger("pydicom").propagate = False


@dataclass(frozen=True, slots=True)
class DicomSlice:
    """One slice.

    Attributes:
        header: Facts for decisions.
        which: How errors name the file: ``file 3``.
        encoded: Value of the element PixelData, of all frames of the file.
        syntax: Transfer syntax of it.
        pixels: How it is encoded, as pydicom's decoders want to know.
        rescale: Slope and intercept; 1 and 0 if absent.
        is_rescaled: Whether the header has both.
        rescale_type: Unit of what comes out of it, empty if absent.
        table: Data set with the modality lookup table, None where there is none.
        padding: Lowest and highest stored value of voxels outside the field of view, None where the
            header has none.
        has_private_scaling: Whether Philips' private scaling is there, too.
    """

    header: Header
    which: str
    encoded: bytes
    syntax: UID
    pixels: Mapping[str, Any]
    rescale: tuple[float, float]
    is_rescaled: bool
    rescale_type: str
    table: Dataset | None
    padding: tuple[int, int] | None
    has_private_scaling: bool


@dataclass(frozen=True, slots=True)
class DicomFiles:
    """What is in the files of a delivery.

    Attributes:
        slices: Each slice once, in the order of the files.
        n_left_out: Files among them that are not slices.
        flags: What was odd about the delivery.
    """

    slices: tuple[DicomSlice, ...]
    n_left_out: int
    flags: frozenset[Flag]


@dataclass(frozen=True, slots=True)
class _Stranger:
    """A file that is not DICOM: what is left of a slice, if slices are named so."""

    suffix: str
    which: str
    is_other: bool
    error: ScanError | None


@dataclass(slots=True)
class _Found:
    """What has been found in the files up to now."""

    slices: list[DicomSlice] = field(default_factory=list)
    broken: dict[str, list[ScanError]] = field(default_factory=lambda: defaultdict(list))
    placeless: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unread: list[ScanError] = field(default_factory=list)
    strangers: list[_Stranger] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # may have been slices
    lacking: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    n_others: int = 0
    n_repeated: int = 0


def read_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read the files of a folder and of those in it, by name.

    Yields:
        Path below the folder, with slashes, and content of each file; of one that is too large for
        a slice and does not begin like one, the beginning.

    Raises:
        ScanError: FILE_MISSING if there is no such folder, or a link in it leads nowhere;
            FORMAT_UNKNOWN for a FIFO, a socket or a device; FILE_BROKEN for what cannot be read.
    """
    if not is_folder(folder):
        check_file(folder)
        raise ScanError(Reason.FILE_MISSING, "no folder where the list says")
    with refusing(Reason.FILE_BROKEN, "the folder cannot be read"):
        entries = folder_files(folder)
    for place, (name, entry) in enumerate(entries, start=1):
        path, which = Path(entry.path), f"file {place} of {len(entries)}"
        try:
            size = check_file(path)
        except ScanError as error:
            raise ScanError(error.reason, f"{which}: {error.fact}") from error
        is_large = size > MAX_FILE_BYTES
        with refusing(Reason.FILE_BROKEN, f"{which} cannot be read"), path.open("rb") as file:
            content = file.read(_LOOKED_AT_BYTES if is_large else -1)
        if is_large and (_has_preamble(content) or _is_bare(content)):
            raise ScanError(Reason.FILE_BROKEN, f"{which} has {size} bytes, no slice does")
        yield name, content


def parse_files(files: Iterable[tuple[str, bytes]], *, n_before: int = 0) -> DicomFiles:
    """Parse the image slices among files.

    Files that are not DICOM, and DICOM files that are not slices (reports, dose objects,
    screenshots), are left out, and counted if they are DICOM or are named as the slices are. What
    is of one series with slices and should be one is a fault of that series.

    Args:
        files: Name and content of each.
        n_before: Files of the delivery that were parsed before, for the places of these.

    Raises:
        ScanError: ARCHIVE_EMPTY if there is no slice; GEOMETRY_MISSING if none has a place;
            FILE_BROKEN, FORMAT_UNKNOWN or CONTENT_NOT_FETCHED, with the place of the file.
    """
    n_files = 0
    found = _Found()
    copies: dict[int, list[DicomSlice]] = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on values that break the standard
        for name, content in files:
            n_files += 1
            for one in _parse_file(name, content, f"file {n_before + n_files}", found):
                if _is_new(one, copies):
                    found.slices.append(one)
                else:
                    found.n_repeated += 1
    _sort_strangers(found)
    faults = _faults(found)
    if not found.slices:
        _refuse_all(found, n_files)
    n_left_out = found.n_others + len(found.unknown) + len(found.unread)
    n_left_out += sum(map(len, found.placeless.values()))
    flags = set()
    if n_left_out:
        flags.add(Flag.FILES_LEFT_OUT)
    if found.n_repeated:
        flags.add(Flag.FILES_REPEATED)
    slices = (_with_fault(one, faults.get(one.header.series_uid)) for one in found.slices)
    return DicomFiles(tuple(slices), n_left_out, frozenset(flags))


def join_files(parts: Iterable[DicomFiles]) -> DicomFiles:
    """Join what was parsed apart; a slice that several have counts once."""
    parts = list(parts)
    copies: dict[int, list[DicomSlice]] = defaultdict(list)
    slices = [one for part in parts for one in part.slices if _is_new(one, copies)]
    flags = frozenset().union(*(part.flags for part in parts))
    if len(slices) < sum(len(part.slices) for part in parts):
        flags |= {Flag.FILES_REPEATED}
    return DicomFiles(tuple(slices), sum(part.n_left_out for part in parts), flags)


def _with_fault(one: DicomSlice, fault: tuple[Reason, str] | None) -> DicomSlice:
    return one if fault is None else replace(one, header=replace(one.header, fault=fault))


def _faults(found: _Found) -> dict[str, tuple[Reason, str]]:
    """Find the series of which files are broken or lost.

    Raises:
        ScanError: A file is broken of which nobody knows whether it is wanted.
    """
    series = {one.header.series_uid for one in found.slices}
    faults = _lost_slices(found, series)
    for uid, which in found.placeless.items():
        if uid in series:
            fact = f"{which[0]} is of a series of slices, but has no place or is in colour"
            faults[uid] = Reason.FILE_BROKEN, _counted(fact, len(which))
    for uid, errors in found.broken.items():
        fault = errors[0].reason, _counted(errors[0].fact, len(errors))
        if uid not in series:
            raise ScanError(*fault) from errors[0]
        faults[uid] = fault
    return faults


def _counted(first: str, n: int) -> str:
    return first if n == 1 else f"{first}, and {n - 1} more"


def _is_new(one: DicomSlice, seen: dict[int, list[DicomSlice]]) -> bool:
    """Note a slice, and return whether it is none of those seen before."""
    same = seen[hash(one.header.facts)]
    if any(_is_copy(one, other) for other in same):
        return False
    same.append(one)
    return True


def _is_copy(one: DicomSlice, other: DicomSlice) -> bool:
    return one.header.facts == other.header.facts and one.encoded == other.encoded


def _refuse_all(found: _Found, n_files: int) -> None:
    """Say why there is no slice.

    Raises:
        ScanError: Always.
    """
    if found.unread:
        raise found.unread[0]
    for keyword, which in found.lacking.items():
        fact = _counted(f"{which[0]} is a slice without {keyword}", len(which))
        raise ScanError(Reason.GEOMETRY_MISSING, fact)
    if found.unknown:
        first = f"{found.unknown[0]} is not a DICOM file"
        raise ScanError(Reason.FILE_BROKEN, _counted(first, len(found.unknown)))
    raise ScanError(Reason.ARCHIVE_EMPTY, f"no DICOM image among {n_files} files")


def _lost_slices(found: _Found, series: Iterable[str]) -> dict[str, tuple[Reason, str]]:
    """Find series whose instance numbers lack as many as there are files of unknown content."""
    if not found.unknown:
        return {}
    numbers: dict[str, set[int]] = defaultdict(set)
    for one in found.slices:
        if one.header.instance_number is not None:
            numbers[one.header.series_uid].add(one.header.instance_number)
    lost = {}
    for uid in series:
        there = numbers[uid]
        n_lost = max(there) - min(there) + 1 - len(there) if there else 0
        if 0 < n_lost <= len(found.unknown):
            fact = f"{found.unknown[0]} is not a DICOM file, and {n_lost} slices of a series lack"
            lost[uid] = Reason.FILE_BROKEN, fact
    return lost


def _parse_file(name: str, content: bytes, which: str, found: _Found) -> list[DicomSlice]:
    """Parse a file; what is not a slice is noted.

    Raises:
        ScanError: It is broken, and its series unknown.
    """
    is_whole = _has_preamble(content)
    if not is_whole and not _is_bare(content):
        _note_stranger(name, content, which, found)
        return []
    with refusing(Reason.FILE_BROKEN, f"{which} has a broken header"):
        _check_deflated(content, which)
        plain: FileDataset | None = read_plain(content, tags_to_read()) if is_whole else None
        if plain is None:
            tags = [*tags_to_read().values()]
            plain = pydicom.dcmread(BytesIO(content), specific_tags=tags, force=True)
        dataset = plain
        dataset.buffer = None  # else the whole file stays in memory with it
        uid = str(value_of(dataset, "SeriesInstanceUID") or "")
        storage_class = _storage_class(dataset)
        has_pixels = PIXELS in dataset
    if not (has_pixels or uid or is_whole):
        found.strangers.append(_Stranger(_suffix(name), which, is_other=False, error=None))
        return []
    if storage_class == MediaStorageDirectoryStorage:
        return []
    if _is_something_else(storage_class, has_pixels=has_pixels):
        found.n_others += 1
        return []
    try:
        return _parse_slices(name, dataset, which, found, is_whole=is_whole)
    except Exception as error:
        if not (uid and isinstance(error, ScanError)) or isinstance(error.__cause__, MemoryError):
            raise
        found.broken[uid].append(error)  # raised again if the series is wanted
        return []


def _suffix(name: str) -> str:
    """Return the suffix of a file's name; numbers are none: names may be UIDs."""
    suffix = PurePosixPath(name).suffix.lower()
    return "" if suffix[1:].isdecimal() else suffix


def _note_stranger(name: str, content: bytes, which: str, found: _Found) -> None:
    base, suffix = PurePosixPath(name).name.lower(), _suffix(name)
    if base in _COMPANIONS or (base.startswith(".") and suffix != SUFFIX):
        return
    error = None
    is_other = content.startswith(_OTHER_KINDS)
    if is_pointer(content):
        fact = f"{which} is a pointer of git-annex or Git LFS"
        error = ScanError(Reason.CONTENT_NOT_FETCHED, fact)
    elif not is_other and b"\0" in content[:_LOOKED_AT_BYTES]:  # no text: what is left of a slice
        error = ScanError(Reason.FILE_BROKEN, f"{which} is not a DICOM file any more")
    found.strangers.append(_Stranger(suffix, which, is_other=is_other, error=error))


def _sort_strangers(found: _Found) -> None:
    """Find files that should have been slices, by their names and what is in them.

    Raises:
        ScanError: FILE_BROKEN or CONTENT_NOT_FETCHED for one that is named like the slices.
    """
    suffixes = {SUFFIX, *(_suffix(one.header.file) for one in found.slices)}
    for one in found.strangers:
        if one.suffix not in suffixes:
            may_have_been = found.slices and one.error is not None
            found.unknown += [one.which] if may_have_been else []
        elif one.error is not None:
            raise one.error
        elif one.is_other:
            found.n_others += 1
        else:
            found.unknown.append(one.which)


def _parse_slices(
    name: str, dataset: FileDataset, which: str, found: _Found, *, is_whole: bool
) -> list[DicomSlice]:
    """Parse the slices of a file that should hold some.

    Raises:
        ScanError: FILE_BROKEN.
    """
    if PIXELS not in dataset:
        raise ScanError(Reason.FILE_BROKEN, f"{which} ends before its pixels")
    with refusing(Reason.FILE_BROKEN, f"{which} has a broken header"):
        if not value_of(dataset, "SeriesInstanceUID"):
            raise ScanError(Reason.FILE_BROKEN, f"{which} does not say of which series it is")
        frames = list(Elements(dataset, which).frames())
        if len(frames) > 1 and PER_FRAME not in dataset:
            fact = f"{which} is a multi-frame object whose frames have no place"
            found.unread.append(ScanError(Reason.FORMAT_UNKNOWN, fact))
            return []
        is_grey = value_of(dataset, "SamplesPerPixel", 1) == 1
        is_palette = "COLOR" in str(value_of(dataset, "PhotometricInterpretation"))
        if not (is_grey and all(one.has(keyword) for one in frames for keyword in _PLANE)):
            if _CAPTURE in _storage_class(dataset).name:
                found.n_others += 1
            else:
                found.placeless[str(dataset.SeriesInstanceUID)].append(which)
                lacking = [one for one in _PLANE if not all(frame.has(one) for frame in frames)]
                if is_grey and lacking and not is_palette:
                    found.lacking[lacking[0]].append(which)
            return []
        return list(_slices(name, dataset, frames, which, is_whole=is_whole))


def _slices(
    name: str, dataset: FileDataset, frames: list[Elements], which: str, *, is_whole: bool
) -> Iterator[DicomSlice]:
    is_meta_whole = is_whole and "TransferSyntaxUID" in dataset.file_meta
    odd = set() if is_meta_whole else {Flag.FILE_META_MISSING}
    syntax = _transfer_syntax(dataset)
    element = dataset.get_item(PIXELS)
    encoded = bytes(element.value or b"")
    pixels = _pixel_options(dataset, len(frames), element.VR, which)
    for frame, elements in enumerate(frames):
        padding = elements.padding(
            bits_stored=pixels["bits_stored"], signed=pixels["pixel_representation"] == 1
        )
        header = read_header(name, frame, elements, odd)
        _check_header(header, which)
        yield DicomSlice(
            header=header,
            which=which if len(frames) == 1 else f"{which}, frame {frame + 1}",
            encoded=encoded,
            syntax=syntax,
            pixels=pixels,
            rescale=elements.rescale(),
            is_rescaled=elements.is_rescaled(),
            rescale_type=elements.text("RescaleType") or "",
            table=elements.modality_table(),
            padding=padding,
            has_private_scaling=elements.has_philips_scaling(),
        )


def _has_preamble(content: bytes) -> bool:
    return content[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MAGIC)] == MAGIC


def _is_bare(content: bytes) -> bool:
    """Return whether a file begins like a data set without a preamble."""
    if len(content) < PREAMBLE_BYTES or not content.startswith(_BARE_STARTS):
        return False
    order = ">" if content.startswith(b"\0") else "<"
    element = int(struct.unpack_from(f"{order}H", content, 2)[0])
    return element <= _MAX_BARE_ELEMENT


def _transfer_syntax(dataset: FileDataset) -> UID:
    """Return how a file is encoded; what pydicom found out where the file does not say."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(named)
    is_implicit, is_little = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _pixel_options(
    dataset: FileDataset, n_frames: int, vr: str | None, which: str
) -> dict[str, Any]:
    allocated = int(value_of(dataset, "BitsAllocated", 16))
    stored = int(value_of(dataset, "BitsStored", allocated))
    high = int(value_of(dataset, "HighBit", stored - 1))
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        raise ScanError(Reason.FILE_BROKEN, f"{which} has {stored} of {allocated} bits a voxel")
    return {
        "rows": int(value_of(dataset, "Rows")),
        "columns": int(value_of(dataset, "Columns")),
        "samples_per_pixel": 1,
        "photometric_interpretation": str(
            value_of(dataset, "PhotometricInterpretation") or "MONOCHROME2"
        ),
        "number_of_frames": n_frames,
        "bits_allocated": allocated,
        "bits_stored": stored,
        "high_bit": high,
        "pixel_representation": int(value_of(dataset, "PixelRepresentation", 0)),
        "pixel_keyword": PIXELS,
        "pixel_vr": vr if vr in ("OB", "OW") else "OW",
    }


def _check_deflated(content: bytes, which: str) -> None:
    """Refuse a deflated file out of which far more would come than a slice.

    Raises:
        ScanError: If so: pydicom inflates without a limit.
    """
    if DeflatedExplicitVRLittleEndian.encode() not in content[:_LOOKED_AT_BYTES]:
        return
    is_whole = _has_preamble(content)
    file = BytesIO(content)
    file.seek(PREAMBLE_BYTES + len(MAGIC) if is_whole else 0)
    read_dataset(  # whatever length of the meta information the file states, if any
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != _META_GROUP,
    )
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    n_bytes, rest = 0, file.read()
    while rest and n_bytes <= MAX_INFLATED_BYTES:
        n_bytes += len(decoder.decompress(rest, _INFLATED_AT_ONCE_BYTES))
        rest = decoder.unconsumed_tail
    if n_bytes > MAX_INFLATED_BYTES:
        fact = f"{which} inflates to more than {MAX_INFLATED_BYTES} bytes, no slice does"
        raise ScanError(Reason.FILE_BROKEN, fact)


def _storage_class(dataset: FileDataset) -> UID:
    written = value_of(dataset, "SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    return written if isinstance(written, UID) else UID(written or "")


def _is_something_else(storage_class: UID, *, has_pixels: bool) -> bool:
    """Return whether a file is neither an image nor what is left of one."""
    name = storage_class.name  # the number itself where it is cut short or not the standard's
    if not (storage_class.startswith(_STANDARD) or _STANDARD.startswith(storage_class)):
        return not has_pixels
    return name != storage_class and not name.endswith(_IMAGE_CLASS)


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
    elif max(abs(hypot(*row) - 1), abs(hypot(*column) - 1)) > MAX_COSINE_SLACK:
        why = "directions that are not unit vectors"
    else:
        _check_right_angle(header, which)
        return
    raise ScanError(Reason.FILE_BROKEN, f"{which} has {why}")


def _check_right_angle(header: Header, which: str) -> None:
    """Refuse rows and columns off a right angle by more than the digits of the header explain.

    Raises:
        ScanError: GEOMETRY_IMPLAUSIBLE.
    """
    row, column = header.orientation[:3], header.orientation[3:]
    cosine = sum(a * b for a, b in zip(row, column, strict=True)) / (hypot(*row) * hypot(*column))
    written = (n for n in range(1, 9) if all(round(one, n) == one for one in header.orientation))
    rounding = 3**0.5 * 10.0 ** -next(written, 9)  # half a unit of the last digit in each of six
    if abs(cosine) > min(MAX_COSINE_SLACK, max(MIN_COSINE_SLACK, rounding)):
        off_deg = abs(degrees(acos(max(-1.0, min(1.0, cosine)))) - 90)
        fact = f"{which} has rows and columns {off_deg:.2f} degrees off a right angle"
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, fact)
