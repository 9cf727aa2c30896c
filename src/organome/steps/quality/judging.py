"""Scores of rules -> pass, warn or fail, and then what people say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.domain.quality import LOW_IS_BAD, Quality, Rating, Rule, Thresholds
from organome.io.tables.ratings import Exclusion, Target

PASS, WARN, FAIL, NOTHING = 0, 1, 2, -1  # levels; NOTHING: there is nothing to judge
_WORDS: Final = np.array([*Quality, None], dtype=object)  # by level
_JOINT: Final = ";"

Levels = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of organs or scans; arrays of one shape.

    Attributes:
        by_rules: Level by the rules.
        final: Level after ratings and exclusions.
        fired: Level of each rule; NOTHING where it checks nothing.
        rating: Rating by hand, None where nobody looked.
        is_excluded: Whether a list excludes it.
    """

    by_rules: Levels
    final: Levels
    fired: Mapping[Rule, Levels]
    rating: NDArray[Any]
    is_excluded: NDArray[np.bool_]

    def columns(self) -> dict[str, Any]:
        """Return the columns of what is judged, row by row."""
        return {
            "rating": pa.array(self.rating.ravel().tolist(), pa.string()),
            "rules": _joined([*self.fired.items(), (Rule.EXCLUDED, FAIL * self.is_excluded)]),
            "quality_by_rules": words(self.by_rules),
            "quality": words(self.final),
        }


def judge(
    scores: Mapping[Rule, Floats],
    is_judged: NDArray[np.bool_],
    thresholds: Thresholds,
    rating: NDArray[Any],
    is_excluded: NDArray[np.bool_],
    organs: Sequence[str] | None = None,
) -> Judged:
    """Judge organs or scans.

    Args:
        scores: Score by rule, arrays of one shape; NaN: nothing to check.
        is_judged: Whether there is something to judge.
        thresholds: From where on rules warn and fail.
        rating: Ratings by hand, None where nobody looked.
        is_excluded: Whether a list excludes it.
        organs: Names of the organs, the last axis; None: scans.
    """
    fired = {
        rule: _fired(rule, score, thresholds, organs)
        for rule, score in scores.items()
        if rule in thresholds.rules or any(rule in one for one in thresholds.organs.values())
    }
    by_rules = np.where(is_judged, PASS, NOTHING).astype(np.int8)
    for level in fired.values():
        by_rules = np.where(is_judged, np.maximum(by_rules, level), by_rules)
    final = np.select(
        [is_excluded, rating == Rating.FAIL, rating == Rating.PASS, rating == Rating.UNSURE],
        [FAIL, FAIL, PASS, np.maximum(by_rules, WARN)],
        by_rules,
    ).astype(np.int8)
    return Judged(by_rules, final, fired, rating, is_excluded)


def words(levels: Levels) -> Any:
    """Return the words of levels, row by row; null where there is nothing to judge."""
    return pa.array(_WORDS[levels.ravel()].tolist(), pa.string())


def hand_ratings(
    ratings: Mapping[Target, Rating], scans: Sequence[str], organs: Sequence[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lay out the ratings of some scans: arrays (scans,) and (scans, organs)."""
    of_scans = np.full(len(scans), None, dtype=object)
    of_organs = np.full((len(scans), len(organs)), None, dtype=object)
    places, columns = _places(scans), _places(organs)
    for (scan, organ), rating in ratings.items():
        if scan not in places:
            continue
        if organ is None:
            of_scans[places[scan]] = rating.value
        else:
            of_organs[places[scan], columns[organ]] = rating.value
    return of_scans, of_organs


def hand_exclusions(
    exclusions: Iterable[Exclusion], keys: Mapping[str, Sequence[Any]], organs: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Lay out what is excluded of some scans: arrays (scans,) and (scans, organs).

    Args:
        exclusions: What is excluded.
        keys: Columns scan, participant and instance of these scans.
        organs: Names of the organs.
    """
    of_organs = np.zeros((len(keys["scan"]), len(organs)), dtype=bool)
    of_scans = np.zeros(len(keys["scan"]), dtype=bool)
    columns = _places(organs)
    arrays = {name: np.array(values, dtype=object) for name, values in keys.items()}
    for one in exclusions:
        wanted = (("scan", one.scan), ("participant", one.participant), ("instance", one.instance))
        is_meant = np.ones(len(of_scans), dtype=bool)
        for name, value in wanted:
            if value is not None:
                is_meant &= arrays[name] == value
        if one.organ is None:
            of_scans |= is_meant
            of_organs |= is_meant[:, None]
        else:
            of_organs[:, columns[one.organ]] |= is_meant
    return of_scans, of_organs


def _places(names: Sequence[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}


def _fired(
    rule: Rule, score: Floats, thresholds: Thresholds, organs: Sequence[str] | None
) -> Levels:
    of_each = [thresholds.of(rule, organ) for organ in organs or (None,)]
    level = np.where(np.isnan(score), NOTHING, PASS).astype(np.int8)
    for to, limits in ((WARN, [x.warn for x in of_each]), (FAIL, [x.fail for x in of_each])):
        limit = np.array([np.nan if one is None else one for one in limits])
        level[score <= limit if rule in LOW_IS_BAD else score >= limit] = to
    return level


def _joined(fired: Sequence[tuple[Rule, NDArray[Any]]]) -> Any:
    """Join the names of the rules that warn or fail, once each combination that occurs."""
    bits = np.zeros(fired[0][1].size, dtype=np.int64)
    for place, (_, level) in enumerate(fired):
        bits |= (level.ravel() >= WARN).astype(np.int64) << place
    found, places = np.unique(bits, return_inverse=True)
    texts = [
        _JOINT.join(rule for place, (rule, _) in enumerate(fired) if one >> place & 1) or None
        for one in found.tolist()
    ]
    return pa.array(texts, pa.string()).take(pa.array(places))
