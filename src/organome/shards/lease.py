"""The lease of a folder: one attempt at a time works in it, and the others wait.

Double execution happens: a cut-off node goes on computing, a killed controller submits again. So
whoever works in a folder holds its lease and shows by a beat that it lives. A newcomer waits while
the beat moves. It takes over at once when the lease was returned, or when the holder ran on this
very machine and is gone; otherwise when the beat stood still for as long as the terms say, by the
newcomer's own clock. No clock of another machine is ever looked at.

What it promises: of all that come, one gets the next generation, and the highest one holds. A
holder that could not beat for half of the patience looks again before it says that it holds on.

What no lease can promise: an attempt that is paused right after it asked goes on when it wakes up,
whoever holds the lease by then. So what it does next must fail or do no harm: what is written here
carries the generation in its path, and the next holder renames that away before it begins. On NFS,
where a look may show what was true a minute ago, only such a rename is certain.

Two more limits. Because of that minute, a patience far below two minutes is for tests. And the
beat comes from a thread: a call that keeps the interpreter to itself for longer looks dead.
"""

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from organome.domain.errors import Interrupted, MachineFault
from organome.io.files.atomic import ATTEMPT
from organome.shards.lease_records import (
    Record,
    Sight,
    look_at,
    put_record,
    remove_record,
    this_process,
    write_beat,
)

LEASE: Final = "lease"
_LOOKS_PER_BEAT: Final = 4
_BEATS_IF_DAMAGED: Final = 3


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


def find_holder(folder: Path) -> Record | None:
    """Return who holds the lease of a folder, None where nobody does."""
    sight = look_at(folder / LEASE)
    return None if sight is None else sight.record


class Watch:
    """Looks at a lease again and again, and knows for how long nothing has moved."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._sight: Sight | None = None
        self._since_s = time.monotonic()
        self.still_s = 0.0  # between the first look that showed what the last one did, and that
        self.has_moved = False

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
        return sight

    def is_over(self, terms: LeaseTerms) -> bool:
        """Whether the holder of the last look is gone, or was still for too long."""
        if self._sight is None:
            return True
        record = self._sight.record
        if record.is_alive is False:
            return True
        if record.is_damaged:  # half-written, or damaged: a holder gives it up at its next beat
            return self.still_s >= _BEATS_IF_DAMAGED * terms.beat_s
        return self.still_s >= max(terms.patience_s, record.patience_s)


class Lease:
    """A lease that this process holds, until it is released, lost, or the process ends.

    Attributes:
        generation: Rises with every holder as long as the folder's lease was not returned.
        taken_from: The holder that was gone or stood still; None where the lease was free.
    """

    def __init__(
        self, place: Path, record: Record, *, terms: LeaseTerms, taken_from: Record | None
    ) -> None:
        self.generation = record.generation
        self.taken_from = taken_from
        self._place = place
        self._record = record
        self._terms = terms
        self._n_beats = 0
        self._beaten_at_s = _now_s()
        self._fault: OSError | None = None
        self._is_lost = False
        self._beating = threading.Lock()
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._keep_beating, name="lease", daemon=True)
        try:
            self._heart.start()
        except RuntimeError as error:
            raise MachineFault("no thread can be started (see ulimit -u)") from error

    @classmethod
    def take(
        cls,
        folder: Path,
        *,
        terms: LeaseTerms = LEASE_TERMS,
        after: int = 0,
        on_wait: Callable[[Record], None] | None = None,
        stop_waiting: Callable[[], None] | None = None,
    ) -> Self:
        """Become the holder of a folder's lease; wait as long as another one lives.

        Args:
            folder: The folder; the lease is kept in ``lease/`` within.
            terms: How it is kept; the holder's own patience counts where that is longer.
            after: A generation that this one must exceed, for folders with older traces.
            on_wait: Called once for each holder that is waited for.
            stop_waiting: Called at every look; raises to end the waiting. A signal handler that
                raises ends it as well, but logging swallows what is raised while it writes.
        """
        place = folder / LEASE
        watch = Watch(place)
        waited_for: str | None = None
        while True:
            sight = watch.look()
            if sight is None or watch.is_over(terms):
                taken_from = None if sight is None else sight.record
                before = max(after, taken_from.generation if taken_from else 0)
                lease = cls._put(place, before, terms, taken_from)
                if lease is not None:
                    return lease
                continue
            if on_wait and sight.record.key != waited_for:
                on_wait(sight.record)
            waited_for = sight.record.key
            if stop_waiting:
                stop_waiting()
            time.sleep(terms.beat_s / _LOOKS_PER_BEAT)

    @classmethod
    def _put(
        cls, place: Path, before: int, terms: LeaseTerms, taken_from: Record | None
    ) -> Self | None:
        record = Record(
            generation=before + 1,
            key=uuid.uuid4().hex,
            attempt=ATTEMPT,
            process=this_process(),
            patience_s=terms.patience_s,
        )
        try:
            if put_record(place, record):
                return cls(place, record, terms=terms, taken_from=taken_from)
        except BaseException:
            with suppress(OSError):
                remove_record(place, record)
            raise
        return None

    def __enter__(self) -> Self:
        """Hold the lease for the block."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Return it."""
        self.release()

    def is_held(self) -> bool:
        """Whether this process is still the holder."""
        if self._ended.is_set() or self._is_lost:
            return False
        # Perhaps the whole process was paused, and nobody has taken over: then beating helps.
        if self._is_stale():
            self._beat()
        try:
            return self._is_newest() and not self._is_stale()
        except OSError as fault:
            self._fault = fault
            return not self._is_stale()

    def check(self) -> None:
        """Stop if this process is not the holder any more.

        Raises:
            Interrupted: If so; its cause is the OSError that kept the beat from the disk, if any.
        """
        if not self.is_held():
            why = "another attempt has taken it over" if self._fault is None else "it cannot beat"
            raise Interrupted(f"{self._place.parent}: lease lost, {why}") from self._fault

    def release(self) -> None:
        """Return the lease, so that nobody needs to wait; do nothing if it is lost."""
        self._ended.set()
        self._heart.join(timeout=self._terms.patience_s)
        # A file system that does not answer, or not well: whoever waits will find out by itself.
        if not self._heart.is_alive():
            with suppress(OSError):
                remove_record(self._place, self._record)

    def _keep_beating(self) -> None:
        self._beat()
        while not self._is_lost and not self._ended.wait(self._terms.beat_s):
            self._beat()

    def _beat(self) -> None:
        with self._beating:
            now_s = _now_s()  # others may see the beat before the write returns
            try:
                if not self._is_newest():
                    self._is_lost = True
                    return
                self._n_beats += 1
                write_beat(self._place, self._record, self._n_beats)
            except OSError as fault:
                self._fault = fault
            else:
                self._fault = None
                self._beaten_at_s = now_s

    def _is_newest(self) -> bool:
        sight = look_at(self._place)
        return sight is not None and sight.record == self._record

    def _is_stale(self) -> bool:
        return _now_s() - self._beaten_at_s > self._terms.patience_s / 2


def _now_s() -> float:
    """Read a clock that runs on while the machine sleeps, since that is what others see."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
