"""Who holds a lease, and whether it lives."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.shards.lease_records import Record, Sight, look_at
from organome.shards.processes import is_running

LEASE: Final = "lease"


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How a lease is kept and when it is lost.

    Attributes:
        beat_s: Time between two beats of the holder in seconds.
        patience_s: For how long the beat may stand still before another may take over, in seconds;
            several beats.
    """

    beat_s: float = 10.0
    patience_s: float = 120.0

    def __post_init__(self) -> None:
        """Refuse terms under which a living holder would lose its lease."""
        if not 0 < 3 * self.beat_s <= self.patience_s:
            raise ValueError(f"{self}: the patience must be three beats or more")


LEASE_TERMS: Final = LeaseTerms()


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease.

    Attributes:
        generation: One more than that of the holder before.
        attempt: Name of the run of the program.
        host: Its machine.
        pid: Number of its process there.
        alive: None where that cannot be told from here without waiting.
    """

    generation: int
    attempt: str
    host: str
    pid: int
    alive: bool | None


def find_holder(folder: Path, *, watch_s: float = 0.0) -> Holder | None:
    """Find out who holds the lease of a folder, None where nobody does.

    Args:
        folder: The folder.
        watch_s: For how long to watch the beat of a holder on another machine at most; it is
            watched no longer than until it moves, or was still for as long as its terms say.

    Returns:
        The holder; ``alive`` is None where ``watch_s`` was too short to tell.
    """
    watch = Watch(folder / LEASE)
    while (sight := watch.look()) is not None:
        alive = is_running(sight.record.process)
        if alive is None and watch.has_moved:
            alive = True
        if alive is None and 0 < sight.record.patience_s <= watch.still_s:
            alive = False
        if alive is not None or watch.still_s >= watch_s:
            return holder_of(sight.record, alive=alive)
        time.sleep(min(1.0, watch_s / 10))
    return None


class Watch:
    """Looks at a lease again and again, and knows for how long nothing has moved."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._sight: Sight | None = None
        self._since_s = time.monotonic()
        self.still_s = 0.0  # between the first look that showed what the last one did, and that
        self.has_moved = False
        self.generation = 0

    def look(self) -> Sight | None:
        """Look at the lease."""
        # Read before the look: a watcher that is paused after it has not seen anything stand still.
        now_s = time.monotonic()
        sight = look_at(self._place)
        if sight != self._sight:
            self.has_moved = self._sight is not None
            self._sight = sight
            self._since_s = time.monotonic()
        self.still_s = max(0.0, now_s - self._since_s)
        self.generation = 0 if sight is None else sight.record.generation
        return sight

    def is_over(self, terms: LeaseTerms) -> bool:
        """Say whether the holder of the last look is gone, or was still for too long."""
        if self._sight is None:
            return True
        record = self._sight.record
        if is_running(record.process) is False:
            return True
        return self.still_s >= max(terms.patience_s, record.patience_s)


def holder_of(record: Record, *, alive: bool | None) -> Holder:
    """Tell of the holder what others may want to know."""
    return Holder(
        generation=record.generation,
        attempt=record.attempt,
        host=record.process.host,
        pid=record.process.pid,
        alive=alive,
    )
