"""What nnU-Net leaves while it trains: its folders, and how far a fold is by its log."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final

DATASET: Final = "Dataset001_Organome"
CONFIGURATION: Final = "3d_fullres"
PLANS: Final = "nnUNetPlans"
TRAINER: Final = "OrganomeTrainer"
_N_LATEST: Final = 50  # epochs; the first ones compile and warm up
_STAMPED: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?): (.*?)\s*$")
_EPOCH: Final = re.compile(r"Epoch (\d+)$")
_TRAINED: Final = "Training done."
_VALIDATED: Final = "Validation complete"


@dataclass(frozen=True, slots=True)
class TrainingFolders:
    """Folders of nnU-Net.

    Attributes:
        root: The folder that they lie in.
    """

    root: Path

    @property
    def raw(self) -> Path:
        """Images and labels, as build_dataset made them."""
        return self.root / "raw" / DATASET

    @property
    def preprocessed(self) -> Path:
        """Fingerprint, plans, splits, and prepared images."""
        return self.root / "preprocessed" / DATASET

    @property
    def results(self) -> Path:
        """What training leaves: a folder for each fold."""
        return self.root / "results" / DATASET / f"{TRAINER}__{PLANS}__{CONFIGURATION}"

    def fold(self, fold: int) -> Path:
        """Checkpoints, log and validation of a fold."""
        return self.results / f"fold_{fold}"


@dataclass(frozen=True, slots=True)
class FoldLog:
    """What the logs of a fold say, all attempts together.

    Attributes:
        n_epochs: Epochs that a checkpoint holds. After a kill just behind one that was not followed
            by a further epoch, one less than that.
        epochs_s: Seconds from the beginning of an epoch to that of the next, checkpoint included.
        validation_s: Seconds of the validation of all its cases; None where it was not through.
    """

    n_epochs: int = 0
    epochs_s: tuple[float, ...] = ()
    validation_s: float | None = None

    @property
    def epoch_s(self) -> float | None:
        """Median seconds of the latest epochs, None where none was timed."""
        return median(self.epochs_s[-_N_LATEST:]) if self.epochs_s else None


def read_fold_log(folder: Path) -> FoldLog:
    """Read the logs that nnU-Net left in the folder of a fold; an empty one where there are none.

    A checkpoint is written before the next epoch begins, so the number of an epoch that was begun
    is that of epochs that are kept.

    Source: ``nnUNetTrainer.print_to_log_file`` and ``run_training`` of nnU-Net 2.8, a file for each
    attempt.
    """
    n_epochs, epochs_s, validation_s = 0, list[float](), None
    for path in sorted(folder.glob("training_log_*.txt"), key=_began):
        started: datetime | None = None
        trained: datetime | None = None
        for at, said in _lines(path):
            begun = _EPOCH.match(said)
            if started and (begun or said == _TRAINED):
                n_epochs += 1
                if at > started:  # clocks are set back in autumn
                    epochs_s.append((at - started).total_seconds())
            if begun:
                n_epochs, started = int(begun[1]), at
            elif said == _TRAINED:
                started, trained = None, at
            elif said == _VALIDATED and trained:
                validation_s = (at - trained).total_seconds()
    return FoldLog(n_epochs, tuple(epochs_s), validation_s)


def _began(path: Path) -> tuple[int, ...]:
    # Month and day have no leading zero in its names.
    return tuple(map(int, re.findall(r"\d+", path.stem)))


def _lines(path: Path) -> Iterator[tuple[datetime, str]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if stamped := _STAMPED.match(line):
                yield datetime.fromisoformat(stamped[1]), stamped[2]
