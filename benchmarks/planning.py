"""What planning costs, by number of participants: a fresh run, a finished one, a grown one.

    python benchmarks/planning.py [--participants 1000 10000]

A participant has one Dixon scan at each of 1.15 visits on average, and a shard has 300 scans (as in
``config/ukb.yaml``). The workflow is the repository's own; it never opens a shard file, so empty
ones do. Three calls of Snakemake are measured for each cohort, each in a process of its own:

fresh    a dry run where nothing has been made;
no-op    a real run where everything has been made: it must say that there is nothing to be done;
1 %      a dry run after shards for 1 % more participants were listed: only these and the tables
         may be planned.

Between the first two the cohort is finished without computing anything: Snakemake's own touch
executor (``snakemake --touch``) goes through all jobs in their order and writes the metadata that
a run leaves. It is asked to make the outputs, empty, and not to sleep 0.1 s a job; it has as many
slots as there are shards.

Seconds and memory are those of the measured process alone (wait4), which starts from a small one.
The last line is one JSON object of the figures.
"""

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[1]
PARTICIPANTS: Final = (1_000, 10_000, 100_000, 500_000)
SCANS_PER_PARTICIPANT: Final = 1.15
SHARD_SIZE: Final = 300
CONFIG: Final = f"""\
cohort: {{name: bench, kind: ukb, root: bulk}}
shard_size: {SHARD_SIZE}
segment: {{source: model, model: {REPOSITORY}/models/phantom, device: cuda}}
"""
TOUCH: Final = """\
from pathlib import Path
from snakemake.cli import main
from snakemake.executors.touch import Executor

def run_job(self, job, touch=Executor.run_job):
    for file in job.output:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).mkdir(exist_ok=True) if file.is_directory else Path(file).touch()
    touch(self, job)

Executor.SLEEPING_TIME = 0
Executor.run_job = run_job
main()
"""


@dataclass(frozen=True, slots=True)
class Planning:
    """What one call of Snakemake cost, and what it printed."""

    cpu_s: float
    wall_s: float
    peak_gib: float
    printed: str

    @property
    def jobs(self) -> dict[str, int]:
        """Planned jobs of each rule, by Snakemake's own count."""
        counts = re.findall(r"^(\w+) +(\d+)$", self.printed, flags=re.MULTILINE)
        return {rule: int(count) for rule, count in counts if rule != "total"}


def plan(folder: Path, *arguments: str, launcher: Sequence[str] = ("-m", "snakemake")) -> Planning:
    """Call Snakemake on a run folder and measure that process.

    Raises:
        RuntimeError: If Snakemake fails.
    """
    command = [sys.executable, *launcher, "--snakefile", str(REPOSITORY / "Snakefile")]
    began_s = time.monotonic()
    process = subprocess.Popen(
        [*command, "--directory", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(printed)
    return Planning(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.monotonic() - began_s,
        peak_gib=usage.ru_maxrss / 1024**2,
        printed=printed,
    )


def finish(folder: Path, *, n_shards: int) -> None:
    """Make all outputs, empty, with the metadata of a run."""
    slots = ["--cores", str(4 * n_shards + 4), "--resources", f"gpu={n_shards}"]
    plan(
        folder,
        *("--touch", "--workflow-profile", "none", "--scheduler", "greedy", "--quiet", "all"),
        *slots,
        launcher=("-c", TOUCH),
    )


def shards_of(n_participants: int) -> int:
    """Count the shards that a cohort, or what was added to it, is dealt to."""
    return math.ceil(n_participants * SCANS_PER_PARTICIPANT / SHARD_SIZE)


def list_shards(folder: Path, *, start: int, n_shards: int) -> None:
    """Make empty shard files, as many as list_scans would."""
    (folder / "scans").mkdir(exist_ok=True)
    for shard in range(start, start + n_shards):
        (folder / "scans" / f"{shard:04d}.parquet").touch()


def measure(n_participants: int, folder: Path) -> tuple[dict[str, Planning], int]:
    """Bring an empty cohort through the three calls.

    Returns:
        What each cost, and the number of files that a finished run has declared.

    Raises:
        RuntimeError: If Snakemake fails, or plans what it should not.
    """
    n_shards, n_new = shards_of(n_participants), shards_of(n_participants // 100)
    (folder / "config.yaml").write_text(CONFIG)
    list_shards(folder, start=0, n_shards=n_shards)
    fresh = plan(folder, "--dry-run", "--quiet", "rules")
    finish(folder, n_shards=n_shards)
    n_files = sum(path.is_file() for path in (folder / ".snakemake" / "metadata").rglob("*"))
    noop = plan(folder)
    if "Nothing to be done" not in noop.printed:
        raise RuntimeError(f"a finished cohort is not finished:\n{noop.printed[:2000]}")
    list_shards(folder, start=n_shards, n_shards=n_new)
    grown = plan(folder, "--dry-run", "--quiet", "rules")
    due = {rule: n_new if n == n_shards else n for rule, n in fresh.jobs.items()}
    if any(n > due.get(rule, 0) for rule, n in grown.jobs.items()):
        raise RuntimeError(f"{n_new} new shards make too much to do:\n{grown.printed[:2000]}")
    return {"fresh": fresh, "noop": noop, "onepercent": grown}, n_files


def short(n_participants: int) -> str:
    """Write a number of participants as in ``100k``."""
    return f"{n_participants // 1000}k"


def main() -> None:
    """Print one line per cohort and call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", nargs="+", type=int, default=PARTICIPANTS)
    began_s = time.monotonic()
    figures: dict[str, float] = {}
    print(
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"Snakemake {version('snakemake')}; local disk\n"
        "participants shards  files call        jobs  CPU s wall s  peak GiB"
    )
    for n_participants in parser.parse_args().participants:
        with tempfile.TemporaryDirectory() as folder:
            calls, n_files = measure(n_participants, Path(folder))
        name = short(n_participants)
        for call, cost in calls.items():
            n_jobs = sum(cost.jobs.values())
            print(
                f"{n_participants:12,} {shards_of(n_participants):6} {n_files:6} {call:10} "
                f"{n_jobs:5} {cost.cpu_s:6.1f} {cost.wall_s:6.1f} {cost.peak_gib:9.2f}",
                flush=True,
            )
            figures[f"{call}_s_{name}"] = round(cost.cpu_s, 1)
            figures[f"{call}_wall_s_{name}"] = round(cost.wall_s, 1)
        figures[f"peak_gib_{name}"] = round(max(cost.peak_gib for cost in calls.values()), 3)
        figures[f"n_jobs_{name}"] = sum(calls["fresh"].jobs.values())
        figures[f"n_files_{name}"] = n_files
    if {"fresh_s_100k", "fresh_s_500k"} <= figures.keys():
        growth = figures["fresh_s_500k"] / figures["fresh_s_100k"]
        figures["growth_500k_over_100k"] = round(growth, 2)
    figures["benchmark_wall_s"] = round(time.monotonic() - began_s)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
