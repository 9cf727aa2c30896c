"""Real folds by nnU-Net: killed twice, and whole in the end."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk
import torch

from doubles import datasets as layouts
from organome.domain.scans import Contrast
from organome.io.models.folders import model_digest, read_model
from organome.io.tables.cases import read_cases
from organome.steps.models import install_model
from organome.steps.train import build_dataset, bundle_model, list_cases

pytestmark = pytest.mark.slow

RESULTS = Path("work/results/Dataset001_Organome/OrganomeTrainer__nnUNetPlans__3d_fullres")
FLAGS = ("--n-iterations=2", "--n-val-iterations=1", "--augmentation=light", "--device=cpu")


def start(fold: int, n_epochs: int, *flags: str) -> subprocess.Popen[bytes]:
    """Start a fold in a process of its own, as a job does."""
    return subprocess.Popen(
        [
            *("organome", "train-fold", "--cases=cases.parquet", "--folders=work"),
            *(f"--fold={fold}", f"--output={fold}.json", f"--n-epochs={n_epochs}"),
            *(*FLAGS, "--n-processes=1", *flags),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def end_when(
    job: subprocess.Popen[bytes], holds: Callable[[], object], number: signal.Signals
) -> int:
    """End a job by a signal as soon as something holds; return its exit code."""
    while not holds():
        assert job.poll() is None
        time.sleep(0.05)
    os.killpg(job.pid, number)  # as SLURM does, and a terminal: its processes, too
    return job.wait()


def n_attempts() -> int:
    """Count the trainers that were made for fold 1; each has a log of its own."""
    return len(list((RESULTS / "fold_1").glob("training_log_*")))


def plan(*flags: str) -> dict[str, Any]:
    """Plan a training in a process of its own: nnU-Net takes its folders when it is imported."""
    done = subprocess.run(
        ["organome", "plan-training", "--folders=work", "--output=plan.json", *flags],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(Path("plan.json").read_text()))


def look_continued(model: Path) -> None:
    """One network that learns from everybody starts where a model ended."""
    build_dataset.run(cases=Path("cases.parquet"), output=Path("work"), n_folds=1)
    planned = plan(
        f"--start-from={model}", "--batch-size=2", "--label-order=0", "--patch-zyx=24", "16", "16"
    )
    assert (planned["spacing"], planned["patch_size"]) == ([3.0, 2.0, 2.0], [24, 16, 16])
    assert start(0, 1, f"--start-from={model}", "--initial-lr=1e-9").wait() == 0
    fold = json.loads(Path("0.json").read_text())
    assert (fold["n_train"], fold["n_validation"], fold["validation_dice"]) == (4, 0, None)
    assert fold["start_from"] == model_digest(model)
    made = bundle_model.run(
        cases=Path("cases.parquet"),
        folders=Path("work"),
        folds=[Path("0.json")],
        output=Path("models/next"),
        cross_validation=Path("no_cv"),
        name="next",
        tier="phantom",
    )
    assert not Path("no_cv").exists()
    (weights,) = read_model(made.folder).weights
    begun_with = read_model(model).weights[0]
    assert weights.keys() == begun_with.keys()
    for name, tensor in weights.items():  # at this rate nothing is learned
        assert torch.allclose(tensor, begun_with[name], rtol=0, atol=1e-6), name


def test_killed_folds_become_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    layouts.bodies(tmp_path / "bodies", 4)
    config = layouts.config(tmp_path / "c.yaml", layouts.BODIES)
    list_cases.run(datasets=config, output=tmp_path)
    build_dataset.run(cases=Path("cases.parquet"), output=Path("work"), n_folds=2)
    planned = plan(
        *("--spacing-zyx-mm", "3", "2", "2", "--patch-zyx", "16", "16", "16"),
        *("--batch-size=2", "--n-features=4"),
    )
    assert (planned["spacing"], planned["patch_size"]) == ([3.0, 2.0, 2.0], [16, 16, 16])

    latest = RESULTS / "fold_1" / "checkpoint_latest.pth"
    assert end_when(start(1, 4), latest.exists, signal.SIGKILL) == -signal.SIGKILL
    assert end_when(start(1, 4), lambda: n_attempts() == 2, signal.SIGTERM) == 75
    assert end_when(start(1, 4), lambda: n_attempts() == 3, signal.SIGKILL) == -signal.SIGKILL
    assert start(1, 4).wait() == 0
    assert start(0, 4).wait() == 0
    folds = [json.loads(Path(f"{fold}.json").read_text()) for fold in (0, 1)]
    assert [fold["n_epochs"] for fold in folds] == [4, 4]
    log = max((RESULTS / "fold_1").glob("training_log_*"), key=lambda path: path.stat().st_mtime)
    assert "Epoch 0" not in log.read_text()  # the last attempt went on

    made = bundle_model.run(
        cases=Path("cases.parquet"),
        folders=Path("work"),
        folds=[Path("0.json"), Path("1.json")],
        output=Path("models/tiny"),
        cross_validation=Path("cv"),
        name="tiny",
        tier="phantom",
    )
    installed = install_model.run("models/tiny", models=Path("installed"), scheme="mrsegmentator")
    assert installed.note.digest == made.digest
    assert installed.note.for_phantoms
    assert installed.note.mirroring_axes is None
    assert len(read_model(installed.folder).weights) == 2
    record = Path("models/tiny/training.json").read_text()
    assert json.loads(record)["datasets"]["bodies"]["n_images"] == {"ct": 4}
    assert not any(case.person in record for case in read_cases(Path("cases.parquet")))
    assert len(Path("cv/references.tsv").read_text().splitlines()) == 5

    from organome.compute.inference.loading import load_segmenter, segment

    segmenter = load_segmenter(read_model(installed.folder), device="cpu", tile_step_size=0.5)
    image = sitk.ReadImage("bodies/images/0.nii.gz")
    assert segment(image, segmenter).GetSize() == image.GetSize()
    assert {case.contrast for case in read_cases(Path("cases.parquet"))} == {Contrast.CT}
    look_continued(installed.folder.absolute())
