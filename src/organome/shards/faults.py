"""Errors of the machine, which no scan is to blame for: a full disk, a lost mount.

What is written about an error names the scan by its key: paths below a delivery and the messages of
exceptions may hold the name of a participant.
"""

import errno
import os
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from organome.domain.errors import Interrupted, MachineFault

# By name: not every system knows every one. Codes that a single file can have as well (no such
# file, permission denied, too large) are not among them.
_NAMES: Final = (
    # disk full, failing or taken out of service
    *("ENOSPC", "EDQUOT", "EIO", "EREMOTEIO", "EROFS", "EUCLEAN", "ENODEV", "ENXIO", "ENOMEDIUM"),
    # server of the file system away, or it has forgotten us: NFS, Lustre, FUSE
    *("ESTALE", "ENOTCONN", "ESHUTDOWN", "ETIMEDOUT", "ETIME", "EPROTO", "ENOLINK", "ECOMM"),
    *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENETRESET"),
    *("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "ENOLCK"),
    # the ticket for a mount has run out
    *("EKEYEXPIRED", "EKEYREVOKED", "EKEYREJECTED", "ENOKEY"),
    # the whole system has no file handle left
    "ENFILE",
)
# ITK and torch raise no MemoryError.
_NO_MEMORY: Final = ("Failed to allocate memory", "std::bad_alloc", "DefaultCPUAllocator")
_MACHINE_FAULTS: Final = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))


# Only of what is written: reading a scan cannot meet them.
_OF_WRITING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENFILE})


def machine_fault(error: BaseException | None) -> OSError | None:
    """Find the OSError of a faulty machine behind an error, however it was wrapped."""
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _MACHINE_FAULTS:
            return one
    return None


def system_error(error: BaseException | None) -> OSError | None:
    """Find an OSError behind an error: what may go when a permission or a limit is put right.

    A position that no file has (EINVAL) is none: damaged files ask for it.
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno not in {None, errno.EINVAL}:
            return one
    return None


def lacks_memory(error: BaseException | None) -> bool:
    """Whether a lack of memory is behind an error, whatever a library or a reader made of it.

    Memory that one scan does not find is not a fault of the machine.
    """
    return any(
        isinstance(one, MemoryError)
        or (isinstance(one, OSError) and one.errno == errno.ENOMEM)
        or (isinstance(one, RuntimeError) and any(words in str(one) for words in _NO_MEMORY))
        for one in _chain(error)
    )


@contextmanager
def machine_faults_stop_the_job(*own: Path) -> Iterator[None]:
    """Turn the OSError of a faulty machine into a MachineFault.

    Args:
        own: Folders below which paths may be named.

    Raises:
        MachineFault: If the disk is full or away, whatever the error was wrapped in.
    """
    try:
        yield
    except (MachineFault, Interrupted):
        raise
    except Exception as error:
        fault = machine_fault(error)
        if fault is None:
            raise
        raise MachineFault(describe_os_error(fault, *own)) from error


def describe_os_error(error: OSError, *own: Path) -> str:
    """Describe an error of the system; with the path only where that is ours.

    What is written, or lies below the working directory (of a job the run folder), is ours. Any
    other path may lie in a delivery, and name a participant.

    Args:
        error: What was raised.
        own: Further folders that are ours: a run folder that is not the working directory, models.
    """
    path = error.filename
    if path is not None and (error.errno in _OF_WRITING or _is_ours(str(path), own)):
        return f"{path}: {error.strerror}"
    return f"disk: {error.strerror} ({errno.errorcode.get(error.errno or 0, '')})"


def _is_ours(path: str, own: Iterable[Path]) -> bool:
    try:
        here = Path.cwd()
    except OSError:
        return False  # it is away, too
    full = Path(os.path.normpath(here / path))
    return any(full.is_relative_to(os.path.normpath(here / root)) for root in (here, *own))


def fault_at_scan(scan: str, fault: OSError, *, own: Path) -> MachineFault:
    """Describe a fault that a scan met, without the path of what was delivered.

    Args:
        scan: Key of the scan.
        fault: What was found.
        own: Folder of the shard; paths below it hold keys of scans only.
    """
    name = errno.errorcode.get(fault.errno or 0, "")
    if fault.filename is not None and Path(str(fault.filename)).is_relative_to(own):
        return MachineFault(f"{fault.filename}: {fault.strerror}")
    return MachineFault(
        f"scan {scan}: {fault.strerror} ({name}) at one of its files; is the disk of the delivery"
        " well?",
        is_local=fault.errno in _OF_WRITING,
    )


def scrubbed_traceback(error: BaseException) -> str:
    """Write where an error came from, first cause first, in types and lines of code alone."""
    parts = []
    for one in reversed(list(_chain(error))):
        parts += [*traceback.format_tb(one.__traceback__), f"{type(one).__qualname__}\n"]
    return "".join(parts)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was caused by."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
