"""Parquet files without some of their rows: all others as they were, bit for bit."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_ROWS_AT_ONCE: Final = 64_000


def find_rows(path: Path, values_of: Callable[[str], Collection[str]]) -> int:
    """Count the rows that have one of some values in a column of words or whole numbers.

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
                kept = rows.filter(pc.invert(_have(rows, wanted)))
                if kept.num_rows:
                    writer.write_table(kept.combine_chunks(), row_group_size=kept.num_rows)


def _wanted(
    schema: pa.Schema, values_of: Callable[[str], Collection[str]]
) -> dict[str, Collection[str]]:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
    words = [one.name for one in schema if any(is_kind(one.type) for is_kind in kinds)]
    return {name: values for name in words if (values := values_of(name))}


def _have(rows: pa.Table, wanted: Mapping[str, Collection[str]]) -> Any:
    """Return which rows have one of the values; null is none of them."""
    have = pa.array([False] * rows.num_rows)
    for name, values in wanted.items():
        words = rows.column(name).cast(pa.string())
        of_column = pc.is_in(words, pa.array(sorted(values), pa.string()))
        have = pc.or_(have, of_column)
    return have


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
