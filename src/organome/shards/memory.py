"""Memory for scans: what a worker process may take, and which scans are let in beside others."""

import threading
from typing import Final

from organome.domain.errors import ScanError
from organome.domain.inference import MemoryNeed
from organome.domain.outcomes import Reason

GB: Final = 1e9


class TooLargeError(ScanError):
    """A scan needs more memory than there is, as far as can be known before it is begun."""


class MemoryGate:
    """Lets scans in as long as they fit into memory together, and any scan on its own.

    They come in in the order in which they ask, so that small ones never overtake a large one.
    """

    def __init__(self, host_bytes: int, device_bytes: int | None = None) -> None:
        """Open it.

        Args:
            host_bytes: Memory of the machine that one process may take for scans.
            device_bytes: Memory of its GPU, likewise; None without one.
        """
        self._host_bytes = host_bytes
        self._device_bytes = device_bytes
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._inside: dict[str, int] = {}

    def enter(self, scan: str, need: MemoryNeed | None) -> None:
        """Wait until a scan fits.

        Args:
            scan: Its key.
            need: What it takes, None where that is not known: it goes in at once.

        Raises:
            TooLargeError: It does not fit with no other scan inside.
        """
        if need is None:
            return
        for kind, needed, there in (
            ("memory", need.host_bytes, self._host_bytes),
            ("memory of the GPU", need.device_bytes, self._device_bytes),
        ):
            if there is not None and needed > there:
                fact = f"needs about {needed / GB:.1f} GB of {kind}, {there / GB:.1f} GB are there"
                raise TooLargeError(Reason.OUT_OF_MEMORY, fact)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._fits(need.host_bytes))
            self._inside[scan] = need.host_bytes

    def leave(self, scan: str) -> None:
        """Return what a scan took, if it was inside."""
        with self._changed:
            self._inside.pop(scan, None)
            self._changed.notify_all()

    def _fits(self, wanted_bytes: int) -> bool:
        taken_bytes = sum(self._inside.values())
        return not self._inside or taken_bytes + wanted_bytes <= self._host_bytes
