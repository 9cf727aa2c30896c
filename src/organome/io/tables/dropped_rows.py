"""Parquet files without some of their rows: all others as they were, bit for bit."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_ROWS_AT_ONCE: Final = 64_000
_KINDS: Final = (
    *(pa.types.is_string, pa.types.is_large_string),
    *(pa.types.is_integer, pa.types.is_float32, pa.types.is_float64),
)


def find_rows(path: Path, values_of: Callable[[str], Collection[str]]) -> int:
    """Count the rows that have one of some values in a column of words or numbers.

    Args:
        path: The file.
        values_of: Returns the values that are looked for in a column.

    Raises:
        pyarrow.ArrowInvalid: The file is damaged.
    """
    with pq.ParquetFile(path) as file:
        wanted = _wanted(file.schema_arrow, values_of)
        if not wanted:
            return 0
        pieces = file.iter_batches(_ROWS_AT_ONCE, columns=list(wanted))
        return sum(pc.sum(_have(pa.table(piece), wanted)).as_py() or 0 for piece in pieces)


def write_without_rows(
    path: Path, target: Path, values_of: Callable[[str], Collection[str]]
) -> None:
    """Write a file without such rows: same schema, groups of rows, order and settings.

    Args:
        path: The file.
        target: Where to write.
        values_of: As for ``find_rows``.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema, described = file.schema_arrow, file.metadata
        wanted = _wanted(schema, values_of)
        with pq.ParquetWriter(target, schema, **_writing(described)) as writer:
            for place in range(described.num_row_groups):
                rows = file.read_row_group(place)
                kept = _encoded_anew(rows.filter(pc.invert(_have(rows, wanted))), wanted)
                if kept.num_rows:
                    writer.write_table(kept.combine_chunks(), row_group_size=kept.num_rows)


def _wanted(
    schema: pa.Schema, values_of: Callable[[str], Collection[str]]
) -> dict[str, Collection[str]]:
    words = [one.name for one in schema if _can_hold_names(one.type)]
    return {name: values for name in words if (values := values_of(name))}


def _have(rows: pa.Table, wanted: Mapping[str, Collection[str]]) -> Any:
    """Return which rows have one of the values; null is none of them."""
    have = pa.array([False] * rows.num_rows)
    for name, values in wanted.items():
        words = _as_words(rows.column(name))
        of_column = pc.is_in(words, pa.array(sorted(values), pa.string()))
        have = pc.or_(have, of_column)
    return have


def _can_hold_names(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _can_hold_names(kind.value_type)
    return any(is_kind(kind) for is_kind in _KINDS)


def _as_words(column: pa.ChunkedArray) -> Any:
    """Return the values as words: of floats those that are whole, the others are null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _as_words(column.cast(kind.value_type))
    if pa.types.is_floating(kind):
        is_whole = pc.equal(column, pc.floor(column))
        column = pc.if_else(is_whole, column, pa.scalar(None, kind)).cast(pa.int64(), safe=False)
    return column.cast(pa.string())


def _encoded_anew(rows: pa.Table, wanted: Collection[str]) -> pa.Table:
    """Return rows whose dictionaries hold no values of rows that went; ordered ones are classes."""
    for place, field in enumerate(rows.schema):
        kind = field.type
        if pa.types.is_dictionary(kind) and (field.name in wanted or not kind.ordered):
            column = rows.column(place).cast(kind.value_type).cast(kind)
            rows = rows.set_column(place, field, column)
    return rows


def _writing(described: Any) -> dict[str, Any]:
    writing: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 3,
        "version": "2.6",
        "write_page_checksum": True,
    }
    if not described.num_row_groups or not described.num_columns:
        return writing
    group = described.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    in_dictionaries = [one.path_in_schema for one in columns if one.has_dictionary_page]
    return writing | {
        "use_dictionary": in_dictionaries or False,
        "sorting_columns": group.sorting_columns or None,
    }
