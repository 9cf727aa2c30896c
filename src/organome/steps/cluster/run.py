"""run: Snakemake under a watchdog, until all shards are through or nothing helps any more.

One controller holds a run folder. It ends or waits for the jobs of an earlier one, unlocks the
folder, starts Snakemake and watches it (``watchdog``). A Snakemake that hangs is killed and started
again; so is one that gave up although shards got through meanwhile or a machine was at fault.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from organome.domain.errors import SetupError
from organome.io.slurm.profiles import SLURM, find_profile, read_profile
from organome.shards.stop_requests import noting_stop_requests
from organome.steps.cluster.controllers import sole_controller
from organome.steps.cluster.jobs import RunJobs
from organome.steps.cluster.rounds import Rounds
from organome.steps.cluster.run_folders import RunFolder
from organome.steps.cluster.watchdog import USUAL_PACE, Pace


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What became of a run.

    Attributes:
        n_rounds: How often Snakemake was started.
        n_hangs: How often it hung and was killed.
        n_shards_done: Shards that are through, those of earlier runs included.
        n_shards_left: Listed shards that are not; 0 where targets were named.
        wall_s: Seconds it took.
    """

    n_rounds: int
    n_hangs: int
    n_shards_done: int
    n_shards_left: int
    wall_s: float

    def __str__(self) -> str:
        """Write it as one line."""
        return (
            f"{self.n_shards_done} shards through, {self.n_shards_left} left;"
            f" {self.n_rounds} rounds, {self.n_hangs} of them hung; {self.wall_s / 60:.1f} minutes"
        )


def run(
    *snakemake: str,
    snakefile: Path = Path("Snakefile"),
    directory: Path = Path(),
    configfile: Sequence[Path] = (),
    workflow_profile: Path | None = None,
    targets: Sequence[str] = (),
    live_jobs: Literal["wait", "cancel"] = "wait",
    stall_s: float = USUAL_PACE.stall_s,
    max_rounds: int = 5,
    pause_s: float = USUAL_PACE.pause_s,
    poll_s: float = USUAL_PACE.poll_s,
    stop_s: float = USUAL_PACE.stop_s,
) -> RunSummary:
    """Run the workflow on a run folder.

    Args:
        snakemake: Further flags for Snakemake, after ``--``.
        snakefile: The workflow.
        directory: Run folder.
        configfile: Configuration files, besides a ``config.yaml`` in the run folder.
        workflow_profile: Profile, ``profiles/slurm`` for a cluster; without one Snakemake takes
            ``profiles/default``.
        targets: Files or rules to make instead of everything.
        live_jobs: What becomes of running jobs of an earlier run; waiting ones are cancelled.
        stall_s: Seconds after which Snakemake hangs, without a job in the queue, a line in the log
            or work on this machine. More than three minutes: it sleeps that long between looks.
        max_rounds: Rounds in a row that may end without a further shard, all for a fault of
            the machine.
        pause_s: Seconds between two rounds.
        poll_s: Seconds between two looks at the queue.
        stop_s: Seconds that Snakemake gets to stop by itself.

    Raises:
        SetupError: Shards could not be done; another controller holds the run folder; a kind of
            machine drifts; or Snakemake is not there.
        Interrupted: A signal has come. Jobs are cancelled, the folder is unlocked.
    """
    start_s = time.monotonic()
    if not directory.is_dir():
        raise SetupError(f"{directory}: no such run folder")
    if shutil.which("snakemake") is None:
        raise SetupError("snakemake is not on the PATH: activate the environment of organome")
    folder = RunFolder(directory)
    on_slurm = _executor(snakemake, workflow_profile, snakefile=snakefile) == SLURM
    command = [
        *("snakemake", "--snakefile", str(snakefile), "--directory", str(folder.folder)),
        *(("--configfile", *map(str, configfile)) if configfile else ()),
        *(("--workflow-profile", str(workflow_profile)) if workflow_profile else ()),
        *(("--slurm-jobname-prefix", folder.name) if on_slurm else ()),
        *snakemake,
    ]
    with sole_controller(folder) as controller, noting_stop_requests() as requests:
        rounds = Rounds(
            command,
            targets=targets,
            folder=folder,
            jobs=RunJobs(name=folder.name, folder=folder.folder) if on_slurm else None,
            cancel_running=live_jobs == "cancel",
            pace=Pace(poll_s=poll_s, stall_s=stall_s, pause_s=pause_s, stop_s=stop_s),
            requests=requests,
            controller=controller,
        )
        n_rounds, n_hangs = rounds.run(max_idle=max_rounds)
        n_done, n_left = folder.count_shards()
        return RunSummary(n_rounds, n_hangs, n_done, n_left, time.monotonic() - start_s)


def _executor(flags: Sequence[str], profile: Path | None, *, snakefile: Path) -> str | None:
    """Find out who runs the jobs: as a flag says, else as the profile does."""
    for flag, value in pairwise([*flags, ""]):
        name, _, attached = flag.partition("=")
        if name in ("--executor", "-e"):
            return attached or value
    path = find_profile(profile, snakefile=snakefile)
    return None if path is None else read_profile(path).executor
