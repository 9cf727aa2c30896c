"""How far a training is, by the files that it leaves, and how long the rest takes."""

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from organome.domain.cases import Role
from organome.domain.errors import SetupError
from organome.io.models.training_folders import FoldLog, TrainingFolders, read_fold_log
from organome.io.runs import Run
from organome.io.tables.cases import CASES_FILE, read_cases

_TAIL_BYTES: Final = 20_000
_ERROR: Final = "organome: "  # as the command line begins the line that says what is wrong
_BUG: Final = re.compile(r"^Traceback of a bug:$.*", re.MULTILINE | re.DOTALL)
_STOPPED: Final = "start again to go on"
_S_PER_MIN: Final = 60
_S_PER_H: Final = 3600
_MIN_SHOWN_IN_H: Final = 120
_S_SHOWN_IN_MIN: Final = 120


class State(StrEnum):
    """How far a step of a training is."""

    DONE = "done"
    LEFT = "left"
    UNDER_WAY = "under way"
    STOPPED = "stopped"  # asked to; goes on when started again
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """How far a step is.

    Attributes:
        step: Name of the step.
        state: How far it is.
        fact: What it made, or what it said last; empty where there is nothing to say.
        log: Its log, relative to the run folder; None where it has none.
    """

    step: str
    state: State
    fact: str = ""
    log: str | None = None


@dataclass(frozen=True, slots=True)
class FoldStep(TrainingStep):
    """How far a fold is.

    Attributes:
        fold: Number of the fold, from 0 on.
        n_epochs: Epochs whose weights are kept.
        n_epochs_asked: Epochs that the configuration asks for.
        epoch_s: Median of the seconds of its latest epochs, checkpoint included; None where none
            was timed.
        validation_s: Seconds of its validation, None where it is not through.
    """

    fold: int = 0
    n_epochs: int = 0
    n_epochs_asked: int = 0
    epoch_s: float | None = None
    validation_s: float | None = None

    @property
    def n_left(self) -> int:
        """Epochs that are left."""
        return 0 if self.state is State.DONE else max(0, self.n_epochs_asked - self.n_epochs)

    @property
    def left_s(self) -> float | None:
        """Seconds until its last epoch, None where no epoch was timed."""
        return None if self.epoch_s is None else self.n_left * self.epoch_s


@dataclass(frozen=True, slots=True)
class TrainingStatus:
    """How far a training is.

    Attributes:
        model: Name of the model.
        before: The steps before the folds, in order.
        folds: The folds.
        bundle: The step that makes the model of them.
    """

    model: str
    before: tuple[TrainingStep, ...]
    folds: tuple[FoldStep, ...]
    bundle: TrainingStep

    @property
    def steps(self) -> tuple[TrainingStep, ...]:
        """All steps in order, each fold one of its own."""
        return (*self.before, *self.folds, self.bundle)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return all(step.state is State.DONE for step in self.steps)

    def as_json(self) -> str:
        """Write it as JSON."""
        content = asdict(self) | {"is_over": self.is_over}
        for one, fold in zip(content["folds"], self.folds, strict=True):
            one["left_s"] = fold.left_s
        return json.dumps(content, indent=2)

    def __str__(self) -> str:
        """Write it as plain text of a few lines."""
        n_epochs = self.folds[0].n_epochs_asked
        lines = [
            f"training of model {self.model}: {len(self.folds)} folds of {n_epochs} epochs",
            "",
            f"{'step':<14} state",
            *(f"{step.step:<14} {step.state:<10} {step.fact}".rstrip() for step in self.steps),
        ]
        halted = [step for step in self.steps if step.state in (State.FAILED, State.STOPPED)]
        if halted:
            lines += ["", *(f"{step.step} {step.state}, its log: {step.log}" for step in halted)]
        return "\n".join(lines) + "\n"


def read_training(place: Run, *, now: datetime) -> TrainingStatus:
    """Read how far a training is.

    Args:
        place: The run.
        now: The present time, for how long ago a log was written.

    Raises:
        SetupError: Its configuration is wrong.
    """
    config = place.config()
    train = config["train"]
    folders = TrainingFolders(place.work / "nnunet")
    before = (
        _step(place, "list_cases", _listed(place), now=now),
        _step(place, "build_dataset", _built(place, folders), now=now),
        _step(place, "plan_training", _planned(place), now=now),
    )
    folds = tuple(
        _fold(place, folders, fold, n_asked=train["n_epochs"], now=now)
        for fold in range(train["n_folds"])
    )
    model = place.results / "models" / train["name"]
    is_bundled = (model / "training.json").is_file()
    fact = f"{model.relative_to(place.folder)}" if is_bundled else None
    bundle = _step(place, "bundle_model", fact, now=now)
    return TrainingStatus(train["name"], before, folds, bundle)


def shown_time(elapsed_s: float) -> str:
    """Write a time in the unit in which it reads well."""
    if elapsed_s < _S_SHOWN_IN_MIN:
        return f"{elapsed_s:.0f} s" if elapsed_s >= 10 or not elapsed_s else f"{elapsed_s:.1f} s"
    minutes = elapsed_s / _S_PER_MIN
    return f"{minutes:.0f} min" if minutes < _MIN_SHOWN_IN_H else f"{elapsed_s / _S_PER_H:.1f} h"


def _listed(place: Run) -> str | None:
    path = place.folder / CASES_FILE
    if not path.is_file():
        return None
    roles = [case.role for case in read_cases(path)]
    n_train, n_test = roles.count(Role.TRAIN), roles.count(Role.TEST)
    return f"{n_train} cases to train on, {n_test} to test on"


def _built(place: Run, folders: TrainingFolders) -> str | None:
    dataset = _read(folders.raw / "dataset.json")
    if dataset is None:
        return None
    left_out = folders.raw / "left_out.tsv"
    n_left_out = len(left_out.read_text(encoding="utf-8").splitlines()) - 1
    return f"{dataset['numTraining']} cases" + (
        f", {n_left_out} left out: {left_out.relative_to(place.folder)}" if n_left_out > 0 else ""
    )


def _planned(place: Run) -> str | None:
    plan = _read(place.results / "plan.json")
    if plan is None:
        return None
    patch = " x ".join(map(str, plan["patch_size"]))
    spacing = " x ".join(f"{one:g}" for one in plan["spacing"])
    return f"batches of {plan['batch_size']} patches of {patch} voxels of {spacing} mm"


def _fold(
    place: Run, folders: TrainingFolders, fold: int, *, n_asked: int, now: datetime
) -> FoldStep:
    said = read_fold_log(folders.fold(fold))
    record = _read(place.results / "folds" / f"{fold}.json")
    # More epochs may have been asked for since.
    is_done = record is not None and record["n_epochs"] >= n_asked
    n_epochs = record["n_epochs"] if record is not None and is_done else said.n_epochs
    fact = _fold_fact(said, record if is_done else None, n_epochs=n_epochs, n_asked=n_asked)
    step = _step(place, "train_fold", fact if is_done else None, now=now, part=str(fold))
    if not is_done and (step.state is not State.LEFT or said.n_epochs):
        has_begun = State.UNDER_WAY if step.state is State.LEFT else step.state
        step = replace(step, state=has_begun, fact="; ".join(filter(None, (fact, step.fact))))
    return FoldStep(
        *(step.step, step.state, step.fact, step.log),
        fold=fold,
        n_epochs=n_epochs,
        n_epochs_asked=n_asked,
        epoch_s=said.epoch_s,
        validation_s=said.validation_s,
    )


def _fold_fact(said: FoldLog, record: Any, *, n_epochs: int, n_asked: int) -> str:
    counted = f"{n_epochs} of {n_asked} epochs"
    if record is not None:
        dice = record["validation_dice"]
        return counted if dice is None else f"{counted}, validation Dice {dice:.3f}"
    if n_epochs >= n_asked:
        return f"{counted}, the validation is left"
    if said.epoch_s is None:
        return counted
    return f"{counted}, {shown_time((n_asked - n_epochs) * said.epoch_s)} to go"


def _step(
    place: Run, step: str, fact: str | None, *, now: datetime, part: str | None = None
) -> TrainingStep:
    """Return how far a step is: done if there is a fact, else by its log."""
    log = place.folder / "logs" / step / f"{part or step}.log"
    name = step if part is None else f"{step} {part}"
    shown = str(log.relative_to(place.folder)) if log.is_file() else None
    if fact is not None:
        return TrainingStep(name, State.DONE, fact, shown)
    if shown is None:
        return TrainingStep(name, State.LEFT)
    state, said = _end_of(log)
    if state is State.UNDER_WAY:
        since_s = now.timestamp() - log.stat().st_mtime
        said = f"log written {shown_time(max(0.0, since_s))} ago"
    return TrainingStep(name, state, said, shown)


def _end_of(log: Path) -> tuple[State, str]:
    """Return what the end of the log of a step without an output says."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        tail = file.read().decode(encoding="utf-8", errors="replace").rstrip()
    last = tail.rpartition("\n")[2]
    if last.startswith(_ERROR):
        said = last.removeprefix(_ERROR)
        return (State.STOPPED, "") if said.endswith(_STOPPED) else (State.FAILED, said)
    bug = _BUG.search(tail)
    # What comes after it, from a further attempt, is stamped with a time.
    if bug is not None and not re.search(r"^\d{4}-", bug[0], re.MULTILINE):
        return State.FAILED, f"a bug: {last.strip()}"
    return State.UNDER_WAY, ""


def _read(path: Path) -> Any:
    """Read a JSON file, None where there is none.

    Raises:
        SetupError: It is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise SetupError(f"{path}: not JSON; delete it, `organome run` makes it anew") from error
