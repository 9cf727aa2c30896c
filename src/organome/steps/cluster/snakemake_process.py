"""Snakemake as a child: started so that it cannot outlive its watchdog, heard, ended.

It writes into a file that is read after it: a pipe would break with the watchdog and hold up what
is written last. It has a session of its own, so that a Ctrl-C at the terminal reaches the watchdog
alone, which then decides.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

# The kernel kills Snakemake with the thread that started it. SIGKILL: asked politely it would wait
# for its jobs, and submit on. SIGINT is ignored by what a shell starts in the background, and what
# is ignored stays so in children; Snakemake is to hear it.
_BOUND_TO_PARENT: Final = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG\n"
    "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "os.getppid() == int(sys.argv[1]) or os._exit(1)\n"
    "os.execvp(sys.argv[2], sys.argv[2:])\n"
)
_IDLE_HELPER: Final = "multiprocessing.resource_tracker"

Descendants = frozenset[tuple[int, float]]


class SnakemakeProcess:
    """One running Snakemake, all below it, and what it has written."""

    def __init__(self, command: Sequence[str], *, log: Path, show: bool = True) -> None:
        """Start it.

        Args:
            command: Program and arguments.
            log: File that its output is appended to.
            show: Whether its output is passed on to stderr as well.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._shows = show
        self._n_before = self._n_shown = log.stat().st_size if log.exists() else 0
        bound = (sys.executable, "-c", _BOUND_TO_PARENT, str(os.getpid()), *command)
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                bound,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.started_at = psutil.Process(self.pid).create_time()

    @property
    def n_written(self) -> int:
        """Bytes in its log."""
        return self.log.stat().st_size

    def written(self) -> bytes:
        """Read all that it wrote."""
        with self.log.open("rb") as log:
            log.seek(self._n_before)
            return log.read()

    def wait(self, wait_s: float) -> int | None:
        """Wait for its end; pass on what it wrote.

        Returns:
            Its exit code, None while it lives.
        """
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(wait_s)
        self._show()
        return code

    def working(self) -> Descendants:
        """Find the processes below it: jobs on this machine, and for moments SLURM commands."""
        found = set()
        for process in _below(self.pid):
            with suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and not _is_idle_helper(process):
                    found.add((process.pid, process.create_time()))
        return frozenset(found)

    def interrupt(self) -> None:
        """Ask it, and all jobs on this machine, to stop, as Ctrl-C at a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """End it and all below it, at once."""
        below = _below(self.pid)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in below:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self._show()

    def _show(self) -> None:
        if not self._shows:
            return
        with self.log.open("rb") as written:
            written.seek(self._n_shown)
            new = written.read()
        self._n_shown += len(new)
        if new:
            sys.stderr.write(new.decode(errors="replace"))
            sys.stderr.flush()


def _below(pid: int) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        found = psutil.Process(pid).children(recursive=True)
    return found


def _is_idle_helper(process: psutil.Process) -> bool:
    return any(_IDLE_HELPER in part for part in process.cmdline())
