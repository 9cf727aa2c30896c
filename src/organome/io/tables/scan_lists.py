"""The sample sheet: one Parquet file per shard, one row per scan."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from organome.domain.errors import SetupError
from organome.domain.flags import Flag
from organome.domain.scans import Contrast, Scan, Source
from organome.io.files.atomic import atomic_path
from organome.io.tables.parquet import parse_table

_SOURCE: Final = pa.struct(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("contrast", pa.string()),
        pa.field("station", pa.int8()),
    ]
)
_NEWEST, _FLAGS = "flags", pa.list_(pa.string())  # lists that are older lack it
SCHEMA: Final = pa.schema(
    [
        pa.field("scan", pa.string(), nullable=False),
        pa.field("cohort", pa.string(), nullable=False),
        pa.field("participant", pa.string(), nullable=False),
        pa.field("instance", pa.string(), nullable=False),
        pa.field("array", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("station", pa.int8()),
        pa.field("sources", pa.list_(_SOURCE), nullable=False),
        pa.field("labelmap", pa.string()),
        pa.field(_NEWEST, _FLAGS),
    ]
)

_KEY_COLUMNS: Final = SCHEMA.names[:7]


def shard_path(folder: Path, shard: int) -> Path:
    """Return where the list of a shard lies; shards are counted from 0."""
    return folder / f"{shard:04d}.parquet"


def listed_shards(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the shards of a sample sheet in order, each with its number."""
    numbered = [
        (int(path.stem), path) for path in folder.glob("*.parquet") if path.stem.isdecimal()
    ]
    yield from sorted(numbered)


def write_shard(path: Path, scans: Sequence[Scan]) -> None:
    """Write the scans of a shard, whole or not at all; equal scans give equal bytes."""
    table = pa.Table.from_pylist([asdict(scan) for scan in scans], schema=SCHEMA)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_shard(path: Path) -> tuple[Scan, ...]:
    """Read the scans of a shard, in order.

    Raises:
        SetupError: If the file is missing or no list of scans.
    """
    try:
        table = parse_table(path)
        if _NEWEST not in table.column_names:
            table = table.append_column(SCHEMA.field(_NEWEST), pa.nulls(len(table), _FLAGS))
        rows = table.cast(SCHEMA).to_pylist()
    except (OSError, pa.ArrowInvalid, ValueError) as error:
        raise SetupError(f"{path}: no list of scans ({error})") from error
    return tuple(_scan(row) for row in rows)


def read_keys(path: Path) -> pa.Table:
    """Read the key columns of the scans of a shard, in order.

    Raises:
        SetupError: If the file is missing or no list of scans.
    """
    try:
        return parse_table(path, columns=_KEY_COLUMNS)
    except (OSError, pa.ArrowInvalid) as error:
        raise SetupError(f"{path}: no list of scans ({error})") from error


def listed_contrasts(folder: Path) -> set[str] | None:
    """Return which contrasts the scans of a sample sheet show; None where it does not say."""
    import pyarrow.compute as pc  # here: it takes long, and jobs do without

    shown: set[str | None] = set()
    for _, path in listed_shards(folder):
        try:
            sources = parse_table(path, columns=["sources"]).column("sources")
        except (OSError, pa.ArrowInvalid):
            return None  # the job that reads it will say so
        contrasts = pc.struct_field(pc.list_flatten(sources), "contrast")
        shown.update(pc.unique(contrasts).to_pylist())
    known = {contrast for contrast in shown if contrast is not None}
    return known if known and None not in shown else None


def _scan(row: dict[str, Any]) -> Scan:
    sources = (
        Source(**(one | {"contrast": one["contrast"] and Contrast(one["contrast"])}))
        for one in row["sources"]
    )
    flags = tuple(map(Flag, row["flags"] or ()))
    return Scan(**(row | {"sources": tuple(sources), "flags": flags}))
