"""Identity of an input: cheap to find, and another as soon as the bytes are others."""

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from organome.domain.outcomes import JsonValue
from organome.io.files.delivered import file_kind, folder_files

END_BYTES: Final = 65536
MISSING: Final[JsonValue] = ["missing"]  # identity of what is not there
_UNREADABLE: Final = "unreadable"
# What a single file can have, on a machine in good order. Any other OSError is the machine's.
_OF_THE_FILE: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EISDIR}
    | {errno.EOVERFLOW, errno.EFBIG, errno.EILSEQ, errno.EBADMSG}
)


def input_identity(path: Path) -> JsonValue:
    """Return the identity of a file or folder without reading it whole.

    An archive is known by names, sizes and CRCs of its members; a gzip file by its end, where its
    CRC stands; both wherever they are copied to. Other files carry no checksum: size, both ends and
    the time of change stand for them; a folder is known by those times and sizes of the files in
    it and below. A FIFO, a socket or a device is never opened. Whatever the content, there is an
    identity.

    Args:
        path: A file or folder; it may be missing.

    Raises:
        OSError: If the machine is at fault: a lost mount, a failing disk.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return ["folder", _folder_digest(path)]
        if not stat.S_ISREG(found.st_mode):
            return [file_kind(found.st_mode)]
        size = found.st_size
        if path.suffix.lower() == ".zip":
            return ["zip", size, _archive_digest(path, size)]
        if path.suffix.lower() == ".gz":
            return ["gz", size, _digest(_end(path, size))]
        return ["file", size, found.st_mtime_ns, _digest(_start(path) + _end(path, size))]
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except ValueError:  # a name that no file can have
        return MISSING
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        return [_UNREADABLE, errno.errorcode[error.errno]]


def content_size(path: Path) -> int:
    """Return the bytes of a file, or of the files of a folder; 0 if there are none.

    Raises:
        OSError: If it cannot be looked at.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        return sum(size for _, size in _files_of(path))
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def content_mark(path: Path) -> str:
    """Return what two copies of a file or folder have in common, wherever and whenever made.

    Both ends and the middle of a file are read: an archive ends in its directory with the checksums
    of its members, a gzip file in its own. Of a folder that of its largest file stands for all.

    Raises:
        OSError: If it cannot be read.
    """
    if path.is_dir():
        files = _files_of(path)
        largest, size = max(files, key=lambda one: (one[1], one[0].name))
        return _digest_of([sorted(one for _, one in files), _sampled(largest, size)])
    return _sampled(path, path.stat().st_size)


def _files_of(folder: Path) -> list[tuple[Path, int]]:
    files = (one for _, one in folder_files(folder))
    return [(Path(one.path), one.stat().st_size) for one in files if one.is_file()]


def _sampled(path: Path, size: int) -> str:
    with path.open("rb") as file:
        pieces = []
        for start in (0, size // 2, max(0, size - END_BYTES)):
            file.seek(start)
            pieces.append(file.read(END_BYTES))
    return _digest(b"".join(pieces))


def is_out_of_reach(identity: JsonValue) -> bool:
    """Return whether an identity is that of something missing, or that cannot be opened."""
    return identity == MISSING or (isinstance(identity, list) and identity[:1] == [_UNREADABLE])


def gzip_identity(content: bytes) -> JsonValue:
    """Return the identity that a gzip file of this content has."""
    return ["gz", len(content), _digest(content[-END_BYTES:])]


def _archive_digest(path: Path, size: int) -> str:
    try:
        with ZipFile(path) as archive:
            members = [[one.filename, one.file_size, one.CRC] for one in archive.infolist()]
        return _digest_of(members)
    except OSError as error:
        if error.errno is not None and error.errno != errno.EINVAL:  # of a seek to nowhere
            raise
    except Exception:
        pass
    return _digest(_start(path) + _end(path, size))


def _folder_digest(path: Path) -> str:
    return _digest_of(sorted(_entry_identity(name, one) for name, one in folder_files(path)))


def _entry_identity(name: str, entry: "os.DirEntry[str]") -> list[Any]:
    try:
        found = entry.stat()
    except OSError as error:
        if error.errno not in {*_OF_THE_FILE, errno.ENOENT}:
            raise
        return [name, -1, errno.errorcode[error.errno]]
    if not stat.S_ISREG(found.st_mode):
        return [name, -1, file_kind(found.st_mode)]
    return [name, found.st_size, found.st_mtime_ns]


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(END_BYTES)


def _end(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, size - END_BYTES))
        return file.read(END_BYTES)


def _digest_of(value: Any) -> str:
    return _digest(json.dumps(value, separators=(",", ":")).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
