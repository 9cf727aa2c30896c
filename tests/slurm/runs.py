"""Run folders on the cluster, and what their jobs did."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from doubles.cohorts import BIN
from doubles.places import REPOSITORY
from doubles.traces import Event, read_events, traced_pids
from slurm.cluster import Cluster
from slurm.processes import belonging_to, is_alive, wait_until
from slurm.settings import ACCOUNT

HERE: Final = Path(__file__).parent
# What differs from the profile that is shipped: the account, and waiting for seconds, not minutes.
IN_HASTE: Final[Mapping[str, Any]] = {
    "jobs": 12,
    "slurm-init-seconds-before-status-checks": 1,
    "max-status-checks-per-second": 1,
    "latency-wait": 15,
}
PACE: Final = ("--poll-s", "1", "--pause-s", "2", "--stall-s", "30")


def write_profile(folder: Path) -> Path:
    """Write the shipped SLURM profile with the account and the haste of the tests."""
    shipped = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text())
    resources = shipped["default-resources"] | {"slurm_account": ACCOUNT}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump({**shipped, **IN_HASTE, "default-resources": resources})
    )
    return folder


def tables_of(run: Path) -> dict[str, bytes]:
    """Read every file of a run's tables."""
    folder = run / "results" / "tables"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class SlurmRun:
    """A run folder, brought through on the cluster."""

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        *,
        profile: Path,
        config: Path | None = None,
        beside: Path | None = None,
        until: str | None = None,
    ) -> None:
        """Use a run folder.

        Args:
            folder: The run folder.
            cluster: Where its jobs run.
            profile: Profile of Snakemake.
            config: Configuration besides the config.yaml in the run folder.
            beside: Where to put what is noted about the run; without one, beside its folder.
            until: Last step that ``organome run`` does; None: all.
        """
        self.until = until
        self.folder = folder
        self.cluster = cluster
        self._config = [] if config is None else ["--configfile", str(config)]
        self._profile = profile
        self._trace = (beside or folder.parent) / f"{folder.name}_trace"
        self._output = (beside or folder.parent) / f"{folder.name}_output.log"
        self._started: list[subprocess.Popen[bytes]] = []

    # --- start and end ---------------------------------------------------------------------------

    def local(self, *arguments: str) -> None:
        """Run Snakemake on this machine; it must go well."""
        self.call("snakemake", *self._where, "--cores", "2", *arguments)

    def call(self, *command: str) -> None:
        """Run a program; it must go well."""
        assert self._spawn(command).wait() == 0, self.output[-6000:]

    def snakemake(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Snakemake on the cluster, without a watchdog."""
        profile = ["--workflow-profile", str(self._profile)]
        return self._spawn(["snakemake", *self._where, *profile, *arguments])

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``organome run`` on the cluster."""
        where = [str(self.folder), "--snakefile", str(REPOSITORY / "Snakefile")]
        profile = ["--workflow-profile", str(self._profile)]
        until = ["--", "--until", self.until] if self.until else []
        command = ["organome", "run", *where, *profile, *self._config, *PACE, *arguments, *until]
        return self._spawn(command)

    def wait(self, process: subprocess.Popen[bytes], *, within_s: float = 1200) -> int:
        """Wait for a controller to end while requeued jobs are hurried on.

        Raises:
            TimeoutError: If it does not end.
        """
        end_s = time.monotonic() + within_s
        while process.poll() is None:
            if time.monotonic() > end_s:
                raise TimeoutError(f"still running after {within_s:.0f} s:\n{self.output[-6000:]}")
            self.cluster.hurry()
            time.sleep(0.5)
        return process.returncode

    def finish(self, process: subprocess.Popen[bytes], *, within_s: float = 1200) -> None:
        """Wait for a controller to end well."""
        assert self.wait(process, within_s=within_s) == 0, self.output[-6000:]

    def clear(self) -> None:
        """End whatever of this run is still there; for clean-up after a failed test."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.cluster.cancel_all()
        for pid, _ in belonging_to(self.folder):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)

    # --- look ------------------------------------------------------------------------------------

    @property
    def output(self) -> str:
        """What all controllers of this run have printed."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def events(self, name: str, *, step: str = "segment_organs") -> list[Event]:
        """List events of one name and step, of all attempts, in the order of time."""
        found = [event for event in read_events(self._trace) if event.said["event"] == name]
        return sorted(
            (event for event in found if event.said.get("step") == step),
            key=lambda event: event.at_s,
        )

    def wait_for_scans(
        self, n_scans: int, *, job: str | None = None, within_s: float = 600
    ) -> Event:
        """Wait until so many scans are labelled (by one job, if one is named); return the last."""
        found: list[Event] = []

        def enough() -> bool:
            found[:] = [one for one in self.events("scan_done") if job in (None, one.job)]
            return len(found) >= n_scans

        self.wait_for(enough, what=f"{n_scans} scans to be labelled", within_s=within_s)
        return found[-1]

    def wait_for(self, holds: Callable[[], object], *, what: str, within_s: float = 600) -> None:
        """Wait for something to hold; requeued jobs are hurried on, the controller must live."""

        def hurried() -> object:
            self.cluster.hurry()
            assert self._started[-1].poll() in (None, 0), self.output[-6000:]
            return holds()

        wait_until(hurried, what=what, within_s=within_s, every_s=0.3)

    def scans_done_twice(self) -> dict[str, int]:
        """Count scans whose labelling was written down more than once."""
        counts = Counter(event.said["scan"] for event in self.events("scan_done"))
        return {scan: n for scan, n in counts.items() if n > 1}

    def working(self) -> list[int]:
        """List the processes that work on a step now."""
        traced = traced_pids(self._trace)
        return [pid for pid, _ in belonging_to(self.folder) if pid in traced]

    def n_attempts(self) -> int:
        """Count the processes that ever worked on a step."""
        return len(list(self._trace.glob("*.log")))

    def another(self, folder: Path) -> "SlurmRun":
        """Make a run of the same cluster and profile in another folder."""
        return SlurmRun(folder, self.cluster, profile=self._profile)

    def tables(self) -> dict[str, bytes]:
        """Read every file of the tables."""
        return tables_of(self.folder)

    def jobs(self, *fields: str) -> list[dict[str, str]]:
        """Read this run's jobs from the accounting database."""
        rows = self.cluster.accounting(*fields, "WorkDir")
        return [row for row in rows if row["WorkDir"] == str(self.folder)]

    def left_running(self) -> list[object]:
        """List jobs in the queue and processes of this run that live."""

        def left() -> list[object]:
            return [*self.cluster.queue().items(), *belonging_to(self.folder)]

        end_s = time.monotonic() + 10
        while left() and time.monotonic() < end_s:
            time.sleep(0.2)  # the step of a job that is through needs a moment to close
        return left()

    # --- parts -----------------------------------------------------------------------------------

    @property
    def _where(self) -> list[str]:
        where = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(self.folder)]
        return [*where, *self._config]

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        environment = self.cluster.environment(HERE / "bin", BIN)
        with self._output.open("ab") as file:
            process = subprocess.Popen(
                command,
                env={**environment, "ORGANOME_TRACE": str(self._trace)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process


def copy_run(template: Path, destination: Path) -> Path:
    """Copy a cohort with its model and run folder, with the times of all files."""
    shutil.copytree(template, destination)
    return destination / "run"
