"""Scans through a step, one after the other in this process or side by side in several."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Final

from organome.domain.errors import MachineFault
from organome.domain.outcomes import Reason
from organome.shards.pool import Death
from organome.shards.scan_attempts import ScanResult, Task, attempt_scan
from organome.shards.scan_processes import Event, Events, OnStart, Processes
from organome.shards.staging import Bench
from organome.shards.step import ScanStep

Results = Generator[tuple[Task, ScanResult], None, None]
MAX_DEATHS: Final = 3  # so many processes may die before the scans that they had are looked into


def one_by_one(
    tasks: Sequence[Task], step: ScanStep, *, bench: Bench, on_start: OnStart
) -> Results:
    """Do scans in this process.

    Args:
        tasks: The scans.
        step: What to do.
        bench: Where it writes.
        on_start: Called with each task before anything of the scan is read.
    """
    for scan, before in tasks:
        on_start(scan, before)
        yield (scan, before), attempt_scan(step, scan, before, bench)


def side_by_side(tasks: Sequence[Task], processes: Processes) -> Results:
    """Do scans in processes; those that lacked memory or lost theirs once more, each alone.

    Args:
        tasks: The scans.
        processes: Who does them.

    Raises:
        MachineFault: Processes die though no scan is to blame, and there are more scans to do.
    """
    rest = list(tasks)
    while rest:
        trial = _Trial(processes)
        yield from trial.results(rest)
        rest = trial.not_come_to


class _Trial:
    """Scans beside each other until all are through or too many processes died, then suspects.

    Attributes:
        not_come_to: Scans that nobody looked at, because too many processes died.
    """

    def __init__(self, processes: Processes) -> None:
        self.not_come_to: list[Task] = []
        self._processes = processes
        self._too_large: list[Task] = []
        self._suspects: list[Task] = []
        self._n_deaths = 0

    def results(self, tasks: Sequence[Task]) -> Results:
        """Do scans, and yield what is certain.

        Raises:
            MachineFault: Too many processes died, and no scan does that alone.
        """
        left = {task[0].scan: task for task in tasks}
        with closing(self._processes.beside_each_other(tasks)) as events:
            for event in events:
                for scan, _ in _tasks_of(event):
                    del left[scan.scan]
                yield from self._certain(event)
                if self._n_deaths >= MAX_DEATHS:
                    break
        self.not_come_to = list(left.values())
        if len(self._processes.steps) > 1:  # a single one has had no others to make room for it
            too_large, self._too_large = self._too_large, []
            yield from self._certain_of_all(self._processes.alone(too_large, lean=False))
        yield from self._verdicts([*self._too_large, *self._suspects])

    def _certain_of_all(self, events: Events) -> Results:
        with closing(events):
            for event in events:
                yield from self._certain(event)

    def _certain(self, event: Event) -> Results:
        """Yield a result that stands, and put aside all others."""
        if isinstance(event, Death):
            self._n_deaths += 1
            self._suspects += event.tasks
        elif event[1].untried:
            self._too_large.append(event[0])
        elif event[1].reason is Reason.OUT_OF_MEMORY:
            self._suspects.append(event[0])
        else:
            yield event

    def _verdicts(self, tasks: Sequence[Task]) -> Results:
        """Do scans alone and with the least memory; what comes of that stands."""
        guilty = False
        with closing(self._processes.alone(tasks, lean=True)) as events:
            for event in events:
                result = _failure(event) if isinstance(event, Death) else event[1]
                guilty |= result.reason in (Reason.OUT_OF_MEMORY, Reason.WORKER_DIED)
                for task in _tasks_of(event):
                    yield task, replace(result, lean=True)
        if self.not_come_to and not guilty:
            raise MachineFault(
                f"{self._n_deaths} worker processes died, perhaps for memory; the scans that they"
                " had in hand went through alone"
            )


def _tasks_of(event: Event) -> Sequence[Task]:
    return event.tasks if isinstance(event, Death) else event[:1]


def _failure(death: Death) -> ScanResult:
    fact = f"a worker process died of this scan alone ({death.how})"
    return ScanResult(reason=death.reason, fact=fact)
