"""Rounds of annotation, from a cohort through the real workflow to a training that is written."""

import os
import pty
import subprocess
from pathlib import Path

import pytest
import yaml

from doubles.cohorts import BIN, Run, TinyCohort
from organome.io.configs import read_config, read_schema
from organome.io.files.assets import asset
from organome.phantoms.annotator import annotate
from organome.steps.train.list_cases import run as list_cases

SECRET = "p91827364"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four participants, and a round of three that came back."""
    folder = tmp_path_factory.mktemp("annotate")
    TinyCohort(folder / "cohort", prefix=SECRET).add(4)
    run = Run(folder / "run", shard_size=4, more="annotate: {n: 3, strategy: stratified}\n")
    for target in ("list_scans", "annotate"):
        result = run.snakemake(target)
        assert result.returncode == 0, result.output
    assert ("annotate", None) in result.jobs
    return folder


def organome(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "organome"), "annotate", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_round_goes_out_comes_back_and_is_trained_on(folder: Path) -> None:
    rounds = folder / "run" / "annotations"
    assert [path.name for path in rounds.glob("round_*")] == ["round_001"]
    assert len(list((rounds / "round_001" / "slicer").iterdir())) == 3
    again = organome("export", "--run", ".", "--output", "annotations", cwd=folder / "run")
    assert (again.returncode, "waits for labels" in again.stdout) == (0, True)
    truth = folder / "cohort" / "images"
    for path in (rounds / "round_001" / "slicer").iterdir():
        annotate(
            path, truth / f"{_number(rounds, path)}_labels.nii.gz", rounds / "round_001/edited"
        )
    here = folder / "run"
    done = organome("import", "--rounds", "annotations", cwd=here)
    assert (done.returncode, done.stdout) == (
        0,
        "round 1: 3 labelmaps accepted, 0 not back yet\n",
    )
    shown = organome("status", "--rounds", "annotations", cwd=here)
    assert shown.stdout.splitlines()[1] == "1\tstratified\t3\t3\t1.000\t-\t0"
    config = folder / "train.yaml"
    given = {"name": "old", "path": "cohort", "layout": "table", "labels": "mrsegmentator"}
    config.write_text(yaml.safe_dump({"train": {"name": "next"}, "datasets": [given]}))
    flags = ("--rounds", "annotations", "--config", str(config), "--output", "../training")
    few = organome("next", *flags, cwd=here)
    assert few.stdout == "3 new labelmaps accepted of 3; 50 start a training\n"
    assert not (folder / "training").exists()
    planned = organome("next", *flags, "--min-new", "3", "--dry-run", cwd=here)
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.splitlines()[2] == "organome run ../training"
    written = folder / "training" / "config.yaml"
    schema = read_schema(asset("workflow/schemas/train.schema.yaml"))
    old, new = read_config(written, schema)["datasets"]
    assert old["path"] == str(folder / "cohort")
    assert (new["layout"], new["people"]) == ("annotations", "tiny")
    alone = folder / "alone.yaml"
    alone.write_text(yaml.safe_dump({"train": {"name": "next"}, "datasets": [new]}))
    listed = list_cases(datasets=alone, output=folder / "listed")
    assert (listed.n_train, listed.n_people) == (3, 3)
    everything = done.stdout + done.stderr + shown.stdout + planned.stdout + planned.stderr
    assert SECRET not in everything
    for path in (here / "logs" / "annotate").iterdir():
        assert SECRET not in path.read_text()
    inside = [path for path in (rounds / "round_001").rglob("*") if path.is_file()]
    assert not [path for path in inside if SECRET.encode() in path.read_bytes()]


def _number(rounds: Path, path: Path) -> str:
    """Return the number of the participant whose image it is: the cohort's images have it."""
    key = path.name.removesuffix(".seg.nrrd")
    lines = (rounds / "participants.tsv").read_text().splitlines()
    cells = next(line.split("\t") for line in lines if line.split("\t")[1] == key)
    return cells[3].removeprefix("p")


def test_on_a_terminal_it_prints_the_same(folder: Path) -> None:
    told: list[bytes] = []
    command = [str(BIN / "organome"), "annotate", "status", "--rounds"]

    def keep(descriptor: int) -> bytes:
        told.append(os.read(descriptor, 4096))
        return told[-1]

    code = pty.spawn([*command, str(folder / "run" / "annotations")], keep)
    assert code == 0
    assert b"strategy" in b"".join(told)
