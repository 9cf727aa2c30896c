"""What readers of image files share: damage becomes a reason, and streams end where they must.

No header is believed: whatever it declares is bounded before a byte is inflated for it.

Source: RFC 1950 and 1952 (zlib and gzip, whose checksums and lengths tell of damage).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import BinaryIO, Final

import SimpleITK as sitk
from isal import isal_zlib

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.outcomes import Reason
from organome.io.files.delivered import refusing

CHUNK_BYTES: Final = 1 << 20
GZIP_STREAM: Final = 31  # zlib's wbits: 15 and 16 for the gzip frame with its CRC
ZLIB_STREAM: Final = 15  # with its Adler checksum
MAX_COORDINATE_MM: Final = 1e6  # of an origin, a spacing, an element of an affine
MAX_OFFSET_BYTES: Final = 64 << 20  # of the voxels; extensions of the header stand before them
MAX_AXES: Final = 7
MAX_WRAPPINGS: Final = 2  # a gzip file that was compressed once more
_GZIP_MAGIC: Final = b"\x1f\x8b"
_OTHER_MAGIC: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


@dataclass(frozen=True, slots=True)
class Delivered:
    """An image as a file holds it, and what else its header says.

    Attributes:
        image: Voxels and grid.
        flags: What was odd and got handled.
        value_step: Where the header scales the voxels, by how much neighbouring values differ.
        names: Of labels, where the header names them.
        is_part: Whether its format leaves out what lies around labels.
        place_error_mm: How far rounding of its header may have moved a corner.
    """

    image: sitk.Image
    flags: frozenset[Flag] = frozenset()
    value_step: float = 0.0
    names: Mapping[int, str] = field(default_factory=dict)
    is_part: bool = False
    place_error_mm: float = 0.0


@contextmanager
def damage() -> Iterator[None]:
    """Turn what a damaged file raises into FILE_BROKEN, without a text of the file."""
    with refusing(Reason.FILE_BROKEN, "the file is damaged"):
        try:
            yield
        except EOFError as error:
            raise ScanError(Reason.FILE_BROKEN, "the file ends early") from error
        except isal_zlib.error as error:  # type: ignore[misc]  # a class, whatever its stub says
            raise ScanError(Reason.FILE_BROKEN, "compressed data damaged") from error
        except (ValueError, OverflowError) as error:
            # What Python quotes of a header stands after the colon.
            harmless = str(error).partition(":")[0]
            raise ScanError(Reason.FILE_BROKEN, f"bad header: {harmless}") from error


def check_coordinates(values: Iterable[float]) -> None:
    """Refuse numbers that no grid has.

    Raises:
        ScanError: GEOMETRY_IMPLAUSIBLE.
    """
    for value in values:
        if not abs(value) <= MAX_COORDINATE_MM:  # NaN is not, either
            raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, f"the grid holds the number {value:g}")


def check_3d(size: Sequence[int], n_values: int = 1) -> None:
    """Refuse what is not one three-dimensional image of scalars; more axes may have a length of 1.

    Args:
        size: Voxels along each axis.
        n_values: Numbers per voxel.

    Raises:
        ScanError: NOT_3D.
    """
    if n_values > 1:
        raise ScanError(Reason.NOT_3D, f"{n_values} values per voxel")
    if len(size) < 3 or prod(size[3:]) > 1 or min(size[:3]) < 2:
        raise ScanError(Reason.NOT_3D, f"size {' x '.join(map(str, size))}")


def check_declared(n_bytes: int, max_bytes: int) -> None:
    """Refuse a header that declares more voxels than a file of that length would have.

    Raises:
        ScanError: FILE_BROKEN.
    """
    if n_bytes > max_bytes:
        fact = f"{n_bytes} bytes of voxels declared, no image of that size is so small"
        raise ScanError(Reason.FILE_BROKEN, fact)


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """Read a file piece by piece."""
    return iter(lambda: file.read(CHUNK_BYTES), b"")


def unwrapped(pieces: Iterator[bytes], wrappings: int = MAX_WRAPPINGS) -> Iterator[bytes]:
    """Inflate a file if its first bytes say that it is compressed, whatever its name says.

    Raises:
        ScanError: FORMAT_UNKNOWN if it is compressed in another way.
    """
    first = next(pieces, b"")
    whole = chain([first], pieces)
    if first.startswith(_GZIP_MAGIC):
        if not wrappings:
            fact = f"compressed more than {MAX_WRAPPINGS} times"
            raise ScanError(Reason.FORMAT_UNKNOWN, fact)
        return unwrapped(inflated(whole, GZIP_STREAM), wrappings - 1)
    for magic, name in _OTHER_MAGIC.items():
        if first.startswith(magic):
            raise ScanError(Reason.FORMAT_UNKNOWN, f"compressed by {name}, not by gzip")
    return whole


def inflated(
    pieces: Iterable[bytes], frame: int, *, limit: int | None = None, step: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Decompress a stream, several members if there are (bgzip); zeros after it are padding.

    Args:
        pieces: The stream.
        frame: What zlib calls wbits.
        limit: Bytes that may come out of it.
        step: Bytes that come at once, at most.

    Raises:
        EOFError: It ends early.
        isal_zlib.error: It is damaged; the checksum at its end counts.
        ScanError: More comes out of it than may.
    """
    decoder = isal_zlib.decompressobj(frame)
    n_bytes = 0
    for piece in pieces:
        while piece:
            if decoder.eof:
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                decoder = isal_zlib.decompressobj(frame)
            plain = decoder.decompress(piece, step)
            n_bytes += len(plain)
            if limit is not None and n_bytes > limit:
                raise ScanError(Reason.FILE_BROKEN, "more voxels than its header declares")
            if plain:
                yield plain
            piece = decoder.unconsumed_tail or decoder.unused_data
    while not decoder.eof:
        plain = decoder.decompress(b"", step)
        if not plain:
            raise EOFError
        yield plain
