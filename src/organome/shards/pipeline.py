"""Scans on their way through the stages of a step, several of them at the same time.

Threads read ahead, the main thread works, one more thread writes behind. A scan that fails in one
stage goes through the others untouched, so that there is one way out for all of them, and nobody
waits for a scan that never comes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Queue
from threading import Thread
from typing import Any, Final

from organome.shards.faults import machine_faults_stop_the_job
from organome.shards.memory import MemoryGate
from organome.shards.scan_attempts import ScanResult, Task, done_result, failed_result
from organome.shards.staging import Bench
from organome.shards.step import StagedStep

Tell = Callable[[str, ScanResult | BaseException], None]
_N_WORKED_ON: Final = 1
_N_WRITTEN: Final = 1


def n_in_hand(step: StagedStep) -> int:
    """Count the scans that keep all stages busy."""
    return step.n_readers + _N_WORKED_ON + _N_WRITTEN


@dataclass(slots=True)
class _InHand:
    """A scan between its first stage and its last.

    Attributes:
        task: The scan.
        began_s: When it was begun, by a clock that only goes on.
        item: What the last stage made of it.
        end: What became of it, None while it is on its way.
    """

    task: Task
    began_s: float
    item: Any = None
    end: ScanResult | BaseException | None = None


class ScanPipeline:
    """The stages of one step in this process."""

    def __init__(self, step: StagedStep, bench: Bench, *, gate: MemoryGate, tell: Tell) -> None:
        """Set the stages up.

        Args:
            step: What to do.
            bench: Where it writes.
            gate: Lets scans in.
            tell: Called with the key of each scan and what became of it, always in the same thread.
        """
        self._step = step
        self._bench = bench
        self._gate = gate
        self._tell = tell
        self._tasks: Queue[Task | None] = Queue()
        self._read: Queue[_InHand | None] = Queue(maxsize=1)
        self._worked: Queue[_InHand | None] = Queue(maxsize=1)
        self._last_end_s = time.perf_counter()

    def add(self, task: Task) -> None:
        """Put a scan into the queue; from any thread."""
        self._tasks.put(task)

    def end(self) -> None:
        """Have ``run`` return once all scans that were added are through; from any thread."""
        self._tasks.put(None)

    def run(self) -> None:
        """Do scans until the end is told; in the main thread."""
        readers = [Thread(target=self._do_reading) for _ in range(self._step.n_readers)]
        writer = Thread(target=self._do_writing)
        for thread in (*readers, writer):
            thread.daemon = True  # whoever ends this process need not wait for them
            thread.start()
        for _ in readers:
            while (scan := self._read.get()) is not None:
                self._through(scan, self._step.work)
                self._worked.put(scan)
                del scan  # its memory is wanted while the next one is waited for
        self._worked.put(None)
        writer.join()

    def _do_reading(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._read.put(self._begun(task))
        self._tasks.put(None)  # for the other readers
        self._read.put(None)

    def _begun(self, task: Task) -> _InHand:
        key = task[0].scan
        scan = _InHand(task, time.perf_counter(), item=task)

        def read(task: Task) -> Any:
            self._gate.enter(key, self._step.memory_need(*task))
            scan.began_s = time.perf_counter()  # not while it waits for others
            return self._step.read(*task)

        self._through(scan, read)
        return scan

    def _do_writing(self) -> None:
        while (scan := self._worked.get()) is not None:
            self._finish(scan)
            del scan

    def _finish(self, scan: _InHand) -> None:
        key = scan.task[0].scan

        def write(item: Any) -> ScanResult:
            facts = self._step.write(item, self._bench.place(key))
            elapsed_s = self._elapsed_s(scan)
            return done_result(scan.task[0], facts, self._bench, elapsed_s=elapsed_s)

        self._through(scan, write)
        self._gate.leave(key)
        self._tell(key, scan.item if scan.end is None else scan.end)
        self._last_end_s = time.perf_counter()

    def _through(self, scan: _InHand, stage: Callable[[Any], Any]) -> None:
        """Bring a scan through a stage, unless it has come to its end already."""
        if scan.end is not None:
            return
        try:
            # Here, because what an error was caused by does not travel with it.
            with machine_faults_stop_the_job():
                try:
                    scan.item = stage(scan.item)
                except Exception as error:
                    scan.end = failed_result(error, elapsed_s=self._elapsed_s(scan))
        except BaseException as error:  # whatever it is: somebody waits for this scan
            scan.end = error
        if scan.end is not None:
            scan.item = None

    def _elapsed_s(self, scan: _InHand) -> float:
        return time.perf_counter() - max(scan.began_s, self._last_end_s)
