"""A training is made of what was there when it was listed, until somebody asks for a new list."""

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from doubles import datasets
from doubles.cohorts import Run

DATASET = Path("work/nnunet/raw/Dataset001_Organome/dataset.json")


@pytest.fixture
def training(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run", shard_size=1)
    asked = {"processes": 1, "mem_gb": 2}
    config = run.folder / "config.yaml"
    datasets.config(config, datasets.BODIES, train={**datasets.TRAIN}, resources=asked)
    return run


def test_new_and_changed_labels_are_taken_when_the_list_is_made_again(training: Run) -> None:
    bodies, made = training.folder / "bodies", training.folder / DATASET
    built, again = ("--until", "build_dataset"), ("--forcerun", "list_cases")
    datasets.bodies(bodies, 2)
    assert training.snakemake(*built).returncode == 0
    first = json.loads(made.read_text())
    datasets.bodies(bodies, 3)
    result = training.snakemake(*built)
    assert (result.returncode, result.jobs) == (0, [])  # as docs/train.md says
    assert training.snakemake(*built, *again).returncode == 0
    second = json.loads(made.read_text())
    assert (first["numTraining"], second["numTraining"]) == (2, 3)
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(bodies / "labels" / "0.nii.gz")))
    datasets.write(bodies / "labels" / "0.nii.gz", values * (values != 1))
    assert training.snakemake(*built, *again).returncode == 0
    third = json.loads(made.read_text())
    assert third["numTraining"] == 3
    assert third["organome_sources"] != second["organome_sources"]
