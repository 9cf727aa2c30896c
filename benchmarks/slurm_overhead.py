"""What a job through Snakemake costs on SLURM beyond its work, against a plain job array.

    python benchmarks/slurm_overhead.py [--jobs 200]

The same one-second tasks, on the same node of the same local cluster (tests/slurm), one after the
other: once as jobs of a Snakemake rule with the settings of ``profiles/slurm`` as they are shipped,
once as one ``sbatch --array``. A slot is a CPU of the node, and a job takes one.

wall      from the command to its end;
busy      seconds that a job holds its slot, by SLURM's accounting;
lost      slot-seconds per job in which no task ran, wherever they went: slots x wall / jobs - 1.

The nested Snakemakes of a job compute: on a machine with fewer cores than slots they wait for each
other, and the cost of a job is larger than on a node with cores of its own. The last line is one
JSON object of the figures.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import yaml

REPOSITORY: Final = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY / "tests"))

from slurm.cluster import Cluster, why_not  # noqa: E402
from slurm.settings import ACCOUNT  # noqa: E402

N_SLOTS: Final = 4
STEP_S: Final = 1.0
USUAL_SHARD_S: Final = 3600.0
SNAKEFILE: Final = """\
rule all:
    input:
        expand("done/{{shard:04d}}", shard=range({n_jobs})),

rule step:
    output:
        "done/{{shard}}",
    shell:
        "sleep 1 && touch {{output}}"
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way of running all tasks cost.

    Attributes:
        wall_s: Seconds until all were through.
        busy_s: Mean seconds that a job held its slot.
        lost_s: Slot-seconds per job in which no task ran.
    """

    wall_s: float
    busy_s: float
    lost_s: float


def write_profile(folder: Path) -> Path:
    """Copy the shipped profile, with the account of the cluster."""
    shipped = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text())
    # One CPU a job, and little memory: the node has no room for anything else to matter.
    resources = {"slurm_account": ACCOUNT, "slurm_partition": "cpu", "mem_mb": 500, "runtime": 10}
    shipped.pop("set-resources", None)
    folder.mkdir()
    content = {**shipped, "default-resources": resources}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


def through_snakemake(cluster: Cluster, folder: Path, *, n_jobs: int) -> float:
    """Run the tasks as jobs of a rule and return the seconds it took.

    Raises:
        RuntimeError: If not all went well.
    """
    run = folder / "run"
    run.mkdir()
    (run / "Snakefile").write_text(SNAKEFILE.format(n_jobs=n_jobs))
    command = [sys.executable, "-m", "snakemake", "--directory", str(run)]
    command += ["--snakefile", str(run / "Snakefile")]
    command += ["--workflow-profile", str(write_profile(folder / "profile"))]
    began_s = time.monotonic()
    done = subprocess.run(
        command, env=cluster.environment(), capture_output=True, text=True, check=False
    )
    wall_s = time.monotonic() - began_s
    if done.returncode != 0 or len(list((run / "done").iterdir())) != n_jobs:
        raise RuntimeError(done.stderr[-4000:])
    return wall_s


def through_array(cluster: Cluster, *, n_jobs: int) -> float:
    """Run the tasks as one job array and return the seconds it took."""
    began_s = time.monotonic()
    cluster.command(
        "sbatch",
        *("--wait", f"--account={ACCOUNT}", "--partition=cpu", "--mem=500", "--cpus-per-task=1"),
        *(f"--array=0-{n_jobs - 1}", "--output=/dev/null", "--wrap=sleep 1"),
        within_s=3600,
    )
    return time.monotonic() - began_s


def busy_seconds(cluster: Cluster, *, n_jobs: int) -> float:
    """Add up how long the jobs that are new since the last call held their slots.

    Raises:
        RuntimeError: If the accounting does not know all of them as completed.
    """
    time.sleep(3)  # slurmdbd learns of the last ones a moment later
    rows = cluster.accounting("JobIDRaw", "State", "ElapsedRaw")
    new = [row for row in rows if row["JobIDRaw"] not in _seen]
    _seen.update(row["JobIDRaw"] for row in rows)
    if [row["State"] for row in new] != ["COMPLETED"] * n_jobs:
        raise RuntimeError(f"{len(new)} jobs, not {n_jobs} completed ones")
    return float(sum(int(row["ElapsedRaw"]) for row in new))


_seen: set[str] = set()


def cost(wall_s: float, busy_s: float, *, n_jobs: int) -> Cost:
    """Work out what a way of running cost per job."""
    return Cost(wall_s, busy_s / n_jobs, N_SLOTS * wall_s / n_jobs - STEP_S)


def main() -> None:
    """Measure both ways and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    n_jobs = parser.parse_args().jobs
    if reason := why_not():
        sys.exit(f"no SLURM cluster: {reason}")
    machine = (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, Snakemake {version('snakemake')},"
        f" slurm plugin {version('snakemake-executor-plugin-slurm')}"
    )
    print(f"{machine}; {n_jobs} tasks of {STEP_S:.0f} s on {N_SLOTS} slots", flush=True)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        cluster = Cluster(folder / "cluster", n_cpus=N_SLOTS)
        try:
            cluster.start()
            load = os.getloadavg()[0]
            wall_s = through_array(cluster, n_jobs=n_jobs)
            array = cost(wall_s, busy_seconds(cluster, n_jobs=n_jobs), n_jobs=n_jobs)
            wall_s = through_snakemake(cluster, folder, n_jobs=n_jobs)
            snakemake = cost(wall_s, busy_seconds(cluster, n_jobs=n_jobs), n_jobs=n_jobs)
        finally:
            cluster.wipe()
    print("                wall s   busy s/job   lost slot-s/job")
    for name, one in (("snakemake", snakemake), ("sbatch --array", array)):
        print(f"{name:<14} {one.wall_s:7.1f} {one.busy_s:12.2f} {one.lost_s:17.2f}")
    share = snakemake.lost_s / (USUAL_SHARD_S + snakemake.lost_s)
    print(f"of a shard of an hour that is {100 * share:.2f} %")
    figures = {
        "n_jobs": n_jobs,
        "n_slots": N_SLOTS,
        "step_s": STEP_S,
        "snakemake_wall_s": round(snakemake.wall_s, 1),
        "snakemake_busy_s_per_job": round(snakemake.busy_s, 2),
        "snakemake_lost_s_per_job": round(snakemake.lost_s, 2),
        "array_wall_s": round(array.wall_s, 1),
        "array_busy_s_per_job": round(array.busy_s, 2),
        "array_lost_s_per_job": round(array.lost_s, 2),
        "wall_ratio": round(snakemake.wall_s / array.wall_s, 2),
        "lost_ratio": round(snakemake.lost_s / array.lost_s, 2),
        "load_before": round(load, 2),
        "machine": machine,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
