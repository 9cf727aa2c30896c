"""Rounds of processes over scans: many beside each other, or one with nothing beside it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from organome.domain.outcomes import Outcome
from organome.domain.scans import Scan
from organome.shards.pool import Death, ScanWorkers
from organome.shards.scan_attempts import ScanResult, Task
from organome.shards.signals import Interrupts
from organome.shards.staging import Bench
from organome.shards.step import ScanStep, lean_step

OnStart: TypeAlias = Callable[[Scan, Outcome | None], object]
Event: TypeAlias = tuple[Task, ScanResult] | Death
Events: TypeAlias = Generator[Event, None, None]


@dataclass(frozen=True, slots=True)
class Processes:
    """How scans are done in processes.

    Attributes:
        steps: The step as each process does it.
        bench: Where they write.
        interrupts: Held off while processes are started and ended.
        on_start: Called with each task before anything of the scan is read.
        on_death: Called with each process that died.
        max_still_s: Seconds without a result after which a process hangs.
    """

    steps: Sequence[ScanStep]
    bench: Bench
    interrupts: Interrupts
    on_start: OnStart
    on_death: Callable[[Death], None]
    max_still_s: float

    def beside_each_other(self, tasks: Sequence[Task]) -> Events:
        """Do scans in all processes, and yield what becomes of them, as it comes.

        Raises:
            MachineFault: A process died before it had a scan.
        """
        return self._events(tasks, self.steps[: len(tasks)], overlapping=True)

    def alone(self, tasks: Sequence[Task], *, lean: bool) -> Events:
        """Do scans in one process, one after the other.

        Args:
            tasks: The scans.
            lean: Whether with the settings that need the least memory.

        Raises:
            MachineFault: A process died before it had a scan.
        """
        step = lean_step(self.steps[0]) if lean else self.steps[0]
        return self._events(tasks, [step], overlapping=False)

    def _events(
        self, tasks: Sequence[Task], steps: Sequence[ScanStep], *, overlapping: bool
    ) -> Events:
        if not tasks:
            return
        pool = ScanWorkers(
            steps,
            self.bench,
            interrupts=self.interrupts,
            max_still_s=self.max_still_s,
            overlapping=overlapping,
        )
        try:
            for event in pool.results(self._bundles(tasks)):
                if isinstance(event, Death):
                    self.on_death(event)
                yield event
        finally:
            with self.interrupts.shielded():  # a signal now must not leave one of them alive
                pool.close()

    def _bundles(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Keep stations of one archive together: a process reads it once for all of them."""
        for _, together in groupby(tasks, key=_archive_or_scan):
            bundle = list(together)
            for scan, before in bundle:
                self.on_start(scan, before)
            yield bundle


def _archive_or_scan(task: Task) -> object:
    scan, _ = task
    return scan.scan if scan.station is None else scan.identity[:-1]
