"""Collecting in SLURM jobs: the same tables, and nothing left running, whatever happens to them."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from doubles.measured import cohort, scan_of
from slurm.cluster import Cluster
from slurm.processes import belonging_to, wait_until
from slurm.settings import ACCOUNT

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

BIN = Path(sys.executable).parent
N_SHARDS, N_SCANS = 8, 50  # a shard
TABLES = "results/tables"


class Collection:
    """Calls of collect-tables in one folder."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder = folder
        self._cluster = cluster
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *flags: str, account: str = ACCOUNT) -> subprocess.Popen[str]:
        """Start to collect in two jobs, a file for two scans."""
        return self._start(
            *("--cluster", "slurm", "--n-jobs", "2", "--job-memory-gb", "1"),
            *("--job-runtime-min", "5", "--account", account, "--partition", "cpu"),
            *("--job-name-prefix", "here", "--scans-per-file", "2", *flags),
            output=TABLES,
        )

    def local(self, *, output: str) -> None:
        process = self._start("--scans-per-file", "2", output=output)
        assert process.wait() == 0

    def _start(self, *flags: str, output: str) -> subprocess.Popen[str]:
        where = ["--scans", "scans", "--results", "measured", "--output", output]
        self.started.append(
            subprocess.Popen(
                ["organome", "collect-tables", *where, *flags],
                cwd=self.folder,
                env=self._cluster.environment(BIN),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return self.started[-1]

    def tables(self, output: str = TABLES) -> dict[str, bytes]:
        folder = self.folder / output
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def files_under_way(self) -> Sequence[Path]:
        return [*self.folder.glob("results/.tables.*.tmp/*/scans/part-*")]


@pytest.fixture
def collection(tmp_path: Path, sound_cluster: Cluster) -> Iterator[Collection]:
    """A measured cohort of four hundred scans."""
    shards = [
        [scan_of(f"{shard * N_SCANS + place:04d}") for place in range(N_SCANS)]
        for shard in range(N_SHARDS)
    ]
    cohort(tmp_path, shards)
    (tmp_path / "results").rename(tmp_path / "measured")
    made = Collection(tmp_path, sound_cluster)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()
    # Not the same as an empty queue: what SLURM has lost sight of goes on.
    wait_until(lambda: not belonging_to(tmp_path), what="all processes to end", within_s=120)


def test_tables_are_those_made_on_one_machine(
    collection: Collection, sound_cluster: Cluster
) -> None:
    collection.local(output="expected")
    process = collection.start()
    wait_until(collection.files_under_way, what="the first file")
    named = sound_cluster.command("squeue", "--noheader", "--format=%j").split()
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    assert collection.tables() == collection.tables("expected")
    assert set(named) == {"here_dask"}
    wait_until(lambda: not sound_cluster.queue(), what="the jobs to be gone")
    left = sorted(path.name for path in collection.folder.iterdir())
    assert left == ["expected", "measured", "results", "scans", "work"]
    assert [path.name for path in (collection.folder / "results").iterdir()] == ["tables"]
    assert [path.name for path in (collection.folder / "work/collect_tables").iterdir()] == [
        "worker_logs"
    ]


def test_jobs_that_are_lost_on_the_way_are_replaced(
    collection: Collection, sound_cluster: Cluster
) -> None:
    collection.local(output="expected")
    process = collection.start()
    wait_until(collection.files_under_way, what="the first file")
    first = set(sound_cluster.queue())
    for job in first:
        sound_cluster.command("scancel", "--signal=KILL", "--full", job)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 0, said
    assert collection.tables() == collection.tables("expected")
    jobs = {row["JobID"] for row in sound_cluster.accounting("JobID", "JobName")}
    assert jobs > first


def test_asked_to_stop_it_takes_its_jobs_back(
    collection: Collection, sound_cluster: Cluster
) -> None:
    process = collection.start()
    wait_until(collection.files_under_way, what="the first file")
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 75, said
    wait_until(lambda: not sound_cluster.queue(), what="the jobs to be gone", within_s=120)
    assert [*(collection.folder / "results").iterdir()] == []


def test_workers_end_when_the_collection_is_killed(
    collection: Collection, sound_cluster: Cluster
) -> None:
    process = collection.start()
    wait_until(collection.files_under_way, what="the first file")
    process.kill()
    wait_until(lambda: not sound_cluster.queue(), what="the workers to end")


def test_what_slurm_never_takes_is_said_at_once(collection: Collection) -> None:
    process = collection.start(account="nobody")
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 2
    assert "Invalid account" in said.splitlines()[-1]


def test_jobs_that_never_start_are_not_waited_for_for_ever(
    collection: Collection, sound_cluster: Cluster
) -> None:
    sound_cluster.drain("c1")
    try:
        process = collection.start("--patience-min", "0.1")
        said = process.communicate(timeout=600)[1]
    finally:
        sound_cluster.resume("c1")
    assert process.returncode == 69, said
    assert "none of 2 workers for 0.1 min" in said.splitlines()[-1]
    assert sound_cluster.queue() == {}
