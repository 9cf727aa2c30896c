"""One part of the tables judged: its organs, its scans, and what that makes of its visits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.domain.quality import ExcludedBy, Rating, Rule, Thresholds
from organome.domain.quality_tables import EXCLUSIONS, WHOLE_SCAN
from organome.io.tables.ratings import Exclusion, Target
from organome.steps.quality import organ_rules, scan_rules
from organome.steps.quality.collected import Collected
from organome.steps.quality.covariates import VISIT
from organome.steps.quality.indices import VISIT_COLUMNS, floats, with_pairs
from organome.steps.quality.judging import (
    FAIL,
    WARN,
    Judged,
    Levels,
    hand_exclusions,
    hand_ratings,
    judge,
)
from organome.steps.quality.pairs import FACTS

_REPEAT: Final = [*VISIT, "protocol", "array"]


@dataclass(frozen=True, slots=True)
class Hand:
    """What people wrote."""

    ratings: Mapping[Target, Rating]
    exclusions: Sequence[Exclusion]


@dataclass(frozen=True, slots=True)
class KnownScans:
    """What the rules need to know of each scan of the cohort, in order.

    Attributes:
        places: First and last row of each part, by its name.
        groups: Number of sex and contrast, and of contrast.
        sexes: Sex that counts, and sex by the images; None: unknown.
        usual: What is usual in these groups.
    """

    places: Mapping[str, slice]
    groups: tuple[NDArray[np.int64], NDArray[np.int64]]
    sexes: tuple[NDArray[Any], NDArray[Any]]
    usual: organ_rules.Usual


@dataclass(frozen=True, slots=True)
class JudgedRows:
    """What was found out about the rows of a table.

    Attributes:
        keys: Key columns, and others that are taken over.
        scores: By rule.
        judged: The judgement.
        values: Further columns.
    """

    keys: pa.Table
    scores: Mapping[Rule, Floats]
    judged: Judged
    values: Mapping[str, Any]

    def columns(self) -> dict[str, Any]:
        """Return the columns that the table gets beside its keys."""
        return {**self.values, **self.judged.columns()}


def know_scans(collected: Collected, people: pd.DataFrame, thresholds: Thresholds) -> KnownScans:
    """Find the groups of all scans, and what is usual in them.

    Args:
        collected: The tables.
        people: What is known at each visit, in order.
        thresholds: How many values a group must have.
    """
    parts = [collected.scans(part, [*VISIT, "contrast"]) for part in collected.parts]
    ends = np.cumsum([0, *(len(rows) for rows in parts)]).tolist()
    scans = pa.concat_tables(parts).to_pandas()
    visit = scans.groupby(VISIT, sort=False).ngroup().to_numpy()
    sex, of_scans = (
        people[name].astype(object).where(people[name].notna(), None).to_numpy()[visit]
        for name in ("sex", "sex_of_scans")
    )
    contrast = scans["contrast"].astype(object).fillna("")
    by_contrast = pd.factorize(contrast)[0]
    by_sex = pd.factorize(contrast + pd.Series(sex).fillna("").astype(object))[0]
    rows = (slice(*pair) for pair in pairwise(ends))
    places = dict(zip(collected.parts, rows, strict=True))
    usual = organ_rules.find_usual(collected, by_sex, by_contrast, thresholds.min_group)
    return KnownScans(places, (by_sex, by_contrast), (sex, of_scans), usual)


def judge_part(
    collected: Collected, part: str, known: KnownScans, hand: Hand, thresholds: Thresholds
) -> tuple[JudgedRows, JudgedRows]:
    """Judge organs and scans of a part; ratings and exclusions by hand are applied on top."""
    here = known.places[part]
    groups = (known.groups[0][here], known.groups[1][here])
    scans = collected.scans(part, scan_rules.COLUMNS)
    rows = collected.organs(part, organ_rules.COLUMNS)
    names = [one.name for one in collected.structures]
    keys = {name: scans.column(name).to_pylist() for name in ("scan", "participant", "instance")}
    scan_rating, organ_rating = hand_ratings(hand.ratings, keys["scan"], names)
    scan_out, organ_out = hand_exclusions(hand.exclusions, keys, names)
    found = organ_rules.score_organs(collected, rows, known.usual, groups, thresholds)
    organs = judge(found.rules, found.is_judged, thresholds, organ_rating, organ_out, names)
    seen = np.where(organ_out, organs.by_rules, organs.final)
    sexes = (known.sexes[0][here], known.sexes[1][here])
    scores, is_done = scan_rules.score_scans(scans, seen, sexes)
    judged = judge(scores, is_done, thresholds, scan_rating, scan_out)
    z_values = {name: floats(getattr(found, name)) for name in organ_rules.VALUES}
    counts = {
        f"n_organs_{word}": pa.array((organs.final == level).sum(axis=1), pa.int32())
        for word, level in (("warn", WARN), ("fail", FAIL))
    }
    return (
        JudgedRows(rows, found.rules, organs, z_values),
        JudgedRows(scans, scores, judged, counts),
    )


def excluded_rows(organs: JudgedRows, scans: JudgedRows) -> pa.Table:
    """Make the rows of what fails: each scan before its organs.

    Where a list names a whole scan, its organs have no rows of their own.
    """
    n_organs = organs.judged.final.shape[1]
    whole = _failing(
        scans, np.full(len(scans.keys), WHOLE_SCAN, dtype=object), scans.judged.final == FAIL
    )
    is_left = (organs.judged.final == FAIL) & ~scans.judged.is_excluded[:, None]
    single = _failing(organs, organs.keys.column("organ").to_numpy(), is_left.ravel())
    rows = pa.concat_tables([whole, single])
    place = np.concatenate(
        [
            np.flatnonzero(scans.judged.final == FAIL) * (n_organs + 1),
            np.flatnonzero(is_left) // n_organs * (n_organs + 1) + 1,
        ]
    )
    return rows.take(pa.array(np.argsort(place, kind="stable")))


def _failing(rows: JudgedRows, organ: NDArray[Any], fails: NDArray[np.bool_]) -> pa.Table:
    judged = rows.judged
    by = np.select(
        [judged.is_excluded, judged.rating == Rating.FAIL],
        [ExcludedBy.BY_LIST.value, ExcludedBy.BY_RATING.value],
        ExcludedBy.BY_RULES.value,
    )
    values = {
        "organ": pa.array(organ.tolist(), pa.string()),
        "excluded": pa.array(by.ravel().tolist(), pa.string()),
        "rules": judged.columns()["rules"],
    }
    names = [column.name for column in EXCLUSIONS.columns]
    columns = [values[name] if name in values else rows.keys.column(name) for name in names]
    return pa.table(columns, names=names).filter(pa.array(fails))


def visit_quality(
    collected: Collected, part: str, organs: Judged, scans: Judged
) -> tuple[pd.DataFrame, Levels]:
    """Find what the judgement of scans makes of the visits of a part.

    The values of a visit may be from several scans, its stations: the worst of them counts. Where a
    scan fails, all its organs do.

    Returns:
        ``VISIT_COLUMNS`` and ``FACTS`` of the visits, and the level of each structure.
    """
    visits = collected.visits(part, VISIT_COLUMNS).to_pandas()
    rows = collected.scans(part, [*_REPEAT, *FACTS]).to_pandas()
    number = pd.MultiIndex.from_frame(visits[_REPEAT]).get_indexer(
        pd.MultiIndex.from_frame(rows[_REPEAT])
    )
    levels = np.where((scans.final == FAIL)[:, None], np.int8(FAIL), organs.final)
    worst = np.full((len(visits), levels.shape[1]), -1, dtype=np.int8)
    is_used = number >= 0
    np.maximum.at(worst, number[is_used], levels[is_used])
    first = rows[is_used].groupby(number[is_used]).first()
    facts = first[list(FACTS)].reindex(range(len(visits)))
    return visits.join(facts), with_pairs(collected, worst)
