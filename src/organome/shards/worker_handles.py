"""One worker process, as its parent sees it."""

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from typing import Final

from organome.domain.errors import MachineFault
from organome.domain.outcomes import Reason
from organome.shards.pipeline import n_in_hand
from organome.shards.scan_attempts import ScanResult, Task
from organome.shards.staging import Bench
from organome.shards.step import ScanStep, has_stages
from organome.shards.worker import STOP_SIGNALS, Message, work

_PATIENCE_S: Final = 10.0  # a killed process that waits for a dead file server cannot be waited for
# Fresh interpreters: a fork would copy locks that threads of the parent hold, and CUDA forbids it.
_SPAWN: Final = get_context("spawn")


class Worker:
    """One process.

    Attributes:
        step: What it does.
        connection: Its end of the pipe.
        bundle: Scans that no other process shall have.
        in_hand: Scans that it was given and has not told the end of, by key.
        has_started: Whether it has loaded what all scans need.
        has_died: Whether its end of the pipe was found broken, or it was killed because it hung.
    """

    def __init__(self, step: ScanStep, bench: Bench, *, n_workers: int, overlapping: bool) -> None:
        """Start it.

        Args:
            step: What it does.
            bench: Where it writes.
            n_workers: Processes that share the memory of the job.
            overlapping: Whether it may have more than one scan in hand.
        """
        self.step = step
        self.bundle: deque[Task] = deque()
        self.in_hand: dict[str, Task] = {}
        self.has_started = False
        self.has_died = False
        self._n_at_most = n_in_hand(step) if overlapping and has_stages(step) else 1
        self._still_s = 0.0
        self._hung_s: float | None = None
        self.connection, theirs = _SPAWN.Pipe()
        given = (theirs, step, bench, n_workers)
        self._process = _SPAWN.Process(target=work, args=given, daemon=True)
        try:
            self._process.start()
        except BrokenPipeError as error:
            raise MachineFault("a worker process died while it started") from error
        theirs.close()  # so that the pipe breaks when the process dies

    def take(self, waiting: Iterator[Sequence[Task]]) -> None:
        """Give it scans up to what it may have in hand, as far as there are any."""
        while self.has_started and not self.has_died and len(self.in_hand) < self._n_at_most:
            if not self.bundle:
                self.bundle.extend(next(waiting, ()))
            if not self.bundle:
                return
            task = self.bundle.popleft()
            if not self.in_hand:
                self._still_s = 0.0
            self.in_hand[task[0].scan] = task
            with suppress(BrokenPipeError):  # it is dead, which ``hear`` finds out
                self.connection.send(task)

    def hear(self) -> tuple[Task, ScanResult] | Exception | None:
        """Take what it tells: the end of a scan, what is to stop the job, or neither."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            self.has_died = True
            return None
        self._still_s = 0.0
        key, end = message
        if isinstance(end, Exception):
            return end
        if key is None or end is None:
            self.has_started = True
            return None
        return self.in_hand.pop(key), end

    def stand_still(self, passed_s: float) -> float:
        """Count the seconds that it has something to do and tells nothing."""
        if self.in_hand or not self.has_started:
            self._still_s += passed_s
        return self._still_s

    def end_for_standing_still(self) -> None:
        """End it because it hangs."""
        self._hung_s = self._still_s
        self.kill()
        self.has_died = True

    def kill(self) -> None:
        """End it at once."""
        self.connection.close()
        self._process.kill()

    def bury(self) -> None:
        """Wait until it has ended."""
        self._process.join(_PATIENCE_S)

    @property
    def how_it_died(self) -> str:
        """Say how it ended, in a few words."""
        if self._hung_s is not None:
            return f"no result for {self._hung_s / 60:.0f} min"
        code = self._process.exitcode
        if code is None:
            return "it does not end"
        with suppress(ValueError):  # signals without a name
            return signal.Signals(-code).name
        return f"exit code {code}"

    @property
    def reason(self) -> Reason:
        """Say why a scan fails that it was doing with nothing beside it."""
        # The kernel kills for memory by this signal, and hardly anybody else kills a worker.
        killed = self._process.exitcode == -signal.SIGKILL and self._hung_s is None
        return Reason.OUT_OF_MEMORY if killed else Reason.WORKER_DIED


@contextmanager
def signals_held() -> Iterator[None]:
    """Start processes that a signal cannot end before they have learnt to ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
