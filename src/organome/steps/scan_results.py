"""Scans through a step, one after the other in this process or side by side in several."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import groupby

from organome.domain.outcomes import Outcome, Reason
from organome.domain.scans import Scan
from organome.steps.benches import Bench
from organome.steps.interrupts import Interrupts
from organome.steps.scan_attempts import ScanResult, Task, attempt_scan
from organome.steps.scan_steps import ScanStep
from organome.steps.scan_workers import ScanWorkers

Results = Generator[tuple[Task, ScanResult], None, None]
OnStart = Callable[[Scan, Outcome | None], object]


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


def side_by_side(
    tasks: Sequence[Task],
    steps: Sequence[ScanStep],
    *,
    bench: Bench,
    interrupts: Interrupts,
    on_start: OnStart,
) -> Results:
    """Do scans in processes; those that lacked memory once more, with nothing beside them.

    Args:
        tasks: The scans.
        steps: The step as each process does it.
        bench: Where they write.
        interrupts: Held off while processes are started and ended.
        on_start: Called with each task before anything of the scan is read.

    Raises:
        MachineFault: A process died.
    """
    lacked_memory = []
    first = _in_processes(tasks, steps, bench=bench, interrupts=interrupts, on_start=on_start)
    with closing(first) as results:
        for task, result in results:
            if result.reason is Reason.OUT_OF_MEMORY:
                lacked_memory.append(task)
            else:
                yield task, result
    yield from _in_processes(
        lacked_memory, steps[:1], bench=bench, interrupts=interrupts, on_start=on_start
    )


def _in_processes(
    tasks: Sequence[Task],
    steps: Sequence[ScanStep],
    *,
    bench: Bench,
    interrupts: Interrupts,
    on_start: OnStart,
) -> Results:
    if not tasks:
        return
    pool = None
    try:
        with interrupts.shielded():
            pool = ScanWorkers(steps[: len(tasks)], bench)
        interrupts.check()
        yield from pool.results(_bundles(tasks, on_start))
    finally:
        with interrupts.shielded():  # a signal now must not leave one of them alive
            if pool is not None:
                pool.close()


def _bundles(tasks: Sequence[Task], on_start: OnStart) -> Iterator[list[Task]]:
    """Keep stations of one archive together: a process reads it once for all of them."""
    for _, together in groupby(tasks, key=_archive_or_scan):
        bundle = list(together)
        for scan, before in bundle:
            on_start(scan, before)
        yield bundle


def _archive_or_scan(task: Task) -> object:
    scan, _ = task
    return scan.scan if scan.station is None else scan.identity[:-1]
