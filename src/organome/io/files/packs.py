"""Packs: many small files in one zip archive, each as it is, with the zip's own index.

The members are compressed already, so they are stored. Equal members give equal bytes: no time, no
owner, the order as given. The index stands at the end, so a pack that was cut short has none.
"""

import lzma
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from organome.domain.errors import ScanError
from organome.domain.outcomes import JsonValue, Reason
from organome.io.files.atomic import atomic_path
from organome.io.files.identity import MISSING, gzip_identity

# The earliest time that zip knows.
_MEMBER_TIME: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
# What zipfile raises for flipped bits; RuntimeError: "encrypted", ValueError: names, sizes.
ZIP_DAMAGES: Final = (
    *(BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError),
    *(struct.error, zlib.error, lzma.LZMAError),
)


def write_pack(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a pack, whole or not at all.

    Args:
        path: Where.
        members: Name and content of each, in order; one at a time is in memory.
    """
    with atomic_path(path) as temporary, ZipFile(temporary, "w", ZIP_STORED) as pack:
        for name, content in members:
            pack.writestr(dateless(name), content)


def dateless(name: str) -> ZipInfo:
    """Describe a member of a zip archive without any real date, owner or system."""
    entry = ZipInfo(name, date_time=_MEMBER_TIME)
    entry.create_system = _UNIX
    entry.external_attr = 0o644 << 16
    return entry


def packed_sizes(path: Path) -> dict[str, int]:
    """Return the sizes of the members of a pack in bytes by name, in order.

    Returns:
        An empty dict where there is no pack, or one whose index is broken.
    """
    try:
        with ZipFile(path) as pack:
            return {member.filename: member.file_size for member in pack.infolist()}
    except (FileNotFoundError, *ZIP_DAMAGES):
        return {}


def read_packed(path: Path, name: str) -> bytes | None:
    """Read one member of a pack; its checksum counts.

    Returns:
        Its content, None where the pack is not there or does not have it.

    Raises:
        ScanError: FILE_BROKEN if the pack or the member is damaged.
    """
    try:
        return _read(path, name)
    except ZIP_DAMAGES as error:
        raise ScanError(Reason.FILE_BROKEN, f"{path.name} is damaged at {name}") from error


def write_members(path: Path, target: Path, names: Iterable[str]) -> None:
    """Write some members of a pack as a pack of their own, one in memory at a time."""
    with ZipFile(path) as pack:
        write_pack(target, ((name, pack.read(name)) for name in names))


def drop_damaged(path: Path, *, known: str | None = None) -> None:
    """Write a pack again without the members that cannot be read; one without an index goes.

    Args:
        path: The pack.
        known: A member that was damaged before it was packed, so that its checksum holds.
    """
    whole = []
    for name in packed_sizes(path):
        with suppress(*ZIP_DAMAGES):
            if name != known and _read(path, name) is not None:
                whole.append(name)
    if whole:  # read a second time, so that one at a time is in memory
        contents = ((name, _read(path, name)) for name in whole)
        write_pack(path, ((name, content) for name, content in contents if content is not None))
    else:
        path.unlink(missing_ok=True)


def packed_gzip_identity(path: Path, name: str) -> JsonValue:
    """Return the identity that a packed gzip file would have beside the pack."""
    try:
        content = _read(path, name)
    except ZIP_DAMAGES:
        return ["broken"]
    return MISSING if content is None else gzip_identity(content)


def _read(path: Path, name: str) -> bytes | None:
    try:
        with ZipFile(path) as pack:
            return pack.read(name) if name in pack.NameToInfo else None
    except FileNotFoundError:
        return None
