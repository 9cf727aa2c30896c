"""How long the rest of a training takes, from epochs that are through."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import fmean, median
from typing import Final

from organome.domain.errors import SetupError
from organome.io.runs import Run
from organome.steps.inspect.trainings import FoldStep, State, read_training, shown_time

_S_PER_MIN: Final = 60


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """What the rest of a training needs.

    Attributes:
        folds: The folds, as far as they are.
        epoch_s: Seconds of an epoch where a fold has no timed one: median over the folds that have.
        validation_s: Seconds of the validation of a fold: mean over those that are through, None
            where none is.
        runtime_min: Time limit of a job, in minutes.
        mem_gb: Memory that a job should ask for, None where none was measured.
    """

    folds: tuple[FoldStep, ...]
    epoch_s: float
    validation_s: float | None
    runtime_min: int
    mem_gb: float | None = None

    def left_s(self, fold: FoldStep) -> float:
        """Return the seconds that a fold still takes, with its validation where that is known."""
        if fold.state is State.DONE:
            return 0.0
        epoch_s = self.epoch_s if fold.epoch_s is None else fold.epoch_s
        return fold.n_left * epoch_s + (self.validation_s or 0.0)

    @property
    def n_attempts(self) -> int:
        """Jobs of that time limit that the slowest fold takes from its first epoch on."""
        slowest_s = max(
            fold.n_epochs_asked * (self.epoch_s if fold.epoch_s is None else fold.epoch_s)
            for fold in self.folds
        )
        return math.ceil((slowest_s + (self.validation_s or 0.0)) / self.runtime_min / _S_PER_MIN)

    def __str__(self) -> str:
        """Write it as plain text that ends in what jobs should ask for."""
        return "\n".join(_lines(self))


def estimate_training(place: Run, *, mem_gb: float | None) -> TrainingEstimate:
    """Estimate how long the folds of a training still take.

    Args:
        place: The run.
        mem_gb: Memory that a job should ask for, None where none was measured.

    Raises:
        SetupError: No epoch was timed yet, or the configuration is wrong.
    """
    folds = read_training(place, now=datetime.now(UTC)).folds
    timed = [fold.epoch_s for fold in folds if fold.epoch_s is not None]
    if not timed:
        raise SetupError(
            f"{place.folder}: no epoch was timed yet; start the training (organome run"
            f" {place.folder}) and ask again when a fold is in its second epoch"
        )
    validated = [fold.validation_s for fold in folds if fold.validation_s is not None]
    return TrainingEstimate(
        folds=folds,
        epoch_s=median(timed),
        validation_s=fmean(validated) if validated else None,
        runtime_min=place.config()["resources"]["runtime_min"],
        mem_gb=mem_gb,
    )


def _lines(estimate: TrainingEstimate) -> Iterator[str]:
    yield f"{'fold':<6} {'epochs':>13} {'s an epoch':>11} {'to go':>8}"
    for fold in estimate.folds:
        epochs = f"{fold.n_epochs} of {fold.n_epochs_asked}"
        epoch_s = "-" if fold.epoch_s is None else f"{fold.epoch_s:.1f}"
        to_go = shown_time(estimate.left_s(fold))
        yield f"{fold.fold:<6} {epochs:>13} {epoch_s:>11} {to_go:>8}"
    yield ""
    left_s = [estimate.left_s(fold) for fold in estimate.folds]
    if not any(left_s):
        yield "no epoch is left"
    else:
        yield (
            f"left to do: {shown_time(sum(left_s))} with one fold after another,"
            f" {shown_time(max(left_s))} with all at once, each on a machine of its own"
        )
    if estimate.validation_s is None:
        yield "without the validations: none is through yet"
    else:
        yield f"a validation takes {shown_time(estimate.validation_s)}, and is counted in"
    if (n_attempts := estimate.n_attempts) > 1:
        yield (
            f"a fold takes {n_attempts} jobs of {estimate.runtime_min} minutes: raise"
            f" resources.runtime_min, or run with -- --retries {n_attempts - 1}"
        )
    if estimate.mem_gb is not None:
        yield ""
        yield f"resources: {{mem_gb: {estimate.mem_gb:g}}}"
