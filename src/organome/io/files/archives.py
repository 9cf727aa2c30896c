"""Zip archives as biobanks deliver them, read in memory and checked member by member."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zipfile import BadZipFile, ZipFile, ZipInfo

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason

ARCHIVE_SUFFIX: Final = ".zip"


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read all members of a zip archive; the CRC of each is checked.

    Args:
        path: The archive.

    Yields:
        Name and content of each member, in the order of the archive.

    Raises:
        ScanError: FILE_MISSING; ARCHIVE_BROKEN if the archive is truncated or a member damaged;
            ARCHIVE_EMPTY if there is no member.
    """
    if not path.is_file():
        raise ScanError(Reason.FILE_MISSING, "no archive where the list says")
    try:
        with ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if not members:
                raise ScanError(Reason.ARCHIVE_EMPTY, "the archive has no member")
            for member in members:
                yield member.filename, _read_member(archive, member)
    except BadZipFile as error:
        raise ScanError(Reason.ARCHIVE_BROKEN, "no whole zip archive") from error


def _read_member(archive: ZipFile, member: ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (BadZipFile, zlib.error, EOFError) as error:
        fact = f"member {member.filename} is damaged"
        raise ScanError(Reason.ARCHIVE_BROKEN, fact) from error
    except (NotImplementedError, RuntimeError) as error:
        # Encrypted, or a method that Python does not know.
        fact = f"member {member.filename} cannot be unpacked"
        raise ScanError(Reason.ARCHIVE_BROKEN, fact) from error
