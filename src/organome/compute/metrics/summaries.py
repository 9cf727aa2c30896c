"""Means, spreads and confidence intervals of a metric over classes, scans and participants.

Values stand in an array (scans, classes), NaN where there is none. Means are macro means: over the
scans of each class first, then over classes, so that a class counts once however often it is seen.
Intervals draw participants and not scans: the scans of one person are not independent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats

CONFIDENCE: Final = 0.95
MIN_PARTICIPANTS: Final = 2
_DRAWS_AT_ONCE: Final = 256  # bounds the memory: weights are (draws, participants)


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of one metric under each convention, divisor n - 1; None: too few values.

    Attributes:
        within_class: Mean over classes of the standard deviation between the scans of a class: most
            likely what the paper prints behind its means.
        pooled: Of all values of all classes together.
        between_class: Of the means of classes.
        between_participant: Of the macro means of participants: what the paper prints by sex.
    """

    within_class: float | None
    pooled: float | None
    between_class: float | None
    between_participant: float | None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Percentile intervals by a bootstrap over participants; None with fewer than two.

    Attributes:
        macro_mean: Of the macro mean.
        class_means: Of the mean of each class.
    """

    macro_mean: Interval | None
    class_means: tuple[Interval | None, ...]


def class_means(values: Floats) -> Floats:
    """Return the mean of each class over the scans that have a value; NaN where none has.

    Args:
        values: Array (scans, classes).
    """
    return _ratio(np.nansum(values, axis=0), np.isfinite(values).sum(axis=0))


def class_sds(values: Floats) -> Floats:
    """Return the standard deviation of each class between scans; NaN with fewer than two."""
    return np.array([_or_nan(_sd(of_class)) for of_class in values.T])


def macro_mean(values: Floats) -> float | None:
    """Return the mean over classes of the class means; classes without a value do not count.

    Args:
        values: Array (scans, classes).
    """
    return _mean(class_means(values))


def participant_means(values: Floats, participants: Sequence[object]) -> Floats:
    """Return the macro mean of each participant, in sorted order of the participants.

    Args:
        values: Array (scans, classes).
        participants: Of whom each scan is.
    """
    sums, counts = _by_participant(values, participants)
    return _row_means(_ratio(sums, counts))


def spread(values: Floats, participants: Sequence[object]) -> Spread:
    """Return the standard deviations of a metric under each convention.

    Args:
        values: Array (scans, classes).
        participants: Of whom each scan is.
    """
    return Spread(
        within_class=_mean(class_sds(values)),
        pooled=_sd(values.ravel()),
        between_class=_sd(class_means(values)),
        between_participant=_sd(participant_means(values, participants)),
    )


def bootstrap_over_participants(
    values: Floats,
    participants: Sequence[object],
    *,
    n_bootstrap: int,
    seed: int,
    confidence: float = CONFIDENCE,
) -> Bootstrap:
    """Draw participants with replacement, each with all scans, and take percentiles of the means.

    A class that nobody drawn has does not count in the macro mean of that draw. An interval
    needs two participants with a value: a single one would give it no width.

    Args:
        values: Array (scans, classes).
        participants: Of whom each scan is.
        n_bootstrap: How often to draw.
        seed: Equal seeds give equal intervals.
        confidence: Of the intervals.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, 13.3 (percentile intervals);
        Davison and Hinkley 1997, Bootstrap Methods and their Application, 3.8 (clusters).
    """
    sums, counts = _by_participant(values, participants)
    n = len(sums)
    if np.any(counts > 0, axis=1).sum() < MIN_PARTICIPANTS:
        return Bootstrap(None, (None,) * values.shape[1])
    means = [
        _ratio(times_drawn @ sums, times_drawn @ counts)
        for times_drawn in participant_draws(n, n_bootstrap=n_bootstrap, seed=seed)
    ]
    drawn = np.concatenate(means)
    return Bootstrap(
        macro_mean=_interval(_row_means(drawn), confidence),
        class_means=tuple(
            _interval(of_class, confidence) if n_with_value >= MIN_PARTICIPANTS else None
            for of_class, n_with_value in zip(drawn.T, (counts > 0).sum(axis=0), strict=True)
        ),
    )


def participant_draws(n_participants: int, *, n_bootstrap: int, seed: int) -> Iterator[Floats]:
    """Draw participants with replacement, as many as there are, some draws at a time.

    Args:
        n_participants: From whom to draw.
        n_bootstrap: How often to draw.
        seed: Equal seeds give equal draws.

    Yields:
        Array (draws, participants): how often each was drawn.
    """
    chance = np.random.default_rng(seed)
    for start in range(0, n_bootstrap, _DRAWS_AT_ONCE):
        n_draws = min(_DRAWS_AT_ONCE, n_bootstrap - start)
        yield chance.multinomial(
            n_participants, np.full(n_participants, 1 / n_participants), size=n_draws
        ).astype(np.float64)


def _by_participant(values: Floats, participants: Sequence[object]) -> tuple[Floats, Floats]:
    """Return sums and counts of values, arrays (participants, classes)."""
    known, places = np.unique(np.asarray(participants, dtype=str), return_inverse=True)
    shape = (len(known), values.shape[1])
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, places, np.nan_to_num(values))
    np.add.at(counts, places, np.isfinite(values))
    return sums, counts


def _interval(drawn: Floats, confidence: float) -> Interval | None:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return Interval(float(low), float(high))


def _ratio(sums: Floats, counts: NDArray[np.float64] | NDArray[np.int_]) -> Floats:
    ratio: Floats = np.full(np.shape(sums), np.nan)
    np.divide(sums, counts, out=ratio, where=counts > 0)
    return ratio


def _row_means(values: Floats) -> Floats:
    return _ratio(np.nansum(values, axis=1), np.isfinite(values).sum(axis=1))


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _sd(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else None


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
