"""Room for scans: what a worker process may take, and which scans are let in beside others."""

import threading
from dataclasses import dataclass
from typing import Final

from organome.domain.errors import ScanError
from organome.domain.inference import MemoryNeed
from organome.domain.outcomes import Reason

GB: Final = 1e9


class NoRoomError(ScanError):
    """A scan needs more memory than there is, as far as can be told before it is begun."""


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that one process may take for scans.

    Attributes:
        host_bytes: Of the machine.
        device_bytes: Of its GPU; None without one.
    """

    host_bytes: int
    device_bytes: int | None = None


class MemoryGate:
    """Lets scans in as long as there is room, and any scan where there is no other.

    They come in in the order in which they ask, so that a large one is not kept waiting by small
    ones for ever.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._turn = threading.Lock()
        self._changed = threading.Condition()
        self._inside: dict[str, int] = {}

    def enter(self, scan: str, need: MemoryNeed | None) -> None:
        """Wait until there is room for a scan.

        Args:
            scan: Its key.
            need: What it takes, None where that is not known: it goes in at once.

        Raises:
            NoRoomError: There is too little, with no other scan inside as well.
        """
        if need is None:
            return
        check_room(need, self._room)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._has_room(need.host_bytes))
            self._inside[scan] = need.host_bytes

    def leave(self, scan: str) -> None:
        """Give back what a scan took, if it was inside."""
        with self._changed:
            self._inside.pop(scan, None)
            self._changed.notify_all()

    def _has_room(self, wanted_bytes: int) -> bool:
        return not self._inside or (
            sum(self._inside.values()) + wanted_bytes <= self._room.host_bytes
        )


def check_room(need: MemoryNeed, room: Room) -> None:
    """Refuse a scan that does not fit with nothing beside it.

    Raises:
        NoRoomError: It does not.
    """
    for kind, needed, there in (
        ("memory", need.host_bytes, room.host_bytes),
        ("memory of the GPU", need.device_bytes, room.device_bytes),
    ):
        if there is not None and needed > there:
            fact = f"needs about {needed / GB:.1f} GB of {kind}, {there / GB:.1f} GB are there"
            raise NoRoomError(Reason.OUT_OF_MEMORY, fact)
