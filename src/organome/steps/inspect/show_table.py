"""Print some rows of a table as plain text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from organome.domain.errors import SetupError


def run(
    *, table: Path, columns: Sequence[str] = (), where: Sequence[str] = (), n_rows: int = 20
) -> str:
    """Print the first rows of a Parquet table.

    Args:
        table: Folder or file, as ``results/tables/organs``.
        columns: Columns to print; all when none is named.
        where: Conditions ``column=value`` that all hold.
        n_rows: Rows to print at most.

    Raises:
        SetupError: If there is no such table or column.
    """
    if not table.exists():
        raise SetupError(f"{table}: no such table")
    dataset = ds.dataset(table, format="parquet")
    conditions = dict(condition.split("=", 1) for condition in where)
    unknown = ({*columns} | {*conditions}) - {*dataset.schema.names}
    if unknown:
        raise SetupError(f"{table}: no column {', '.join(sorted(unknown))}")
    rows = dataset.head(
        n_rows, columns=list(columns) or dataset.schema.names, filter=_filter(conditions)
    )
    return _as_text(rows)


def _filter(conditions: dict[str, str]) -> Any:
    combined = None
    for column, value in conditions.items():
        holds = pc.field(column).cast(pa.string()) == value
        combined = holds if combined is None else combined & holds
    return combined


def _as_text(rows: Any) -> str:
    cells = [list(rows.schema.names)]
    cells += [[_cell(value) for value in row.values()] for row in rows.to_pylist()]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
