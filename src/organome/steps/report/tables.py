"""Tables of the report, and the numbers of its flow chart; small cells are hidden on request."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.compute.metrics.suppression import TOTAL, Cell, People, suppressed_cells
from organome.domain.quality import Quality, Rating
from organome.domain.wording import counted
from organome.io.report_tables import NOTHING
from organome.io.tables.ratings import Target
from organome.steps.report.cohort import Cohort

HIDDEN: Final = "hidden"
_NUMBER: Final = re.compile(rf"-?[\d.,]+(e[-+]\d+)?|{NOTHING}|{HIDDEN}")
_REPEATED: Final = (("cv_pct", 1), ("detectable_pct", 1), ("icc", 3))  # and decimals
_N_PAIRS: Final = 3  # at least, of repeatability
_N_REASONS: Final = 5  # columns of their own
_BANDS: Final = {"age_years": (10, "years"), "bmi_kg_per_m2": (5, "kg/m²")}
GROUPS: Final = {
    "sex": "sex",
    "age_years": "age",
    "bmi_kg_per_m2": "body mass index",
    "centre": "centre",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as it stands on the page.

    Attributes:
        title: What it is.
        columns: Its headings.
        rows: Its cells.
        note: How to read it, a sentence or none.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""

    @property
    def is_number(self) -> list[bool]:
        """Whether each column has nothing but numbers, to be written at the right."""
        cells = list(zip(*self.rows, strict=True))[1:]
        found = [all(_NUMBER.fullmatch(str(cell)) for cell in column) for column in cells]
        return [False, *found] if self.rows else [False] * len(self.columns)


@dataclass(frozen=True, slots=True)
class Flow:
    """The boxes of a flow chart: what is listed, what falls away and why, what is left."""

    listed: str
    steps: Sequence[tuple[Sequence[str], str]]


def counts_of(
    counts: Mapping[str, int], min_count: int, people: Mapping[str, AbstractSet[Any]]
) -> dict[str, str]:
    """Write counts that add up to a published total, those of few people hidden.

    Args:
        counts: Scans or organs.
        min_count: Least number of people behind a count that is shown.
        people: Who is behind each.
    """
    # Where nobody is known to be behind a count, that is few people.
    cells: dict[Cell, People] = {(name,): people[name] or {None} for name, n in counts.items() if n}
    cells[TOTAL,] = set().union(*people.values())
    hidden = suppressed_cells(cells, min_count=min_count)
    totals = {**counts, TOTAL: sum(counts.values())}
    return {name: HIDDEN if (name,) in hidden else f"{n:,}" for name, n in totals.items()}


def _count(names: pd.Series, participants: pd.Series, min_count: int) -> dict[str, str]:
    """Write how often there is each name, by ``counts_of``, the most frequent first."""
    counts = {str(name): int(n) for name, n in names.value_counts().items()}
    return counts_of(counts, min_count, _people(names, participants))


def _people(names: pd.Series, participants: pd.Series) -> dict[str, set[Any]]:
    return {str(name): set(of_name) for name, of_name in participants.groupby(names)}


def flow_chart(cohort: Cohort, min_count: int) -> Flow:
    """Follow the scans from listed to analysed."""
    scans = cohort.scans
    done = scans["status"] == "done"
    failed = scans["quality"] == Quality.FAIL
    lost = list(map(str, scans.loc[~done, "reason"].value_counts().index))
    n_unsound = int((done & failed).sum())
    ends = scans["reason"].where(~done, "left").mask(done & failed, "quality").astype(str)
    text = {"quality": "0", "left": "0", **_count(ends, scans["participant"], min_count)}
    n_people = scans["participant"].nunique()
    halves = done.map({True: "measured", False: "lost"})
    of_measured = {"measured": "0", **_count(halves, scans["participant"], min_count)}
    # What can be had by subtraction from a hidden cell must not stand beside it.
    shows_all = HIDDEN not in text.values()
    n_measured = of_measured["measured"] if shows_all else HIDDEN
    people = f" of {n_people:,} participants" if n_people >= min_count else ""
    return Flow(
        f"Listed: {text[TOTAL]} scans{people}",
        (
            ([f"{name}: {text[name]}" for name in lost], f"Measured: {n_measured} scans"),
            (
                [f"quality fails: {text['quality']}"] if n_unsound else [],
                f"Analysed: {text['left']} scans",
            ),
        ),
    )


def completeness_tables(cohort: Cohort, min_count: int) -> list[Shown]:
    """Count what became of scans by sex, age, body mass index and centre."""
    scans = cohort.scans
    outcome = scans["reason"].where(scans["status"] != "done", "measured").astype(str)
    common = outcome[outcome != "measured"].value_counts().index[:_N_REASONS]
    outcome = outcome.where(outcome.isin({"measured", *common}), "other reason")
    names = [name for name in ("measured", *common, "other reason") if (outcome == name).any()]
    tables = []
    for column, title in GROUPS.items():
        groups = _groups(scans[column], column)
        if set(groups) == {"unknown"}:
            continue
        counts = pd.crosstab(groups, outcome, margins=True, margins_name=TOTAL)
        cells: dict[Cell, int] = {
            (str(group), name): int(of_group[name])
            for group, of_group in counts.to_dict("index").items()
            for name in map(str, counts.columns)
        }
        hidden = suppressed_cells(
            _people_of_cells(groups, outcome, scans["participant"]), min_count=min_count
        )

        def cell(
            group: str,
            name: str,
            cells: Mapping[Cell, int] = cells,
            hidden: set[Cell] = hidden,
        ) -> str:
            key = (group, name)
            return HIDDEN if key in hidden else f"{cells.get(key, 0):,}"

        order = [*sorted(set(groups), key=_band_order), TOTAL]
        rows = [
            [group, *(cell(group, name) for name in names), cell(group, TOTAL)] for group in order
        ]
        tables.append(Shown(f"Scans by {title}", [title, *names, TOTAL], rows))
    return tables


def _people_of_cells(
    groups: pd.Series, outcome: pd.Series, participants: pd.Series
) -> dict[Cell, People]:
    """Return who is in each cell of a table of two ways to count, sums included."""
    rows, columns = _people(groups, participants), _people(outcome, participants)
    inner: dict[Cell, People] = {
        (str(group), str(name)): set(people)
        for (group, name), people in participants.groupby([groups, outcome])
    }
    return {
        **inner,
        **{(group, TOTAL): people for group, people in rows.items()},
        **{(TOTAL, name): people for name, people in columns.items()},
        (TOTAL, TOTAL): set(participants),
    }


def _groups(values: pd.Series, column: str) -> pd.Series:
    if column in _BANDS:
        width, unit = _BANDS[column]
        low = np.floor(values / width) * width
        texts = low.map("{:g}".format) + " to below " + (low + width).map("{:g}".format)
        values = (texts + f" {unit}").where(low.notna(), None)
    groups: pd.Series = values.astype(object).where(values.notna(), "unknown").astype(str)
    return groups


def _band_order(group: str) -> tuple[float, str]:
    first = group.split(" ")[0]
    return (float(first) if first.replace(".", "").isdigit() else np.inf, group)


def organ_completeness(cohort: Cohort, min_count: int) -> Shown:
    """Count volumes and reasons organ by organ."""
    rows = []
    for organ, by_reason in cohort.organ_reasons.items():
        found = {str(reason or "volume"): places for reason, places in by_reason.items()}
        counts = {name: len(places) for name, places in found.items()}
        people = {name: set(places.tolist()) for name, places in found.items()}
        text = counts_of(counts, min_count, people)
        reasons = sorted((n for n in counts if n != "volume"), key=lambda name: -counts[name])
        said = ", ".join(f"{name} {text[name]}" for name in reasons) or "none"
        rows.append([organ, text.get("volume", "0"), text[TOTAL], said])
    return Shown(
        "Organs of measured scans",
        ["organ", "with a volume", "scans", "reasons of the others"],
        rows,
    )


def volume_statistics(cohort: Cohort, min_count: int) -> Shown:
    """Summarise volumes by sex and contrast.

    With a least count, a structure of which any group has fewer people has no row: what is left
    of a sum would give the group away.
    """
    visits = cohort.visits
    sexes, contrasts = visits["sex"].fillna("unknown"), visits["contrast"].fillna("unknown")
    rows, left_out = [], 0
    for place, name in enumerate(cohort.structures):
        values = cohort.volume_ml[:, place]
        known = np.isfinite(values)
        of_structure = visits.assign(sex=sexes, contrast=contrasts, value=values)[known]
        found = of_structure.groupby(["sex", "contrast"])
        if (found["participant"].nunique() < min_count).any():
            left_out += 1
            continue
        for (sex, contrast), group in found["value"]:
            few = len(group) < 2
            numbers = () if few else (group.mean(), group.std(), *group.quantile((0.05, 0.5, 0.95)))
            cells = [f"{value:.1f}" for value in numbers] or [NOTHING] * 5
            n_people = visits.loc[group.index, "participant"].nunique() if min_count else len(group)
            if n_people < 20 * max(1, min_count):  # few people on either side of the ends
                cells[2] = cells[4] = NOTHING
            rows.append([name, sex, contrast, f"{len(group):,}", *cells])
    columns = ["structure", "sex", "contrast", "n", "mean", "SD", "5 %", "median", "95 %"]
    note = (
        f"{counted(left_out, 'structure')} left out: a group has fewer than {min_count} people."
        if left_out
        else ""
    )
    return Shown("Volumes in mL by sex and contrast", columns, rows, note)


def side_table(cohort: Cohort, min_count: int) -> Shown:
    """Compare left and right of each pair: 200 (left - right) / (left + right)."""
    names = {name: place for place, name in enumerate(cohort.structures)}
    rows = []
    for name, place in names.items():
        other = names.get(name.replace("left_", "right_", 1), place)
        if other == place:
            continue
        left, right = cohort.volume_ml[:, place], cohort.volume_ml[:, other]
        asymmetry = 200 * (left - right) / (left + right)
        known = np.isfinite(asymmetry)
        asymmetry, n = asymmetry[known], int(known.sum())
        if n >= 2 and cohort.visits.loc[known, "participant"].nunique() >= min_count:
            numbers = (np.median(asymmetry), asymmetry.mean(), asymmetry.std(ddof=1))
            rows.append([name.removeprefix("left_"), f"{n:,}", *(f"{v:.1f}" for v in numbers)])
    columns = ["pair", "n", "median, %", "mean, %", "SD, %"]
    return Shown("Asymmetry, 200 (left - right) / (left + right)", columns, rows)


def agreement_table(found: Iterable[Mapping[str, Any]], title: str, min_count: int) -> Shown:
    """Write bias and limits of agreement."""
    rows = [
        [one["structure"], one["kind"], f"{one['n']:,}"]
        + [
            NOTHING if value is None else f"{value:z.2f}"
            for value in (*one["limits"], *one["percent"])
        ]
        for one in found
        if one["n"] >= min_count
    ]
    columns = ["structure", "compared", "n", "bias, mL", "lower, mL", "upper, mL"]
    return Shown(
        title,
        [*columns, "bias, %", "lower, %", "upper, %"],
        rows,
        "Limits of agreement: bias ± 1.96 SD of the differences.",
    )


def repeatability_table(frame: pd.DataFrame, min_count: int) -> Shown:
    """Show what ``organome repeatability`` found."""
    kept = frame[frame["n"] >= _N_PAIRS]
    if min_count:
        kept = kept[kept["n_participants"] >= min_count]
    rows = [
        [row["twice"], row["organ"], f"{row['n']:,}"]
        + [
            NOTHING if pd.isna(row[name]) else f"{row[name]:.{digits}f}"
            for name, digits in _REPEATED
        ]
        for row in kept.to_dict("records")
    ]
    columns = ["measured twice", "organ", "pairs", "CV within a person, %"]
    return Shown(
        "Repeatability of volumes",
        [*columns, "smallest detectable change, %", "ICC"],
        rows,
        "Between visits, organs truly change, too.",
    )


def rule_table(cohort: Cohort, min_count: int) -> Shown:
    """Count how often each rule fired.

    It did not fire in as few people as can have so many organs or scans, for all that is known.
    """
    n_most = cohort.scans["participant"].value_counts().max() if len(cohort.scans) else 1
    rows = []
    for row in cohort.rules.to_dict("records"):
        n, fired = int(row["n_checked"]), int(row["n_warn"] + row["n_fail"])
        n_each = n_most * (len(cohort.organ_reasons) if row["judged"] == "organ" else 1)
        n_people = {
            "fired": cohort.n_people_fired.get((row["judged"], row["rule"]), 0),
            "not": math.ceil((n - fired) / max(1, n_each)),
        }
        people = {name: set(range(one)) for name, one in n_people.items()}  # maybe the same
        text = counts_of({"fired": fired, "not": n - fired}, min_count, people)
        share = NOTHING if text["fired"] == HIDDEN or not n else f"{100 * fired / n:.2f}"
        rows.append([row["rule"], row["judged"], text[TOTAL], text["fired"], share])
    return Shown("Rules", ["rule", "judges", "checked", "fired", "fired, %"], rows)


def seam_table(cohort: Cohort, min_count: int) -> Shown:
    """Count seams, stations, and fat and water exchanged."""
    scans = cohort.scans[cohort.scans["status"] == "done"]
    rows = []
    stations = scans["n_stations"].map(lambda n: "unknown" if pd.isna(n) else f"{int(n)}")
    for what, values in (
        ("fat and water", scans["fat_water"].fillna("not both there")),
        ("stations", stations),
    ):
        text = _count(values, scans["participant"], min_count)
        rows += [[what, name, n] for name, n in text.items() if name != TOTAL]
    flags = scans["flags"].dropna().str.split(";").explode()
    for name in flags.value_counts().index:
        if name:
            has = scans.index.isin(flags.index[flags == name])
            halves = pd.Series(np.where(has, "with", "without"), scans.index)
            text = _count(halves, scans["participant"], min_count)
            rows.append(["flag", str(name), text["with"]])
    return Shown("Seams, stations and swaps of measured scans", ["what", "found", "scans"], rows)


def rater_table(words: Mapping[tuple[Target, str], Rating]) -> Shown | None:
    """Compare raters two by two: Cohen's kappa of what both looked at; None for fewer than two."""
    by_rater: dict[str, dict[Target, Rating]] = {}
    for (target, rater), rating in words.items():
        by_rater.setdefault(rater, {})[target] = rating
    rows = []
    for one, other in combinations(sorted(by_rater), 2):
        both = sorted(by_rater[one].keys() & by_rater[other].keys(), key=str)
        first, second = ([by_rater[who][target] for target in both] for who in (one, other))
        kappa = _kappa(first, second)
        agree = sum(a is b for a, b in zip(first, second, strict=True))
        share = f"{100 * agree / len(both):.0f}" if both else NOTHING
        rows.append([one, other, len(both), share, NOTHING if kappa is None else f"{kappa:.2f}"])
    columns = ["rater", "other rater", "rated by both", "agreement, %", "kappa"]
    return Shown(counted(len(by_rater), "rater"), columns, rows) if rows else None


def _kappa(first: Sequence[Rating], second: Sequence[Rating]) -> float | None:
    """Return Cohen's kappa; None where both said one and the same word throughout, or nothing."""
    if not first:
        return None
    n = len(first)
    agreed = sum(a is b for a, b in zip(first, second, strict=True)) / n
    by_chance = sum(first.count(word) * second.count(word) for word in Rating) / n**2
    return None if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
