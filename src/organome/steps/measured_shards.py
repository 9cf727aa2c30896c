"""Shards as measure_volumes published them: checked, put in order, read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.domain.organs import N_ORGANS, ORGANS
from organome.domain.tables import ORGAN_ROWS, SCANS, VISITS
from organome.io.ledgers import LEDGER
from organome.io.tables import arrow_schema, read_table

FILES: Final = {SCANS.name: "scans.parquet", ORGAN_ROWS.name: "organs.parquet"}

_ORDER: Final = ("cohort", "participant", "instance", "array", "protocol", "station")
_N_VISIT: Final = len(VISITS.key)


@dataclass(frozen=True, slots=True)
class PlacedScan:
    """A scan and the shard that holds its rows.

    Attributes:
        scan: Key of the scan.
        order: What the tables are sorted by; never the same for two scans.
        folder: Folder of the shard.
    """

    scan: str
    order: tuple[tuple[bool, Any], ...]
    folder: Path

    @property
    def visit(self) -> tuple[tuple[bool, Any], ...]:
        """The leading part of the order: cohort, participant and instance."""
        return self.order[:_N_VISIT]


def check_shard(folder: Path) -> list[PlacedScan]:
    """Check that a shard holds each of its scans once with 40 organ rows, and name its scans.

    Only keys are read.

    Raises:
        SetupError: If not.
    """
    for name in (LEDGER, *FILES.values()):
        if not (folder / name).is_file():
            raise SetupError(f"shard {folder.name}: {folder / name} is missing")
    ledger = read_table(folder / LEDGER, columns=["scan"])
    rows = read_table(folder / FILES[SCANS.name], columns=["scan", *_ORDER]).to_pylist()
    scans = [row["scan"] for row in rows]
    if scans != ledger.column("scan").to_pylist() or len(set(scans)) != len(scans):
        raise SetupError(
            f"shard {folder.name}: {FILES[SCANS.name]} does not hold each scan of the ledger once"
        )
    organs = read_table(folder / FILES[ORGAN_ROWS.name], columns=["scan", "label"])
    found = zip(organs.column("scan").to_pylist(), organs.column("label").to_pylist(), strict=True)
    if list(found) != [(scan, organ.label) for scan in scans for organ in ORGANS]:
        raise SetupError(
            f"shard {folder.name}: {FILES[ORGAN_ROWS.name]} does not hold {N_ORGANS} rows "
            "for each scan"
        )
    return [PlacedScan(scan=row["scan"], order=_sortable(row), folder=folder) for row in rows]


def order_scans(scans: Sequence[PlacedScan]) -> list[PlacedScan]:
    """Sort the scans of all shards, none of which may be there twice, by key or by what it is.

    Raises:
        SetupError: If one is.
    """
    seen: dict[object, PlacedScan] = {}
    for scan in scans:
        for name in (scan.scan, scan.order):
            earlier = seen.setdefault(name, scan)
            if earlier is not scan:
                raise SetupError(
                    f"shard {scan.folder.name}: scan {scan.scan} is scan {earlier.scan} of shard "
                    f"{earlier.folder.name} once more"
                )
    return sorted(scans, key=lambda scan: scan.order)


def read_rows(table: Table, scans: Sequence[PlacedScan]) -> pa.Table:
    """Read the rows of some scans from their shards, in the order of the scans.

    Raises:
        SetupError: If a shard's columns are not those of the table.
    """
    by_folder: dict[Path, list[str]] = {}
    for scan in scans:
        by_folder.setdefault(scan.folder, []).append(scan.scan)
    rows = pa.concat_tables(
        _read_shard_rows(table, folder, keys) for folder, keys in by_folder.items()
    )
    places = {scan.scan: place for place, scan in enumerate(scans)}
    place_of_row = [places[scan] for scan in rows.column("scan").to_pylist()]
    # Stable: the organ rows of a scan stay in order of label.
    return rows.take(pa.array(np.argsort(place_of_row, kind="stable")))


def _read_shard_rows(table: Table, folder: Path, scans: Sequence[str]) -> pa.Table:
    schema = arrow_schema(table)
    rows = read_table(folder / FILES[table.name], scans=scans)
    if rows.schema.remove_metadata() != schema.remove_metadata():
        raise SetupError(
            f"shard {folder.name}: {FILES[table.name]} was written by another release, "
            "measure it again"
        )
    return rows.cast(schema)


def _sortable(row: dict[str, Any]) -> tuple[tuple[bool, Any], ...]:
    # Null (no station) sorts before every value and is never compared with one.
    return tuple((row[name] is not None, row[name]) for name in _ORDER)
