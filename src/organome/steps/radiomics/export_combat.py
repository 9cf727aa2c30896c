"""export_combat: radiomics -> matrices as the harmonisation tool ComBat reads them.

ComBat takes neither missing nor constant values, so each image and organ is a matrix of its own,
of the scans that have it whole and all its features. What is left out is listed, never filled in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa

from organome.domain.errors import SetupError
from organome.domain.radiomics_tables import RADIOMICS
from organome.domain.stability_tables import Repeat
from organome.domain.tables import SCANS
from organome.io.files.atomic import write_text_atomic
from organome.io.tables.parquet import read_table
from organome.steps.radiomics.columns import (
    features_of,
    find_parts,
    measured_groups,
    read_rows,
)

BATCH: Final = "SITE"  # neuroHarmonize insists on this name
_KEY: Final = ["participant", "instance"]
_UNKNOWN: Final = "unknown"
_SEPARATORS: Final = {".tsv": "\t", ".csv": ","}
_MATCH: Final = "_match"
_RESERVED: Final = frozenset({"scan", "cohort", "subject", BATCH, _MATCH})  # columns of our own


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        n_matrices: Images times organs.
        n_samples: Scans in the largest of them.
        n_batches: Batches in all.
        n_left_out: Images times organs of which nothing can be harmonised.
        n_rows_unmatched: Rows of the covariate file that match no scan.
        n_scans_unmatched: Scans that match no row of the covariate file.
    """

    n_matrices: int
    n_samples: int
    n_batches: int
    n_left_out: int
    n_rows_unmatched: int = 0
    n_scans_unmatched: int = 0

    def __str__(self) -> str:
        """Format the result in one line."""
        line = (
            f"{self.n_matrices} matrices of up to {self.n_samples} scans in {self.n_batches}"
            f" batches; {self.n_left_out} organs have too few scans or features"
        )
        if self.n_rows_unmatched or self.n_scans_unmatched:
            line += (
                f"; covariates: {self.n_rows_unmatched} rows match no scan,"
                f" {self.n_scans_unmatched} scans match no row"
            )
        return line


def run(
    *,
    tables: Path,
    output: Path,
    contrasts: Sequence[str] = (),
    organs: Sequence[str] = (),
    batch: Sequence[str] = ("manufacturer", "scanner_model", "field_strength_t"),
    covariates: Path | None = None,
    scan_columns: Sequence[str] = (),
    stability: Path | None = None,
    repeat: Repeat = Repeat.VISITS,
    min_icc: float = 0.75,
    min_per_batch: int = 3,
) -> Exported:
    """Write a matrix of features for each image and organ.

    Args:
        tables: Folder that collect_tables published, with radiomics.
        output: Folder to write: ``<contrast>/<organ>/features.csv`` (features x samples),
            ``covars.csv`` (a row per sample) and ``left_out.csv``. Samples are scan keys.
        contrasts: Images to write; all when none is named.
        organs: Organs to write; all when none is named. Each is read on its own.
        batch: Columns of the scan table or of the covariate file that make up the batch, joined by
            a space: the scanner by default, the assessment centre in UK Biobank.
        covariates: TSV, CSV or Parquet file with a column ``participant`` and optionally
            ``instance``, both text; its other columns become covariates.
        scan_columns: Columns of the scan table to keep as covariates, such as ``height_m``.
        stability: Table of radiomics-stability; only features that repeat are written.
        repeat: Which repeats of it count.
        min_icc: ICC(2,1) that a feature must reach, by the lower end of its interval.
        min_per_batch: Scans that a batch must have.

    Raises:
        SetupError: If a table or column is missing, or the covariate file cannot be joined.
    """
    extra = None if covariates is None else _read_covariates(covariates, batch, scan_columns)
    samples = _samples(tables, batch, scan_columns, extra)
    scans = samples.scans
    parts = find_parts(tables, RADIOMICS)
    features = features_of(parts[0])
    kept = None if stability is None else _repeating(stability, repeat, min_icc)
    sizes, batches, n_left_out = [], set[str](), 0
    for contrast, organ in measured_groups(parts):
        if (contrasts and contrast not in contrasts) or (organs and organ not in organs):
            continue
        names = [name for name in features if kept is None or (contrast, organ, name) in kept]
        columns = ["scan", "truncated", *names]
        rows = read_rows(parts, columns, contrast=[contrast], organ=[organ])
        matrix = _complete(rows, names, scans, min_per_batch=min_per_batch)
        if matrix.features.empty or matrix.features.columns.empty:
            n_left_out += 1
            continue
        _write(output / contrast / organ, matrix)
        sizes.append(len(matrix.features))
        batches |= set(matrix.covars[BATCH])
    return Exported(
        n_matrices=len(sizes),
        n_samples=max(sizes, default=0),
        n_batches=len(batches),
        n_left_out=n_left_out,
        n_rows_unmatched=samples.n_rows_unmatched,
        n_scans_unmatched=samples.n_scans_unmatched,
    )


@dataclass(frozen=True, slots=True)
class _Matrix:
    features: pd.DataFrame  # a row per sample
    covars: pd.DataFrame  # likewise
    left_out: pd.DataFrame


@dataclass(frozen=True, slots=True)
class _Samples:
    scans: pd.DataFrame  # a row per scan; the batch is null where the covariate file lacks it
    n_rows_unmatched: int
    n_scans_unmatched: int


def _samples(
    tables: Path, batch: Sequence[str], scan_columns: Sequence[str], extra: pd.DataFrame | None
) -> _Samples:
    """Read what is known of each scan; people are numbers, so that no pseudonym is written."""
    parts = find_parts(tables, SCANS.name)
    known = [column.name for column in SCANS.columns]
    in_file = [] if extra is None else [name for name in extra.columns if name not in _KEY]
    unknown = sorted({*batch, *scan_columns} - {*known, *(set(in_file) & set(batch))})
    if unknown or not batch:
        raise SetupError(
            f"no column {', '.join(unknown) or 'named for the batch'}; the scan table has"
            f" {', '.join(known)}"
            + (f"\nthe covariate file has {', '.join(in_file)}" if extra is not None else "")
        )
    of_scan = [name for name in batch if name not in in_file]
    columns = list(dict.fromkeys(["scan", "cohort", *_KEY, *of_scan, *scan_columns]))
    scans = read_rows(parts, columns)
    scans["subject"] = scans.groupby(["cohort", "participant"], sort=False).ngroup() + 1
    names = scans[of_scan].astype("string").fillna(_UNKNOWN)
    n_rows_unmatched = n_scans_unmatched = 0
    if extra is not None:
        key = [name for name in _KEY if name in extra.columns]
        n_rows_unmatched = len(extra) - len(extra.merge(scans[key].drop_duplicates(), on=key))
        scans = scans.merge(extra, on=key, how="left", indicator=_MATCH)
        n_scans_unmatched = int(scans.pop(_MATCH).ne("both").sum())
    for name in set(batch) - set(of_scan):
        names[name] = scans[name].astype("string")
    scans[BATCH] = reduce(lambda left, right: left + " " + right, (names[one] for one in batch))
    kept = [name for name in in_file if name not in batch]
    chosen = scans[["scan", BATCH, "subject", "instance", *scan_columns, *kept]]
    return _Samples(chosen, n_rows_unmatched, n_scans_unmatched)


def _read_covariates(path: Path, batch: Sequence[str], scan_columns: Sequence[str]) -> pd.DataFrame:
    """Read the covariate file; keys and batches are text, or 007 would be 7 and 11025 11025.0."""
    kind = path.suffix.lower()
    if kind not in (*_SEPARATORS, ".parquet"):
        raise SetupError(f"{path}: covariates are a .tsv, .csv or .parquet file")
    try:
        if kind == ".parquet":
            table = _read_parquet(path, batch)
        else:
            texts = dict.fromkeys([*_KEY, *batch], str)
            table = pd.read_csv(path, sep=_SEPARATORS[kind], dtype=texts, encoding="utf-8-sig")
    except (OSError, ValueError):  # of Arrow and pandas, too; their text may quote a row
        raise SetupError(f"{path}: cannot be read as a {kind} table") from None
    columns = [str(name) for name in table.columns]
    if "participant" not in columns:
        raise SetupError(f"{path}: no column 'participant'; it has {', '.join(columns)}")
    key = [name for name in _KEY if name in columns]
    for name in key:
        if not all(isinstance(value, str) for value in table[name]):
            raise SetupError(f"{path}: column {name!r} must be text, and empty nowhere")
    n_repeated = int(table.duplicated(key).sum())
    if n_repeated:
        raise SetupError(f"{path}: {n_repeated} rows repeat the {' and '.join(key)} of another row")
    of_scans = {column.name for column in SCANS.columns} & {*batch, *scan_columns}
    taken = [name for name in columns if name not in key and name in {*of_scans, *_RESERVED}]
    if taken:
        raise SetupError(f"{path}: rename {', '.join(taken)}; another column has that name")
    return table


def _read_parquet(path: Path, batch: Sequence[str]) -> pd.DataFrame:
    content = read_table(path)
    for name in {*batch} & {*content.column_names}:
        at = content.column_names.index(name)
        content = content.set_column(at, name, content.column(name).cast(pa.string()))
    frame: pd.DataFrame = content.replace_schema_metadata(None).to_pandas()
    return frame


def _repeating(stability: Path, repeat: Repeat, min_icc: float) -> set[tuple[str, str, str]]:
    rows = read_table(stability).to_pandas()
    rows = rows[(rows["repeat"] == repeat) & (rows["icc_agreement_low"] >= min_icc)]
    return set(rows[["contrast", "organ", "feature"]].itertuples(index=False, name=None))


def _complete(
    rows: pd.DataFrame, names: Sequence[str], scans: pd.DataFrame, *, min_per_batch: int
) -> _Matrix:
    """Leave out scans, then features, until nothing is missing and nothing is constant."""
    left_out: list[tuple[str, str]] = []
    table = rows.merge(scans, on="scan", validate="one_to_one").set_index("scan")
    covariates = [name for name in scans.columns if name != "scan"]
    for why, wrong in (
        ("organ_missing", table["truncated"].isna()),
        ("truncated", table["truncated"].eq(True)),
        ("feature_missing", table[list(names)].isna().any(axis=1)),
        ("batch_missing", table[BATCH].isna()),
        ("covariate_missing", table[covariates].isna().any(axis=1)),
    ):
        wrong = wrong.reindex(table.index)
        left_out += [(sample, why) for sample in table.index[wrong]]
        table = table[~wrong]
    small = table.groupby(BATCH)[BATCH].transform("size") < min_per_batch
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
