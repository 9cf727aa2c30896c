"""radiomics_stability: features measured twice -> how well each repeats, by organ and image.

Three kinds of repeats. The same participants at two visits: all that differs between visits
counts, what truly changed in the years as well. The overlap of neighbouring stations
(measure_overlaps): the same tissue within minutes, so nothing has changed; but thin, and at the
ends of stations. And one scan perturbed: its labels or its image a little changed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.estimates import Estimate
from organome.compute.metrics.repeatability import repeatability
from organome.domain.errors import SetupError
from organome.domain.radiomics_tables import RADIOMICS
from organome.domain.stability_tables import STABILITY, Grade, Repeat, grade_of
from organome.domain.tables import SCANS
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.steps.radiomics.columns import feature_groups, find_parts, read_rows
from organome.steps.radiomics.measure_overlaps import OVERLAPS_FILE
from organome.steps.radiomics.perturbed import measure_perturbed

_VISITS_KEY: Final = ["cohort", "participant", "array", "protocol", "station", "contrast", "organ"]
_STATIONS_KEY: Final = [*_VISITS_KEY[:4], "instance", "seam", "contrast", "organ"]


@dataclass(frozen=True, slots=True)
class Stability:
    """What was found.

    Attributes:
        rows: Rows of the table.
        grades: Features by repeat, contrast and feature class (rows) and grade (columns).
        organs: Share of features that are at least good, by repeat and contrast (columns) and
            organ (rows), and the median number of pairs.
    """

    rows: int
    grades: pd.DataFrame
    organs: pd.DataFrame

    def __str__(self) -> str:
        """Write it as plain text."""
        return "\n".join(
            [
                f"{self.rows} features of organs. Features by the lower end of ICC(2,1):",
                self.grades.to_string(),
                "",
                "Share of features that repeat well (good or excellent), and pairs:",
                self.organs.to_string(float_format=lambda share: f"{share:.2f}", na_rep="-"),
            ]
        )


def run(
    *,
    tables: Path,
    output: Path,
    first_instance: str = "2",
    second_instance: str = "3",
    overlaps: Path | None = None,
    perturb: Path | None = None,
    other_runs: Sequence[Path] = (),
    n_scans: int = 50,
) -> Stability:
    """Compute how well features repeat.

    Args:
        tables: Folder that collect_tables published, with radiomics.
        output: Table to write.
        first_instance: One visit of a participant, as the biobank counts.
        second_instance: The other. Organs that are cut at either are left out.
        overlaps: Folder that measure_overlaps published: stations are compared, too.
        perturb: Run folder whose scans are measured again with labels grown and shrunk by a voxel,
            moved by a quarter of a voxel, and with noise added.
        other_runs: Run folders in which the same scans were labelled otherwise, by another fold or
            on another contrast: their labels are perturbations, too.
        n_scans: Scans to perturb, one of a participant, from the first shard on.

    Raises:
        SetupError: If nothing was measured twice.
    """
    rows = list(_of_visits(tables, first_instance, second_instance))
    if overlaps is not None:
        rows += _of_stations(overlaps)
    if perturb is not None:
        rows += _of_perturbed(perturb, other_runs, n_scans)
    elif other_runs:
        raise SetupError("--other-runs are compared with the run of --perturb, which is missing")
    if not rows:
        raise SetupError(
            f"{tables}: no participant has instance {first_instance} and {second_instance} with"
            " radiomics, and neither overlaps of stations nor a run to perturb are given"
        )
    rows.sort(key=lambda row: [row[name] for name in STABILITY.key])
    write_table(output, rows_to_arrow(STABILITY, rows))
    return _summary(pd.DataFrame(rows))


def _of_visits(tables: Path, first: str, second: str) -> Iterator[dict[str, Any]]:
    columns = ["scan", "cohort", "participant", "instance"]
    scans = read_rows(find_parts(tables, SCANS.name), columns, instance=[first, second])
    n_visits = scans.groupby(["cohort", "participant"])["instance"].transform("nunique")
    twice = scans["scan"][n_visits == 2].tolist()
    if not twice:
        return
    parts = find_parts(tables, RADIOMICS)
    for features in feature_groups(parts[0]):
        keys = [*_VISITS_KEY, "instance", "truncated"]
        rows = read_rows(parts, [*keys, *features], scan=twice)
        rows = rows[rows["truncated"].eq(False)]
        for name in ("array", "station"):
            rows[name] = rows[name].astype("string").fillna("")
        pairs = _pairs(rows, _VISITS_KEY, by="instance", ends=(first, second), features=features)
        yield from _stability_rows(Repeat.VISITS, *pairs, features)


def _of_stations(overlaps: Path) -> Iterator[dict[str, Any]]:
    paths = sorted(overlaps.glob(f"*/{OVERLAPS_FILE}"))
    if not paths:
        raise SetupError(f"{overlaps}: no overlaps, measure them first")
    for features in feature_groups(paths[0]):
        rows = read_rows(paths, [*_STATIONS_KEY, "station", *features])
        rows["which"] = np.where(rows["station"] == rows["seam"], "above", "below")
        pairs = _pairs(rows, _STATIONS_KEY, by="which", ends=("above", "below"), features=features)
        yield from _stability_rows(Repeat.STATIONS, *pairs, features)


def _pairs(
    rows: pd.DataFrame, key: list[str], *, by: str, ends: tuple[str, str], features: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pick the rows that are there twice, each part in the same order."""
    first, second = (
        rows[rows[by] == end].drop_duplicates(key).set_index(key)[list(features)] for end in ends
    )
    both = first.index.intersection(second.index, sort=False)
    return first.loc[both], second.loc[both]


def _stability_rows(
    repeat: Repeat, first: pd.DataFrame, second: pd.DataFrame, features: Sequence[str]
) -> Iterator[dict[str, Any]]:
    groups: dict[Any, Any] = first.reset_index().groupby(["contrast", "organ"]).indices
    for group, places in groups.items():
        contrast, organ = group
        one, other = (frame.iloc[places] for frame in (first, second))
        for feature in features:
            values = np.column_stack((one[feature], other[feature]))
            yield _stability_row(repeat, contrast, organ, feature, values)


def _of_perturbed(
    perturb: Path, other_runs: Sequence[Path], n_scans: int
) -> Iterator[dict[str, Any]]:
    features, found = measure_perturbed(perturb, other_runs, n_scans)
    for (repeat, contrast, organ), values in found.items():
        for place, feature in enumerate(features):
            of_feature = values[:, :, place]
            if not np.isnan(of_feature).all():
                yield _stability_row(repeat, contrast, organ, feature, of_feature)


def _stability_row(
    repeat: Repeat, contrast: str, organ: str, feature: str, values: Floats
) -> dict[str, Any]:
    """Make a row of measurements (subjects, repeats)."""
    found = repeatability(values)
    low = None if found.agreement is None else found.agreement.low
    return {
        "repeat": repeat.value,
        "contrast": contrast,
        "organ": organ,
        "feature": feature,
        "n_pairs": found.n_subjects,
        **_named("icc_agreement", found.agreement),
        **_named("icc_consistency", found.consistency),
        "grade": None if low is None else grade_of(low).value,
    }


def _named(name: str, found: Estimate | None) -> dict[str, float | None]:
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _summary(rows: pd.DataFrame) -> Stability:
    rows["class"] = rows["feature"].str.split("_").str[1]
    grades = rows.assign(grade=rows["grade"].fillna("none")).pivot_table(
        index=["repeat", "contrast", "class"],
        columns="grade",
        values="feature",
        aggfunc="count",
        fill_value=0,
    )
    order = [name for name in (*Grade, "none") if name in grades.columns]
    rows["repeats well"] = rows["grade"].isin([Grade.EXCELLENT, Grade.GOOD]).astype(float)
    rows["repeats well"] = rows["repeats well"].where(rows["grade"].notna())
    organs = rows.pivot_table(
        index="organ", columns=["repeat", "contrast"], values=["repeats well", "n_pairs"]
    )
    return Stability(rows=len(rows), grades=grades[order], organs=organs)
