"""Every example configuration and profile plans without an error."""

import re
from pathlib import Path

import pytest
import yaml

from doubles.places import REPOSITORY, quick_environment
from doubles.snakemakes import run_snakemake
from organome.domain.job_requests import cluster_requests
from organome.io.runs import Run

CONFIGS = sorted((REPOSITORY / "config").glob("*.yaml"))


def plan(config: Path, run: Path, *more: str) -> str:
    """Plan a run of two shards, whose rows are never read, and return what Snakemake says."""
    settings = yaml.safe_load(config.read_text())
    named = settings["segment"].get("model", "phantom")
    model = run.parent / "data" / "organome" / "models" / named
    for path in (model / "plans.json", model / "dataset.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for shard in ("0000", "0001"):
        (run / "scans").mkdir(parents=True, exist_ok=True)
        (run / "scans" / f"{shard}.parquet").touch()
    where = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(run)]
    code, said = run_snakemake(
        [*where, "--configfile", str(config), "--dry-run", *more],
        quick_environment() | {"XDG_DATA_HOME": str(run.parent / "data")},
    )
    assert code == 0, said
    return said


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_plans_a_job_a_step_for_each_shard_and_one_collection(
    config: Path, tmp_path: Path
) -> None:
    said = plan(config, tmp_path / "a" / "run")
    counts = dict(
        line.split()[:2]
        for line in said.splitlines()
        if line.startswith(
            ("prepare", "segment", "measure", "draw", "collect", "check_quality", "write")
        )
    )
    radiomics = {"measure_radiomics": "2"} if config.stem.startswith("demo") else {}
    assert counts == {
        "prepare_images": "2",
        "segment_organs": "2",
        "measure_volumes": "2",
        "draw_pictures": "2",
        "collect_tables": "1",
        "check_quality": "1",
        "write_report": "1",
        **radiomics,
    }


def test_gpu_is_asked_for_unless_the_device_is_the_cpu(tmp_path: Path) -> None:
    folder = REPOSITORY / "config"
    assert "gpu=1" in plan(folder / "ukb.yaml", tmp_path / "a" / "run")
    assert "gpu=1" not in plan(folder / "demo.yaml", tmp_path / "b" / "run")


def test_the_slurm_profile_plans(tmp_path: Path) -> None:
    profile = str(REPOSITORY / "profiles" / "slurm")
    assert "segment_organs" in plan(
        REPOSITORY / "config" / "ukb.yaml", tmp_path / "a" / "run", "--workflow-profile", profile
    )


def test_the_doctor_asks_a_cluster_for_what_the_rules_ask(tmp_path: Path) -> None:
    run = tmp_path / "a" / "run"
    run.mkdir(parents=True)
    settings = yaml.safe_load((REPOSITORY / "config" / "ukb.yaml").read_text())
    settings |= {"shard_size": 600, "radiomics": {"contrasts": {"water": "mr"}}}
    settings["resources"] = {"segment_organs": {"gpus": 4, "mem_gb": 20}}
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    profile = str(REPOSITORY / "profiles" / "slurm")
    said = plan(run / "config.yaml", run, "--workflow-profile", profile)
    asked: dict[str, dict[str, str]] = {}
    for line in said.splitlines():
        if line.startswith("rule "):
            rule = line.removeprefix("rule ").rstrip(":")
        elif line.strip().startswith("resources:"):
            asked[rule] = dict(re.findall(r"(mem_mb|runtime|gpu)=(\d+)", line))
    for rule, requests in cluster_requests(Run(run).config()).items():
        shown = {name: str(value) for name, value in requests.items() if name != "cpus_per_task"}
        assert asked[rule] == shown, rule


def test_broken_nodes_are_left_out_besides_the_flags_that_a_profile_asks_for(
    tmp_path: Path,
) -> None:
    run = tmp_path / "a" / "run"
    (run / "work" / "broken_nodes").mkdir(parents=True)
    (run / "work" / "broken_nodes" / "g1").touch()
    profile = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text())
    profile["default-resources"]["slurm_extra"] = "--licenses=scratch"
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text(yaml.safe_dump(profile))
    said = plan(
        REPOSITORY / "config" / "ukb.yaml", run, "--workflow-profile", str(tmp_path / "profile")
    )
    assert "--licenses=scratch --exclude=g1" in said
