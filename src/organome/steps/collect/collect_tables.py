"""collect_tables: the rows of all shards -> cohort tables.

Two passes, so that memory depends on the size of one file and not of the cohort. The first reads
nothing but keys, checks every shard and orders all scans. The order is then cut into files, never
within a visit; in the second pass each file is one dask task that reads the rows of its scans from
the few shards that hold them. So the tables are sorted by cohort, participant, instance, array,
protocol, station and label whatever the shards are, and a visit is whole within a file even where
its scans came in different deliveries.

Radiomics, where it was measured, is a table of its own, cut at the same scans.

The tasks run in threads of this process or, for a cohort that outgrows one machine, in SLURM jobs;
which of the two, and how often a worker died, leaves no trace in the tables.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError
from organome.domain.organs import Organ
from organome.domain.radiomics_tables import RADIOMICS
from organome.domain.tables import COHORT_TABLES, ORGAN_ROWS, SCANS, VISITS, with_structures
from organome.io.files.atomic import ATTEMPT, publish_folder
from organome.io.tables.parquet import rows_to_arrow, write_dictionary, write_table
from organome.shards.faults import machine_faults_stop_the_job
from organome.shards.signals import listening
from organome.steps.collect.cluster_tasks import Compute, on_cluster, on_threads
from organome.steps.collect.dask_clusters import WorkerJobs, slurm_cluster
from organome.steps.collect.measured_shards import (
    PlacedScan,
    check_shard,
    common_structures,
    order_scans,
    read_rows,
)
from organome.steps.collect.radiomics_shards import (
    MeasuredRadiomics,
    check_radiomics,
    join_shards,
    write_radiomics,
)
from organome.steps.collect.visit_rows import visit_rows

SCANS_PER_FILE: Final = 5000  # 200,000 organ rows: about 100 MB in memory
DICTIONARY: Final = "dictionary.json"


class Cluster(StrEnum):
    """Where the tables are made: on this machine, or on several by SLURM jobs."""

    LOCAL = "local"
    SLURM = "slurm"


@dataclass(frozen=True, slots=True)
class CollectSummary:
    """What was collected: shards read, rows of each table, files that each table is in."""

    n_shards: int
    n_scans: int
    n_organ_rows: int
    n_visits: int
    n_files: int
    n_radiomics_rows: int = 0


def run(
    *,
    measured: Path,
    output: Path,
    radiomics: Path | None = None,
    scans_per_file: int = SCANS_PER_FILE,
    n_workers: int = 1,
    cluster: Cluster = Cluster.LOCAL,
    work: Path = Path("work/collect_tables"),
    n_jobs: int = 4,
    job_memory_gb: float = 8,
    job_runtime_min: int = 120,
    account: str | None = None,
    partition: str | None = None,
    interface: str | None = None,
    job_name_prefix: str = "organome",
    patience_min: float = 60,
) -> CollectSummary:
    """Collect the tables of a cohort.

    Args:
        measured: Text file with one folder of measure_volumes per line.
        output: Folder to publish: ``scans/``, ``organs/`` and ``visits/``, each with files
            ``part-0000.parquet`` and so on, and ``dictionary.json``.
        radiomics: Folder that holds a folder of measure_radiomics for each of these shards, of the
            same name; then there is ``radiomics/``, too.
        scans_per_file: Scans in one file at most; a visit with more is still in one file.
        n_workers: Files that are made at the same time, on this machine or in each SLURM job.
        cluster: ``local`` makes the tables on this machine; ``slurm`` submits jobs that do. The
            flags below concern these jobs only.
        work: Folder for logs and scratch of the jobs; all nodes must see it.
        n_jobs: Jobs to submit.
        job_memory_gb: Memory of each job in GB.
        job_runtime_min: Time limit of each job in minutes; one that ends is submitted again.
        account: SLURM account of the jobs.
        partition: SLURM partition of the jobs.
        interface: Network interface by which the nodes reach this machine, such as ib0.
        job_name_prefix: What the name of the jobs begins with.
        patience_min: How long to wait while no job runs, in minutes.

    Returns:
        What was collected.

    Raises:
        SetupError: If a shard lacks a file, comes twice, or does not hold each of its scans once
            and all organ rows for each; if SLURM will never take such a job.
        MachineFault: If no job runs for too long, or too many die; if the disk is full or away.
        Interrupted: If asked to stop; the jobs are cancelled, older tables stay.
    """
    folders = _listed_folders(measured)
    temporary = output.with_name(f".{output.name}.{ATTEMPT}.tmp")
    jobs = WorkerJobs(
        n_jobs=n_jobs,
        n_threads=n_workers,
        memory_gb=job_memory_gb,
        runtime_min=job_runtime_min,
        account=account,
        partition=partition,
        interface=interface,
        name=f"{job_name_prefix}_dask",
        work=work,
    )
    with listening() as interrupts, machine_faults_stop_the_job():
        try:
            with (
                on_threads(n_workers)
                if cluster is Cluster.LOCAL
                else _on_slurm(jobs, patience_s=60 * patience_min)
            ) as compute:
                summary = _write_tables(folders, radiomics, scans_per_file, temporary, compute)
            interrupts.check()
            publish_folder(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return summary


@contextmanager
def _on_slurm(jobs: WorkerJobs, *, patience_s: float) -> Iterator[Compute]:
    with (
        slurm_cluster(jobs) as cluster,
        on_cluster(cluster, n_jobs=jobs.n_jobs, patience_s=patience_s) as compute,
    ):
        yield compute


def _write_tables(
    folders: Sequence[Path],
    radiomics: Path | None,
    scans_per_file: int,
    output: Path,
    compute: Compute,
) -> CollectSummary:
    checked = compute([partial(check_shard, folder) for folder in folders])
    structures = common_structures(checked)
    scans = order_scans([scan for shard in checked for scan in shard.scans])
    measured = None if radiomics is None else _check_radiomics(folders, radiomics, compute)
    parts = {
        f"part-{place:04d}.parquet": part for place, part in enumerate(_cut(scans, scans_per_file))
    }
    n_visits = compute(
        [partial(_write_part, part, name, output, structures) for name, part in parts.items()]
    )
    tables = [with_structures(table, structures) for table in COHORT_TABLES]
    if radiomics is not None and measured is not None:
        folder = output / RADIOMICS
        compute(
            [
                partial(write_radiomics, folder / name, part, radiomics, measured)
                for name, part in parts.items()
            ]
        )
        tables.append(measured.table)
    # A worker that died while writing left a file under a temporary name.
    for unfinished in output.rglob(".*"):
        unfinished.unlink()
    write_dictionary(output / DICTIONARY, tables)
    return CollectSummary(
        n_shards=len(folders),
        n_scans=len(scans),
        n_organ_rows=len(scans) * len(structures),
        n_visits=sum(n_visits),
        n_files=len(parts),
        n_radiomics_rows=measured.n_rows if measured else 0,
    )


def _check_radiomics(
    folders: Sequence[Path], radiomics: Path, compute: Compute
) -> MeasuredRadiomics:
    places = [radiomics / folder.name for folder in folders]
    pairs = zip(places, folders, strict=True)
    checked = compute([partial(check_radiomics, place, folder) for place, folder in pairs])
    return join_shards(list(zip(places, checked, strict=True)))


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


def _write_part(
    part: Sequence[PlacedScan], name: str, output: Path, structures: tuple[Organ, ...]
) -> int:
    """Write one file of each table; return the number of visits."""
    scans = read_rows(SCANS, part)
    organs = read_rows(with_structures(ORGAN_ROWS, structures), part)
    volumes_ml = organs.column("volume_ml").to_pylist()
    reasons = organs.column("na_reason").to_pylist()
    values = list(zip(volumes_ml, reasons, strict=True))
    organ_values = {
        scan.scan: values[place * len(structures) : (place + 1) * len(structures)]
        for place, scan in enumerate(part)
    }
    visits = list(visit_rows(scans.to_pylist(), organ_values, structures))
    write_table(output / SCANS.name / name, scans)
    write_table(output / ORGAN_ROWS.name / name, organs)
    visits_table = with_structures(VISITS, structures)
    write_table(output / VISITS.name / name, rows_to_arrow(visits_table, visits))
    return len(visits)
