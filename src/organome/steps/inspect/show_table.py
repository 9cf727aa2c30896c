"""Print some rows of a table as plain text."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from organome.domain.errors import SetupError

_CONDITION: Final = re.compile(r"([^=<>!]+)(!=|<=|>=|=|<|>)(.*)")
_COMPARE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MAX_WIDTH: Final = 200  # letters in a line


def run(
    table: Path, /, *, columns: Sequence[str] = (), where: Sequence[str] = (), n_rows: int = 20
) -> str:
    """Print the first rows of a Parquet table; one column a line where they are too many.

    Args:
        table: Folder or file, as ``results/tables/organs``.
        columns: Columns to print; all when none is named.
        where: Conditions that all hold, in quotes for the shell: ``organ=liver``,
            ``volume_ml>1000``, also ``!=``, ``<``, ``<=``, ``>=``. ``reason=null`` holds where
            there is no value; no other condition does.
        n_rows: Rows to print at most.

    Raises:
        SetupError: There is no such table or column, or a condition cannot be read.
    """
    if not table.exists():
        tables = sorted(path.parent.name for path in table.parent.glob("*/*.parquet"))
        close = get_close_matches(table.name, tables, n=1)
        advice = f"did you mean {close[0]}?" if close else "a run has its in results/tables"
        raise SetupError(f"{table}: no such table; {advice}")
    if table.is_dir() and not any(table.glob("*.parquet")):
        tables = sorted(path.parent.name for path in table.glob("*/*.parquet"))
        hint = f"; name one of {', '.join(dict.fromkeys(tables))}" if tables else ""
        raise SetupError(f"{table}: no Parquet file in it{hint}")
    try:
        dataset = ds.dataset(table, format="parquet")
    except (pa.ArrowInvalid, OSError) as error:
        raise SetupError(f"{table}: not a Parquet table") from error
    conditions = [_condition(text) for text in where]
    unknown = ({*columns} | {column for column, _, _ in conditions}) - {*dataset.schema.names}
    if unknown:
        close = get_close_matches(min(unknown), dataset.schema.names, n=1)
        advice = f"did you mean {close[0]}?" if close else "without --columns all are printed"
        raise SetupError(f"{table}: no column {', '.join(sorted(unknown))}; {advice}")
    holding = [_holds(dataset.schema, *condition) for condition in conditions]
    rows = dataset.head(
        n_rows,
        columns=list(columns) or dataset.schema.names,
        filter=reduce(and_, holding) if holding else None,
    )
    return "\n\n".join([*_warnings(dataset.schema), _as_text(rows)])


def _warnings(schema: Any) -> list[str]:
    if (schema.metadata or {}).get(b"organome.phantom_model") != b"true":
        return []
    return [
        "labelled by a model that was trained on phantoms: of people these numbers mean nothing"
    ]


def _condition(text: str) -> tuple[str, str, str]:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise SetupError(f"--where {text}: not a condition such as organ=liver or volume_ml>1000")
    return found[1], found[2], found[3]


def _holds(schema: Any, column: str, sign: str, value: str) -> Any:
    """Compare numbers as numbers, all else as text."""
    field, kind = pc.field(column), schema.field(column).type
    if value == "null":
        if sign not in ("=", "!="):
            raise SetupError(f"--where {column}{sign}null: null is only = or !=")
        return field.is_null() if sign == "=" else field.is_valid()
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return _COMPARE[sign](field.cast(pa.string()), value)
    try:
        return _COMPARE[sign](field, float(value))
    except ValueError:
        raise SetupError(f"--where {column}{sign}{value}: {value} is not a number") from None


def _as_text(rows: Any) -> str:
    cells = [list(rows.schema.names)]
    cells += [[_cell(value) for value in row.values()] for row in rows.to_pylist()]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    if sum(widths) + 2 * len(widths) > _MAX_WIDTH:
        width = max(map(len, cells[0]))
        blocks = (
            "\n".join(f"{name:<{width}}  {cell}" for name, cell in zip(cells[0], row, strict=True))
            for row in cells[1:]
        )
        return "\n\n".join(blocks) or "no rows"
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
