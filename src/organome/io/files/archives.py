"""Zip archives as biobanks deliver them, read in memory and checked member by member."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Final, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipExtFile, ZipFile, ZipInfo

from isal import isal_zlib

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.files.delivered import check_file, refusing

ARCHIVE_SUFFIX: Final = ".zip"
MAX_MEMBERS: Final = 200_000
MAX_UNPACKED_BYTES: Final = 16 << 30
# Images shrink to a half or a tenth, zeros to a thousandth. Small archives may be anything.
MAX_GROWTH: Final = 50
FREE_GROWTH_BYTES: Final = 256 << 20
# zipfile inflates all that it has read of a bzip2 or LZMA stream at once, a byte of which may
# stand for a megabyte.
_SMALL_READ_BYTES: Final = 64
_RAW_STREAM: Final = -15  # of deflate, without a frame
_BLOCK_BYTES: Final = 1 << 20
_ENDS: Final = ("/", "\\")  # of a folder's name; backslashes as Windows writes them
MAX_COMMENT_BYTES: Final = 0xFFFF
# Source: PKWARE APPNOTE 6.3.10, 4.3.16: end of central directory record.
_END_RECORD: Final = Struct("<4s4H2LH")
_END_SIGNATURE: Final = b"PK\5\6"
_IN_ZIP64: Final = 0xFFFF


def read_members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read all members of a zip archive; the CRC of each is checked.

    What would come out of it is judged by its directory, before anything is unpacked, and no
    member yields more than its directory says.

    Args:
        path: The archive.

    Yields:
        Name, with slashes, and content of each member, in the order of the archive.

    Raises:
        ScanError: FILE_MISSING, CONTENT_NOT_FETCHED or FORMAT_UNKNOWN if there is no such file;
            ARCHIVE_BROKEN if the archive is truncated, a member damaged, or far more would come out
            of it than of images; ARCHIVE_EMPTY if there is no member.
    """
    size = check_file(path, unreadable=Reason.ARCHIVE_BROKEN)
    with refusing(Reason.ARCHIVE_BROKEN, "not a whole zip archive"):
        archive = ZipFile(path)
    with archive:
        with refusing(Reason.ARCHIVE_BROKEN, "the end of the archive is damaged"):
            _check_count(archive, path, archive_bytes=size)
        members = [
            one for one in archive.infolist() if one.file_size or not one.filename.endswith(_ENDS)
        ]
        _check_sizes(members, archive_bytes=size)
        for place, member in enumerate(members, start=1):
            which = f"member {place} of {len(members)}"
            with refusing(Reason.ARCHIVE_BROKEN, f"{which} is damaged"):
                content = _read_member(archive, member)
            yield member.filename.replace("\\", "/"), content


def _check_count(archive: ZipFile, path: Path, *, archive_bytes: int) -> None:
    """Compare the directory with the number of members at its end, which zipfile does not.

    Raises:
        ScanError: If members have been swallowed by a damaged entry.
    """
    with path.open("rb") as file:
        file.seek(max(0, archive_bytes - _END_RECORD.size - MAX_COMMENT_BYTES))
        end = file.read()  # bytes may follow the record; zipfile takes the last one, too
        n_members = _END_RECORD.unpack_from(end, end.rfind(_END_SIGNATURE))[4]
    if n_members not in (_IN_ZIP64, len(archive.infolist()) & 0xFFFF):
        fact = f"{len(archive.infolist())} members can be read of {n_members}"
        raise ScanError(Reason.ARCHIVE_BROKEN, fact)


def _check_sizes(members: Sequence[ZipInfo], *, archive_bytes: int) -> None:
    if not members:
        raise ScanError(Reason.ARCHIVE_EMPTY, "the archive has no member")
    if len(members) > MAX_MEMBERS:
        fact = f"{len(members)} members, {MAX_MEMBERS} at most"
        raise ScanError(Reason.ARCHIVE_BROKEN, fact)
    unpacked = sum(member.file_size for member in members)
    grown = unpacked > FREE_GROWTH_BYTES and unpacked > MAX_GROWTH * archive_bytes
    if grown or unpacked > MAX_UNPACKED_BYTES:
        fact = f"{unpacked} bytes would come out of {archive_bytes}, no images do"
        raise ScanError(Reason.ARCHIVE_BROKEN, fact)


def _read_member(archive: ZipFile, member: ZipInfo) -> bytes:
    inflates_bounded = member.compress_type in (ZIP_STORED, ZIP_DEFLATED)
    block_bytes = _BLOCK_BYTES if inflates_bounded else _SMALL_READ_BYTES
    content = bytearray()
    with cast(ZipExtFile, archive.open(member)) as file:
        file.MIN_READ_SIZE = min(file.MIN_READ_SIZE, block_bytes)
        if member.compress_type == ZIP_DEFLATED:  # zipfile checks length and CRC all the same
            if max(member.compress_size, member.file_size) <= _BLOCK_BYTES:
                return _inflated(file, member)
            file._decompressor = isal_zlib.decompressobj(_RAW_STREAM)  # type: ignore[attr-defined]
        while block := file.read(block_bytes):
            content += block
    if len(content) != member.file_size:
        raise EOFError
    return bytes(content)


def _inflated(file: ZipExtFile, member: ZipInfo) -> bytes:
    """Inflate a member of one block, as zipfile does in one turn of its loop, and check it.

    Zipfile itself has compared the member's own header with the directory.

    Raises:
        EOFError: The archive or the member ends early.
        BadZipFile: The CRC differs.
        isal_zlib.error: The stream is damaged.
    """
    stored = file._fileobj.read(member.compress_size)  # type: ignore[attr-defined]
    decoder = isal_zlib.decompressobj(_RAW_STREAM)
    content = decoder.decompress(stored, _BLOCK_BYTES)
    is_cut = len(stored) < member.compress_size and not decoder.eof
    if not is_cut and not decoder.unconsumed_tail:
        content += decoder.flush()
    content = content[: member.file_size]
    if is_cut and (not stored or len(content) < member.file_size):
        raise EOFError
    if isal_zlib.crc32(content) != member.CRC:
        raise BadZipFile
    if len(content) != member.file_size:
        raise EOFError
    return content
