"""Identity of an input: cheap to tell, and another as soon as the bytes are others."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

from organome.domain.outcomes import JsonValue

END_BYTES: Final = 65536
MISSING: Final[JsonValue] = ["missing"]  # identity of what is not there


def input_identity(path: Path) -> JsonValue:
    """Tell the identity of a file or folder without reading it whole.

    An archive is known by names, sizes and CRCs of its members; a gzip file by its end, where its
    CRC stands; both wherever they are copied to. Other files carry no checksum: size, both ends and
    the time of change stand for them; a folder is known by those times and sizes of its files.

    Args:
        path: A file or folder; it may be missing.
    """
    try:
        if path.is_dir():
            return ["folder", _folder_digest(path)]
        size = path.stat().st_size
        if path.suffix == ".zip":
            return ["zip", size, _archive_digest(path)]
        if path.suffix == ".gz":
            return ["gz", size, _digest(_end(path, size))]
        return ["file", size, path.stat().st_mtime_ns, _digest(_start(path) + _end(path, size))]
    except (FileNotFoundError, NotADirectoryError):
        return MISSING


def gzip_identity(content: bytes) -> JsonValue:
    """Tell the identity that a gzip file of this content has."""
    return ["gz", len(content), _digest(content[-END_BYTES:])]


def _archive_digest(path: Path) -> str:
    try:
        with ZipFile(path) as archive:
            members = [[one.filename, one.file_size, one.CRC] for one in archive.infolist()]
    except BadZipFile:
        return _digest(_start(path) + _end(path, path.stat().st_size))
    return _digest_of(members)


def _folder_digest(path: Path) -> str:
    with os.scandir(path) as entries:
        files = [(one.name, one.stat()) for one in entries if one.is_file()]
    return _digest_of(sorted([name, stat.st_size, stat.st_mtime_ns] for name, stat in files))


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(END_BYTES)


def _end(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, size - END_BYTES))
        return file.read()


def _digest_of(value: Any) -> str:
    return _digest(json.dumps(value, separators=(",", ":")).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
