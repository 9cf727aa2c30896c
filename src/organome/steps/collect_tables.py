"""collect_tables: the rows of all shards -> cohort tables.

Two passes, so that memory depends on the size of one file and not of the cohort. The first reads
nothing but keys, checks every shard and orders all scans. The order is then cut into files, never
within a visit; in the second pass each file is one dask task that reads the rows of its scans from
the few shards that hold them. So the tables are sorted by cohort, participant, instance, array,
protocol, station and label whatever the shards are, and a visit is whole within a file even where
its scans came in different deliveries.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

from dask.base import compute
from dask.delayed import delayed

from organome.domain.errors import SetupError
from organome.domain.organs import N_ORGANS
from organome.domain.tables import COHORT_TABLES, ORGAN_ROWS, SCANS, VISITS
from organome.io.atomic import ATTEMPT, publish_folder
from organome.io.tables import rows_to_arrow, write_dictionary, write_table
from organome.steps.measured_shards import PlacedScan, check_shard, order_scans, read_rows
from organome.steps.visit_rows import visit_rows

SCANS_PER_FILE: Final = 5000  # 200,000 organ rows: about 100 MB in memory
DICTIONARY: Final = "dictionary.json"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class CollectSummary:
    """What was collected: shards read, rows of each table, files that each table is in."""

    n_shards: int
    n_scans: int
    n_organ_rows: int
    n_visits: int
    n_files: int


def run(
    *, measured: Path, output: Path, scans_per_file: int = SCANS_PER_FILE, n_workers: int = 1
) -> CollectSummary:
    """Collect the tables of a cohort.

    Args:
        measured: Text file with one folder of measure_volumes per line.
        output: Folder to publish: ``scans/``, ``organs/`` and ``visits/``, each with files
            ``part-0000.parquet`` and so on, and ``dictionary.json``.
        scans_per_file: Scans in one file at most; a visit with more is still in one file.
        n_workers: Files that are made at the same time.

    Returns:
        What was collected.

    Raises:
        SetupError: If a shard lacks a file, comes twice, or does not hold each of its scans once
            and 40 organ rows for each.
    """
    folders = _listed_folders(measured)
    checked = _compute([partial(check_shard, folder) for folder in folders], n_workers)
    scans = order_scans([scan for of_shard in checked for scan in of_shard])
    parts = list(_cut(scans, scans_per_file))
    temporary = output.with_name(f".{output.name}.{ATTEMPT}.tmp")
    try:
        n_visits = _compute(
            [
                partial(_write_part, part, f"part-{place:04d}.parquet", temporary)
                for place, part in enumerate(parts)
            ],
            n_workers,
        )
        write_dictionary(temporary / DICTIONARY, COHORT_TABLES)
        publish_folder(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return CollectSummary(
        n_shards=len(folders),
        n_scans=len(scans),
        n_organ_rows=len(scans) * N_ORGANS,
        n_visits=sum(n_visits),
        n_files=len(parts),
    )


def _compute(calls: Sequence[Callable[[], _Result]], n_workers: int) -> tuple[_Result, ...]:
    # Handed over as calls: dask would take lists of scans apart, a third of the whole time.
    tasks = [delayed(call)() for call in calls]
    # Threads: Arrow works outside of Python's lock, and no rows are copied between processes.
    done: tuple[_Result, ...] = compute(*tasks, scheduler="threads", num_workers=n_workers)
    return done


def _listed_folders(measured: Path) -> list[Path]:
    folders = [Path(line) for line in measured.read_text().splitlines() if line.strip()]
    if not folders:
        raise SetupError(f"{measured}: lists no shard")
    for folder, n_times in Counter(folders).items():
        if n_times > 1:
            raise SetupError(f"{measured}: shard {folder.name} is listed {n_times} times")
    return folders


def _cut(scans: Sequence[PlacedScan], scans_per_file: int) -> Iterator[list[PlacedScan]]:
    """Cut the ordered scans into runs of whole visits."""
    part: list[PlacedScan] = []
    for _, of_visit in groupby(scans, lambda scan: scan.visit):
        visit = list(of_visit)
        if part and len(part) + len(visit) > scans_per_file:
            yield part
            part = []
        part += visit
    if part:
        yield part


def _write_part(part: Sequence[PlacedScan], name: str, output: Path) -> int:
    """Write one file of each table; return the number of visits."""
    scans = read_rows(SCANS, part)
    organs = read_rows(ORGAN_ROWS, part)
    volumes_ml = organs.column("volume_ml").to_pylist()
    reasons = organs.column("na_reason").to_pylist()
    values = list(zip(volumes_ml, reasons, strict=True))
    organ_values = {
        scan.scan: values[place * N_ORGANS : (place + 1) * N_ORGANS]
        for place, scan in enumerate(part)
    }
    visits = list(visit_rows(scans.to_pylist(), organ_values))
    write_table(output / SCANS.name / name, scans)
    write_table(output / ORGAN_ROWS.name / name, organs)
    write_table(output / VISITS.name / name, rows_to_arrow(VISITS, visits))
    return len(visits)
