"""Files and folders that are there whole or not at all: write beside, fsync, rename."""

import errno
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError

# One name per process: two attempts at the same shard never write to the same temporary name.
ATTEMPT: Final = f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it into place when the block ends well.

    The temporary name keeps the suffixes, because image writers choose the format by them. It is
    hidden and unique to this process. When the block raises, the temporary file is removed and
    whatever stood at ``path`` before stays.

    Args:
        path: Where the file shall stand. Its folder is made if need be.

    Raises:
        ValueError: If ``path`` ends in ``.nii``: ITK reads ``x.nii`` when asked for ``x.nii.gz``.
    """
    if path.suffix == ".nii":
        raise ValueError(f"{path.name}: uncompressed NIfTI shadows .nii.gz, write .nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{ATTEMPT}.tmp{_format_suffix(path)}")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write a small file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text_atomic(path: Path, content: str) -> None:
    """Write a small UTF-8 text file, whole or not at all."""
    write_bytes_atomic(path, content.encode())


def publish_folder(source: Path, destination: Path, *, is_synced: bool = False) -> None:
    """Put a finished folder in its place by one rename.

    An older folder at ``destination`` is renamed aside first and removed after, so that no moment
    shows a mixture of the two.

    Args:
        source: The folder.
        destination: Its place, on the same file system.
        is_synced: Whether the disk has confirmed the files already.

    Raises:
        SetupError: If the two lie on different file systems, where a rename cannot be one act.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    for path in () if is_synced else sorted(source.rglob("*")):
        sync_folder(path) if path.is_dir() else sync_file(path)
    sync_folder(source)
    aside = destination.with_name(f".{destination.name}.{ATTEMPT}.old")
    if destination.exists():
        destination.rename(aside)
    try:
        source.rename(destination)
    except OSError as error:
        if aside.exists():
            aside.rename(destination)
        if error.errno == errno.EXDEV:
            raise SetupError(
                f"{source} and {destination.parent} lie on different file systems"
            ) from error
        raise
    sync_folder(destination.parent)
    for left in destination.parent.glob(f".{destination.name}.*.old"):
        shutil.rmtree(left, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Have the disk confirm the content of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the disk confirm the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of folders; their renames are synchronous.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _format_suffix(path: Path) -> str:
    return ".nii.gz" if path.name.endswith(".nii.gz") else path.suffix
