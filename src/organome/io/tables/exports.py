"""Tables as CSV, Stata, SPSS, R and Parquet, with labels, factors and missing codes.

A null keeps its reason: in Stata as one of the missing values ``.a`` to ``.z``, in SPSS as a
user-missing number, both labelled; in CSV, R and Parquet by the column that explains it.
"""

import gzip
from collections.abc import Callable, Mapping
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from organome.domain.columns import Column, ColumnType, Table
from organome.io.files.atomic import atomic_path, write_bytes_atomic
from organome.io.tables.codebooks import STATA_LETTERS, missing_codes, missing_labels, stata_name
from organome.io.tables.parquet import arrow_schema, write_table

_LABEL_LETTERS: Final = 80  # of Stata
_SPSS_MISSING: Final = -1_000_000  # no measured quantity reaches it
_NULL_INT: Final = np.iinfo(np.int32).min  # NA of R's integers and logicals
_NULL_REAL: Final = np.uint64(0x7FF00000000007A2).view(np.float64)  # NA of R, one of many NaN


class ExportFormat(StrEnum):
    """Formats in which a table can be exported; values are the suffixes."""

    CSV = "csv"
    DTA = "dta"
    PARQUET = "parquet"
    RDS = "rds"
    SAV = "sav"


def write_export(path: Path, table: Table, rows: pa.Table) -> None:
    """Write the rows of a table in the format that the suffix names.

    Args:
        path: The file.
        table: Describes every column.
        rows: The rows, with the columns of the table in its order.
    """
    _WRITERS[ExportFormat(path.suffix.removeprefix("."))](path, table, rows)


def _write_csv(path: Path, table: Table, rows: pa.Table) -> None:  # noqa: ARG001
    with atomic_path(path) as temporary:
        pa_csv.write_csv(rows, temporary, pa_csv.WriteOptions(quoting_style="needed"))


def _write_parquet(path: Path, table: Table, rows: pa.Table) -> None:
    described = pa.table(rows.columns, schema=arrow_schema(table))
    write_table(path, described, sorted_by=table.sorted_by)


def _write_stata(path: Path, table: Table, rows: pa.Table) -> None:
    import pyreadstat  # needed here only

    frame, value_labels = _coded(table, rows, lambda letter: letter)
    names = {column.name: stata_name(column.name) for column in table.all_columns}
    letters = {
        names[column.name]: list(missing_labels(_reasons(table, column)))
        for column in table.all_columns
        if column.missing and column.type is not ColumnType.STRING
    }
    with atomic_path(path) as temporary:
        pyreadstat.write_dta(
            frame.rename(columns=names),
            temporary,
            file_label=table.name,
            column_labels=[_label(column, _LABEL_LETTERS) for column in table.all_columns],
            missing_user_values=letters,
            variable_value_labels={names[name]: labels for name, labels in value_labels.items()},
            version=15,
        )


def _write_spss(path: Path, table: Table, rows: pa.Table) -> None:
    import pyreadstat

    frame, value_labels = _coded(
        table, rows, lambda letter: float(_SPSS_MISSING - STATA_LETTERS.index(letter))
    )
    lowest = float(_SPSS_MISSING - len(STATA_LETTERS) + 1)
    missing: dict[str, Any] = {
        column.name: [{"lo": lowest, "hi": float(_SPSS_MISSING)}]
        for column in table.all_columns
        if column.missing and column.type is not ColumnType.STRING
    }
    with atomic_path(path) as temporary:
        pyreadstat.write_sav(
            frame,
            temporary,
            file_label=table.name,
            column_labels=[_label(column, 250) for column in table.all_columns],
            missing_ranges=missing,
            variable_value_labels=value_labels,
        )


def _coded(
    table: Table, rows: pa.Table, code: Callable[[str], Any]
) -> tuple[pd.DataFrame, dict[str, dict[Any, str]]]:
    """Turn rows into a frame whose nulls are codes where a column says why they are null."""
    columns: dict[str, Any] = {}
    value_labels: dict[str, dict[Any, str]] = {}
    for column in table.all_columns:
        values = rows.column(column.name)
        if column.type is ColumnType.STRING:
            columns[column.name] = values.to_pandas().astype(object).where(values.is_valid(), None)
            continue
        numbers = values.cast(pa.float64()).to_pandas()
        labels: dict[Any, str] = {}
        if column.type is ColumnType.BOOL:
            labels = {0.0: "no", 1.0: "yes"}
        if column.missing and column.missing in rows.column_names:
            reasons = _reasons(table, column)
            letters = rows.column(column.missing).to_pandas().map(missing_codes(reasons))
            is_coded = numbers.isna() & letters.notna()
            if is_coded.any():
                codes = letters[is_coded].map(code)
                numbers = numbers.astype(object) if isinstance(codes.iloc[0], str) else numbers
                numbers[is_coded] = codes
                labels |= {code(one): text for one, text in missing_labels(reasons).items()}
        columns[column.name] = numbers
        if labels:
            value_labels[column.name] = labels
    return pd.DataFrame(columns), value_labels


def _reasons(table: Table, column: Column) -> tuple[str, ...]:
    return next((one.levels for one in table.all_columns if one.name == column.missing), ())


def _label(column: Column, n_letters: int) -> str:
    text = f"{column.meaning.removesuffix('.')} [{column.unit}]" if column.unit else column.meaning
    return text if len(text) <= n_letters else f"{text[: n_letters - 3]}..."


def _write_rds(path: Path, table: Table, rows: pa.Table) -> None:
    """Write a data frame of R: strings with levels are factors, labels and units are attributes."""
    from rdata.conversion import ConverterFromPythonToR
    from rdata.conversion.to_r import build_r_object
    from rdata.parser import RObjectType
    from rdata.unparser import unparse_fileobj

    converter = ConverterFromPythonToR()

    def vector(column: Column) -> Any:
        kind, values, attributes = _r_vector(column, rows.column(column.name))
        plain = converter.convert_to_r_object(values)
        return build_r_object(
            RObjectType[kind],
            value=plain.value,
            is_object="class" in attributes,
            attributes=converter.convert_to_r_attributes(
                {name: np.array(text, dtype="U") for name, text in attributes.items()}
            ),
        )

    attributes = {
        "names": np.array(rows.column_names, dtype="U"),
        "row.names": np.array([_NULL_INT, -rows.num_rows], dtype=np.int32),
        "class": np.array(["data.frame"], dtype="U"),
    }
    data = converter.convert_to_r_data(None)  # with the header of such a file
    data.object = build_r_object(
        RObjectType.VEC,
        value=[vector(column) for column in table.all_columns],
        is_object=True,
        attributes=converter.convert_to_r_attributes(attributes),
    )
    content = BytesIO()
    unparse_fileobj(content, data)
    write_bytes_atomic(path, gzip.compress(content.getvalue(), mtime=0))


def _r_vector(column: Column, values: pa.ChunkedArray) -> tuple[str, Any, dict[str, list[str]]]:
    """Return the type, values and attributes of a vector of R."""
    attributes = {"label": [column.meaning]} | ({"units": [column.unit]} if column.unit else {})
    is_valid = values.is_valid().to_numpy()
    if column.type is ColumnType.STRING and column.levels:
        codes = {level: place for place, level in enumerate(column.levels, start=1)}
        numbers = [codes.get(value, _NULL_INT) for value in values.to_pylist()]
        factor = {"levels": list(column.levels), "class": ["factor"]}
        return "INT", np.array(numbers, dtype=np.int32), attributes | factor
    if column.type is ColumnType.STRING:
        return "STR", np.array(values.to_pylist(), dtype=object), attributes
    if column.type in (ColumnType.FLOAT64, ColumnType.INT64):
        numbers = values.cast(pa.float64()).fill_null(0.0).to_numpy().copy()
        numbers[~is_valid] = _NULL_REAL
        return "REAL", numbers, attributes
    numbers = values.cast(pa.int32()).fill_null(0).to_numpy().copy()
    numbers[~is_valid] = _NULL_INT
    return "LGL" if column.type is ColumnType.BOOL else "INT", numbers, attributes


_WRITERS: Final[Mapping[ExportFormat, Callable[[Path, Table, pa.Table], None]]] = {
    ExportFormat.CSV: _write_csv,
    ExportFormat.DTA: _write_stata,
    ExportFormat.PARQUET: _write_parquet,
    ExportFormat.RDS: _write_rds,
    ExportFormat.SAV: _write_spss,
}
