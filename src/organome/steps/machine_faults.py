"""Errors of the machine, which no scan is to blame for: a full disk, a lost mount."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from organome.domain.errors import SetupError

_MACHINE_FAULTS: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EROFS}
)


def machine_fault(error: BaseException | None) -> OSError | None:
    """Find the OSError of a faulty machine behind an error, however it was wrapped."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _MACHINE_FAULTS:
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def machine_faults_stop_the_job() -> Iterator[None]:
    """Turn the OSError of a faulty machine into a SetupError.

    Raises:
        SetupError: If the disk is full or away, whatever the error was wrapped in.
    """
    try:
        yield
    except Exception as error:
        fault = machine_fault(error)
        if fault is None or isinstance(error, SetupError):
            raise
        raise SetupError(f"{fault.filename or 'disk'}: {fault.strerror}") from error
