"""CPU time, wall time, memory and traffic of a command with everything that it starts.

    python -m benchmarks.segmentation_meter REPORT COMMAND...

CPU seconds are those that the kernel has counted for all descendants when the last of them has
ended: orphans are adopted and waited for, so that no worker of a pool is missed. Memory is the sum
of the proportional set sizes (PSS) of the tree, looked at up to ten times a second: pages that
several processes share are counted once. Bytes are those of all calls that read and write, whether
a disk, the file cache or a pipe answered: what processes send each other counts on both sides.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Final

import psutil

GIB: Final = 1024**3
ONE_THREAD: Final = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "nnUNet_def_n_proc",
    ),
    "1",
)
# nnU-Net asks where its training data lie; nothing here reads them.
NO_FOLDERS: Final = dict.fromkeys(("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"), "none")
EVERY_S: Final = 0.1
SELDOM: Final = 5.0  # looking at gigabytes takes long, and those who are looked at wait
WAIT_S: Final = 5.0
LAST_LINES: Final = 15
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


class CommandFailedError(Exception):
    """A measured command failed; the message has the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command cost, all its processes together."""

    cpu_s: float
    wall_s: float
    peak_gib: float
    read_bytes: int
    written_bytes: int


def wait_for_memory(needed_gib: float, *, patience_s: float) -> float:
    """Wait until memory is free; others may work on this machine too. What it lacks never comes.

    Returns:
        What is free, GiB; less than needed if it did not come free in time.
    """
    hopeless = needed_gib > psutil.virtual_memory().total / GIB
    end_s = time.monotonic() + (0.0 if hopeless else patience_s)
    while True:
        free_gib: float = psutil.virtual_memory().available / GIB
        if free_gib >= needed_gib or time.monotonic() >= end_s:
            return free_gib
        time.sleep(WAIT_S)


def measure(
    command: Sequence[str], *, environment: dict[str, str], folder: Path | None = None
) -> Cost:
    """Run a command under a meter of its own.

    Args:
        command: Program and arguments.
        environment: Added to this process's environment, and to one thread for all libraries.
        folder: Where to run; here if None.

    Raises:
        CommandFailedError: It failed.
    """
    with TemporaryDirectory() as temporary:
        report = Path(temporary) / "cost.json"
        done = subprocess.run(
            [sys.executable, __file__, str(report), *command],
            env={**os.environ, **ONE_THREAD, **NO_FOLDERS, **environment},
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
        )
        if done.returncode or not report.exists():
            printed = f"{done.stdout}\n{done.stderr}".strip().splitlines()[-LAST_LINES:]
            raise CommandFailedError("\n".join(printed))
        cost = json.loads(report.read_text())
    return Cost(**cost)


def main() -> None:
    """Measure the command that follows, write what it cost, and end as it ended."""
    report, command = Path(sys.argv[1]), sys.argv[2:]
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: _end_all())
    began_s = time.monotonic()
    process = subprocess.Popen(command)
    peak = _Peak()
    returncode = process.wait()
    wall_s = time.monotonic() - began_s
    peak.stop()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of this process, and of all that it has waited for.
    traffic = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    cost = {
        "read_bytes": int(traffic["rchar"]),
        "written_bytes": int(traffic["wchar"]),
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": wall_s,
        "peak_gib": peak.n_bytes / GIB,
    }
    if returncode == 0:
        report.write_text(json.dumps(cost))
    sys.exit(returncode if returncode >= 0 else 128 - returncode)


def _end_all() -> None:
    """End what was started, for nobody waits for it any more."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    os._exit(128 + signal.SIGTERM)


class _Peak:
    """The most memory that the descendants of this process had together."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self._ended = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        here = psutil.Process()
        pause_s = EVERY_S
        while not self._ended.wait(pause_s):
            began_s, n_bytes = time.monotonic(), 0
            for process in here.children(recursive=True):
                with suppress(psutil.Error):
                    n_bytes += process.memory_full_info().pss
            self.n_bytes = max(self.n_bytes, n_bytes)
            pause_s = max(EVERY_S, SELDOM * (time.monotonic() - began_s))


if __name__ == "__main__":
    main()
