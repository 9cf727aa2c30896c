"""Zip archives of models, unpacked without trusting a name, a size or a byte in them.

An archive is digested before it is opened. One that holds a name that could lead out of the folder,
a link, or two names that some file system takes for one, is refused as a whole: whoever packed it
so had a reason. Only files that a model consists of are written.
"""

import hashlib
import stat
from collections import Counter
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO, Final
from unicodedata import normalize
from zipfile import BadZipFile, ZipFile, ZipInfo

from organome.domain.errors import SetupError
from organome.io.files.packs import ZIP_DAMAGES

MAX_MEMBERS: Final = 10_000
MAX_GROWTH: Final = 20  # weights hardly shrink, JSON does so up to tenfold
FREE_GROWTH_BYTES: Final = 64 << 20
_BLOCK_BYTES: Final = 1 << 20
_ENCRYPTED: Final = 0x1
_FORBIDDEN: Final = frozenset('\\:*?"<>|')  # in file names of some system


def unpack_archive(
    archive: Path,
    folder: Path,
    *,
    wanted: Collection[str],
    noted: Collection[str],
    expected_sha256: str | None,
) -> str:
    """Unpack the wanted files of an archive.

    Args:
        archive: The zip archive.
        folder: Where to; made, and nothing may be in it.
        wanted: Names of files, without folders, that are written.
        noted: Names of files that are written empty, to show that they were there.
        expected_sha256: What the archive must have; checked before anything in it is looked at.

    Returns:
        SHA-256 of the archive.

    Raises:
        SetupError: It is another archive, is damaged, or is refused.
    """
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        check_sha256(found, expected_sha256, of=archive.name)
        size = file.seek(0, 2)
        try:
            with ZipFile(file) as opened:
                members = opened.infolist()
                check_offsets(members)
                _check_members(members, archive_bytes=size, name=archive.name)
                for member in members:
                    _write_member(opened, member, folder, wanted=wanted, noted=noted)
        except ZIP_DAMAGES as error:
            raise SetupError(f"{archive.name} is not a whole zip archive ({error})") from error
    return found


def check_offsets(members: Collection[ZipInfo]) -> None:
    """Refuse a table of contents that leads before the file: seeking there is an OSError.

    Raises:
        BadZipFile: If so.
    """
    if any(member.header_offset < 0 for member in members):
        raise BadZipFile("its table of contents leads before the file")


def check_sha256(found: str, expected: str | None, *, of: str) -> None:
    """Compare two digests.

    Raises:
        SetupError: They differ.
    """
    if expected is not None and found != expected.lower():
        raise SetupError(f"{of}: SHA-256 is {found}, expected {expected}; it was not opened")


def _check_members(members: list[ZipInfo], *, archive_bytes: int, name: str) -> None:
    """Refuse an archive by its table of contents.

    Raises:
        SetupError: A name, the kind of a member, or the sizes are not those of a model.
    """
    if len(members) > MAX_MEMBERS:
        raise SetupError(f"{name} is refused: {len(members)} members, {MAX_MEMBERS} at most")
    for member in members:
        why = _suspicion(member)
        if why:
            raise SetupError(f"{name} is refused: member {member.filename!r} {why}")
    files = Counter(_as_any_system_sees(one.filename) for one in members if not one.is_dir())
    doubled = next((one for one, n in files.items() if n > 1), None)
    if doubled:
        raise SetupError(f"{name} is refused: {doubled!r} is in it twice, but for case")
    for member in members:
        path = PurePosixPath(_as_any_system_sees(member.filename))
        above = [str(parent) for parent in path.parents] + [str(path)] * member.is_dir()
        if any(one in files for one in above):
            raise SetupError(f"{name} is refused: {str(path)!r} is a folder and a file at once")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_GROWTH * archive_bytes + FREE_GROWTH_BYTES:
        raise SetupError(
            f"{name} is refused: {unpacked} bytes would come out of {archive_bytes}, no model does"
        )


def _suspicion(member: ZipInfo) -> str | None:
    name = member.orig_filename
    parts = name.split("/")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if not name or name.startswith("/") or ".." in parts:
        return "leads out of the folder"
    if "\0" in name or any(sign in _FORBIDDEN or sign < " " for sign in name):
        return "has a sign in its name that no model needs"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link" if kind == stat.S_IFLNK else "is not a file"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None


def _as_any_system_sees(name: str) -> str:
    """Write a name as the least careful file system reads it."""
    return normalize("NFC", str(PurePosixPath(name))).casefold()


def _write_member(
    archive: ZipFile,
    member: ZipInfo,
    folder: Path,
    *,
    wanted: Collection[str],
    noted: Collection[str],
) -> None:
    path = folder / PurePosixPath(member.filename)
    for above in (path, *path.parents) if member.is_dir() else path.parents:
        if above.name.startswith("fold_"):  # a fold without a checkpoint is one that is missing
            above.mkdir(parents=True, exist_ok=True)
    if member.is_dir() or path.name not in (*wanted, *noted):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name in noted:
        path.touch()
        return
    with archive.open(member) as source, path.open("xb") as target:
        n_bytes = _copy(source, target, limit=member.file_size)
    if n_bytes != member.file_size:
        raise BadZipFile(f"{member.filename} ends after {n_bytes} of {member.file_size} bytes")


def _copy(source: IO[bytes], target: IO[bytes], *, limit: int) -> int:
    n_bytes = 0
    while block := source.read(_BLOCK_BYTES):
        n_bytes += len(block)
        if n_bytes > limit:
            raise BadZipFile("a member is larger than the archive says")
        target.write(block)
    return n_bytes
