"""train_fold: one fold of the cross-validation, by nnU-Net; started again, it goes on.

A checkpoint follows each epoch, written beside and renamed. Whatever ends the job (a kill, a time
limit, a preemption) costs the epoch under way; the number of epochs at the end is the same.
"""

import ctypes
import json
import logging
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from organome.domain.errors import MachineFault, SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.outcomes import JsonValue
from organome.io.files.atomic import write_text_atomic
from organome.io.models.checkpoints import CHECKPOINT
from organome.io.models.folders import read_json
from organome.io.tables.cases import read_cases
from organome.shards.signals import StopRequests, listening
from organome.steps.train.nnunet import CONFIGURATION, PLANS, SOURCES, Folders
from organome.steps.train.splits import SPLITS_FILE, read_folds

_logger = logging.getLogger(__name__)

LATEST: Final = "checkpoint_latest.pth"
_MADE_OF: Final = "made_of.txt"
_PR_SET_PDEATHSIG: Final = 1  # of <sys/prctl.h>
Augmentation = Literal["full", "light"]
Device = Literal["auto", "cuda", "cpu"]


@dataclass(frozen=True, slots=True)
class FoldSummary:
    """How a fold was trained.

    Attributes:
        fold: Which.
        n_epochs: Epochs that its weights saw.
        n_train: Cases that it learned from.
        n_validation: Cases that it was validated on.
        validation_dice: Mean Dice over classes and cases of its validation, by nnU-Net; None where
            no class was there.
    """

    fold: int
    n_epochs: int
    n_train: int
    n_validation: int
    validation_dice: float | None


def run(
    *,
    cases: Path,
    folders: Path,
    fold: int,
    output: Path,
    n_epochs: int = 1000,
    n_iterations: int = 250,
    n_val_iterations: int = 50,
    initial_lr: float = 0.01,
    augmentation: Augmentation = "full",
    device: Device = "cuda",
    n_processes: int = 4,
) -> FoldSummary:
    """Train a fold, or go on where an earlier attempt was stopped, and validate it.

    Args:
        cases: Table of cases.
        folders: Folder of nnU-Net's folders.
        fold: Number of the fold, from 0 on.
        output: File that says how it went, written last.
        n_epochs: Epochs in all.
        n_iterations: Batches of an epoch.
        n_val_iterations: Batches of the validation after each epoch.
        initial_lr: Learning rate of the first epoch.
        augmentation: ``full`` as nnU-Net does, or ``light``.
        device: Where the network is trained; ``auto``: on a GPU if there is one.
        n_processes: Processes that augment and resample.

    Raises:
        SetupError: There are no plans or no such fold, or a participant is in two folds.
        MachineFault: There is no GPU here, and one was asked for.
        Interrupted: A signal has come; the epochs so far are kept.
    """
    places = Folders(folders)
    folds = read_folds(places.preprocessed / SPLITS_FILE, read_cases(cases))
    n_validation = sum(one == fold for one in folds.values())
    if not n_validation:
        raise SetupError(f"no fold {fold}: the split has {len(set(folds.values()))}, from 0 on")
    places.at_work(n_processes)
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MachineFault("train.device is cuda, and torch finds no GPU here", is_local=True)
    if device == "cpu":
        torch.set_num_threads(n_processes)
    settings: list[JsonValue] = [n_iterations, n_val_iterations, initial_lr, augmentation]
    os.register_at_fork(after_in_child=_end_with_parent)
    with listening() as requests:
        _begin_anew_if_other(places, fold, settings)
        trainer = _trainer(places, fold, device)
        trainer.num_epochs = n_epochs
        trainer.num_iterations_per_epoch = n_iterations
        trainer.num_val_iterations_per_epoch = n_val_iterations
        trainer.initial_lr = initial_lr
        trainer.is_light = augmentation == "light"
        trainer.stop_if_asked = requests.check
        _train(trainer, places.fold(fold), requests)
        trainer.perform_actual_validation()
        requests.check()
    validation = read_json(places.fold(fold) / "validation" / "summary.json")
    dice = float(validation["foreground_mean"]["Dice"])
    made = FoldSummary(
        fold=fold,
        n_epochs=int(trainer.current_epoch),
        n_train=len(folds) - n_validation,
        n_validation=n_validation,
        validation_dice=dice if dice == dice else None,
    )
    record = {name: getattr(made, name) for name in made.__dataclass_fields__}
    write_text_atomic(output, json.dumps(record, indent=1) + "\n")
    return made


def _end_with_parent() -> None:
    """Have the kernel end a loader of nnU-Net with its trainer: killed, that could not itself."""
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)  # they hold nothing
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _begin_anew_if_other(places: Folders, fold: int, settings: list[JsonValue]) -> None:
    """Drop what was trained on another dataset, by another plan or other settings."""
    folder = places.fold(fold)
    made_of = digest_of(
        [
            read_json(places.raw / "dataset.json").get(SOURCES),
            (places.preprocessed / f"{PLANS}.json").read_text(encoding="utf-8"),
            (places.preprocessed / SPLITS_FILE).read_text(encoding="utf-8"),
            settings,
        ]
    )
    note = folder / _MADE_OF
    if note.is_file() and note.read_text(encoding="utf-8") == made_of:
        return
    if folder.exists():
        _logger.warning("event=fold_begins_anew fold=%d", fold)
        shutil.rmtree(folder)
    write_text_atomic(note, made_of)


def _trainer(places: Folders, fold: int, device: str) -> Any:
    import torch

    from organome.steps.train.trainer import OrganomeTrainer

    plans = read_json(places.preprocessed / f"{PLANS}.json") | {
        "continue_training": (places.fold(fold) / LATEST).is_file()
    }
    dataset = read_json(places.raw / "dataset.json")
    return OrganomeTrainer(plans, CONFIGURATION, fold, dataset, torch.device(device))


def _train(trainer: Any, folder: Path, requests: StopRequests) -> None:
    """Bring a trainer to its last epoch, from the newest checkpoint that there is."""
    final, latest = folder / CHECKPOINT, folder / LATEST
    held = final if final.is_file() else latest
    if held.is_file():
        # Ours: written by this step a moment ago, with the state of the optimiser.
        trainer.load_checkpoint(str(held))
        _logger.info("event=fold_continued fold=%d epoch=%d", trainer.fold, trainer.current_epoch)
    if trainer.current_epoch < trainer.num_epochs:
        trainer.run_training()
        requests.check()  # nnU-Net's workers may have swallowed it
    elif not trainer.was_initialized:
        trainer.initialize()
