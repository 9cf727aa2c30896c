"""The life of a worker process: scans come in through a pipe, what came of them goes out.

It ignores the signals that ask a job to stop, so that it is always the one parent that decides; and
it does not outlive its parent.
"""

import ctypes
import os
import pickle
import signal
import sys
import threading
import traceback
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from organome.domain.errors import MachineFault, ScanError
from organome.io.machine.memory import job_memory_bytes, own_memory_bytes
from organome.shards.faults import lacks_memory, machine_faults_stop_the_job
from organome.shards.memory import MemoryGate, Room
from organome.shards.pipeline import ScanPipeline
from organome.shards.scan_attempts import ScanResult, attempt_scan
from organome.shards.staging import Bench
from organome.shards.step import ScanStep, StagedStep, has_stages

# What a worker tells: the key of a scan and what became of it; no key before the first scan.
Message: TypeAlias = tuple[str | None, ScanResult | Exception | None]
STARTED: Final[Message] = (None, None)

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def work(connection: Connection, step: ScanStep, bench: Bench, n_workers: int) -> None:
    """Do scans until the pipe breaks.

    Args:
        connection: Gives scans, each with its outcome in the step before; takes messages. An
            exception is to stop the job.
        step: What to do with a scan.
        bench: Where it writes.
        n_workers: Processes that share the memory of the job.
    """
    _die_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    _use_one_thread()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        if has_stages(step):
            try:
                room = _start(step, n_workers)
            except Exception as error:
                connection.send((None, _portable(error)))
                return
            connection.send(STARTED)
            _do_overlapping(connection, step, bench, room)
        else:
            connection.send(STARTED)
            _do_one_by_one(connection, step, bench)


def _start(step: StagedStep, n_workers: int) -> Room:
    """Have the step load what all scans need, and see how much memory is left for scans.

    Raises:
        MachineFault: There is too little memory for that, or the machine is at fault.
        SetupError: What is to be loaded is not there or wrong.
    """
    with machine_faults_stop_the_job():
        try:
            step.start()
        except Exception as error:
            if not (isinstance(error, ScanError) or lacks_memory(error)):
                raise
            raise MachineFault(f"a worker process could not start: {error!r}") from error
        host_bytes = job_memory_bytes() // n_workers - own_memory_bytes()
        return Room(max(0, host_bytes), step.device_room_bytes())


def _do_one_by_one(connection: Connection, step: ScanStep, bench: Bench) -> None:
    while True:
        scan, before = connection.recv()
        end: ScanResult | Exception
        try:
            # Here, because what an error was caused by does not travel with it.
            with machine_faults_stop_the_job():
                end = attempt_scan(step, scan, before, bench)
        except Exception as error:
            end = _portable(error)
        connection.send((scan.scan, end))


def _do_overlapping(connection: Connection, step: StagedStep, bench: Bench, room: Room) -> None:
    def tell(key: str, end: ScanResult | BaseException) -> None:
        connection.send((key, end if isinstance(end, ScanResult) else _portable(end)))

    def receive() -> None:
        while True:
            pipeline.add(connection.recv())

    # A thread that ends by an error, as those of the pipe do when the parent is gone, leaves others
    # waiting for ever. The parent hears the end of the process.
    threading.excepthook = lambda _: os._exit(1)
    pipeline = ScanPipeline(step, bench, gate=MemoryGate(room), tell=tell)
    threading.Thread(target=receive, daemon=True).start()
    pipeline.run()


def _portable(error: BaseException) -> Exception:
    """Make an error fit for travel, with its traceback as a note."""
    told = "".join(traceback.format_exception(error))
    try:
        if not isinstance(pickle.loads(pickle.dumps(error)), Exception):
            raise TypeError
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    assert isinstance(error, Exception)
    error.add_note(f"In a worker process:\n{told}")
    return error


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    parent = parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)  # it ended before the kernel was told


def _use_one_thread() -> None:
    """Keep libraries from taking all cores in each process; torch is told by the labeller."""
    import SimpleITK as sitk
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
