"""Files that a step has published: its scans are through, so a damaged one is never a scan's fault.

A file that is gone or damaged (a disk that lost power, a hand that removed it) is asked for again:
what is left of it goes, and so does the ledger beside it, without which the workflow does not take
the shard for done. Its step then keeps every scan whose files are all there, and does the rest.
"""

import gzip
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from organome.domain.errors import MachineFault, ScanError
from organome.io.files.packs import drop_damaged, read_packed

LEDGER: Final = "ledger.parquet"
_CHUNK_BYTES: Final = 1 << 20


class DamagedFile(MachineFault):
    """A published file is gone or damaged, and its step was asked for it again."""


def ask_again(path: Path, *, found: str = "was damaged", member: str | None = None) -> DamagedFile:
    """Remove a damaged file, and the ledger beside it, so that the workflow makes them again.

    Args:
        path: The file; of a pack only the members go that are damaged.
        found: What was found, for the message.
        member: Of a pack, what was damaged before it was packed.

    Returns:
        What is to be raised. No machine is at fault, and started again all goes well.
    """
    with suppress(OSError):  # where nothing may be removed, the fault is still no scan's
        if path.suffix == ".zip":
            drop_damaged(path, known=member)
        else:
            path.unlink(missing_ok=True)
        (path.parent / LEDGER).unlink(missing_ok=True)
    return DamagedFile(
        f"{path}: {found} since it was published; start again, so that its step makes it again",
        is_local=False,
    )


def is_whole_gzip(path: Path) -> bool:
    """Return whether a gzip file can be read to its end, and its checksum holds.

    Raises:
        OSError: If the machine is at fault.
    """
    if path.stat().st_size == 0:  # for Python, no members at all are a gzip file
        return False
    try:
        with gzip.open(path) as file:
            while file.read(_CHUNK_BYTES):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return True


def read_member(pack: Path, name: str) -> bytes:
    """Read a member of a published pack.

    Raises:
        DamagedFile: If it is gone or damaged: then its step is asked for it again.
    """
    try:
        content = read_packed(pack, name)
    except ScanError as error:
        raise ask_again(pack) from error
    if content is None:
        raise ask_again(pack.with_name(name), found="gone")
    return content
