"""The lease of a work folder: whoever came last holds it.

Double execution happens: a cut-off node goes on computing, a killed controller submits again.
Waiting for the other to end would need a clock that both trust, so nobody waits: a newcomer takes
the lease, and the other one finds that out before its next entry and stops. What the two may lose
is time.
"""

from pathlib import Path
from typing import Final

from organome.io.atomic import ATTEMPT, write_text_atomic

_LEASE: Final = "lease"


def take_lease(folder: Path) -> None:
    """Make this attempt the holder of the folder, whoever held it before."""
    write_text_atomic(folder / _LEASE, ATTEMPT)


def holds_lease(folder: Path) -> bool:
    """Say whether this attempt is still the holder."""
    try:
        return (folder / _LEASE).read_text() == ATTEMPT
    except FileNotFoundError:
        return False
