"""Scans with the batch and the covariates that ComBat takes, of the scan table and of a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa

from organome.domain.errors import SetupError
from organome.domain.tables import SCANS
from organome.io.tables.parquet import read_table
from organome.steps.radiomics.columns import find_parts, read_rows

BATCH: Final = "SITE"  # neuroHarmonize insists on this name
_KEY: Final = ["participant", "instance"]
_BIDS_KEY: Final = "participant_id"
_UNKNOWN: Final = "unknown"
_SEPARATORS: Final = {".tsv": "\t", ".csv": ","}
_MATCH: Final = "_match"
_RESERVED: Final = frozenset({"scan", "cohort", "subject", BATCH, _MATCH})  # columns of our own


@dataclass(frozen=True, slots=True)
class Samples:
    """Scans as samples.

    Attributes:
        scans: A row per scan: its key, batch, subject, instance and covariates; the batch is null
            where the covariate file lacks it.
        n_rows_unmatched: Rows of the covariate file that match no scan.
        n_scans_unmatched: Scans that match no row of the covariate file.
    """

    scans: pd.DataFrame
    n_rows_unmatched: int
    n_scans_unmatched: int


def read_samples(
    tables: Path, batch: Sequence[str], scan_columns: Sequence[str], extra: pd.DataFrame | None
) -> Samples:
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
    return Samples(chosen, n_rows_unmatched, n_scans_unmatched)


def read_covariates(path: Path, batch: Sequence[str], scan_columns: Sequence[str]) -> pd.DataFrame:
    """Read the covariate file; keys and batches are text, or 007 would be 7 and 11025 11025.0."""
    kind = path.suffix.lower()
    if kind not in (*_SEPARATORS, ".parquet"):
        raise SetupError(f"{path}: covariates are a .tsv, .csv or .parquet file")
    try:
        if kind == ".parquet":
            table = _read_parquet(path, batch)
        else:
            texts = dict.fromkeys([*_KEY, _BIDS_KEY, *batch], str)
            table = pd.read_csv(path, sep=_SEPARATORS[kind], dtype=texts, encoding="utf-8-sig")
    except (OSError, ValueError):  # of Arrow and pandas, too; their text may quote a row
        raise SetupError(f"{path}: cannot be read as a {kind} table") from None
    if _BIDS_KEY in table.columns and _KEY[0] not in table.columns:  # participants.tsv of BIDS
        table = table.rename(columns={_BIDS_KEY: _KEY[0]})
        table[_KEY[0]] = table[_KEY[0]].str.removeprefix("sub-")
    columns = [str(name) for name in table.columns]
    if _KEY[0] not in columns:
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
