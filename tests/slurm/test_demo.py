"""The demo cohort through SLURM: the right jobs on the right nodes, and the very same tables."""

import shutil
from pathlib import Path

import pytest
import yaml

from doubles.places import REPOSITORY
from organome.io.models.phantoms import PHANTOM_MARKER
from organome.io.tables.scan_lists import read_shard
from organome.steps.collect import collect_tables
from slurm.cluster import Cluster
from slurm.runs import SlurmRun, tables_of
from slurm.settings import CPU_NODES, N_GPUS

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

CONFIG = REPOSITORY / "config" / "demo.yaml"
N_SHARDS = 2  # of four: each costs six jobs, with the starts of Snakemake in them


@pytest.fixture(scope="module")
def made_here(cluster: Cluster, profile: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Find a finished ``demo`` folder, run on one machine without SLURM; make one if need be."""
    made = REPOSITORY / "demo"
    if (made / "run" / "results").exists():
        run = SlurmRun(
            made / "run", cluster, profile=profile, config=CONFIG, beside=new(tmp_path_factory)
        )
        run.local("--dry-run")
        if "Nothing to be done" in run.output:
            return made
    folder = tmp_path_factory.mktemp("local") / "demo"
    (folder / "run").mkdir(parents=True)
    (folder.parent / "models").symlink_to(REPOSITORY / "models")
    run = SlurmRun(folder / "run", cluster, profile=profile, config=CONFIG)
    run.call("organome", "make-phantoms", "--preset", "demo", "--output", str(folder / "cohort"))
    run.local("list_scans")
    run.local()
    return folder


@pytest.fixture
def first_shards(made_here: Path, tmp_path: Path) -> Path:
    """Copy the lists and archives of the first shards of the finished demo, and collect them."""
    folder = tmp_path / "first"
    (folder / "scans").mkdir(parents=True)
    cohort = (made_here / "cohort").resolve()
    files = [cohort / PHANTOM_MARKER]
    for shard in sorted((made_here / "run" / "scans").glob("*.parquet"))[:N_SHARDS]:
        shutil.copy2(shard, folder / "scans")
        files += [Path(one.path).resolve() for scan in read_shard(shard) for one in scan.sources]
    for file in files:
        copy = folder / "cohort" / file.relative_to(cohort)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    collect_tables.run(
        scans=folder / "scans",
        results=made_here / "run" / "results",
        output=folder / "results" / "tables",
        radiomics=True,
    )
    return folder


def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beside")


def test_the_demo_uses_gpus_for_segmenting_only_and_makes_the_same_tables(
    first_shards: Path, sound_cluster: Cluster, profile: Path, tmp_path: Path
) -> None:
    (tmp_path / "models").symlink_to(REPOSITORY / "models")
    folder = tmp_path / "demo"
    (folder / "run").mkdir(parents=True)
    (folder / "cohort").symlink_to(first_shards / "cohort")
    config = yaml.safe_load(CONFIG.read_text())
    config["segment"]["device"] = "auto"  # asks for a GPU, and does without where there is none
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    run = SlurmRun(folder / "run", sound_cluster, profile=profile, config=tmp_path / "config.yaml")
    run.local("list_scans")
    # Three at a time: the GPUs are pretended, and the cores have to do their work.
    run.finish(run.start("--", "--jobs", "3"), within_s=3000)

    jobs = run.jobs("Comment", "State", "AllocTRES", "NodeList")
    segmenting = [job for job in jobs if "segment_organs" in job["Comment"]]
    others = [job for job in jobs if job not in segmenting]
    assert {job["State"] for job in jobs} == {"COMPLETED"}
    assert len(segmenting) == N_SHARDS
    # Prepared, measured twice, drawn; collected, checked, reported.
    assert len(others) == 4 * N_SHARDS + 3
    assert {job["NodeList"] for job in segmenting} <= set(N_GPUS)
    assert {job["NodeList"] for job in others} <= set(CPU_NODES)
    for job in segmenting:
        assert "gres/gpu=1" in job["AllocTRES"].split(",")
    assert not [job for job in others if "gpu" in job["AllocTRES"]]
    assert run.tables() == tables_of(first_shards)
    assert run.scans_done_twice() == {}
    assert run.left_running() == []
