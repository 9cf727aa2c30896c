"""Pictures of the scans of a shard, a row each: WebP, its size, and what it shows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from organome.domain.columns import Table
from organome.domain.pictures import PICTURES_FILE
from organome.domain.tables import SCAN_KEY
from organome.io.tables.parquet import arrow_schema, read_table

_KEY: Final = Table(
    name="pictures",
    row="One row per picture; a scan that failed has none.",
    key=("scan", "picture", "organ"),
    columns=SCAN_KEY,
)


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    metadata = {"unit": unit, "meaning": meaning}
    return pa.field(name, kind, nullable=name == "organ", metadata=metadata)


_OF_PICTURES: Final = (
    _field("picture", pa.string(), "What it shows: planes or coronal."),
    _field("organ", pa.string(), "Organ in question; null: the body as a whole."),
    _field("webp", pa.binary(), "The picture as WebP, without metadata."),
    _field("width_px", pa.int32(), "Its width.", "pixels"),
    _field("height_px", pa.int32(), "Its height.", "pixels"),
    _field("mm_per_px", pa.float64(), "What a pixel shows, across and down.", "mm"),
    _field("alt_text", pa.string(), "What it shows, in words; names no participant."),
)


def pictures_path(results: Path, shard: str) -> Path:
    """Return where the pictures of a shard lie."""
    return results / "draw_pictures" / shard / PICTURES_FILE


def pictures_to_arrow(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Make a table of pictures, in the columns of the shard's file."""
    key = arrow_schema(_KEY)
    schema = pa.schema([*key, *_OF_PICTURES], metadata=key.metadata)
    return pa.Table.from_pylist(list(rows), schema=schema)


def read_pictures(results: Path, scan: str) -> list[dict[str, Any]]:
    """Read the pictures of one scan; none where none were drawn."""
    path = pictures_path(results, scan.partition("-")[0])
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = read_table(path, scans=[scan]).to_pylist()
    return found
