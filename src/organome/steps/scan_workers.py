"""Several scans at the same time, each in a process of its own.

The processes do scans and nothing else: they write on the bench. Lease, journal, log and the places
of finished files stay with the process that started them.
"""

import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import wait
from typing import Final

from organome.domain.errors import MachineFault
from organome.steps.benches import Bench
from organome.steps.scan_attempts import ScanResult, Task
from organome.steps.scan_steps import ScanStep
from organome.steps.worker_processes import STOP_SIGNALS, work

_PATIENCE_S: Final = 10.0  # a killed process that waits for a dead file server cannot be waited for
# Fresh interpreters: a fork would copy locks that threads of the parent hold, and CUDA forbids it.
_SPAWN: Final = get_context("spawn")


class ScanWorkers:
    """Processes that do scans side by side, as many as there are steps."""

    def __init__(self, steps: Sequence[ScanStep], bench: Bench) -> None:
        """Start the processes.

        Args:
            steps: The step as each process does it.
            bench: Where they write.
        """
        self._workers: list[_Worker] = []
        resource_tracker.ensure_running()  # here, because it lifts the block of signals
        try:
            with _signals_held():
                for step in steps:
                    self._workers.append(_Worker(step, bench))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes at once, whatever they are doing."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.bury()

    def results(self, bundles: Iterable[Sequence[Task]]) -> Iterator[tuple[Task, ScanResult]]:
        """Do scans, and yield each result as soon as it is there.

        Args:
            bundles: Scans in groups that one process shall do one after the other, because they
                share what is read for them. A group is asked for when a process is free.

        Raises:
            MachineFault: A process died. Results that were there by then have been yielded.
        """
        waiting = iter(bundles)
        for worker in self._workers:
            worker.go_on(waiting)
        while busy := [worker for worker in self._workers if worker.task is not None]:
            ready = wait([worker.connection for worker in busy])
            heard = [(one, one.hear()) for one in busy if one.connection in ready]
            failures = [answer for _, answer in heard if isinstance(answer, Exception)]
            for worker, answer in heard:
                if worker.task is not None and isinstance(answer, ScanResult):
                    task = worker.task
                    if not failures:
                        worker.go_on(waiting)
                    yield task, answer
            if failures:
                raise failures[0]


class _Worker:
    """One process, seen from its parent."""

    def __init__(self, step: ScanStep, bench: Bench) -> None:
        self.task: Task | None = None
        self._bundle: deque[Task] = deque()
        self.connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=work, args=(theirs, step, bench), daemon=True)
        try:
            self._process.start()
        except BrokenPipeError as error:
            raise MachineFault("a worker process died while it started") from error
        theirs.close()  # so that the pipe breaks when the process dies

    def go_on(self, waiting: Iterator[Sequence[Task]]) -> None:
        """Give it its next scan, if there is one."""
        if not self._bundle:
            self._bundle.extend(next(waiting, ()))
        self.task = self._bundle.popleft() if self._bundle else None
        if self.task is not None:
            with suppress(BrokenPipeError):  # it is dead, which ``hear`` finds out
                self.connection.send(self.task)

    def hear(self) -> ScanResult | Exception:
        """Take its answer; a MachineFault if it died."""
        try:
            answer: ScanResult | Exception = self.connection.recv()
        except (EOFError, OSError):
            return self._post_mortem()
        return answer

    def kill(self) -> None:
        """End it at once."""
        self.connection.close()
        self._process.kill()

    def bury(self) -> None:
        """Wait until it has ended."""
        self._process.join(_PATIENCE_S)

    def _post_mortem(self) -> MachineFault:
        self._process.join(_PATIENCE_S)
        code = self._process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        where = f" at scan {self.task[0].scan}" if self.task else ""
        return MachineFault(f"a worker process died{where} ({how}), perhaps for memory")


@contextmanager
def _signals_held() -> Iterator[None]:
    """Start processes that a signal cannot end before they have learnt to ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
