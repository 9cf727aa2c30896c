"""Agreement and variation of organs measured in pairs, where a person may have several pairs.

The pairs of one person are not independent: where somebody has several, intervals are by a
bootstrap over participants; where everyone has one, they are closed forms.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isinf, isnan, nan, sqrt
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.bland_altman import (
    CONFIDENCE,
    COVERAGE,
    MIN_PAIRS,
    Agreement,
    BlandAltman,
    bland_altman,
)
from organome.compute.metrics.estimates import Estimate
from organome.compute.metrics.repeatability import repeatability
from organome.compute.metrics.summaries import participant_draws
from organome.compute.metrics.within_subject import WithinSubject, within_subject

N_BOOTSTRAP: Final = 2000
SEED: Final = 0
_N_MOMENTS: Final = 10

Scale = Callable[[Floats], Floats]
_PLAIN: Final[tuple[Scale, Scale]] = (np.positive, np.positive)
_LOG: Final[tuple[Scale, Scale]] = (np.log, np.exp)
_FISHER_Z: Final[tuple[Scale, Scale]] = (np.arctanh, np.tanh)


@dataclass(frozen=True, slots=True)
class Paired:
    """What the pairs of one organ say.

    Attributes:
        n_participants: Of whom the pairs are; ends of intervals are NaN where somebody has several
            pairs and there are fewer than three of them.
        within: Within-subject variation.
        agreement: Bias and limits of agreement, first less second.
        icc: ICC(2,1), absolute agreement; None as in ``repeatability``.
    """

    n_participants: int
    within: WithinSubject
    agreement: BlandAltman
    icc: Estimate | None


NO_PAIRS: Final = Paired(0, WithinSubject(0), BlandAltman(0), None)


@dataclass(frozen=True, slots=True)
class _Draws:
    """Values of statistics in the draws of participants, by name, and of how many people."""

    n_participants: int
    values: Mapping[str, Floats]

    def interval(
        self, name: str, estimate: Estimate, scale: tuple[Scale, Scale] = _PLAIN
    ) -> Estimate:
        """Give an estimate the interval that the draws say."""
        n = self.n_participants
        if n < MIN_PAIRS:
            return Estimate(estimate.value, nan, nan)
        there, back = scale
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = float(there(np.array(estimate.value)))
            drawn = there(self.values[name])
        if isnan(middle):  # an ICC below -1 has no z
            return Estimate(estimate.value, nan, nan)
        if isinf(middle):  # no variation at all: the ends are the value
            return Estimate(estimate.value, estimate.value, estimate.value)
        error = float(drawn[np.isfinite(drawn)].std()) * sqrt(n / (n - 1))
        half = float(scipy.special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * error
        low, high = back(np.array([middle - half, middle + half]))
        return Estimate(estimate.value, float(low), float(high))


def paired_estimates(
    pairs: NDArray[Any],
    organs: Sequence[Any],
    participants: Sequence[Any],
    *,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = SEED,
) -> dict[Any, Paired]:
    """Compare the two measurements of each organ.

    An interval by bootstrap is that of Student's t about the estimate, with as many degrees of
    freedom as participants but one and the standard deviation of the draws times
    sqrt(n / (n - 1)): coefficients of variation by logarithms and ICC by Fisher's z, where errors
    are symmetric. Percentiles of a variance of few people are too narrow.

    Args:
        pairs: Array (pairs, 2), finite, in one unit.
        organs: What each pair is of.
        participants: Of whom each pair is.
        n_bootstrap: How often participants are drawn, the same for all organs.
        seed: Of the draws: equal seeds give equal intervals.

    Returns:
        Estimates by organ, of those that have a pair.

    Source:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, 12.2 and 12.6; Hesterberg 2015,
        The American Statistician 69 (the factor); Davison and Hinkley 1997, Bootstrap Methods and
        their Application, 3.8 (clusters).
    """
    values = np.asarray(pairs, np.float64).reshape(-1, 2)
    whose = np.asarray(participants, dtype=str)
    rows = _rows_by_name(organs)
    found = {name: _closed_form(values[of], len(np.unique(whose[of]))) for name, of in rows.items()}
    several = {
        name: of
        for name, of in rows.items()
        if len(of) >= MIN_PAIRS and found[name].n_participants < len(of)
    }
    if several:
        drawn = _draw(values, several, whose, n_bootstrap=n_bootstrap, seed=seed)
        for at, (name, of) in enumerate(several.items()):
            of_organ = {statistic: each[:, at] for statistic, each in drawn.items()}
            n_positive = len(np.unique(whose[of[(values[of] > 0).all(axis=1)]]))
            found[name] = _with_intervals(
                found[name], _Draws(found[name].n_participants, of_organ), n_positive
            )
    return found


def _rows_by_name(names: Sequence[Any]) -> dict[Any, NDArray[np.intp]]:
    rows: dict[Any, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return {name: np.array(of) for name, of in rows.items()}


def _closed_form(pairs: Floats, n_participants: int) -> Paired:
    first, second = pairs.T
    return Paired(
        n_participants,
        within_subject(first, second),
        bland_altman(first, second),
        repeatability(pairs).agreement,
    )


def _draw(
    values: Floats,
    rows: Mapping[Any, NDArray[np.intp]],
    whose: NDArray[Any],
    *,
    n_bootstrap: int,
    seed: int,
) -> dict[str, Floats]:
    """Return arrays (draws, organs) of each statistic."""
    people, person = np.unique(whose[np.concatenate([*rows.values()])], return_inverse=True)
    sums, start = np.zeros((len(people), len(rows), _N_MOMENTS)), 0
    for at, of in enumerate(rows.values()):
        np.add.at(sums[:, at], person[start : start + len(of)], _moments(values[of]))
        start += len(of)
    drawn = [
        _statistics((times_drawn @ sums.reshape(len(people), -1)).reshape(-1, *sums.shape[1:]))
        for times_drawn in participant_draws(len(people), n_bootstrap=n_bootstrap, seed=seed)
    ]
    return {name: np.concatenate([each[name] for each in drawn]) for name in drawn[0]}


def _moments(pairs: Floats) -> Floats:
    """Return an array (pairs, moments); their sums are all that the statistics need."""
    first, second = pairs.T
    differences, means = first - second, (first + second) / 2
    is_positive = (pairs > 0).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(is_positive, differences / means, 0.0)
        logarithms = np.where(is_positive, np.log(first / second), 0.0)
        percent = np.where(means > 0, 100 * differences / means, 0.0)
    return np.column_stack(
        (
            *(np.ones(len(pairs)), differences, differences**2, means, means**2),
            *(percent, percent**2, is_positive, relative**2 / 2, logarithms**2 / 2),
        )
    )


def _statistics(sums: Floats) -> dict[str, Floats]:
    """Return each statistic, arrays (draws, organs); NaN where the people drawn have no pairs.

    Args:
        sums: Array (draws, organs, moments).
    """
    n, d, d2, m, m2, p, p2, n_positive, relative, logarithms = np.moveaxis(sums, 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error, subjects = _variance(n, d, d2) / 2, 2 * _variance(n, m, m2)
        shift = (d / n) ** 2 * n / 2
        return {
            "cv": 100 * np.sqrt(relative / n_positive),
            "cv_log": 100 * np.sqrt(np.expm1(logarithms / n_positive)),
            "icc": (subjects - error) / (subjects + error + 2 * (shift - error) / n),
            **_limits("absolute", d / n, _variance(n, d, d2)),
            **_limits("percent", p / n, _variance(n, p, p2)),
        }


def _variance(n: Floats, sums: Floats, squares: Floats) -> Floats:
    variance: Floats = np.maximum(squares - sums**2 / n, 0) / (n - 1)
    return variance


def _limits(name: str, bias: Floats, variance: Floats) -> dict[str, Floats]:
    wide = float(scipy.special.ndtri(0.5 + COVERAGE / 2)) * np.sqrt(variance)
    return {f"{name}_bias": bias, f"{name}_lower": bias - wide, f"{name}_upper": bias + wide}


def _with_intervals(found: Paired, draws: _Draws, n_positive: int) -> Paired:
    """Give all estimates their intervals; coefficients of variation are of positive pairs alone."""
    of_positive = replace(draws, n_participants=n_positive)
    cv, cv_log, icc = found.within.cv_pct, found.within.cv_log_pct, found.icc
    absolute, percent = found.agreement.absolute, found.agreement.percent
    return replace(
        found,
        within=replace(
            found.within,
            cv_pct=cv and of_positive.interval("cv", cv, _LOG),
            cv_log_pct=cv_log and of_positive.interval("cv_log", cv_log, _LOG),
        ),
        agreement=replace(
            found.agreement,
            absolute=absolute and _agreement("absolute", absolute, draws),
            percent=percent and _agreement("percent", percent, draws),
        ),
        icc=icc and draws.interval("icc", icc, _FISHER_Z),
    )


def _agreement(name: str, found: Agreement, draws: _Draws) -> Agreement:
    return replace(
        found,
        bias=draws.interval(f"{name}_bias", found.bias),
        lower=draws.interval(f"{name}_lower", found.lower),
        upper=draws.interval(f"{name}_upper", found.upper),
    )
