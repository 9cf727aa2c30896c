"""Files as delivered: looked at before they are opened, and never trusted.

Opening a FIFO waits for ever, opening a device may do anything, and a foreign library may raise
whatever it pleases. So a file is asked what it is first, and what a library raises becomes the
reason of a scan.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from organome.domain.errors import OrganomeError, ScanError
from organome.domain.outcomes import Reason

POINTER_BYTES: Final = 1024  # longer ones are content
MAX_FOLDERS_DEEP: Final = 8
_LFS: Final = b"version https://git-lfs.github.com/"
_ANNEX: Final = "annex/objects/"
_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def file_kind(mode: int) -> str:
    """Return what something in a file system is: ``a file``, ``a folder``, ``a FIFO`` ..."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def is_folder(path: "Path | os.DirEntry[str]") -> bool:
    """Return whether a path leads to a folder; what cannot be looked at is none."""
    try:
        return path.is_dir()
    except OSError:  # refused where it is opened
        return False


def folder_files(folder: Path) -> list[tuple[str, "os.DirEntry[str]"]]:
    """Find what lies in a folder and below it, folders themselves and hidden ones left out.

    Links are followed, and each folder is looked into once: links in a circle end.

    Returns:
        Path below the folder, with slashes, and entry of each, in order.

    Raises:
        OSError: If a folder cannot be read, or lies deeper than anything is delivered.
    """
    found: list[tuple[str, os.DirEntry[str]]] = []
    seen: set[tuple[int, int]] = set()

    def look(path: str | Path, above: str, depth: int) -> None:
        if depth > MAX_FOLDERS_DEEP:
            raise OSError(errno.ELOOP, f"folders in it are more than {MAX_FOLDERS_DEEP} deep")
        status = Path(path).stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if not is_folder(entry):
                    found.append((above + entry.name, entry))
                elif not entry.name.startswith("."):
                    look(entry.path, f"{above}{entry.name}/", depth + 1)

    look(folder, "", 0)
    return found


def check_file(path: Path, *, unreadable: Reason = Reason.FILE_BROKEN) -> int:
    """Refuse what is not a regular file, without opening it.

    Args:
        path: The file; links are followed.
        unreadable: Reason where it cannot be looked at.

    Returns:
        Its size in bytes.

    Raises:
        ScanError: FILE_MISSING, CONTENT_NOT_FETCHED for a link or a pointer of git-annex or Git LFS
            without its content, FORMAT_UNKNOWN for a FIFO, socket, device or folder.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink() and _ANNEX in str(path.readlink()):
            raise ScanError(Reason.CONTENT_NOT_FETCHED, "a link of git-annex") from error
        raise ScanError(Reason.FILE_MISSING, "no file where the list says") from error
    except (OSError, ValueError) as error:
        raise ScanError(unreadable, f"cannot be opened: {plain_words(error)}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ScanError(Reason.FORMAT_UNKNOWN, f"it is {file_kind(found.st_mode)}, not a file")
    if found.st_size <= POINTER_BYTES:
        with refusing(unreadable, "cannot be opened"), path.open("rb") as file:
            check_fetched(file.read(POINTER_BYTES))
    return found.st_size


def check_fetched(content: bytes) -> None:
    """Refuse a text that stands where a large file is to be.

    Raises:
        ScanError: CONTENT_NOT_FETCHED.
    """
    if is_pointer(content):
        raise ScanError(Reason.CONTENT_NOT_FETCHED, "a pointer of git-annex or Git LFS")


def is_pointer(content: bytes) -> bool:
    """Return whether git-annex or Git LFS left this in place of a large file."""
    if len(content) > POINTER_BYTES or b"\0" in content:
        return False
    # Where links cannot be made, or are copied as text, git-annex leaves the path itself.
    return content.startswith(_LFS) or _ANNEX.encode() in content.partition(b"\n")[0]


@contextmanager
def refusing(reason: Reason, fact: str) -> Iterator[None]:
    """Turn whatever a foreign library raises about a file into a ScanError.

    The error behind it stays its cause, so that a full disk, a lost mount or a lack of memory is
    still seen by the runtime.

    Args:
        reason: Reason of the ScanError.
        fact: What was found; the kind of error is added, its message may name a participant.

    Raises:
        ScanError: In place of any other error.
    """
    try:
        yield
    except OrganomeError:
        raise
    except Exception as error:
        raise ScanError(reason, f"{fact} ({plain_words(error)})") from error


def plain_words(error: Exception) -> str:
    """Return what went wrong without a path or a text of the file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
