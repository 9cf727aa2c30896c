"""export_combat: radiomics -> matrices as the harmonisation tool ComBat reads them.

ComBat takes neither missing nor constant values, so each image and organ is a matrix of its own,
of the scans that have it whole and all its features. What is left out is told, never filled in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from organome.domain.errors import SetupError
from organome.domain.stability_tables import Repeat
from organome.domain.tables import SCANS
from organome.io.files.atomic import write_text_atomic
from organome.io.tables.parquet import read_table
from organome.steps.radiomics.columns import RadiomicsTables

BATCH: Final = "SITE"  # neuroHarmonize insists on this name
_KEY: Final = ["participant", "instance"]
_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        n_matrices: Images times organs.
        n_samples: Scans in the largest of them.
        n_batches: Batches in all.
        n_left_out: Images times organs of which nothing can be harmonised.
    """

    n_matrices: int
    n_samples: int
    n_batches: int
    n_left_out: int

    def __str__(self) -> str:
        """Write it in one line."""
        return (
            f"{self.n_matrices} matrices of up to {self.n_samples} scans in {self.n_batches}"
            f" batches; of {self.n_left_out} organs there is too little"
        )


def run(
    *,
    tables: Path,
    output: Path,
    contrasts: Sequence[str] = (),
    organs: Sequence[str] = (),
    batch: Sequence[str] = ("manufacturer", "scanner_model", "field_strength_t"),
    covariates: Sequence[str] = (),
    participants: Path | None = None,
    stability: Path | None = None,
    repeat: Repeat = Repeat.VISITS,
    min_icc: float = 0.75,
    least_per_batch: int = 3,
) -> Exported:
    """Write a matrix of features for each image and organ.

    Args:
        tables: Folder that collect_tables published, with radiomics.
        output: Folder to write: ``<contrast>/<organ>/features.csv`` (features x samples),
            ``covars.csv`` (a row per sample) and ``left_out.csv``. Samples are scan keys.
        contrasts: Images to write; all when none is named.
        organs: Organs to write; all when none is named. Each is read on its own.
        batch: Columns of the scan table that make the batch, joined by a blank.
        covariates: Columns of the scan table to keep beside it, such as ``height_m``.
        participants: TSV with a column ``participant``, perhaps ``instance``; all its other columns
            become covariates.
        stability: Table of radiomics-stability; only features that repeat are written.
        repeat: Which repeats of it count.
        min_icc: ICC(2,1) that a feature must reach, by the lower end of its interval.
        least_per_batch: Scans that a batch must have.

    Raises:
        SetupError: If a table or column is missing.
    """
    scans = _samples(tables, batch, covariates)
    if participants is not None:
        scans = _with_participants(scans, participants)
    scans = scans.drop(columns=["participant"])
    radiomics = RadiomicsTables(tables)
    kept = None if stability is None else _repeating(stability, repeat, min_icc)
    sizes, batches, n_left_out = [], set[str](), 0
    for contrast, organ in radiomics.groups():
        if (contrasts and contrast not in contrasts) or (organs and organ not in organs):
            continue
        names = [
            name for name in radiomics.features if kept is None or (contrast, organ, name) in kept
        ]
        rows = radiomics.read(
            ["scan", "truncated", "na_reason", *names], contrast=contrast, organ=organ
        )
        matrix = _complete(rows, names, scans, least_per_batch=least_per_batch)
        if matrix.features.empty or matrix.features.columns.empty:
            n_left_out += 1
            continue
        _write(output / contrast / organ, matrix)
        sizes.append(len(matrix.features))
        batches |= set(matrix.covars[BATCH])
    return Exported(len(sizes), max(sizes, default=0), len(batches), n_left_out)


@dataclass(frozen=True, slots=True)
class _Matrix:
    features: pd.DataFrame  # a row per sample
    covars: pd.DataFrame  # likewise
    left_out: pd.DataFrame


def _samples(tables: Path, batch: Sequence[str], covariates: Sequence[str]) -> pd.DataFrame:
    """Read what is known of each scan; people and visits stay told apart without a name."""
    parts = sorted((tables / SCANS.name).glob("*.parquet"))
    if not parts:
        raise SetupError(f"{tables}: no tables, collect them first")
    unknown = sorted({*batch, *covariates} - {column.name for column in SCANS.columns})
    if unknown or not batch:
        raise SetupError(f"the scan table has no column {', '.join(unknown) or '(none is named)'}")
    columns = list(dict.fromkeys(["scan", "cohort", *_KEY, *batch, *covariates]))
    scans = pd.concat([read_table(part, columns=columns).to_pandas() for part in parts])
    told = scans[list(batch)].astype("string").fillna(_UNKNOWN)
    scans[BATCH] = told.agg(" ".join, axis=1)
    scans["subject"] = scans.groupby(["cohort", "participant"], sort=False).ngroup() + 1
    chosen: pd.DataFrame = scans[["scan", "participant", BATCH, "subject", "instance", *covariates]]
    return chosen


def _with_participants(scans: pd.DataFrame, path: Path) -> pd.DataFrame:
    try:
        told = pd.read_csv(path, sep="\t", dtype=dict.fromkeys(_KEY, str))
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: cannot be read as a table of participants") from error
    key = [name for name in _KEY if name in told.columns]
    if "participant" not in key or told.duplicated(key).any():
        raise SetupError(f"{path}: needs a column 'participant', and each of them once")
    return scans.merge(told, on=key, how="left")


def _repeating(stability: Path, repeat: Repeat, min_icc: float) -> set[tuple[str, str, str]]:
    rows = read_table(stability).to_pandas()
    rows = rows[(rows["repeat"] == repeat) & (rows["icc_agreement_low"] >= min_icc)]
    return set(rows[["contrast", "organ", "feature"]].itertuples(index=False, name=None))


def _complete(
    rows: pd.DataFrame, names: Sequence[str], scans: pd.DataFrame, *, least_per_batch: int
) -> _Matrix:
    """Leave out scans, then features, until nothing is missing and nothing is constant."""
    left_out: list[tuple[str, str]] = []
    table = rows.merge(scans, on="scan", validate="one_to_one").set_index("scan")
    covariates = [name for name in scans.columns if name != "scan"]
    for why, wrong in (
        ("organ_missing", table["truncated"].isna()),
        ("truncated", table["truncated"].eq(True)),
        ("feature_missing", table[list(names)].isna().any(axis=1)),
        ("covariate_missing", table[covariates].isna().any(axis=1)),
    ):
        wrong = wrong.reindex(table.index)
        left_out += [(sample, why) for sample in table.index[wrong]]
        table = table[~wrong]
    small = table.groupby(BATCH)[BATCH].transform("size") < least_per_batch
    left_out += [(sample, "batch_too_small") for sample in table.index[small]]
    table = table[~small]
    constant = [name for name in names if (table.groupby(BATCH)[name].nunique() < 2).any()]
    left_out += [(name, "constant_in_a_batch") for name in constant]
    used = [name for name in names if name not in constant]
    return _Matrix(table[used], table[covariates], pd.DataFrame(left_out, columns=["what", "why"]))


def _write(folder: Path, matrix: _Matrix) -> None:
    features = matrix.features.T.rename_axis("feature")
    covars = matrix.covars.rename_axis("sample")
    for name, table, index in (
        ("features.csv", features, True),
        ("covars.csv", covars, True),
        ("left_out.csv", matrix.left_out, False),
    ):
        write_text_atomic(folder / name, table.to_csv(index=index, lineterminator="\n"))
