"""Shards as measure_volumes published them: checked, put in order, read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.domain.measured_files import FILES
from organome.domain.organs import Organ
from organome.domain.tables import ORGAN_ROWS, SCANS, VISITS
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.parquet import arrow_schema, read_structures, read_table

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


@dataclass(frozen=True, slots=True)
class CheckedShard:
    """A shard that is whole.

    Attributes:
        folder: Its folder.
        scans: Its scans.
        structures: The organs of which each scan has a row.
    """

    folder: Path
    scans: tuple[PlacedScan, ...]
    structures: tuple[Organ, ...]


def check_shard(folder: Path) -> CheckedShard:
    """Check that a shard holds each of its scans once with a row for every organ of the run.

    Only keys are read.

    Raises:
        SetupError: If not.
    """
    for name in (LEDGER, FILES[SCANS.name], FILES[ORGAN_ROWS.name]):
        if not (folder / name).is_file():
            raise SetupError(f"shard {folder.name}: {folder / name} is missing")
    ledger = read_table(folder / LEDGER, columns=["scan"])
    rows = read_table(folder / FILES[SCANS.name], columns=["scan", *_ORDER]).to_pylist()
    scans = [row["scan"] for row in rows]
    if scans != ledger.column("scan").to_pylist() or len(set(scans)) != len(scans):
        raise SetupError(
            f"shard {folder.name}: {FILES[SCANS.name]} does not hold each scan of the ledger once"
        )
    structures = read_structures(folder / FILES[ORGAN_ROWS.name])
    organs = read_table(folder / FILES[ORGAN_ROWS.name], columns=["scan", "label"])
    found = zip(organs.column("scan").to_pylist(), organs.column("label").to_pylist(), strict=True)
    if list(found) != [(scan, organ.label) for scan in scans for organ in structures]:
        raise SetupError(
            f"shard {folder.name}: {FILES[ORGAN_ROWS.name]} does not hold {len(structures)} rows "
            "for each scan"
        )
    placed = (PlacedScan(scan=row["scan"], order=_sortable(row), folder=folder) for row in rows)
    return CheckedShard(folder=folder, scans=tuple(placed), structures=structures)


def common_structures(shards: Sequence[CheckedShard]) -> tuple[Organ, ...]:
    """Name the organs of a run; a table has the same for all of its scans.

    Raises:
        SetupError: If two shards were labelled in schemes of different structures.
    """
    first = shards[0]
    for shard in shards:
        if shard.structures != first.structures:
            raise SetupError(
                f"shards {first.folder.name} and {shard.folder.name} hold different organs "
                f"({len(first.structures)} and {len(shard.structures)} rows for each scan): "
                "they were labelled in different schemes"
            )
    return first.structures


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
    # Stable: the rows of a scan stay in their order.
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
