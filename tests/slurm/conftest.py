"""One cluster for each process of pytest; every test leaves it as it found it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doubles.cohorts import TinyCohort
from doubles.models import write_tiny_model
from doubles.shared import made_once
from slurm.cluster import Cluster, SlurmError, why_not
from slurm.processes import wait_until
from slurm.runs import SlurmRun, copy_run, tables_of, write_profile
from slurm.settings import N_SHARDS, NODES, SHARD_SIZE

CONFIG = """\
cohort: {{name: small, kind: folder, root: ../cohort/scans.tsv, protocols: [ct]}}
shard_size: {shard_size}
segment: {{model: ../model, contrasts: [ct], device: auto}}
pictures: {{enabled: false}}
resources:
  prepare_images: {{mem_gb: 1}}
  segment_organs: {{mem_gb: {mem_gb}}}
  measure_volumes: {{mem_gb: 1}}
"""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, up and idle; nothing of it is left afterwards."""
    if reason := why_not():
        pytest.skip(f"no SLURM cluster: {reason}")
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.wipe()


@pytest.fixture
def sound_cluster(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whole before and after each test."""
    restore(cluster)
    yield cluster
    restore(cluster)


def restore(cluster: Cluster) -> None:
    """Start what a test has killed and empty the queue."""
    cluster.start_daemons()
    with suppress(SlurmError):
        cluster.cancel_all()
    for node in NODES:
        cluster.resume(node)
    wait_until(cluster.is_ready, what="all nodes to be idle")


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped profile, in haste."""
    return write_profile(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def prepared(cluster: Cluster, profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of eight scans in two shards, prepared, with a tiny but real model."""

    def make(folder: Path) -> None:
        TinyCohort(folder / "cohort", size_zyx=(72, 96, 96)).add(N_SHARDS * SHARD_SIZE)
        write_tiny_model(folder / "model")
        run = folder / "run"
        run.mkdir()
        (run / "config.yaml").write_text(CONFIG.format(mem_gb=2, shard_size=SHARD_SIZE))
        local = SlurmRun(run, cluster, profile=profile)
        local.local("list_scans")
        local.local("--until", "prepare_images", "pin_model")

    return made_once(tmp_path_factory, "prepared", make)


@pytest.fixture(scope="session")
def undisturbed(
    prepared: Path, cluster: Cluster, profile: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The tables of that cohort, run on this machine without SLURM and without a fault."""

    def make(folder: Path) -> None:
        SlurmRun(copy_run(prepared, folder / "small"), cluster, profile=profile).local()

    return tables_of(made_once(tmp_path_factory, "undisturbed", make) / "small" / "run")


@pytest.fixture
def make_run(
    prepared: Path, sound_cluster: Cluster, profile: Path, tmp_path: Path
) -> Iterator[Callable[..., SlurmRun]]:
    """A function that makes a run folder of its own for the prepared cohort.

    On the cluster it goes as far as labelling, unless a test wants more of it: every further job
    costs two starts of Snakemake.
    """
    made: list[SlurmRun] = []

    def make(*, mem_gb: float = 2, folder: Path = tmp_path / "small") -> SlurmRun:
        run = copy_run(prepared, folder)
        (run / "config.yaml").write_text(CONFIG.format(mem_gb=mem_gb, shard_size=SHARD_SIZE))
        made.append(SlurmRun(run, sound_cluster, profile=profile, until="segment_organs"))
        return made[-1]

    yield make
    for run in made:
        run.clear()


@pytest.fixture
def run(make_run: Callable[..., SlurmRun]) -> SlurmRun:
    """A run folder of the prepared cohort."""
    return make_run()
