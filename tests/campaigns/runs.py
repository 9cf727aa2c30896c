"""A run folder on this machine under ``organome run``, as a campaign sees and disturbs it."""

import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from doubles.cohorts import BIN
from doubles.places import REPOSITORY
from doubles.traces import read_events, scans_done_twice, traced_pids
from slurm.processes import belonging_to, children, kill_trees, wait_until

_TRACING: Final = REPOSITORY / "tests" / "slurm" / "bin"
_PACE: Final = ("--poll-s", "0.5", "--pause-s", "0", "--stop-s", "30")


class CampaignRun:
    """One run folder; at most one controller works in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._trace = folder.parent / "trace"
        self._output = folder.parent / "output.log"
        self._controller: subprocess.Popen[bytes] | None = None

    # --- start and end ---------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """Variables with which every step leaves a trace."""
        path = f"{_TRACING}:{BIN}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "ORGANOME_TRACE": str(self._trace)}

    def start(self) -> None:
        """Start ``organome run``."""
        snakemake = ["--cores", "2", "--quiet", "all"]
        where = [str(self.folder), "--snakefile", str(REPOSITORY / "Snakefile")]
        with self._output.open("ab") as file:
            self._controller = subprocess.Popen(
                ["organome", "run", *where, *_PACE, "--", *snakemake],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """Return how the controller ended, None while it runs."""
        assert self._controller is not None
        return self._controller.poll()

    def wait(self, *, within_s: float) -> int:
        """Wait for the controller to end.

        Raises:
            TimeoutError: It does not end.
        """
        what = f"{self.folder.parent.name} to end"
        wait_until(lambda: self.exit_code() is not None, what=what, within_s=within_s)
        code = self.exit_code()
        assert code is not None
        return code

    def end_all(self) -> None:
        """End everything that works in the run folder at one stroke, like a power cut."""
        end_s = time.monotonic() + 30
        while pids := self.processes():
            kill_trees(pids)
            if time.monotonic() > end_s:
                raise TimeoutError(f"killed processes do not end: {pids}")
        if self._controller is not None:
            self._controller.wait()

    def remove(self) -> None:
        """Remove the run folder and what lies beside it."""
        shutil.rmtree(self.folder.parent)

    # --- look ------------------------------------------------------------------------------------

    @property
    def output(self) -> str:
        """What all controllers have printed."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def processes(self) -> list[int]:
        """Return everything that works in the run folder."""
        return [pid for pid, _ in belonging_to(self.folder)]

    def controller(self) -> list[int]:
        """Return the process of ``organome run``, if it lives."""
        if self._controller is None or self._controller.poll() is not None:
            return []
        return [self._controller.pid]

    def snakemake(self) -> list[int]:
        """Return the Snakemake below the controller."""
        return [pid for parent in self.controller() for pid in children(parent)]

    def jobs(self) -> list[int]:
        """Return the processes that work on a step."""
        traced = traced_pids(self._trace)
        return [pid for pid in self.processes() if pid in traced and pid not in self.controller()]

    def workers(self, job: int) -> list[int]:
        """Return the processes below a job in which scans are done: forks of its fork server."""
        return [pid for server in children(job) for pid in children(server)]

    def tables(self) -> dict[str, bytes]:
        """Read every file of the tables."""
        folder = self.folder / "results" / "tables"
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    def n_done(self) -> int:
        """Count the scans that were finished in a step, in all attempts."""
        return sum(event.said["event"] == "scan_done" for event in read_events(self._trace))

    def done_twice(self) -> list[str]:
        """Name the scans that were finished in a step more than once."""
        return [f"{step} {scan}" for step, scan in sorted(scans_done_twice(self._trace))]

    def left_running(self) -> list[str]:
        """Return what still works in the run folder some seconds after the end."""
        with suppress(TimeoutError):
            wait_until(lambda: not self.processes(), what="jobs to close", within_s=10)
        return [line for _, line in belonging_to(self.folder)]
