"""A scan on its way through a step: in one go, or in stages, several scans at the same time.

However it ends, a scan ends in a result; what stops the job is an error. In stages, threads read
ahead, the main thread works, one more thread writes behind. A scan that fails in one stage goes
through the others untouched, so that there is one way out for all of them, and nobody waits for a
scan that never comes.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Final

from organome.domain.errors import Interrupted, ScanError, SetupError
from organome.domain.fingerprints import canonical_json, outcome_fingerprint
from organome.domain.outcomes import JsonValue, Reason
from organome.shards.faults import (
    fault_at_scan,
    lacks_memory,
    machine_fault,
    scrubbed_traceback,
)
from organome.shards.memory import MemoryGate, TooLargeError
from organome.shards.step import ScanStep, StagedStep, Task
from organome.shards.work_folder import Staging

OnEnd = Callable[[str, "ScanResult | BaseException"], None]
_N_WORKED_ON: Final = 1
_N_WRITTEN: Final = 1


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a step made of one scan.

    Attributes:
        fingerprint: Digest of all that the outcome depends on; empty where it could not be taken.
        elapsed_s: Wall time in seconds; of scans that overlap in one process, since the one before
            was through.
        reason: Why it failed, None when done.
        fact: What was found, in one line, None when done.
        facts: Results that go into tables, as they read back from the journal.
        files: Its files in staging.
        lean: Whether it was done alone and with the settings that need the least memory.
        untried: Whether it was not begun, because it needs more memory than there is.
        trace: Where an unexpected error came from, for the log.
    """

    fingerprint: str = ""
    elapsed_s: float = 0.0
    reason: Reason | None = None
    fact: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    lean: bool = False
    untried: bool = False
    trace: str | None = None


class ScanWork:
    """A step as one process does it."""

    def __init__(self, step: ScanStep, staging: Staging) -> None:
        self._step = step
        self._staging = staging
        self._settings = step.settings()

    def run(self, task: Task) -> ScanResult:
        """Do one scan.

        Raises:
            SetupError: The job is to stop; a MachineFault if the machine is to blame.
        """
        fingerprint = ""
        start_s = time.perf_counter()
        try:
            fingerprint = self.fingerprint(task)
            facts = self._step.run_scan(*task, self._staging.place(task.key))
            return self.done(task, facts, fingerprint, time.perf_counter() - start_s)
        except (Exception, SystemExit) as error:
            return self.failed(task, error, fingerprint, time.perf_counter() - start_s)

    def fingerprint(self, task: Task) -> str:
        """Digest all that the outcome of a scan depends on, before anything of it is read."""
        identity = self._step.input_identity(*task)
        return outcome_fingerprint(self._step.name, self._step.version, self._settings, identity)

    def done(
        self, task: Task, facts: Mapping[str, JsonValue], fingerprint: str, elapsed_s: float
    ) -> ScanResult:
        """Return the result of a scan that went through."""
        return ScanResult(
            fingerprint=fingerprint,
            elapsed_s=elapsed_s,
            facts=json.loads(canonical_json(facts)),
            files=self._staging.placed(task.key),
        )

    def failed(
        self, task: Task, error: BaseException, fingerprint: str, elapsed_s: float
    ) -> ScanResult:
        """Return the result of a scan that cannot be done.

        Raises:
            SetupError: The job is to stop; a MachineFault if the machine is to blame.
        """
        if isinstance(error, SetupError | Interrupted):
            raise error
        fault = machine_fault(error)
        if fault is not None:
            raise fault_at_scan(task.key, fault, own=self._staging.folder.parent) from error
        trace = None
        short_of_memory = lacks_memory(error)
        if isinstance(error, ScanError) and (
            error.reason is Reason.OUT_OF_MEMORY or not short_of_memory
        ):
            reason, fact = error.reason, error.fact
        elif short_of_memory:
            reason, fact = Reason.OUT_OF_MEMORY, "the scan does not fit into memory"
        elif isinstance(error, PermissionError):
            reason, fact = Reason.FILE_UNREADABLE, "permission denied"
        else:
            reason, fact = Reason.UNEXPECTED_ERROR, type(error).__name__
            trace = scrubbed_traceback(error)
        return ScanResult(
            fingerprint=fingerprint,
            elapsed_s=elapsed_s,
            reason=reason,
            fact=fact,
            untried=isinstance(error, TooLargeError),
            trace=trace,
        )


def n_in_hand(step: StagedStep) -> int:
    """Count the scans that keep all stages busy."""
    return step.n_readers + _N_WORKED_ON + _N_WRITTEN


@dataclass(slots=True)
class _InHand:
    """A scan between its first stage and its last.

    Attributes:
        task: The scan.
        began_s: When it was begun, by a clock that only goes on.
        fingerprint: Digest of all that its outcome depends on.
        item: What the last stage made of it.
        end: What became of it, None while it is on its way.
    """

    task: Task
    began_s: float
    fingerprint: str = ""
    item: Any = None
    end: ScanResult | BaseException | None = None


class ScanPipeline:
    """The stages of one step in this process."""

    def __init__(
        self, step: StagedStep, staging: Staging, *, gate: MemoryGate, on_end: OnEnd
    ) -> None:
        """Set the stages up.

        Args:
            step: What to do.
            staging: Where it writes.
            gate: Lets scans in.
            on_end: Called with the key of each scan and what became of it, in one thread.
        """
        self._step = step
        self._staging = staging
        self._scan_work = ScanWork(step, staging)
        self._gate = gate
        self._on_end = on_end
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
        """Do scans until the end is asked for; in the main thread."""
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
        scan = _InHand(task, time.perf_counter(), item=task)

        def read(task: Task) -> Any:
            scan.fingerprint = self._scan_work.fingerprint(task)
            self._gate.enter(task.key, self._step.memory_need(*task))
            scan.began_s = time.perf_counter()  # not while it waits for others
            return self._step.read(*task)

        self._through(scan, read)
        return scan

    def _do_writing(self) -> None:
        while (scan := self._worked.get()) is not None:
            self._finish(scan)
            del scan

    def _finish(self, scan: _InHand) -> None:
        key = scan.task.key

        def write(item: Any) -> ScanResult:
            facts = self._step.write(item, self._staging.place(key))
            return self._scan_work.done(scan.task, facts, scan.fingerprint, self._elapsed_s(scan))

        self._through(scan, write)
        self._gate.leave(key)
        self._on_end(key, scan.item if scan.end is None else scan.end)
        self._last_end_s = time.perf_counter()

    def _through(self, scan: _InHand, stage: Callable[[Any], Any]) -> None:
        """Bring a scan through a stage, unless it has come to its end already."""
        if scan.end is not None:
            return
        try:
            scan.item = stage(scan.item)
        except BaseException as error:  # whatever it is: somebody waits for this scan
            scan.item = None
            try:
                scan.end = self._scan_work.failed(
                    scan.task, error, scan.fingerprint, self._elapsed_s(scan)
                )
            except BaseException as stop:
                scan.end = stop

    def _elapsed_s(self, scan: _InHand) -> float:
        return time.perf_counter() - max(scan.began_s, self._last_end_s)
