"""Size of an image as its compressed stream declares it, before anything is decoded.

A decoder believes the stream, not the DICOM header, and asks for as much memory as that says.

Source: ITU-T T.81 B.2.2 (JPEG), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 (JPEG 2000).
"""

import struct
from typing import Final

_START: Final = b"\xff\xd8"
_START_2000: Final = b"\xff\x4f\xff\x51"
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_FILL: Final = 0xFF


def declared_size_xy(stream: bytes) -> tuple[int, int] | None:
    """Return columns and rows, None where the stream is of another kind or does not say."""
    siz = stream.find(_START_2000, 0, 256)  # after the boxes of a file, if there are any
    if not stream.startswith(_START):
        if siz < 0 or len(stream) < siz + 24:
            return None
        right, lower, left, upper = struct.unpack_from(">4I", stream, siz + 8)
        return right - left, lower - upper
    place = len(_START)
    while place + 9 <= len(stream) and stream[place] == _FILL:
        marker, length = stream[place + 1], int(struct.unpack_from(">H", stream, place + 2)[0])
        if marker == _FILL:
            place += 1
        elif marker in _FRAMES:
            rows, columns = struct.unpack_from(">2H", stream, place + 5)
            return columns, rows
        else:
            place += 2 + length
    return None
