"""Several scans at the same time, in processes of their own.

The processes do scans and nothing else: they write on the bench. Lease, journal, log and the places
of finished files stay with the process that started them.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Final

from organome.domain.errors import MachineFault
from organome.domain.outcomes import Reason
from organome.shards.scan_attempts import ScanResult, Task
from organome.shards.signals import Interrupts
from organome.shards.staging import Bench
from organome.shards.step import ScanStep
from organome.shards.worker_handles import Worker, signals_held

_TICK_S: Final = 5.0  # between two looks at the clock, at the most
START_S: Final = 900.0  # a model of gigabytes, read by a hundred jobs at once


@dataclass(frozen=True, slots=True)
class Death:
    """A process that ended though nobody asked it to.

    Attributes:
        tasks: The scans that it had in hand.
        how: How it ended, in a few words.
        reason: Why a scan fails that it was doing with nothing beside it.
    """

    tasks: tuple[Task, ...]
    how: str
    reason: Reason


class ScanWorkers:
    """Processes that do scans side by side, as many as there are steps."""

    def __init__(
        self,
        steps: Sequence[ScanStep],
        bench: Bench,
        *,
        interrupts: Interrupts,
        max_still_s: float,
        overlapping: bool = True,
    ) -> None:
        """Start the processes.

        Args:
            steps: The step as each process does it.
            bench: Where they write.
            interrupts: Held off while processes are started.
            max_still_s: Seconds without a result after which a process hangs.
            overlapping: Whether a process is given more than one scan at a time if the step
                declares stages.
        """
        self._bench = bench
        self._interrupts = interrupts
        self._max_still_s = max_still_s
        self._overlapping = overlapping
        self._workers: list[Worker] = []
        resource_tracker.ensure_running()  # here, because it lifts the block of signals
        try:
            with interrupts.shielded(), signals_held():
                for step in steps:
                    self._workers.append(self._start(step, n_workers=len(steps)))
            interrupts.check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes at once, whatever they are doing."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.bury()

    def results(
        self, bundles: Iterable[Sequence[Task]]
    ) -> Iterator[tuple[Task, ScanResult] | Death]:
        """Do scans, and yield each result as soon as it is there.

        A process that dies is replaced by a fresh one, and its scans in hand are not done again.

        Args:
            bundles: Scans in groups that one process shall do one after the other, because they
                share what is read for them. A group is asked for when a process has room.

        Raises:
            MachineFault: A process died before it had a scan. Results that were there by then have
                been yielded, as with all errors.
        """
        waiting = _Waiting(bundles)
        failures: list[Exception] = []
        while not failures:
            for worker in self._workers:
                worker.take(waiting)
            if waiting.is_empty and not any(one.in_hand or one.bundle for one in self._workers):
                return
            ends = [worker.hear() for worker in self._heard()]
            failures = [end for end in ends if isinstance(end, Exception)]
            if not failures:  # here and not only above: what comes of a scan takes time to record
                for worker in self._workers:
                    worker.take(waiting)
            yield from (end for end in ends if isinstance(end, tuple))
            for worker in [one for one in self._workers if one.has_died]:
                yield self._replace(worker)
        raise failures[0]

    def _heard(self) -> list[Worker]:
        """Wait until a process has something to say, or hangs and is killed for it."""
        before_s = time.monotonic()
        tick_s = min(_TICK_S, self._max_still_s / 4)
        ready = wait([worker.connection for worker in self._workers], timeout=tick_s)
        # Of a job that was suspended meanwhile, the clock has gone on and nobody is to blame.
        passed_s = min(time.monotonic() - before_s, 2 * tick_s)
        for worker in self._workers:
            at_most_s = self._max_still_s if worker.has_started else START_S
            if worker.connection not in ready and worker.stand_still(passed_s) > at_most_s:
                worker.end_for_standing_still()
        return [worker for worker in self._workers if worker.connection in ready]

    def _replace(self, worker: Worker) -> Death:
        """Put a fresh process in the place of a dead one.

        Raises:
            MachineFault: It died before it had a scan, so that no scan is to blame.
        """
        worker.kill()
        worker.bury()
        if not worker.has_started:
            raise MachineFault(f"a worker process died while it started ({worker.how_it_died})")
        place = self._workers.index(worker)
        with self._interrupts.shielded(), signals_held():
            fresh = self._start(worker.step, n_workers=len(self._workers))
            self._workers[place] = fresh
        fresh.bundle.extend(worker.bundle)
        self._interrupts.check()
        return Death(tuple(worker.in_hand.values()), worker.how_it_died, worker.reason)

    def _start(self, step: ScanStep, *, n_workers: int) -> Worker:
        return Worker(step, self._bench, n_workers=n_workers, overlapping=self._overlapping)


class _Waiting:
    """Groups of scans that no process has yet."""

    def __init__(self, bundles: Iterable[Sequence[Task]]) -> None:
        self._bundles = iter(bundles)
        self.is_empty = False

    def __iter__(self) -> "_Waiting":
        return self

    def __next__(self) -> Sequence[Task]:
        try:
            return next(self._bundles)
        except StopIteration:
            self.is_empty = True
            raise
