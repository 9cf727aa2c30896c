"""The life of a worker process: scans come in through a pipe, what came of them goes out.

It ignores the signals that ask a job to stop, so that it is always the one parent that decides; and
it does not outlive its parent.
"""

import ctypes
import os
import pickle
import signal
import sys
import traceback
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Final

from organome.domain.outcomes import Outcome
from organome.domain.scans import Scan
from organome.steps.benches import Bench
from organome.steps.machine_faults import machine_faults_stop_the_job
from organome.steps.scan_attempts import ScanResult, attempt_scan
from organome.steps.scan_steps import ScanStep

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def work(connection: Connection, step: ScanStep, bench: Bench) -> None:
    """Do scans until the pipe breaks.

    Args:
        connection: Gives scans, each with its outcome in the step before; takes a ScanResult, or
            the exception that is to stop the job.
        step: What to do with a scan.
        bench: Where it writes.
    """
    _die_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    _use_one_thread()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while True:
            scan, before = connection.recv()
            connection.send(_answer(step, scan, before, bench))


def _answer(
    step: ScanStep, scan: Scan, before: Outcome | None, bench: Bench
) -> ScanResult | Exception:
    try:
        # Here, because what an error was caused by does not travel with it.
        with machine_faults_stop_the_job():
            return attempt_scan(step, scan, before, bench)
    except Exception as error:
        return _portable(error)


def _portable(error: Exception) -> Exception:
    """Make an error fit for travel, with its traceback as a note."""
    told = "".join(traceback.format_exception(error))
    error.add_note(f"In a worker process:\n{told}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
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
    """Keep SimpleITK from taking all cores in each process; torch is told by the labeller."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
