"""Errors of the machine, which no scan is to blame for: a full disk, a lost mount."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
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


def machine_fault(error: BaseException | None) -> OSError | None:
    """Find the OSError of a faulty machine behind an error, however it was wrapped."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _MACHINE_FAULTS:
            return error
        error = error.__cause__ or error.__context__
    return None


def lacks_memory(error: BaseException | None) -> bool:
    """Say whether a lack of memory is behind an error, whatever a library or a reader made of it.

    Memory that one scan does not find is no fault of the machine.
    """
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def machine_faults_stop_the_job() -> Iterator[None]:
    """Turn the OSError of a faulty machine into a MachineFault.

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
        raise MachineFault(f"{fault.filename or 'disk'}: {fault.strerror}") from error
