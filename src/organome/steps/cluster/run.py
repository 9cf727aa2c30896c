"""run: Snakemake under a watchdog, until all shards are through or nothing helps any more.

One controller holds a run folder. It ends or waits for the jobs of an earlier one, unlocks the
folder, starts Snakemake and watches it (``rounds``). A Snakemake that hangs is killed and started
again; so is one that gave up although shards got through meanwhile or a machine was at fault.
"""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from organome.domain.errors import SetupError
from organome.domain.outcomes import Status
from organome.domain.tables import SCANS
from organome.io.files.assets import asset
from organome.io.runs import Run, is_training, open_run
from organome.io.slurm.profiles import SLURM, find_profile, job_profile
from organome.io.tables.parquet import read_table
from organome.shards.controllers import sole_controller
from organome.shards.signals import noting_stop_requests
from organome.steps.cluster.jobs import RunJobs
from organome.steps.cluster.rounds import Rounds
from organome.steps.cluster.run_folders import RunFolder


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What became of a run.

    Attributes:
        n_rounds: How often Snakemake was started.
        n_hangs: How often it hung and was killed.
        n_shards_done: Shards that are through, those of earlier runs included.
        n_shards_left: Listed shards that are not; 0 where targets were named.
        wall_s: Seconds it took.
        scans: What became of the scans, None where no tables were asked for.
        models: Folders of the models that were trained.
    """

    n_rounds: int
    n_hangs: int
    n_shards_done: int
    n_shards_left: int
    wall_s: float
    scans: "ScanCounts | None" = None
    models: tuple[Path, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether most scans went through; if not, the command ends with exit code 3."""
        return self.scans is None or self.scans.most_went_through

    def __str__(self) -> str:
        """Write it as three lines: done, failed, where the tables are."""
        if self.scans is not None:
            return str(self.scans)
        if self.models:
            return "\n".join(f"model: {model}" for model in self.models)
        return (
            f"{self.n_shards_done} shards through, {self.n_shards_left} left;"
            f" {self.n_rounds} rounds, {self.n_hangs} of them hung; {self.wall_s / 60:.1f} minutes"
        )


@dataclass(frozen=True, slots=True)
class ScanCounts:
    """What became of the scans of a cohort, as its tables say.

    Attributes:
        tables: Folder of the tables.
        n_done: Scans that went through.
        n_by_reason: Others by reason, most frequent first.
        report: Start page of the report, None where there is none.
    """

    tables: Path
    n_done: int
    n_by_reason: Mapping[str, int]
    report: Path | None = None

    @property
    def n_scans(self) -> int:
        """Scans in the tables."""
        return self.n_done + sum(self.n_by_reason.values())

    @property
    def most_went_through(self) -> bool:
        """Whether more scans went through than did not."""
        return 2 * self.n_done > self.n_scans or not self.n_scans

    def __str__(self) -> str:
        """Write it as three lines, one for the report, and a last one where most failed."""
        n_failed = self.n_scans - self.n_done
        reasons = ", ".join(f"{n} {reason}" for reason, n in self.n_by_reason.items())
        lines = [
            f"done: {self.n_done} of {self.n_scans} scans",
            f"failed: {n_failed}" + (f" ({reasons})" if reasons else ""),
            f"tables: {self.tables}",
        ]
        if self.report is not None:
            lines.append(f"report: {self.report}")
        if not self.most_went_through:
            lines.append(
                "MOST SCANS FAILED: find out why before you use the tables (docs/tables.md says"
                " what each reason means)"
            )
        return "\n".join(lines)


def run(
    run_folder: Path,
    /,
    *snakemake: str,
    snakefile: Path | None = None,
    configfile: Sequence[Path] = (),
    workflow_profile: Path | None = None,
    targets: Sequence[str] = (),
    live_jobs: Literal["wait", "cancel"] = "wait",
    unlock: bool = False,
    stall_s: float = 900.0,
    max_rounds: int = 5,
    pause_s: float = 300.0,
    poll_s: float = 30.0,
    stop_s: float = 60.0,
    on_shards: Callable[[int, int], None] | None = None,
) -> RunSummary:
    """List the scans of a cohort, and run the workflow on all that is not through yet.

    Args:
        run_folder: Run folder, as ``organome init`` makes it.
        snakemake: Further flags for Snakemake, after ``--``.
        snakefile: The workflow, if not the one that comes with Organome.
        configfile: Configuration files, besides a ``config.yaml`` in the run folder.
        workflow_profile: Profile, ``profiles/slurm`` for a cluster; without one Snakemake takes
            ``profiles/default``. Profiles of the user (``-- --profile``, ``SNAKEMAKE_PROFILE``)
            count as well, after it.
        targets: Files or rules to make instead of everything.
        live_jobs: What becomes of running jobs of an earlier run; waiting ones are cancelled.
        unlock: Unlock the folder even where no earlier ``organome run`` explains the lock: no
            Snakemake works in it, on whatever host.
        stall_s: Seconds after which Snakemake hangs, without a job in the queue, a line in the log
            or work on this machine. More than three minutes: it sleeps that long between looks.
        max_rounds: Rounds in a row that may end without a further shard, all for a fault of
            the machine.
        pause_s: Seconds between two rounds.
        poll_s: Seconds between two looks at the queue.
        stop_s: Seconds that Snakemake gets to stop by itself.
        on_shards: Called now and then with how many steps of shards are through, and how many there
            are; then what Snakemake says goes to ``logs/run`` alone.

    Raises:
        SetupError: Shards could not be done; another controller or Snakemake holds the run folder;
            a job said that the set-up is wrong; a kind of machine drifts; or there is no Snakemake.
        Interrupted: A signal has come. Jobs are cancelled, the folder is unlocked.
    """
    start_s = time.monotonic()
    place = open_run(run_folder)
    if not configfile:  # else Snakemake puts the two together, and checks them
        place.check()
    _check_snakemake()
    snakefile = snakefile or asset("Snakefile")
    folder = RunFolder(run_folder)
    if workflow_profile is not None and not workflow_profile.exists():
        # Snakemake looks for a named one only where one stands.
        workflow_profile = (find_profile(workflow_profile, snakefile=snakefile) or Path()).parent
    profile = job_profile(snakemake, workflow_profile, snakefile=snakefile)
    on_slurm = profile is not None and profile.executor == SLURM
    if on_slurm and shutil.which("sbatch") is None:
        raise SetupError(
            "the jobs are for SLURM, and sbatch is not on this machine: run it on a login node, or"
            " without --workflow-profile"
        )
    command = [
        *("snakemake", "--snakefile", str(snakefile), "--directory", str(folder.folder)),
        *(("--configfile", *map(str, configfile)) if configfile else ()),
        *(("--workflow-profile", str(workflow_profile)) if workflow_profile else ()),
        *(("--slurm-jobname-prefix", folder.name) if on_slurm else ()),
        *snakemake,
    ]
    with sole_controller(folder.folder) as controller, noting_stop_requests() as requests:
        rounds = Rounds(
            command=command,
            targets=targets,
            folder=folder,
            jobs=RunJobs(name=folder.name, folder=folder.folder) if on_slurm else None,
            cancel_running=live_jobs == "cancel",
            poll_s=poll_s,
            stall_s=stall_s,
            pause_s=pause_s,
            stop_s=stop_s,
            requests=requests,
            controller=controller,
            on_shards=on_shards,
        )
        rounds.open_lock(asked=unlock)
        trains = place.is_training or any(map(is_training, configfile))
        if not trains:
            rounds.list_scans()
        if not configfile and not trains:
            place.check_contrasts()
        n_rounds, n_hangs = rounds.run(max_idle=max_rounds)
        n_done, n_left = folder.count_shards()
        return RunSummary(
            *(n_rounds, n_hangs, n_done, n_left, time.monotonic() - start_s),
            scans=None if targets or trains else _count_scans(place),
            models=tuple(sorted((place.results / "models").glob("*"))) if trains else (),
        )


def _count_scans(place: Run) -> ScanCounts | None:
    """Read from the scan table what became of all scans; None if it is not there."""
    files = sorted((place.tables / SCANS.name).glob("*.parquet"))
    if not files:
        return None
    rows = pa.concat_tables(read_table(file, columns=["status", "reason"]) for file in files)
    n_by = Counter(zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True))
    n_done = sum(n for (status, _), n in n_by.items() if status == Status.DONE)
    others = [(str(reason), n) for (status, reason), n in n_by.items() if status != Status.DONE]
    by_reason = dict(sorted(others, key=lambda counted: (-counted[1], counted[0])))
    report = place.results / "report" / "index.html"
    return ScanCounts(place.tables, n_done, by_reason, report if report.is_file() else None)


def _check_snakemake() -> None:
    """Refuse to start where the programs of this environment are not at hand."""
    if shutil.which("snakemake") is None:
        activate = Path(sys.executable).with_name("activate")
        raise SetupError(
            f"snakemake is not on the PATH: activate the environment (source {activate})"
        )
