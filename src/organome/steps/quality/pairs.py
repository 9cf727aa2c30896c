"""Visits of one participant -> what changed between them, or why that cannot be said."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pandas as pd

from organome.compute.geometry.arrays import Floats
from organome.domain.errors import SetupError
from organome.domain.quality import PairReason
from organome.domain.rows import Row
from organome.steps.quality.judging import FAIL, Levels

# What has to be the same at both visits, and the reason where it is not.
_SAME: Final[Mapping[PairReason, tuple[str, ...]]] = {
    PairReason.MODEL_DIFFERS: ("label_source", "model_digest", "scheme"),
    PairReason.SETTINGS_DIFFER: (
        *("contrast", "consensus_contrasts", "spacing_x_mm", "spacing_y_mm", "spacing_z_mm"),
    ),
    PairReason.SCANNER_DIFFERS: ("manufacturer", "scanner_model", "field_strength_t"),
    PairReason.COMPLETENESS_DIFFERS: ("n_stations",),
}
FACTS: Final = tuple(name for names in _SAME.values() for name in names if name != "contrast")
_CLOSE: Final = 0.01  # of spacings and fields: headers round
LEAST_INTERVAL_YEARS: Final = 0.5  # within, a change per year is mostly error
_TWICE: Final = ("repeats", "stations")  # of repeatability; between visits organs truly change
_DAYS_PER_YEAR: Final = 365.2425
_MONTHS_PER_YEAR: Final = 12


@dataclass(frozen=True, slots=True)
class SeveralVisits:
    """The visits of those who came several times.

    Attributes:
        visits: cohort, participant, instance, protocol, contrast, scan_date, acq_month, ``FACTS``.
        volume_ml: Array (visits, structures).
        quality: Level of each structure.
    """

    visits: pd.DataFrame
    volume_ml: Floats
    quality: Levels


def read_detectable(path: Path) -> dict[str, float]:
    """Read the smallest detectable change by organ from ``repeatability.csv``.

    That between repeats within a visit counts, else that of the overlap of stations.

    Raises:
        SetupError: It is not that table, or only compares visits.
    """
    try:
        table = pd.read_csv(path)
        known = table[table["detectable_pct"].notna() & table["twice"].isin(_TWICE)]
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(
            f"{path}: not the repeatability.csv of `organome repeatability`"
            f" ({type(error).__name__})"
        ) from None
    if known.empty:
        raise SetupError(
            f"{path}: neither repeats within a visit nor overlaps of stations with three pairs;"
            " between two visits organs truly change, too"
        )
    first = known.sort_values("twice").drop_duplicates("organ")  # repeats come before stations
    return dict(zip(first["organ"], first["detectable_pct"].astype(float), strict=True))


def pair_rows(
    several: SeveralVisits, structures: Sequence[str], detectable_pct: Mapping[str, float]
) -> Iterator[Row]:
    """Pair each visit with the next one of the same protocol, a row a structure.

    The next by date, else by month, where it is known of all visits of that participant and
    protocol; else by the name of the instance.

    Args:
        several: The visits.
        structures: Names of the structures.
        detectable_pct: Smallest detectable change, in per cent of the mean.
    """
    visits = several.visits.reset_index(drop=True)
    records: list[Any] = visits.to_dict("records")
    key = ["cohort", "participant", "protocol"]
    for _, of_one in visits.groupby(key, sort=False):
        for first, second in pairwise(_in_order(records, [*map(int, of_one.index)])):
            yield from _rows(several, records, (first, second), structures, detectable_pct)


def _rows(
    several: SeveralVisits,
    records: Sequence[Mapping[str, Any]],
    places: tuple[int, int],
    structures: Sequence[str],
    detectable_pct: Mapping[str, float],
) -> Iterator[Row]:
    one, other = (records[place] for place in places)
    of_visits = _difference(one, other)
    years = _interval_years(one, other)
    for column, structure in enumerate(structures):
        first_ml, second_ml = (float(several.volume_ml[place, column]) for place in places)
        reason, fact = of_visits
        if reason is None and not (first_ml > 0 and second_ml > 0):
            reason = PairReason.NO_VOLUME
        elif reason is None and (several.quality[list(places), column] == FAIL).any():
            reason = PairReason.QUALITY_FAILS
        differs = reason is PairReason.SETTINGS_DIFFER
        row = {
            **{name: one[name] for name in ("cohort", "participant", "protocol")},
            **{"first_instance": one["instance"], "second_instance": other["instance"]},
            "contrast": None if differs or pd.isna(one["contrast"]) else one["contrast"],
            **{"structure": structure, "interval_years": years},
            "first_volume_ml": first_ml if first_ml > 0 else None,
            "second_volume_ml": second_ml if second_ml > 0 else None,
            "detectable_pct": detectable_pct.get(structure),
            **{"na_reason": reason and reason.value, "na_fact": fact},
        }
        if reason is None:
            row |= _change(first_ml, second_ml, years, detectable_pct.get(structure))
        yield row


def _change(first_ml: float, second_ml: float, years: float | None, least: float | None) -> Row:
    change_ml = second_ml - first_ml
    change_pct = 100 * change_ml / first_ml
    is_long = years is not None and years >= LEAST_INTERVAL_YEARS
    of_mean_pct = 200 * abs(change_ml) / (first_ml + second_ml)
    return {
        **{"change_ml": change_ml, "change_pct": change_pct},
        "change_pct_per_year": change_pct / years if is_long and years else None,
        "is_detectable": None if least is None else of_mean_pct > least,
    }


def _difference(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> tuple[PairReason | None, str | None]:
    """Return what has to be the same at both visits and is not."""
    for reason, names in _SAME.items():
        for name in names:
            values = [None if pd.isna(visit[name]) else visit[name] for visit in (one, other)]
            if not _alike(*values):
                return reason, f"{name}: {', '.join(_text(value) for value in values)}"
    return None, None


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= _CLOSE * abs(one)
    return bool(one == other)


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)[:40]


def _interval_years(one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    dates = [visit["scan_date"] for visit in (one, other)]
    if not any(pd.isna(date) for date in dates):
        return float((dates[1] - dates[0]).days / _DAYS_PER_YEAR)
    months = [visit["acq_month"] for visit in (one, other)]
    if any(pd.isna(month) for month in months):
        return None
    (year, month), (later, later_month) = (map(int, text.split("-")) for text in months)
    return ((later - year) * _MONTHS_PER_YEAR + later_month - month) / _MONTHS_PER_YEAR


def _in_order(records: Sequence[Mapping[str, Any]], places: list[int]) -> list[int]:
    times = [[records[place][name] for place in places] for name in ("scan_date", "acq_month")]
    known = next((of_all for of_all in times if not any(map(pd.isna, of_all))), [0] * len(places))
    names = [_number(records[place]["instance"]) for place in places]
    return [place for *_, place in sorted(zip(known, names, places, strict=True))]


def _number(instance: str) -> tuple[tuple[int, ...], str]:
    return tuple(map(int, re.findall(r"[0-9]+", instance))), instance
