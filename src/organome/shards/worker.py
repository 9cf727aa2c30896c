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
from contextlib import suppress
from multiprocessing import forkserver, parent_process
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

from organome.domain.errors import MachineFault, ScanError
from organome.io.machine.memory import job_memory_bytes, process_memory_bytes
from organome.shards.faults import lacks_memory, machine_faults_stop_the_job, scrubbed_traceback
from organome.shards.memory import MemoryGate
from organome.shards.pipeline import ScanPipeline, ScanResult, ScanWork
from organome.shards.step import ScanStep, StagedStep, Task, has_stages
from organome.shards.work_folder import Staging

# The key of a scan and what became of it; no key before the first scan.
Message: TypeAlias = tuple[str | None, ScanResult | Exception | None]
STARTED: Final[Message] = (None, None)

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def work(connection: Connection, step: ScanStep, staging: Staging, n_workers: int) -> None:
    """Do scans until the pipe breaks.

    Args:
        connection: Gives scans, each with its outcome in the step before; takes messages. An
            exception is to stop the job.
        step: What to do with a scan.
        staging: Where it writes.
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
                gate = _start(step, n_workers)
            except Exception as error:
                connection.send((None, _portable(error)))
                return
            connection.send(STARTED)
            _do_overlapping(connection, step, staging, gate)
        else:
            connection.send(STARTED)
            _do_one_by_one(connection, step, staging)


def _start(step: StagedStep, n_workers: int) -> MemoryGate:
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
        host_bytes = job_memory_bytes() // n_workers - process_memory_bytes(os.getpid())
        return MemoryGate(max(0, host_bytes), step.device_free_bytes())


def _do_one_by_one(connection: Connection, step: ScanStep, staging: Staging) -> None:
    scan_work = ScanWork(step, staging)
    while True:
        task: Task = connection.recv()
        end: ScanResult | Exception
        try:
            end = scan_work.run(task)
        except Exception as error:
            end = _portable(error)
        connection.send((task.key, end))


def _do_overlapping(
    connection: Connection, step: StagedStep, staging: Staging, gate: MemoryGate
) -> None:
    sending = threading.Lock()

    def send(key: str | None, end: ScanResult | BaseException) -> None:
        with sending:
            connection.send((key, end if isinstance(end, ScanResult) else _portable(end)))

    def receive() -> None:
        while True:
            pipeline.add(connection.recv())

    def end_process(args: threading.ExceptHookArgs) -> None:
        # Other threads wait for the one that ended. When the parent is gone, nobody hears why.
        with suppress(OSError):
            if args.exc_value is not None and not isinstance(args.exc_value, EOFError | OSError):
                send(None, args.exc_value)
        os._exit(1)

    threading.excepthook = end_process
    pipeline = ScanPipeline(step, staging, gate=gate, on_end=send)
    threading.Thread(target=receive, daemon=True).start()
    pipeline.run()


def _portable(error: BaseException) -> Exception:
    """Make an error fit for travel, with where it came from as a note."""
    trace = scrubbed_traceback(error)
    try:
        if not isinstance(pickle.loads(pickle.dumps(error)), Exception):
            raise TypeError
    except Exception:
        error = RuntimeError(type(error).__name__)
    assert isinstance(error, Exception)
    error.add_note(f"In a worker process:\n{trace}")
    return error


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that ends.

    The fork server stands between: it ends with the program, unless a worker holds its pipe open.
    """
    alive_fd = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    if alive_fd is not None:
        os.close(alive_fd)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)  # it ended before the kernel was asked


def _use_one_thread() -> None:
    """Keep libraries from taking all cores in each process; the labeller sees to torch's."""
    import SimpleITK as sitk
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1, user_api="blas")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
