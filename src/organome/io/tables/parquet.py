"""Tables as Parquet: schemas from ``domain.tables``, and bytes that depend on the rows alone."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from organome import __version__
from organome.domain.columns import Column, ColumnType, Table
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS, Organ, Region, numbered
from organome.domain.tables import SCHEMA_VERSION
from organome.io.files.atomic import atomic_path, write_text_atomic

ROW_GROUP_ROWS: Final = 64_000  # bounds what a reader holds at once; part of the file's bytes
MADE_OF: Final = "made_of"  # in the dictionary of quality: digest of the tables that it judges
_STRUCTURES: Final = "organome.structures"  # in the metadata, where they are not the 40 organs
# With a checksum a page, a flipped bit is an error on reading and not another number.
_WRITING: Final[dict[str, Any]] = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "write_page_checksum": True,
}
_TYPES: Final = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
}
# How pandas reads what it would otherwise make objects or floating-point numbers of.
_PANDAS_TYPES: Final = {
    ColumnType.BOOL: "boolean",
    ColumnType.INT8: "Int8",
    ColumnType.INT32: "Int32",
    ColumnType.INT64: "Int64",
}


def arrow_schema(table: Table) -> pa.Schema:
    """Make the Arrow schema of a table: what is known of a column is its field's metadata."""
    metadata = {
        "organome.table": table.name,
        "organome.row": table.row,
        "organome.key": " ".join(table.key),
        "organome.schema_version": str(SCHEMA_VERSION),
        "organome.version": __version__,
        "pandas": _pandas_types(table),
    }
    metadata |= {f"organome.{name}": value for name, value in table.facts}
    if table.structures != ORGANS:
        named = [[one.name, one.region.value] for one in table.structures]
        metadata[_STRUCTURES] = json.dumps(named)
    return pa.schema([_field(column) for column in table.all_columns], metadata=metadata)


def described_table(schema: pa.Schema) -> Table:
    """Read back what the schema of a file says of its table, whatever release wrote it."""
    metadata = {name.decode(): text.decode() for name, text in (schema.metadata or {}).items()}
    own = {f"organome.{name}" for name in ("table", "row", "key")}
    return Table(
        name=metadata.get("organome.table", ""),
        row=metadata.get("organome.row", ""),
        key=tuple(metadata.get("organome.key", "").split()),
        columns=tuple(_column(field) for field in schema),
        facts=tuple(
            (name.removeprefix("organome."), text)
            for name, text in metadata.items()
            if name.startswith("organome.") and name not in own
        ),
    )


def fit_rows(rows: pa.Table, table: Table) -> pa.Table:
    """Bring rows that another release wrote into the columns of this one.

    A column that came later is null; one that is gone is left out.

    Raises:
        ValueError: A column that may not be null is missing.
        pyarrow.ArrowInvalid: A value does not fit the type of its column.
    """
    schema = arrow_schema(table)
    columns = []
    for field in schema:
        if field.name in rows.schema.names:
            columns.append(rows.column(field.name).cast(field.type))
        elif field.nullable:
            columns.append(pa.nulls(rows.num_rows, field.type))
        else:
            raise ValueError(f"table {table.name} of another release has no column {field.name}")
    return pa.table(columns, schema=schema)


def rows_to_arrow(table: Table, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make an Arrow table of rows.

    Args:
        table: What the rows are rows of.
        rows: One mapping per row. A column that a row lacks is null there.

    Raises:
        KeyError: If a row holds a column that the table does not know.
        ValueError: If a column that may not be null is null somewhere.
    """
    schema = arrow_schema(table)
    unknown = {name for row in rows for name in row} - set(schema.names)
    if unknown:
        raise KeyError(f"table {table.name} has no column {', '.join(sorted(unknown))}")
    made = pa.Table.from_pylist(list(rows), schema=schema)
    for column in table.all_columns:
        if not column.nullable and made.column(column.name).null_count:
            raise ValueError(f"table {table.name}: column {column.name} may not be null")
    return made


def write_table(path: Path, content: pa.Table, *, sorted_by: Sequence[str] = ()) -> None:
    """Write a table, whole or not at all.

    Neither time, host nor thread count enters the file: equal tables give equal bytes under one
    version of pyarrow.

    Args:
        path: The file.
        content: Its rows.
        sorted_by: Columns by which they are sorted, nulls first; readers are told.
    """
    with atomic_path(path) as temporary:
        pq.write_table(
            content.combine_chunks(),
            temporary,
            row_group_size=ROW_GROUP_ROWS,
            sorting_columns=_sorting(content.schema, sorted_by),
            **_WRITING,
        )


def write_pieces(
    path: Path, table: Table, pieces: Iterable[pa.Table], *, sorted_by: Sequence[str] = ()
) -> None:
    """Write a table that comes in pieces, whole or not at all; one piece is in memory at a time.

    Each piece becomes a group of rows of its own: who reads the rows of one scan reads one piece.

    Args:
        path: The file.
        table: What all pieces are pieces of.
        pieces: In order; none is empty.
        sorted_by: Columns by which all rows are sorted, nulls first; readers are told.
    """
    schema = arrow_schema(table)
    words = [field.name for field in schema if field.type != pa.float64()]
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            use_dictionary=words,  # measured numbers hardly repeat
            sorting_columns=_sorting(schema, sorted_by),
            **_WRITING,
        ) as writer,
    ):
        for piece in pieces:
            writer.write_table(piece.cast(schema).combine_chunks(), row_group_size=ROW_GROUP_ROWS)


def without_meanings(content: pa.Table) -> pa.Table:
    """Drop what a schema says about columns: in a small file it would be a third of the bytes."""
    return content.cast(pa.schema([field.remove_metadata() for field in content.schema]))


def column_names(path: Path) -> tuple[str, ...]:
    """Name the columns of a Parquet file without reading them."""
    return tuple(pq.read_schema(path).names)


def read_table(
    path: Path, *, columns: Sequence[str] | None = None, scans: Iterable[str] | None = None
) -> pa.Table:
    """Read one Parquet file.

    Args:
        path: The file.
        columns: Columns to read, None for all.
        scans: Keys of the scans whose rows are read, None for all rows.
    """
    return read_filtered(path, columns=columns, keep={} if scans is None else {"scan": set(scans)})


def read_filtered(
    path: Path, *, columns: Sequence[str] | None = None, keep: Mapping[str, Iterable[str]]
) -> pa.Table:
    """Read the rows of one Parquet file whose columns have one of the values to keep."""
    if not keep:
        return parse_table(path, columns=columns)
    filters = [(name, "in", set(values)) for name, values in keep.items()]
    return pq.read_table(
        path,
        columns=None if columns is None else list(columns),
        filters=filters,
        partitioning=None,
        page_checksum_verification=True,
    )


def parse_table(source: Path | bytes, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or the bytes of one.

    Not by ``pyarrow.parquet.read_table``: that imports pandas, which takes longer than most jobs
    need to read all their tables.

    Raises:
        pyarrow.ArrowInvalid: It is damaged, or has not all of the columns.
    """
    given = pa.BufferReader(source) if isinstance(source, bytes) else source
    with pq.ParquetFile(given, page_checksum_verification=True) as file:
        if columns is None:
            return file.read()
        table = file.read(columns=list(columns))
    if absent := [name for name in columns if name not in table.column_names]:
        raise pa.ArrowInvalid(f"no column {absent[0]}")
    return table.select(list(columns))


def footer_digest(path: Path) -> str:
    """Digest the footer of a Parquet file: its schema, and sizes and extremes of its columns."""
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        n_bytes = int.from_bytes(file.read(4), "little")
        file.seek(-8 - n_bytes, os.SEEK_END)
        return hashlib.sha256(file.read(n_bytes)).hexdigest()


def tables_digest(folder: Path, names: Iterable[str]) -> str:
    """Digest all bytes of some of the tables in a folder."""
    digest = hashlib.sha256()
    for path in (path for name in names for path in sorted((folder / name).glob("part-*.parquet"))):
        with path.open("rb") as file:
            of_file = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.parent.name}/{path.name} {of_file}\n".encode())
    return digest.hexdigest()


def fact_of_file(path: Path, name: str) -> str | None:
    """Read what a file says of itself under a name; None where it does not, or is no table."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    found: bytes | None = metadata.get(f"organome.{name}".encode())
    return None if found is None else found.decode()


def read_structures(path: Path) -> tuple[Organ, ...]:
    """Read which organs a table is about; the 40 where it does not say."""
    named = (pq.read_schema(path).metadata or {}).get(_STRUCTURES.encode())
    if named is None:
        return ORGANS
    return numbered((name, Region(region)) for name, region in json.loads(named))


def count_rows(path: Path) -> int:
    """Count the rows of a Parquet file without reading them.

    Raises:
        SetupError: It is damaged.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise SetupError(f"{path}: cannot be read ({error})") from error


def write_dictionary(
    path: Path, tables: Sequence[Table], facts: Mapping[str, bool | int | str] | None = None
) -> None:
    """Write the data dictionary of tables as JSON: every column with type, unit and meaning.

    Args:
        path: The file.
        tables: The tables.
        facts: What else is known of this collection.
    """
    dictionary = {
        "schema_version": SCHEMA_VERSION,
        **(facts or {}),
        "tables": {
            table.name: {
                "row": table.row,
                "key": list(table.key),
                "columns": [_entry(column) for column in table.all_columns],
            }
            for table in tables
        },
    }
    write_text_atomic(path, json.dumps(dictionary, indent=1, ensure_ascii=False) + "\n")


def _field(column: Column) -> pa.Field:
    metadata = {"unit": column.unit or "", "meaning": column.meaning}
    if column.levels:
        metadata["levels"] = json.dumps(column.levels)
    if column.missing:
        metadata["missing"] = column.missing
    return pa.field(column.name, _TYPES[column.type], nullable=column.nullable, metadata=metadata)


def _column(field: pa.Field) -> Column:
    known = {name.decode(): text.decode() for name, text in (field.metadata or {}).items()}
    return Column(
        field.name,
        ColumnType(str(field.type)),
        known.get("meaning") or "Not described.",
        known.get("unit") or None,
        nullable=field.nullable,
        levels=tuple(json.loads(known.get("levels", "[]"))),
        missing=known.get("missing"),
    )


def _pandas_types(table: Table) -> str:
    columns = [
        {
            "name": column.name,
            "field_name": column.name,
            "pandas_type": column.type.value,
            "numpy_type": _PANDAS_TYPES[column.type],
            "metadata": None,
        }
        for column in table.all_columns
        if column.nullable and column.type in _PANDAS_TYPES
    ]
    return json.dumps({"index_columns": [], "columns": columns})


def _sorting(schema: pa.Schema, sorted_by: Sequence[str]) -> Sequence[pq.SortingColumn] | None:
    if not sorted_by:
        return None
    ordering = [(name, "ascending") for name in sorted_by]
    found: Sequence[pq.SortingColumn] = pq.SortingColumn.from_ordering(
        schema, ordering, null_placement="at_start"
    )
    return found


def _entry(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type.value,
        "unit": column.unit,
        "meaning": column.meaning,
        "nullable": column.nullable,
        "levels": list(column.levels),
        "missing": column.missing,
    }
