"""What a training leaves in its run folder, without a training."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from doubles.datasets import config
from organome.domain.cases import Case, Role
from organome.domain.scans import Contrast
from organome.io.tables.cases import write_cases

NNUNET = Path("work/nnunet")
FOLD = NNUNET / "results/Dataset001_Organome/OrganomeTrainer__nnUNetPlans__3d_fullres"
BEGUN = datetime(2026, 9, 30, 23, 59, 0, 500000)


def configured(run: Path, n_folds: int = 2, n_epochs: int = 4, device: str = "cpu") -> None:
    """Write the configuration of a training on a dataset that is there."""
    bodies = run / "bodies"
    bodies.mkdir(parents=True, exist_ok=True)
    (bodies / "scans.tsv").touch()
    dataset = {"name": "bodies", "path": "bodies", "layout": "table", "labels": "mrsegmentator"}
    train = {"name": "tiny", "n_folds": n_folds, "n_epochs": n_epochs, "device": device}
    config(run / "config.yaml", dataset, train=train)


def listed(run: Path, n_train: int = 2, n_test: int = 1) -> None:
    """Write the table of cases."""
    roles = [Role.TRAIN] * n_train + [Role.TEST] * n_test
    write_cases(
        run / "cases.parquet",
        [
            Case(
                case=f"bodies_{number:05d}",
                dataset="bodies",
                role=role,
                people="bodies",
                participant=f"pseudonym{number}",
                instance="0",
                array="0",
                contrast=Contrast.CT,
                image=str(run / "bodies" / f"{number}.nii.gz"),
                reference=str(run / "bodies" / f"{number}_seg.nii.gz"),
                scheme="mrsegmentator",
            )
            for number, role in enumerate(roles)
        ],
    )


def planned(run: Path) -> None:
    """Write what says that dataset and plan are made; a case was left out."""
    raw = run / NNUNET / "raw/Dataset001_Organome"
    raw.mkdir(parents=True)
    (raw / "dataset.json").write_text('{"numTraining": 2}')
    (raw / "left_out.tsv").write_text("case\treason\nbodies_00003\tnot_3d: 2 axes\n")
    (run / "results").mkdir()
    plan = {"batch_size": 2, "patch_size": [16, 24, 32], "spacing": [3.0, 1.5, 1.5]}
    (run / "results/plan.json").write_text(json.dumps(plan))


def fold_log(
    run: Path,
    fold: int,
    epochs: Sequence[int],
    *,
    epoch_s: float = 10.0,
    begun: datetime = BEGUN,
    is_trained: bool = False,
    validation_s: float | None = None,
) -> None:
    """Write the log of an attempt as nnU-Net 2.8 does; killed in the last epoch, or trained."""
    place = run / FOLD / f"fold_{fold}"
    place.mkdir(parents=True, exist_ok=True)
    at, lines = begun, ["\n#######\nPlease cite\n#######\n "]

    def say(text: str) -> None:
        lines.append(f"{at}: {text} ")

    say("The split file contains 2 splits.")
    for epoch in epochs:
        say("")
        say(f"Epoch {epoch}")
        at += timedelta(seconds=epoch_s)
        if epoch != epochs[-1] or is_trained:
            say("Pseudo dice [np.float32(nan)]")
            say(f"Epoch time: {epoch_s / 2} s")
    if is_trained:
        say("Training done.")
        say("predicting bodies_00000")
    if validation_s is not None:
        at += timedelta(seconds=validation_s)
        say("Validation complete")
    # No leading zero in month and day, as nnU-Net names it.
    name = f"training_log_{begun.year}_{begun.month}_{begun.day}_{begun:%H_%M_%S}.txt"
    (place / name).write_text("\n".join(lines) + "\n")


def fold_done(run: Path, fold: int, *, n_epochs: int = 4, dice: float | None = 0.5) -> None:
    """Write the record of a fold that is through."""
    path = run / "results/folds" / f"{fold}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"fold": fold, "n_epochs": n_epochs, "validation_dice": dice}))


def job_log(run: Path, step: str, text: str, part: str | None = None) -> None:
    """Write the log of a job."""
    path = run / "logs" / step / f"{part or step}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
