"""Whether an image file is whole, before SimpleITK reads it.

SimpleITK (2.5) reads a truncated ``.nii`` or ``.nii.gz``, and a compressed NRRD or MHA with a
flipped byte, without an error and with up to half of the voxels wrong. Checksums and lengths tell.
Truncated NRRD and MHA it refuses itself. NaN and infinities in NIfTI it turns into 0, so these are
looked for here as well.

Source: NIfTI-1.1 and NIfTI-2 headers (nifti1.h, nifti2.h); NRRD 5 and MetaImage file formats;
RFC 1950 and 1952.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason

CHUNK_BYTES: Final = 1 << 20
MAX_HEADER_LINES: Final = 4096
GZIP_STREAM: Final = 31  # zlib's wbits: 15 and 16 for the gzip frame with its CRC
ZLIB_STREAM: Final = 15  # with its Adler checksum
NIFTI1_HEADER_BYTES: Final = 348
NIFTI2_HEADER_BYTES: Final = 540
NIFTI_FLOATS: Final = {16: "f4", 64: "f8"}  # by DT_FLOAT32, DT_FLOAT64


def check_integrity(path: Path) -> None:
    """Refuse a damaged image file.

    Raises:
        ScanError: FILE_BROKEN if the file is damaged; NOT_FINITE if it is a NIfTI with NaN;
            FORMAT_UNKNOWN if its suffix is none that is read, or its voxels lie in another file.
    """
    check = next((one for suffix, one in _CHECKS.items() if path.name.endswith(suffix)), None)
    if check is None:
        raise ScanError(Reason.FORMAT_UNKNOWN, f"none of {', '.join(_CHECKS)}")
    with path.open("rb") as file:
        try:
            check(file)
        except EOFError as error:
            raise ScanError(Reason.FILE_BROKEN, "the file ends early") from error
        except zlib.error as error:
            raise ScanError(Reason.FILE_BROKEN, f"compressed data damaged: {error}") from error
        except (ValueError, struct.error) as error:
            raise ScanError(Reason.FILE_BROKEN, f"bad header: {error}") from error


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the voxels of a NIfTI file lie, and their type if that can hold NaN."""

    first_byte: int
    end_byte: int
    float_type: np.dtype[Any] | None


def _check_nifti_gz(file: BinaryIO) -> None:
    _check_nifti_bytes(_inflated(file, GZIP_STREAM))


def _check_nifti(file: BinaryIO) -> None:
    _check_nifti_bytes(iter(lambda: file.read(CHUNK_BYTES), b""))


def _check_nifti_bytes(pieces: Iterator[bytes]) -> None:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= NIFTI2_HEADER_BYTES:
            break
    layout = _nifti_layout(head)
    place, pending = 0, b""
    for piece in chain([head], pieces):
        voxels = piece[max(0, layout.first_byte - place) : max(0, layout.end_byte - place)]
        place += len(piece)
        if layout.float_type is not None:
            pending = _check_finite(pending + voxels, layout.float_type)
    if place < layout.end_byte:
        raise EOFError


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
        elif header_bytes == NIFTI2_HEADER_BYTES:
            n_axes, *sizes = struct.unpack_from(f"{order}8q", head, 16)
            code, bits = struct.unpack_from(f"{order}2h", head, 12)
            (offset,) = struct.unpack_from(f"{order}q", head, 168)
        else:
            continue
        return _Layout(
            first_byte=int(offset),
            end_byte=int(offset + prod(sizes[:n_axes]) * bits // 8),
            float_type=np.dtype(f"{order}{NIFTI_FLOATS[code]}") if code in NIFTI_FLOATS else None,
        )
    raise ValueError("no NIfTI header")


def _check_nrrd(file: BinaryIO) -> None:
    encoding = ""
    for line in _header_lines(file):
        name, _, value = line.partition(":")
        if name.replace(" ", "") == "datafile":
            raise ScanError(Reason.FORMAT_UNKNOWN, "NRRD with its voxels in another file")
        if name == "encoding":
            encoding = value.strip()
        if not line:
            break
    if encoding in ("gzip", "gz"):
        _exhaust(_inflated(file, GZIP_STREAM))


def _check_mha(file: BinaryIO) -> None:
    compressed = False
    for line in _header_lines(file):
        name, _, value = (part.strip() for part in line.partition("="))
        if name == "CompressedData":
            compressed = value.lower() == "true"
        if name == "ElementDataFile":
            if value != "LOCAL":
                raise ScanError(Reason.FORMAT_UNKNOWN, "MetaImage with its voxels in another file")
            break
    if compressed:
        _exhaust(_inflated(file, ZLIB_STREAM))


def _header_lines(file: BinaryIO) -> Iterator[str]:
    for _ in range(MAX_HEADER_LINES):
        line = file.readline(CHUNK_BYTES)
        if not line:
            raise EOFError
        yield line.decode("latin-1").rstrip("\r\n")
    raise ValueError("no end of the header")


def _inflated(file: BinaryIO, frame: int) -> Iterator[bytes]:
    """Decompress a stream, several members if there are (bgzip); zeros after it are padding.

    Raises:
        EOFError: It ends early.
        zlib.error: It is damaged; the checksum at its end counts.
    """
    decoder = zlib.decompressobj(frame)
    while piece := file.read(CHUNK_BYTES):
        while piece:
            if decoder.eof:
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                decoder = zlib.decompressobj(frame)
            yield decoder.decompress(piece)
            piece = decoder.unused_data
    if not decoder.eof:
        raise EOFError


def _exhaust(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


_CHECKS: Final[dict[str, Callable[[BinaryIO], None]]] = {
    ".nii.gz": _check_nifti_gz,
    ".nii": _check_nifti,
    ".nrrd": _check_nrrd,
    ".mha": _check_mha,
}
