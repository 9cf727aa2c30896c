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
_MACHINE_FAULTS: Final = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))


def machine_fault(error: BaseException | None) -> OSError | None:
    """Find the OSError of a faulty machine behind an error, however it was wrapped."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _MACHINE_FAULTS:
            return error
        error = error.__cause__ or error.__context__
    return None


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
