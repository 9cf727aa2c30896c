"""Files and folders that are there whole or not at all: write beside, fsync, rename."""

import ctypes
import errno
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError

# One name per process: two attempts at the same shard never write to the same temporary name.
ATTEMPT: Final = f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"

_ASIDE: Final = ".old"
_HERE: Final = -100  # AT_FDCWD in linux/fcntl.h
_RENAME_EXCHANGE: Final = 2  # linux/fs.h


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


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a temporary path for what takes the place of a file, with its mode and its times."""
    before = path.stat()
    with atomic_path(path) as temporary:
        yield temporary
        temporary.chmod(before.st_mode)
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write a small file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text_atomic(path: Path, content: str) -> None:
    """Write a small UTF-8 text file, whole or not at all."""
    write_bytes_atomic(path, content.encode())


def link_or_copy(path: Path, copy: Path) -> None:
    """Give a file that is never changed a second name; copy it where there are no hard links."""
    try:
        os.link(path, copy)
    except OSError:
        with atomic_path(copy) as temporary:
            shutil.copyfile(path, temporary)


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


def replace_folder(source: Path, destination: Path) -> None:
    """Put a finished folder in the place of an older one, by one exchange of names.

    Where the file system knows no exchange (NFS), the older one is renamed aside first; cut off
    right after, it is found again by ``recover_folder``. What is left of it is removed, or lies at
    ``source``.

    Args:
        source: The new folder, on the same file system.
        destination: The older one; need not exist.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    for path in (*source.rglob("*"), source):
        sync_folder(path) if path.is_dir() else sync_file(path)
    if not destination.exists():
        source.rename(destination)
    elif not _exchange(source, destination):
        aside = destination.with_name(f".{destination.name}.{ATTEMPT}{_ASIDE}")
        destination.rename(aside)
        source.rename(destination)
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(destination.parent)


def recover_folder(destination: Path) -> None:
    """Put back a folder that ``replace_folder`` was cut off from replacing; remove older ones."""
    for aside in destination.parent.glob(f".{destination.name}.*{_ASIDE}"):
        with suppress(OSError):
            destination.rmdir()  # an empty one: made for an output that was to come
        if destination.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(destination)


def exchange_names(one: Path, other: Path) -> None:
    """Exchange two files or folders, either of which may be missing; finish what was cut off.

    Where the file system knows no exchange, the first is renamed aside for a moment.
    """
    aside = exchange_place(one)
    if aside.exists():
        if not one.exists() and other.exists():
            other.rename(one)
        aside.rename(other)
    elif not one.exists():
        if other.exists():
            other.rename(one)
    elif not other.exists():
        one.rename(other)
    elif not _exchange(one, other):
        one.rename(aside)
        other.rename(one)
        aside.rename(other)


def exchange_place(one: Path) -> Path:
    """Return where the first of two lies while ``exchange_names`` is between two renames."""
    return one.with_name(f".{one.name}.exchanged")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one act; return False where the file system or system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if rename(_HERE, bytes(one.absolute()), _HERE, bytes(other.absolute()), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


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
