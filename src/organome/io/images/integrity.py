"""Whether an image file is whole, and what it claims to be, before SimpleITK reads it.

ITK never returns from some grids (an affine of 1e38, of NaN), opens whatever file a header names,
and inflates whatever it is given. So a header is judged first: finite numbers within bounds, voxels
in the same file. What is inflated ends at what the header declares.

SimpleITK (2.5) reads a truncated ``.nii`` or ``.nii.gz``, and a compressed NRRD or MHA with a
flipped byte, without an error and with up to half of the voxels wrong. Checksums and lengths tell.
Truncated NRRD and MHA it refuses itself. NaN and infinities in NIfTI it turns into 0, so these are
looked for here as well.

Source: NIfTI-1.1 and NIfTI-2 headers (nifti1.h, nifti2.h); NRRD 5 and MetaImage file formats;
RFC 1950 and 1952.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.files.delivered import refusing

CHUNK_BYTES: Final = 1 << 20
MAX_HEADER_LINES: Final = 4096
MAX_LINE_BYTES: Final = 1 << 16
GZIP_STREAM: Final = 31  # zlib's wbits: 15 and 16 for the gzip frame with its CRC
ZLIB_STREAM: Final = 15  # with its Adler checksum
NIFTI1_HEADER_BYTES: Final = 348
NIFTI2_HEADER_BYTES: Final = 540
NIFTI_FLOATS: Final = {16: "f4", 64: "f8"}  # by DT_FLOAT32, DT_FLOAT64
MAX_COORDINATE_MM: Final = 1e6  # of an origin, a spacing, an element of an affine
MAX_OFFSET_BYTES: Final = 64 << 20  # of the voxels; extensions of the header stand before them
SLACK_BYTES: Final = 1 << 20  # after the voxels
MAX_AXES: Final = 7
_NUMBER: Final = re.compile(r"[^\s,()\[\]]+")
_NRRD_GEOMETRY: Final = frozenset(
    {"spacedirections", "spaceorigin", "spacings", "thicknesses", "axismins", "axismaxs"}
    | {"measurementframe"}
)
_NRRD_NO_NUMBERS: Final = frozenset({"none"})
_MHA_GEOMETRY: Final = frozenset(
    {"transformmatrix", "rotation", "orientation", "offset", "position", "origin"}
    | {"elementspacing", "elementsize", "centerofrotation"}
)


def check_header(path: Path) -> None:
    """Refuse an image file whose header ITK must not be given.

    Raises:
        ScanError: FORMAT_UNKNOWN if its suffix is none that is read, or its voxels lie in another
            file; FILE_BROKEN if the header is damaged; GEOMETRY_IMPLAUSIBLE if it holds numbers
            that no grid has; NOT_3D if it declares several volumes.
    """
    suffix = _suffix(path)
    with _damage(), path.open("rb") as file:
        if suffix in _FRAMES:
            _FRAMES[suffix](file)
            return
        sizes = _nifti_layout(_head(_pieces(file, suffix, step=NIFTI2_HEADER_BYTES))).sizes
    if prod(sizes[3:]) > 1:
        raise ScanError(Reason.NOT_3D, f"size {' x '.join(map(str, sizes))}")


def check_integrity(path: Path, *, voxel_bytes: int) -> None:
    """Refuse a damaged image file.

    Args:
        path: The file; its header has been checked.
        voxel_bytes: What its voxels take according to the header; more is not inflated.

    Raises:
        ScanError: FILE_BROKEN if the file is damaged, or holds far more than it declares;
            NOT_FINITE if it is a NIfTI with NaN.
    """
    suffix = _suffix(path)
    with _damage(), path.open("rb") as file:
        if suffix not in _FRAMES:
            _check_nifti(_pieces(file, suffix))
        elif (frame := _FRAMES[suffix](file)) is not None:
            for _ in _inflated(file, frame, limit=voxel_bytes + MAX_OFFSET_BYTES):
                pass  # the checksum at its end counts


def _suffix(path: Path) -> str:
    for suffix in _SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise ScanError(Reason.FORMAT_UNKNOWN, f"none of {', '.join(_SUFFIXES)}")


@contextmanager
def _damage() -> Iterator[None]:
    with refusing(Reason.FILE_BROKEN, "the file is damaged"):
        try:
            yield
        except EOFError as error:
            raise ScanError(Reason.FILE_BROKEN, "the file ends early") from error
        except zlib.error as error:
            raise ScanError(Reason.FILE_BROKEN, f"compressed data damaged: {error}") from error
        except (ValueError, OverflowError, struct.error) as error:
            raise ScanError(Reason.FILE_BROKEN, f"bad header: {_harmless(error)}") from error


def _harmless(error: Exception) -> str:
    """Return the message of an error, without the text of a header that Python quotes."""
    return str(error).partition(":")[0]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What a NIfTI header says of the voxels.

    Attributes:
        sizes: Along each axis.
        first_byte: Where they begin.
        end_byte: Where they end.
        float_type: Their type if that can hold NaN.
    """

    sizes: tuple[int, ...]
    first_byte: int
    end_byte: int
    float_type: np.dtype[Any] | None


def _pieces(file: BinaryIO, suffix: str, *, step: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Read a NIfTI, inflated if need be."""
    if suffix == ".nii.gz":
        return _inflated(file, GZIP_STREAM, step=step)
    return iter(lambda: file.read(step), b"")


def _check_nifti(pieces: Iterator[bytes]) -> None:
    head = _head(pieces)
    layout = _nifti_layout(head)
    place, pending = 0, b""
    for piece in chain([head], pieces):
        voxels = piece[max(0, layout.first_byte - place) : max(0, layout.end_byte - place)]
        place += len(piece)
        if layout.float_type is not None:
            pending = _check_finite(pending + voxels, layout.float_type)
        if place > layout.end_byte + SLACK_BYTES:
            raise ScanError(Reason.FILE_BROKEN, "more voxels than its header declares")
    if place < layout.end_byte:
        raise EOFError


def _head(pieces: Iterator[bytes]) -> bytes:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= NIFTI2_HEADER_BYTES:
            break
    return head


def _check_finite(voxels: bytes, float_type: np.dtype[Any]) -> bytes:
    """Look for NaN in whole voxels and return the part of a voxel that is left."""
    n_voxels = len(voxels) // float_type.itemsize
    if not np.isfinite(np.frombuffer(voxels, dtype=float_type, count=n_voxels)).all():
        raise ScanError(Reason.NOT_FINITE, "voxels are NaN or infinite")
    return voxels[n_voxels * float_type.itemsize :]


def _nifti_layout(head: bytes) -> _Layout:
    for order in "<>":
        (header_bytes,) = struct.unpack_from(f"{order}i", head)
        if header_bytes == NIFTI1_HEADER_BYTES:
            n_axes, *sizes = struct.unpack_from(f"{order}8h", head, 40)
            code, bits = struct.unpack_from(f"{order}2h", head, 70)
            (offset,) = struct.unpack_from(f"{order}f", head, 108)
            pixdim = struct.unpack_from(f"{order}4f", head, 76)
            qform, sform = struct.unpack_from(f"{order}2h", head, 252)
            quaternion = struct.unpack_from(f"{order}6f", head, 256)
            affine = struct.unpack_from(f"{order}12f", head, 280)
            magic = head[344:348]
        elif header_bytes == NIFTI2_HEADER_BYTES:
            n_axes, *sizes = struct.unpack_from(f"{order}8q", head, 16)
            code, bits = struct.unpack_from(f"{order}2h", head, 12)
            (offset,) = struct.unpack_from(f"{order}q", head, 168)
            pixdim = struct.unpack_from(f"{order}4d", head, 104)
            qform, sform = struct.unpack_from(f"{order}2i", head, 344)
            quaternion = struct.unpack_from(f"{order}6d", head, 352)
            affine = struct.unpack_from(f"{order}12d", head, 400)
            magic = head[4:8]
        else:
            continue
        if magic[:3] in (b"ni1", b"ni2"):
            raise ScanError(Reason.FORMAT_UNKNOWN, "NIfTI with its voxels in another file")
        if magic[:3] not in (b"n+1", b"n+2"):
            raise ValueError("no NIfTI magic")
        if not (1 <= n_axes <= MAX_AXES and min(sizes[:n_axes]) > 0 and 0 < bits <= 256):
            raise ValueError("sizes that no image has")
        if not 0 <= offset <= MAX_OFFSET_BYTES:  # NaN is not, either
            raise ValueError("voxels begin where no file has them")
        _check_coordinates([*pixdim, *quaternion * (qform > 0), *affine * (sform > 0)])
        return _Layout(
            sizes=tuple(sizes[:n_axes]),
            first_byte=int(offset),
            end_byte=int(offset + prod(sizes[:n_axes]) * bits // 8),
            float_type=np.dtype(f"{order}{NIFTI_FLOATS[code]}") if code in NIFTI_FLOATS else None,
        )
    raise ValueError("no NIfTI header")


def _check_coordinates(values: Iterable[float]) -> None:
    for value in values:
        if not abs(value) <= MAX_COORDINATE_MM:  # NaN is not, either
            raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, f"the grid holds the number {value:g}")


def _nrrd_frame(file: BinaryIO) -> int | None:
    """Check the header of a NRRD and return how its voxels, which follow, are compressed."""
    encoding = ""
    for line in _header_lines(file):
        name, colon, value = line.partition(":")
        if not line:
            break
        if not colon or value.startswith("="):  # the magic, a comment, a key of somebody's own
            continue
        field = name.replace(" ", "").lower()
        if field == "datafile":
            raise ScanError(Reason.FORMAT_UNKNOWN, "NRRD with its voxels in another file")
        if field == "encoding":
            encoding = value.strip().lower()
        if field in _NRRD_GEOMETRY:
            words = (word for word in _NUMBER.findall(value) if word not in _NRRD_NO_NUMBERS)
            _check_coordinates(map(float, words))
    return GZIP_STREAM if encoding in ("gzip", "gz") else None


def _mha_frame(file: BinaryIO) -> int | None:
    """Check the header of a MetaImage and return how its voxels, which follow, are compressed."""
    compressed = False
    for line in _header_lines(file):
        name, _, value = (part.strip() for part in line.partition("="))
        if name == "CompressedData":
            compressed = value.lower() == "true"
        if name.lower() in _MHA_GEOMETRY:
            _check_coordinates(map(float, _NUMBER.findall(value)))
        if name == "NDims" and not 1 <= int(value) <= MAX_AXES:
            raise ValueError("axes that no image has")
        if name == "ElementDataFile":
            if value != "LOCAL":
                raise ScanError(Reason.FORMAT_UNKNOWN, "MetaImage with its voxels in another file")
            break
    return ZLIB_STREAM if compressed else None


def _header_lines(file: BinaryIO) -> Iterator[str]:
    for _ in range(MAX_HEADER_LINES):
        line = file.readline(MAX_LINE_BYTES)
        if not line:
            raise EOFError
        yield line.decode("latin-1").rstrip("\r\n")
    raise ValueError("no end of the header")


def _inflated(
    file: BinaryIO, frame: int, *, limit: int | None = None, step: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Decompress a stream, several members if there are (bgzip); zeros after it are padding.

    Args:
        file: The stream.
        frame: What zlib calls wbits.
        limit: Bytes that may come out of it.
        step: Bytes that come at once, at most.

    Raises:
        EOFError: It ends early.
        zlib.error: It is damaged; the checksum at its end counts.
        ScanError: More comes out of it than may.
    """
    decoder = zlib.decompressobj(frame)
    n_bytes = 0
    while piece := file.read(CHUNK_BYTES):
        while piece:
            if decoder.eof:
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                decoder = zlib.decompressobj(frame)
            inflated = decoder.decompress(piece, step)
            n_bytes += len(inflated)
            if limit is not None and n_bytes > limit:
                raise ScanError(Reason.FILE_BROKEN, "more voxels than its header declares")
            yield inflated
            piece = decoder.unconsumed_tail or decoder.unused_data
    while not decoder.eof:
        inflated = decoder.decompress(b"", step)
        if not inflated:
            raise EOFError
        yield inflated


_SUFFIXES: Final = (".nii.gz", ".nii", ".nrrd", ".mha")
_FRAMES: Final = {".nrrd": _nrrd_frame, ".mha": _mha_frame}
