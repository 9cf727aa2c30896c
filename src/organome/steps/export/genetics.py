"""Phenotypes as regenie and PLINK read them: FID, IID and a column for each quantity."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy

from organome.domain.columns import ColumnType, Table
from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic

PHENOTYPES, COVARIATES = "phenotypes.txt", "covariates.txt"
_NUMBERS: Final = (ColumnType.FLOAT64, ColumnType.INT32, ColumnType.INT64, ColumnType.BOOL)
_BLOM: Final = 3 / 8  # offset of ranks, Blom 1958
_OF_VISIT: Final = ("n_scans", "n_scans_done", "station")


def write_phenotypes(
    folder: Path, table: Table, rows: pa.Table, covariates: Sequence[str], *, is_normal: bool
) -> Path:
    """Write phenotypes, and the columns of scans as covariates.

    Args:
        folder: Where.
        table: Describes the rows.
        rows: A row per participant.
        covariates: Columns that go into the file of covariates, whatever their type.
        is_normal: Whether phenotypes are brought to a normal distribution by rank.

    Raises:
        SetupError: A participant has two rows, or a name that would read as two.
    """
    people = rows.column("participant").to_pandas()
    if people.duplicated().any():
        raise SetupError("a participant has several rows; name --instance and --protocol")
    if people.str.contains(r"\s").any():
        raise SetupError("a pseudonym holds a space, which separates columns here")
    ids = pd.DataFrame({"FID": people, "IID": people})
    taken = {*covariates, *_OF_VISIT}
    names = [
        one.name for one in table.all_columns if one.type in _NUMBERS and one.name not in taken
    ]
    numbers = {name: rows.column(name).cast(pa.float64()).to_pandas() for name in names}
    if is_normal:
        numbers = {name: inverse_normal(values) for name, values in numbers.items()}
    path = folder / PHENOTYPES
    write_text_atomic(path, _text(pd.concat([ids, pd.DataFrame(numbers)], axis=1)))
    if covariates:
        extra = pd.DataFrame({name: _covariate(rows.column(name)) for name in covariates})
        write_text_atomic(folder / COVARIATES, _text(pd.concat([ids, extra], axis=1)))
    return path


def inverse_normal(values: pd.Series) -> pd.Series:
    """Bring values to a standard normal distribution by their ranks; nulls stay, ties share.

    Source: Blom 1958; offset 3/8.
    """
    is_there = values.notna()
    made = pd.Series(np.nan, index=values.index)
    ranks = scipy.stats.rankdata(values[is_there])
    made[is_there] = scipy.special.ndtri((ranks - _BLOM) / (is_there.sum() + 1 - 2 * _BLOM))
    return made


def _covariate(column: pa.ChunkedArray) -> "pd.Series[Any]":
    """Return words without spaces, which separate columns there, and 0 or 1 for booleans."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values: pd.Series[Any] = column.to_pandas()
    if pa.types.is_string(column.type):
        values = values.str.strip().str.replace(r"\s+", "_", regex=True)
        values = values.where(values != "", None)
    return values


def _text(frame: pd.DataFrame) -> str:
    text = frame.to_csv(sep="\t", index=False, na_rep="NA", lineterminator="\n")
    return str(text)
