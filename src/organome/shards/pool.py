"""Several scans at the same time, in processes of their own.

The processes do scans and nothing else: they write to staging. Lease, journal, log and the places
of finished files stay with the process that started them. A process may die of a scan, hang in it,
or take all memory: it is ended, and what it had in hand is done again, each scan alone.
"""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import groupby
from multiprocessing import forkserver, get_context, resource_tracker, util
from multiprocessing.connection import wait
from typing import Any, Final

from organome.domain.errors import MachineFault
from organome.domain.outcomes import Reason
from organome.io.machine.memory import process_memory_bytes
from organome.shards.pipeline import ScanResult, n_in_hand
from organome.shards.signals import StopRequests
from organome.shards.step import ScanStep, Task, alone_step, has_stages, lean_steps
from organome.shards.work_folder import Staging
from organome.shards.worker import STOP_SIGNALS, Message, work

START_S: Final = 900.0  # a model of gigabytes, read by a hundred jobs at once
MAX_DEATHS: Final = 3  # so many processes may die before the scans that they had are looked into
_TICK_S: Final = 0.25  # between two looks at clock and memory, at the most
_PATIENCE_S: Final = 10.0  # a killed process that waits for a dead file server cannot be waited for
_MEMORY_SHARE: Final = 0.9  # of the job's memory; above it the kernel may kill whom it likes

# Steps import them when they first need them: this program, which only starts processes, does not.
_LIBRARIES: Final = ("SimpleITK", "nibabel", "scipy.ndimage")

# A fork of this program would copy locks that its threads hold, and CUDA forbids it. Forks of a
# fresh server that has the libraries loaded start in milliseconds.
_CONTEXT: Final = get_context("forkserver")


def fork_server_early() -> None:
    """Make the fork server of this program by a fork, so that nothing is imported twice.

    For a command that has imported its step and begun nothing: no file is open, no thread runs, no
    signal is handled. Where that does not hold, the server starts afresh with its first worker.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return
    starts_afresh = util.spawnv_passfds
    util.spawnv_passfds = _fork_in_place
    try:
        _CONTEXT.set_forkserver_preload(list(_LIBRARIES))
        forkserver.ensure_running()
    finally:
        util.spawnv_passfds = starts_afresh


def _fork_in_place(
    path: bytes,  # noqa: ARG001 as it is called in place of another
    args: Sequence[Any],
    passfds: Sequence[int],
) -> int:
    """Run the Python code that ends a command line in a fork of this process.

    Returns:
        The number of the new process.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        first = 3  # after standard input, output and errors
        for fd in sorted(passfds):
            os.closerange(first, fd)
            first = fd + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        exec(args[-1], {})
    finally:
        os._exit(0)


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


@dataclass(frozen=True, slots=True)
class Crew:
    """How scans are done in processes.

    Attributes:
        steps: The step as each process does it.
        staging: Where they write.
        requests: Held off while processes are started and ended.
        on_death: Called with each process that died.
        max_still_s: Seconds without a result after which a process hangs.
        memory_bytes: What all processes may take together.
    """

    steps: Sequence[ScanStep]
    staging: Staging
    requests: StopRequests
    on_death: Callable[[Death], None]
    max_still_s: float
    memory_bytes: int


def do_scans(tasks: Sequence[Task], crew: Crew) -> Generator[tuple[Task, ScanResult], None, None]:
    """Do scans side by side; those that lacked memory or lost their process again, each alone.

    Args:
        tasks: The scans.
        crew: Who does them.

    Yields:
        Each scan and its result, as they come.

    Raises:
        MachineFault: Processes die though no scan is to blame, and there are more scans to do.
    """
    rest = {task.key: task for task in tasks}
    while rest:
        too_large: list[Task] = []
        suspects: list[Task] = []
        deaths: list[Death] = []
        with _events(list(rest.values()), crew, overlapping=True) as events:
            for event in events:
                yield from _certain(event, too_large, suspects)
                for task in _tasks_of(event):
                    del rest[task.key]
                deaths += [event] if isinstance(event, Death) else []
                if len(deaths) >= MAX_DEATHS:
                    break
        if len(crew.steps) > 1:  # else nothing was beside them
            beside_others, too_large = too_large, []
            with _events(beside_others, replace(crew, steps=[alone_step(crew.steps[0])])) as events:
                for event in events:
                    yield from _certain(event, too_large, suspects)
        found = False
        again, steps = [*too_large, *suspects], lean_steps(crew.steps[0])
        for step in steps:
            lacked: list[Task] = []
            with _events(again, replace(crew, steps=[step])) as events:
                for event in events:
                    result = _failure(event) if isinstance(event, Death) else event[1]
                    if result.reason is Reason.OUT_OF_MEMORY and step is not steps[-1]:
                        lacked += _tasks_of(event)
                        continue
                    # What comes of a scan here stands.
                    found |= result.reason in (Reason.OUT_OF_MEMORY, Reason.WORKER_DIED)
                    for task in _tasks_of(event):
                        yield task, replace(result, lean=True)
            again = lacked
        if rest and not found:
            crew = _with_fewer(crew, deaths)


_Event = tuple[Task, ScanResult] | Death


def _certain(
    event: _Event, too_large: list[Task], suspects: list[Task]
) -> Sequence[tuple[Task, ScanResult]]:
    """Return a result that stands; put a scan that is to be done again on one of two lists."""
    if isinstance(event, Death):
        suspects += event.tasks
    elif event[1].untried:
        too_large.append(event[0])
    elif event[1].reason is Reason.OUT_OF_MEMORY:
        suspects.append(event[0])
    else:
        return [event]
    return []


def _tasks_of(event: _Event) -> Sequence[Task]:
    return event.tasks if isinstance(event, Death) else [event[0]]


def _failure(death: Death) -> ScanResult:
    fact = f"a worker process died of this scan alone ({death.how})"
    return ScanResult(reason=death.reason, fact=fact)


def _with_fewer(crew: Crew, deaths: Sequence[Death]) -> Crew:
    """Return half of a crew whose members were too many for the memory.

    Raises:
        MachineFault: There is one already, or something else than memory was the matter.
    """
    n_steps = len(crew.steps)
    if n_steps > 1 and all(death.reason is Reason.OUT_OF_MEMORY for death in deaths):
        return replace(crew, steps=crew.steps[: n_steps // 2])
    raise MachineFault(
        f"{len(deaths)} worker processes died, perhaps for memory; the scans that they had in hand"
        " went through alone"
    )


@contextmanager
def _events(
    tasks: Sequence[Task], crew: Crew, *, overlapping: bool = False
) -> Iterator[Iterable[_Event]]:
    if not tasks:
        yield ()
        return
    pool = ScanWorkers(replace(crew, steps=crew.steps[: len(tasks)]), overlapping=overlapping)
    try:
        yield pool.results(_bundles(tasks))
    finally:
        with crew.requests.shielded():  # a signal now must not leave one of them alive
            pool.close()


def _bundles(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Keep stations of one archive together: a process reads it once for all of them."""

    def archive_or_scan(task: Task) -> object:
        return task.key if task.scan.station is None else task.scan.identity[:-1]

    for _, together in groupby(tasks, key=archive_or_scan):
        yield list(together)


class ScanWorkers:
    """Processes that do scans side by side, as many as the crew has steps."""

    def __init__(self, crew: Crew, *, overlapping: bool = True) -> None:
        """Start the processes.

        Args:
            crew: What they do, and within which limits.
            overlapping: Whether a process is given more than one scan at a time if the step
                declares stages.
        """
        self._crew = crew
        self._overlapping = overlapping
        self._workers: list[Worker] = []
        resource_tracker.ensure_running()  # here, because it lifts the block of signals
        try:
            with crew.requests.shielded(), _signals_held():
                step_module = type(crew.steps[0]).__module__
                _CONTEXT.set_forkserver_preload([work.__module__, *_LIBRARIES, step_module])
                forkserver.ensure_running()
                for step in crew.steps:
                    self._workers.append(self._start(step))
            crew.requests.check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes at once, whatever they are doing."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join()

    def results(self, bundles: Iterable[Sequence[Task]]) -> Iterator[_Event]:
        """Do scans, and yield each result as soon as it is there.

        A process that dies is replaced by a fresh one, and its scans in hand are not done again.

        Args:
            bundles: Scans in groups that one process shall do one after the other, because they
                share what is read for them. A group is asked for when a process can take it.

        Raises:
            MachineFault: A process died before it had a scan. Results that were there by then have
                been yielded, as with all errors.
        """
        waiting = iter(bundles)
        failures: list[Exception] = []
        while not failures:
            for worker in self._workers:
                worker.take(waiting)
            if not any(one.in_hand or one.bundle or not one.has_started for one in self._workers):
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

    def _heard(self) -> list["Worker"]:
        """Wait until a process has sent something, or is ended because of time or memory."""
        before_s = time.monotonic()
        tick_s = min(_TICK_S, self._crew.max_still_s / 4)
        ready = wait([worker.connection for worker in self._workers], timeout=tick_s)
        # Of a job that was suspended meanwhile, the clock has gone on and nobody is to blame.
        passed_s = min(time.monotonic() - before_s, 2 * tick_s)
        heard = [worker for worker in self._workers if worker.connection in ready]
        for worker in self._workers:
            at_most_s = self._crew.max_still_s if worker.has_started else START_S
            if worker not in heard and worker.stand_still(passed_s) > at_most_s:
                worker.end(f"no result for {at_most_s / 60:.0f} min", Reason.WORKER_DIED)
        self._watch_memory([worker for worker in self._workers if worker not in heard])
        return heard

    def _watch_memory(self, busy: Sequence["Worker"]) -> None:
        """End the largest process before they take more together than the job has."""
        taken_bytes = {worker: process_memory_bytes(worker.pid) for worker in self._workers}
        limit_bytes = _MEMORY_SHARE * self._crew.memory_bytes
        if busy and sum(taken_bytes.values()) > limit_bytes:
            largest = max(busy, key=taken_bytes.__getitem__)
            if not largest.has_died:
                largest.end("no memory left", Reason.OUT_OF_MEMORY)

    def _replace(self, worker: "Worker") -> Death:
        """Put a fresh process in the place of a dead one.

        Raises:
            MachineFault: It died before it had a scan, so that no scan is to blame.
        """
        worker.kill()
        worker.join()
        death = Death(tuple(worker.in_hand.values()), *worker.cause_of_death())
        if not worker.has_started:
            raise MachineFault(f"a worker process died while it started ({death.how})")
        place = self._workers.index(worker)
        with self._crew.requests.shielded(), _signals_held():
            fresh = self._start(worker.step)
            self._workers[place] = fresh
        fresh.bundle.extend(worker.bundle)
        self._crew.requests.check()
        self._crew.on_death(death)
        return death

    def _start(self, step: ScanStep) -> "Worker":
        crew = self._crew
        n_workers = len(crew.steps)
        return Worker(step, crew.staging, n_workers=n_workers, overlapping=self._overlapping)


class Worker:
    """One process, as its parent sees it.

    Attributes:
        step: What it does.
        connection: Its end of the pipe.
        bundle: Scans that no other process shall have.
        in_hand: Scans that it was given and that are not at their end, by key.
        has_started: Whether it has loaded what all scans need.
        has_died: Whether its end of the pipe was found broken, or it was ended.
    """

    def __init__(
        self, step: ScanStep, staging: Staging, *, n_workers: int, overlapping: bool
    ) -> None:
        """Start it.

        Args:
            step: What it does.
            staging: Where it writes.
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
        self._ended_for: tuple[str, Reason] | None = None
        self.connection, theirs = _CONTEXT.Pipe()
        given = (theirs, step, staging, n_workers)
        self._process = _CONTEXT.Process(target=work, args=given, daemon=True)
        try:
            self._process.start()
        except (BrokenPipeError, ConnectionError, EOFError) as error:
            raise MachineFault("a worker process died while it started") from error
        theirs.close()  # so that the pipe breaks when the process dies

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid or 0

    def take(self, waiting: Iterator[Sequence[Task]]) -> None:
        """Send it scans, up to as many as it may have in hand."""
        while self.has_started and not self.has_died and len(self.in_hand) < self._n_at_most:
            if not self.bundle:
                self.bundle.extend(next(waiting, ()))
            if not self.bundle:
                return
            task = self.bundle.popleft()
            if not self.in_hand:
                self._still_s = 0.0
            self.in_hand[task.key] = task
            with suppress(BrokenPipeError):  # it is dead, which ``hear`` finds out
                self.connection.send(task)

    def hear(self) -> tuple[Task, ScanResult] | Exception | None:
        """Take what it sends: the end of a scan, what is to stop the job, or neither."""
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
        """Count the seconds that it has something to do and sends nothing."""
        if self.in_hand or not self.has_started:
            self._still_s += passed_s
        return self._still_s

    def end(self, how: str, reason: Reason) -> None:
        """End it, because it hangs or takes too much."""
        self._ended_for = (how, reason)
        self.kill()
        self.has_died = True

    def kill(self) -> None:
        """End it at once."""
        self.connection.close()
        self._process.kill()

    def join(self) -> None:
        """Wait until it has ended."""
        self._process.join(_PATIENCE_S)

    def cause_of_death(self) -> tuple[str, Reason]:
        """Return how it ended in a few words, and why a scan fails that it was doing alone."""
        if self._ended_for is not None:
            return self._ended_for
        code = self._process.exitcode
        if code is None:
            return "it does not end", Reason.WORKER_DIED
        # The kernel kills for memory by this signal, and hardly anybody else kills a worker.
        reason = Reason.OUT_OF_MEMORY if code == -signal.SIGKILL else Reason.WORKER_DIED
        with suppress(ValueError):  # signals without a name
            return signal.Signals(-code).name, reason
        return f"exit code {code}", reason


@contextmanager
def _signals_held() -> Iterator[None]:
    """Start processes that a signal cannot end before they have learnt to ignore it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
