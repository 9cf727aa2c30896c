"""repeatability: organs measured twice -> within-subject variation, limits of agreement, ICC."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from organome.compute.metrics.bland_altman import MIN_PAIRS
from organome.compute.metrics.columns import (
    agreement_columns,
    correlation_columns,
    estimate_columns,
)
from organome.compute.metrics.paired import NO_PAIRS, paired_estimates
from organome.compute.metrics.within_subject import detectable_change
from organome.domain.errors import SetupError
from organome.domain.organs import ORGAN_BY_NAME
from organome.io.files.atomic import write_text_atomic
from organome.io.report_tables import ReportTable, index_page, write_table_files
from organome.steps.compare.volumes import by_number, read_volumes

PAGE: Final = "repeatability.md"
_OVERLAPS: Final = "*/overlaps.parquet"
_VOLUME: Final = "original_shape_VoxelVolume"  # of the part that both stations show, in mm3
_PAIR: Final = ["participant", "protocol", "organ", "first", "second"]
_OF_VISITS: Final = ["participant", "array", "protocol", "station", "organ"]
_OF_REPEATS: Final = ["participant", "instance", "protocol", "station", "organ"]
_OF_STATIONS: Final = ["participant", "instance", "array", "protocol", "seam", "contrast", "organ"]


class Twice(StrEnum):
    """What was measured twice."""

    VISITS = "visits"
    REPEATS = "repeats"
    STATIONS = "stations"


@dataclass(frozen=True, slots=True)
class Repeated:
    """What was found: organs with at least three pairs, by what was measured twice."""

    n_organs: dict[str, int]
    page: Path

    def __str__(self) -> str:
        """Write it as plain text."""
        lines = [
            f"{twice}: {n} organs with {MIN_PAIRS} pairs" for twice, n in self.n_organs.items()
        ]
        return "\n".join([*lines, f"written: {self.page}"])


def run(
    run_folder: Path,
    /,
    *,
    output: Path,
    first_instance: str = "2",
    second_instance: str = "3",
    protocol: str | None = None,
    overlaps: Path | None = None,
) -> Repeated:
    """Compute how well the volumes of the organs repeat.

    Args:
        run_folder: Folder of the run.
        output: Folder for the table (CSV, Markdown, LaTeX) and ``repeatability.md``.
        first_instance: One visit of a participant, as the biobank counts.
        second_instance: The other. Between them organs truly change, too.
        protocol: What was acquired, where pairs are of several protocols.
        overlaps: Folder that measure-overlaps published: the parts of organs that neighbouring
            stations both show, within minutes.

    Raises:
        SetupError: Nothing was measured twice, or several protocols were: which one is meant?
    """
    rows = read_volumes(run_folder, protocol)
    found = {
        Twice.VISITS: _pairs(rows, _OF_VISITS, "instance", (first_instance, second_instance)),
        Twice.REPEATS: _of_repeats(rows),
    }
    if overlaps is not None:
        found[Twice.STATIONS] = _of_stations(overlaps, protocol)
    _check_protocols(found, run_folder)
    listed = set(rows["organ"]).union(*(pairs["organ"] for pairs in found.values()))
    organs = [one for one in dict.fromkeys((*ORGAN_BY_NAME, *sorted(listed))) if one in listed]
    made = [
        row for twice, pairs in found.items() if len(pairs) for row in _rows(twice, pairs, organs)
    ]
    if not made:
        raise SetupError(
            f"{run_folder}: no organ has a volume at instance {first_instance} and"
            f" {second_instance}, none was repeated within a visit"
            f"{'' if overlaps else ', and no --overlaps of stations are given'}"
        )
    table = ReportTable(
        "repeatability",
        "Repeatability of organ volumes",
        "twice: visits (two instances; what truly changed counts, too), repeats (neighbouring ones "
        "of a protocol within a visit), stations (the part of an organ that neighbouring stations "
        "both show). n: pairs with both volumes, of n_participants; of visits and repeats whole "
        "organs only. cv: within-subject "
        "coefficient of variation, the root mean square of SD / mean of each pair; cv_log: the "
        "same by logarithms (Bland and Altman 1996). detectable: smallest change of one person "
        "that is more than measuring twice brings about in 95 of 100, 1.96 sqrt(2) cv. bias: "
        "second less first; lower, upper: limits of agreement, bias "
        "-/+ 1.96 SD; pct: per cent of the mean of the pair; low, high: 95 % confidence, by a "
        "bootstrap over participants where one has several pairs. icc: "
        "ICC(2,1), absolute agreement. "
        f"A dash: fewer than {MIN_PAIRS} pairs; for low and high, fewer than {MIN_PAIRS} "
        "participants.",
        pd.DataFrame(made),
    )
    write_table_files(output, table)
    write_text_atomic(output / PAGE, index_page("Repeatability", [], [table], [], tables="."))
    counts = table.frame[table.frame["n"] >= MIN_PAIRS].groupby("twice").size()
    return Repeated({twice: int(counts.get(twice, 0)) for twice in found}, output / PAGE)


def _check_protocols(found: Mapping[Twice, pd.DataFrame], run_folder: Path) -> None:
    """Refuse pairs of several protocols in one row.

    Raises:
        SetupError: Pairs are of several protocols.
    """
    for twice, pairs in found.items():
        if len(known := sorted(pairs["protocol"].unique())) > 1:
            raise SetupError(
                f"{run_folder}: {twice} are of several protocols ({', '.join(known)});"
                " --protocol names one"
            )


def _pairs(rows: pd.DataFrame, key: list[str], by: str, ends: tuple[str, str]) -> pd.DataFrame:
    """Return pairs of volumes of one key, columns ``_PAIR``."""
    known = _with_stations(rows)
    one, other = (
        known[known[by] == end].drop_duplicates(key).set_index(key)["volume_ml"] for end in ends
    )
    pairs = pd.concat({"first": one, "second": other}, axis=1, join="inner").dropna()
    return pairs.reset_index()[_PAIR]


def _of_repeats(rows: pd.DataFrame) -> pd.DataFrame:
    """Return pairs of neighbouring repeats of a protocol within a visit, of those with a volume."""
    known = _with_stations(rows.dropna(subset=["volume_ml"]))
    known = known.assign(array=by_number(known["array"])).drop_duplicates([*_OF_REPEATS, "array"])
    known = known.sort_values("array").rename(columns={"volume_ml": "second"})
    pairs = known.assign(first=known.groupby(_OF_REPEATS)["second"].shift())
    return pairs.dropna(subset=["first"])[_PAIR]


def _with_stations(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(station=rows["station"].astype("string").fillna(""))


def _of_stations(overlaps: Path, protocol: str | None) -> pd.DataFrame:
    paths = sorted(overlaps.glob(_OVERLAPS))
    if not paths:
        raise SetupError(f"{overlaps}: no overlaps in it; `organome measure-overlaps` makes them")
    if _VOLUME not in pq.read_schema(paths[0]).names:
        raise SetupError(f"{overlaps}: measured without {_VOLUME}; the shape class has it")
    columns = [*_OF_STATIONS, "station", _VOLUME]
    rows = pd.concat([pq.read_table(path, columns=columns).to_pandas() for path in paths])
    if protocol is not None:
        rows = rows[rows["protocol"] == protocol]
    rows = rows.drop_duplicates([*_OF_STATIONS[:5], "organ", "station"])  # any image: one labelmap
    rows["volume_ml"] = rows[_VOLUME] / 1000
    rows["which"] = np.where(rows["station"] == rows["seam"], "above", "below")
    key = [name for name in _OF_STATIONS if name != "contrast"]
    return _pairs(rows, key, "which", ("above", "below"))


def _rows(twice: Twice, pairs: pd.DataFrame, organs: Sequence[str]) -> Iterator[dict[str, Any]]:
    volumes = pairs[["first", "second"]].to_numpy(np.float64)
    estimates = paired_estimates(  # bias: second less first
        volumes[:, ::-1], pairs["organ"].tolist(), pairs["participant"].tolist()
    )
    means = pairs.assign(mean=volumes.mean(axis=1)).groupby("organ")["mean"].mean()
    n_pairs = pairs["organ"].value_counts()
    for organ in organs:
        found, n = estimates.get(organ, NO_PAIRS), int(n_pairs.get(organ, 0))
        yield {
            "twice": twice.value,
            "organ": organ,
            "n": n,
            "n_participants": found.n_participants,
            "na_reason": None if n >= MIN_PAIRS else "too_few_pairs",
            "mean_ml": float(means[organ]) if n else None,
            **estimate_columns("cv", found.within.cv_pct, "pct"),
            **estimate_columns("cv_log", found.within.cv_log_pct, "pct"),
            **estimate_columns("detectable", detectable_change(found.within.cv_pct), "pct"),
            **agreement_columns(found.agreement.absolute, "ml"),
            **agreement_columns(found.agreement.percent, "pct"),
            **correlation_columns(found.icc),
        }
