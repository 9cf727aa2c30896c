"""What the report is made of: tables of the cohort and of its quality, read part by part."""

import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.domain.errors import SetupError
from organome.domain.quality import Quality
from organome.domain.quality_tables import COVARIATES, INDICES, ORGAN_QUALITY, QUALITY, RULES
from organome.domain.quality_tables import NORMS as NORM_TABLE
from organome.domain.quality_tables import PAIRS as PAIR_TABLE
from organome.domain.tables import COHORT_TABLES, ORGAN_ROWS, SCANS, VISITS
from organome.io.runs import Run
from organome.io.tables.parquet import MADE_OF, parse_table, tables_digest

_VISIT: Final = ["cohort", "participant", "instance"]
_SCANS: Final = (
    *(*_VISIT, "protocol", "scan", "status", "reason", "contrast", "n_stations"),
    *("flags", "fat_water", "swapped_spans_mm"),
)
_QUALITY: Final = ("scan", "n_organs_warn", "n_organs_fail", "rating", "rules", "quality")
_PEOPLE: Final = (*_VISIT, "sex", "age_years", "height_m", "bmi_kg_per_m2", "centre")
_Z: Final = ("volume_z", "asymmetry_z", "intensity_z")
_RANK: Final = {Quality.FAIL.value: 2, Quality.WARN.value: 1}
N_WORST: Final = 3  # of each rule and organ


@dataclass(frozen=True, slots=True)
class Odd:
    """An organ, or a scan (organ None), for which a rule fired; z is the largest there is."""

    rule: str
    organ: str | None
    scan: str
    z: float


@dataclass(frozen=True, slots=True)
class Cohort:
    """All that the pages are made of.

    Attributes:
        scans: A row per listed scan, the most doubtful first.
        structures: Organs and sums of pairs that volumes are given of.
        visits: A row per visit and protocol, its scan among the columns.
        volume_ml: Array (visits, structures); NaN: none.
        organ_reasons: Of each organ of scans that are done, by reason, None: measured, a number for
            the person of each scan.
        worst: The most doubtful of each rule and organ.
        n_people_fired: In how many people a rule fired, by what it judges and its name.
        norms: The table of that name.
        pairs: The table of that name, rows with two volumes.
        rules: The table of that name.
    """

    scans: pd.DataFrame
    structures: tuple[str, ...]
    visits: pd.DataFrame
    volume_ml: Floats
    organ_reasons: Mapping[str, Mapping[str | None, NDArray[np.int32]]]
    worst: tuple[Odd, ...]
    n_people_fired: Mapping[tuple[str, str], int]
    norms: pd.DataFrame
    pairs: pd.DataFrame
    rules: pd.DataFrame


def read_cohort(place: Run) -> Cohort:
    """Read the tables of a run.

    Raises:
        SetupError: There are none, or check_quality has not been through them.
    """
    quality = place.results / "quality"
    for folder in (place.tables / SCANS.name, quality / QUALITY.name):
        if not any(folder.glob("*.parquet")):
            raise SetupError(f"{folder}: no tables yet; `organome run` makes them")
    scans = _frame(place.tables / SCANS.name, _SCANS)
    levels = _frame(quality / QUALITY.name, _QUALITY)
    if set(scans["scan"]) != set(levels["scan"]) or _judges_others(quality, place.tables):
        raise SetupError(
            f"{quality}: judges other tables than those in {place.tables}, which were collected"
            " since; judge these by `organome check-quality` first, or finish the run"
        )
    scans = scans.merge(levels, on="scan", how="left")
    people = _frame(quality / COVARIATES.name, _PEOPLE)
    scans = scans.merge(people, on=_VISIT, how="left")
    z, worst, fired = _oddities(quality / ORGAN_QUALITY.name)
    scans["max_z"] = scans["scan"].map(z)
    rules = scans["rules"].fillna("")
    scans["n_rules"] = rules.str.count(";") + (rules != "") + scans["n_organs_warn"].fillna(0)
    scans["rank"] = scans["quality"].map(_RANK).fillna(0)
    scans = scans.sort_values(
        ["rank", "n_rules", "max_z", "scan"], ascending=[False, False, False, True]
    ).reset_index(drop=True)
    judged = scans[scans["rules"].notna()]
    worst += [
        Odd(rule, None, scan, z_of_scan)
        for scan, rules_of_scan, z_of_scan in zip(
            *(judged[name].tolist() for name in ("scan", "rules", "max_z")), strict=True
        )
        for rule in rules_of_scan.split(";")
    ]
    for rules_of_scan, person in zip(judged["rules"], judged["participant"], strict=True):
        for rule in rules_of_scan.split(";"):
            fired["scan", rule].add(person)
    structures, volumes = _volumes(quality / INDICES.name)
    visits = _frame(place.tables / VISITS.name, (*_VISIT, "protocol", "scan", "contrast"))
    pairs = _frame(
        quality / PAIR_TABLE.name,
        (
            *("participant", "protocol", "first_instance", "second_instance", "structure"),
            *("first_volume_ml", "second_volume_ml", "na_reason"),
        ),
    )
    return Cohort(
        scans=scans,
        structures=structures,
        visits=visits.merge(people, on=_VISIT, how="left"),
        volume_ml=volumes,
        organ_reasons=_organ_reasons(place.tables / ORGAN_ROWS.name, scans["participant"]),
        worst=tuple(_few_of_each(worst)),
        n_people_fired={key: len(people) for key, people in fired.items()},
        norms=_frame(quality / NORM_TABLE.name),
        pairs=pairs[pairs["na_reason"].isna()],
        rules=_frame(quality / RULES.name),
    )


def _judges_others(quality: Path, tables: Path) -> bool:
    """Return whether quality says that it is made of other tables; older releases do not say."""
    noted = None
    with suppress(OSError, ValueError, AttributeError):
        noted = json.loads((quality / "dictionary.json").read_text("utf-8")).get(MADE_OF)
    names = [table.name for table in COHORT_TABLES]
    return noted is not None and noted != tables_digest(tables, names)


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def _frame(folder: Path, columns: tuple[str, ...] | None = None) -> pd.DataFrame:
    names = None if columns is None else list(columns)
    tables = [parse_table(part, columns=names) for part in _parts(folder)]
    found: pd.DataFrame = pa.concat_tables(tables).to_pandas()
    return found


def _oddities(
    folder: Path,
) -> tuple[dict[str, float], list[Odd], dict[tuple[str, str], set[str]]]:
    """Return the largest |z| of each scan, and organs for which rules fired, and in whom."""
    largest: dict[str, float] = {}
    people: dict[tuple[str, str], set[str]] = defaultdict(set)
    found: list[Odd] = []
    for part in _parts(folder):
        rows = parse_table(part, columns=["scan", "participant", "organ", "rules", *_Z])
        z = np.column_stack([rows.column(name).to_numpy() for name in _Z]).astype(np.float64)
        worst = np.fmax.reduce(np.abs(z), axis=1)
        by_scan = pd.Series(worst).groupby(rows.column("scan").to_pandas(), sort=False).max()
        largest.update({str(scan): float(score) for scan, score in by_scan.dropna().items()})
        fired = rows.column("rules").is_valid().to_numpy()
        names = ["scan", "participant", "organ", "rules"]
        named = rows.select(names).filter(pa.array(fired)).to_pylist()
        for row, score in zip(named, worst[fired], strict=True):
            for rule in row["rules"].split(";"):
                found.append(Odd(rule, row["organ"], row["scan"], score))
                people["organ", rule].add(row["participant"])
        found = _few_of_each(found)
    return largest, found, people


def _few_of_each(found: list[Odd]) -> list[Odd]:
    """Keep the worst of each rule and organ."""
    groups: dict[tuple[str, str], list[Odd]] = defaultdict(list)
    for odd in found:
        groups[odd.rule, odd.organ or ""].append(odd)

    def by_doubt(odd: Odd) -> tuple[float, str]:
        return (-1.0 if np.isnan(odd.z) else odd.z, odd.scan)

    return [odd for key in sorted(groups) for odd in nlargest(N_WORST, groups[key], key=by_doubt)]


def _volumes(folder: Path) -> tuple[tuple[str, ...], Floats]:
    """Return the structures, and their volumes, array (visits, structures)."""
    names: tuple[str, ...] = ()
    found = []
    for part in _parts(folder):
        rows = parse_table(part, columns=["structure", "volume_ml"])
        if not len(rows):
            continue
        names = names or tuple(dict.fromkeys(rows.column("structure").slice(0, 200).to_pylist()))
        found.append(rows.column("volume_ml").to_numpy().reshape(-1, len(names)))
    return names, np.concatenate(found) if found else np.empty((0, 0))


def _organ_reasons(
    folder: Path, participants: pd.Series
) -> dict[str, dict[str | None, NDArray[np.int32]]]:
    people = pd.Index(participants.unique())
    found: dict[str, dict[str | None, list[NDArray[np.int32]]]] = defaultdict(dict)
    for part in _parts(folder):
        rows = ds.dataset(part).to_table(
            columns=["organ", "na_reason", "participant"], filter=ds.field("status") == "done"
        )
        persons = people.get_indexer(rows.column("participant").to_pandas()).astype(np.int32)
        keys = rows.select(["organ", "na_reason"]).to_pandas()
        groups = keys.groupby(["organ", "na_reason"], dropna=False)
        for (organ, reason), at in groups.indices.items():
            of_reason = found[organ].setdefault(None if pd.isna(reason) else reason, [])
            of_reason.append(persons[at])
    return {
        organ: {reason: np.concatenate(pieces) for reason, pieces in by_reason.items()}
        for organ, by_reason in found.items()
    }
