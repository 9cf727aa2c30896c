"""Statistics of groups, without cells that are small and without those that give these away.

Protocols and instances are never summed over, so that in each sum a participant counts once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from organome.compute.metrics.suppression import TOTAL, suppressed_cells
from organome.domain.columns import Column, ColumnType, Table
from organome.domain.errors import SetupError
from organome.domain.group_tables import PERCENTILES, group_table
from organome.io.tables.parquet import rows_to_arrow

_UNKNOWN = "unknown"
_LEAST_MIN_COUNT = 5
_PROTOCOL_AND_INSTANCE = ["protocol", "instance"]


def aggregated(
    table: Table, rows: pa.Table, by: Sequence[str], *, min_count: int
) -> tuple[Table, pa.Table]:
    """Summarise every quantity of visits by groups.

    Args:
        table: Describes the rows.
        rows: A row per visit.
        by: Columns that make the groups; ``age_years:10`` in bands of ten.
        min_count: Participants that a cell must have.

    Raises:
        SetupError: A column cannot make groups, or cells would be too small to protect anybody.
    """
    if min_count < _LEAST_MIN_COUNT:
        raise SetupError(f"--min-count {min_count}: at least {_LEAST_MIN_COUNT}")
    names = [one.partition(":")[0] for one in by]
    frame = pd.DataFrame({one.partition(":")[0]: _groups(rows, table, one) for one in by})
    for name in (*_PROTOCOL_AND_INSTANCE, "participant"):
        frame[name] = rows.column(name).to_pandas()
    quantities = [
        column
        for column in table.all_columns
        if column.type is ColumnType.FLOAT64 and column.name not in names
    ]
    made: list[dict[str, Any]] = []
    for (protocol, instance), of_visit in frame.groupby(_PROTOCOL_AND_INSTANCE, sort=True):
        where = {"protocol": protocol, "instance": instance}
        for column in quantities:
            values = rows.column(column.name).to_pandas().loc[of_visit.index].dropna()
            found = of_visit.loc[values.index, names]
            made += [where | row for row in _rows(column, values, found, min_count)]
    described = replace(group_table(names), facts=table.facts)
    return described, rows_to_arrow(described, made)


def _groups(rows: pa.Table, table: Table, one: str) -> pd.Series:
    """Return the group of each row by a column, as text."""
    name, _, width = one.partition(":")
    values = rows.column(name).to_pandas()
    is_number = next(c.type for c in table.all_columns if c.name == name) is ColumnType.FLOAT64
    if is_number != bool(width):
        advice = f"name bands, as {name}:10" if is_number else f"{name} has no bands"
        raise SetupError(f"--by {one}: {advice}")
    if is_number:
        try:
            low = np.floor(values / float(width)) * float(width)
        except (ValueError, ZeroDivisionError):
            raise SetupError(f"--by {one}: {width} is not a width") from None
        high = low + float(width)
        values = low.map("{:g}".format) + " to below " + high.map("{:g}".format)
        values = values.where(low.notna(), None)
    groups: pd.Series = values.astype(object).where(values.notna(), _UNKNOWN).astype(str)
    return groups


def _rows(
    column: Column, values: pd.Series, groups: pd.DataFrame, min_count: int
) -> Iterator[dict[str, Any]]:
    names = list(groups.columns)
    levels = [[TOTAL, *sorted(groups[name].unique())] for name in names]
    cells: dict[tuple[str, ...], pd.Series] = {}
    for cell in product(*levels):
        chosen = np.ones(len(values), dtype=bool)
        for name, level in zip(names, cell, strict=True):
            chosen &= (groups[name] == level).to_numpy() | (level == TOTAL)
        cells[cell] = values[chosen]
    counts = {cell: len(found) for cell, found in cells.items()}
    hidden = suppressed_cells(counts, min_count=min_count)
    for cell, found in cells.items():
        yield {
            **dict(zip(names, cell, strict=True)),
            "quantity": column.name,
            "unit": column.unit,
            "is_suppressed": cell in hidden,
            **({} if cell in hidden else _statistics(found, min_count)),
        }


def _statistics(values: pd.Series, min_count: int) -> dict[str, Any]:
    """Summarise values; a percentile needs enough people on either side."""
    n = len(values)
    if not n:
        return {"n": 0}
    return {
        "n": n,
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)),
        **{
            f"p{percent:02d}": float(np.percentile(values, percent))
            for percent in PERCENTILES
            if n * min(percent, 100 - percent) / 100 >= min_count
        },
    }
