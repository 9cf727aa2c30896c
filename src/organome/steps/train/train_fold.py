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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

from organome.domain.errors import MachineFault, SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.outcomes import JsonValue
from organome.io.files.atomic import write_text_atomic
from organome.io.models.checkpoints import CHECKPOINT
from organome.io.models.folders import model_digest, read_dataset, read_json, read_weights
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
            no class was there, or the one fold learned from everybody.
        start_from: Digest of the model that it started from; None: from random weights.
    """

    fold: int
    n_epochs: int
    n_train: int
    n_validation: int
    validation_dice: float | None
    start_from: str | None


def run(
    *,
    cases: Path,
    folders: Path,
    fold: int,
    output: Path,
    start_from: Path | None = None,
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
        start_from: Model folder whose weights it starts from: those of the same fold, or of the
            only one.
        n_epochs: Epochs in all.
        n_iterations: Batches of an epoch.
        n_val_iterations: Batches of the validation after each epoch.
        initial_lr: Learning rate of the first epoch.
        augmentation: ``full`` as nnU-Net does, or ``light``.
        device: Where the network is trained; ``auto``: on a GPU if there is one.
        n_processes: Processes that augment and resample.

    Raises:
        SetupError: There are no plans or no such fold, a participant is in two folds, the fold has
            seen more epochs than are asked for, or the weights to start from are of another
            network.
        MachineFault: There is no GPU here, and one was asked for.
        Interrupted: A signal has come; the epochs so far are kept.
    """
    places = Folders(folders)
    folds = read_folds(places.preprocessed / SPLITS_FILE, read_cases(cases))
    n_validation = sum(one == fold for one in folds.values())
    if not n_validation:
        raise SetupError(f"no fold {fold}: the split has {len(set(folds.values()))}, from 0 on")
    if len(set(folds.values())) == 1:
        n_validation = 0
    places.at_work(n_processes)
    import torch

    from organome.compute.inference.cpu_layers import quicken_layers

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MachineFault("train.device is cuda, and torch finds no GPU here", is_local=True)
    if device == "cpu":
        torch.set_num_threads(n_processes)
    settings: list[JsonValue] = [n_iterations, n_val_iterations, initial_lr, augmentation]
    begun_with = model_digest(start_from) if start_from is not None else None
    if begun_with is not None:
        settings.append(begun_with)
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
        _train(trainer, places.fold(fold), requests, start_from)
        if n_validation:
            if device == "cpu":
                quicken_layers(trainer.network)  # tile by tile, torch takes a slow convolution
            with _leaving_at_once():
                trainer.perform_actual_validation()
    dice = _validation_dice(places.fold(fold)) if n_validation else None
    made = FoldSummary(
        fold=fold,
        n_epochs=int(trainer.current_epoch),
        n_train=len(folds) - n_validation,
        n_validation=n_validation,
        validation_dice=dice,
        start_from=begun_with,
    )
    record = {name: getattr(made, name) for name in made.__dataclass_fields__}
    write_text_atomic(output, json.dumps(record, indent=1) + "\n")
    return made


def _validation_dice(folder: Path) -> float | None:
    """Read the mean Dice of a fold's validation; None where nnU-Net has no number."""
    dice = float(read_json(folder / "validation" / "summary.json")["foreground_mean"]["Dice"])
    return dice if dice == dice else None


@contextmanager
def _leaving_at_once() -> Iterator[None]:
    """Have a signal end this process where it stands; nothing of it is lost but the validation.

    An exception would wait for ever in nnU-Net's pool, whose processes got the same signal.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        os.write(2, f"organome: {name}: the training is kept, start again to go on\n".encode())
        os._exit(os.EX_TEMPFAIL)

    before = {one: signal.signal(one, leave) for one in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _train(trainer: Any, folder: Path, requests: StopRequests, start_from: Path | None) -> None:
    """Bring a trainer to its last epoch, from the newest checkpoint that there is."""
    final, latest = folder / CHECKPOINT, folder / LATEST
    held = latest if latest.is_file() else final  # nnU-Net removes it at the end
    if held.is_file():
        # Ours: written by this step a moment ago, with the state of the optimiser.
        trainer.load_checkpoint(str(held))
        _logger.info("event=fold_continued fold=%d epoch=%d", trainer.fold, trainer.current_epoch)
    elif start_from is not None:
        trainer.initialize()
        _take_weights(trainer, start_from)
    if trainer.current_epoch > trainer.num_epochs:
        raise SetupError(
            f"fold {trainer.fold} has seen {trainer.current_epoch} epochs, and train.n_epochs asks"
            f" for {trainer.num_epochs}: ask for as many, or remove {folder} to begin anew"
        )
    if trainer.current_epoch < trainer.num_epochs:
        trainer.run_training()
        requests.check()  # nnU-Net's workers may have swallowed it
    elif held == latest:  # stopped after this epoch, when more were asked for
        trainer.on_train_end()


def _take_weights(trainer: Any, model: Path) -> None:
    """Start from the weights of a model, its output layers too: its labels are the same."""
    if _outputs(read_dataset(model)) != _outputs(trainer.dataset_json):
        raise SetupError(f"train.start_from {model}: its labels are not those of this dataset")
    # torch.compile wraps the network, and its weights have the names of what is within.
    network = getattr(trainer.network, "_orig_mod", trainer.network)
    try:
        network.load_state_dict(read_weights(model, fold=trainer.fold))
    except RuntimeError as error:
        raise SetupError(f"train.start_from {model}: its network is another one") from error


def _outputs(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Name the labels that a network has outputs for: what is ignored has none."""
    return {name: value for name, value in dataset["labels"].items() if name != "ignore"}
