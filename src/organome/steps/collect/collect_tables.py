"""collect_tables: what the shards hold so far -> cohort tables.

Every listed scan has its rows. Those of a shard that a step has not been through, or that is
damaged, are `not_measured`, with the reason; the tables are then marked as not complete, and
are collected again when more is there.

Two passes, so that memory depends on the size of one file and not of the cohort. The first reads
nothing but keys, checks every shard and orders all scans. They are then dealt to files, those of a
few shards to one and never a visit to two; in the second pass each file is one task that reads the
rows of its scans. So each file is sorted by cohort, participant, instance, array, protocol, station
and label, and a visit is whole within a file even where its scans came in different deliveries.

A file whose rows would be made of the very same as those of the earlier collection is linked and
not made again, and a shard whose files have not changed is not opened: what is new costs what is
new.

Radiomics, where asked for, is a table of its own, cut at the same scans.

The tasks run in threads of this process or, for a cohort that outgrows one machine, in SLURM jobs;
which of the two, and how often a worker died, leaves no trace in the tables.
"""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow.compute as pc

from organome.domain.errors import SetupError
from organome.domain.flow_table import FLOW
from organome.domain.outcomes import Reason
from organome.domain.radiomics_settings import FEW_LEVELS
from organome.domain.tables import SCANS
from organome.io.files.atomic import ATTEMPT, recover_folder, replace_folder
from organome.io.tables.codebooks import write_codebooks
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.parquet import read_table, write_dictionary
from organome.io.tables.scan_lists import listed_shards
from organome.io.tables.withdrawn import read_withdrawn
from organome.shards.faults import machine_faults_stop_the_job
from organome.shards.signals import listening
from organome.steps.collect.flow import write_flow
from organome.steps.collect.found import Notes
from organome.steps.collect.parts import PHANTOM_MODEL, Collection, Part, facts_of
from organome.steps.collect.placed import cut, order_scans, shards_of
from organome.steps.collect.shards import (
    FEATURES,
    VOLUMES,
    Gap,
    Measured,
    Published,
    UnreadableError,
    check_ledgers_before,
    common_kind,
    find_radiomics,
    find_volumes,
    labelled_otherwise,
    mixed_settings,
    of_other_models,
    structures_of_labelmaps,
)
from organome.steps.collect.workers import (
    Compute,
    WorkerJobs,
    on_cluster,
    on_threads,
    slurm_cluster,
)

_logger = logging.getLogger(__name__)

SCANS_PER_FILE: Final = 5000  # 200,000 organ rows: about 100 MB in memory
DICTIONARY: Final = "dictionary.json"
_REMOVALS, _REMOVAL_WAIT_S = 10, 0.5
_FIND: Final = {VOLUMES: find_volumes, FEATURES: find_radiomics}


class Cluster(StrEnum):
    """Where the tables are made: on this machine, or on several by SLURM jobs."""

    LOCAL = "local"
    SLURM = "slurm"


@dataclass(frozen=True, slots=True)
class CollectSummary:
    """What was collected: shards listed, rows of each table, files that each table is in.

    Attributes:
        complete: Whether every listed scan was measured or failed for a reason of its own.
        n_not_measured: Scans of shards that a step has not been through, or that are damaged.
        n_radiomics_not_measured: The same of radiomics; 0 where none are asked for.
    """

    n_shards: int
    n_scans: int
    n_organ_rows: int
    n_visits: int
    n_files: int
    n_radiomics_rows: int
    complete: bool
    n_not_measured: int
    n_radiomics_not_measured: int


def run(
    *,
    scans: Path,
    results: Path,
    output: Path,
    radiomics: bool = False,
    mixed_models: bool = False,
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
    notes: Path | None = None,
) -> CollectSummary:
    """Collect the tables of a cohort from what is there.

    Args:
        scans: Folder of the sample sheet, one Parquet file per shard.
        results: Folder that holds a folder per step, and in it one per shard.
        output: Folder to publish: ``scans/``, ``organs/`` and ``visits/``, each with files
            ``part-0000.parquet`` and so on, and ``dictionary.json`` with its other forms.
        radiomics: Whether there is ``radiomics/``, too.
        mixed_models: Whether shards that another model labelled than most are collected, too; each
            row says by ``model_digest`` of its scan which. Else they are not measured.
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
        notes: File that keeps what was found of each shard, so that the next collection does not
            open shards whose files have not changed. Without one, all shards are opened.

    Returns:
        What was collected.

    Raises:
        SetupError: If no scan is listed, or one is listed twice; if SLURM will never take such a
            job.
        MachineFault: If no job runs for too long, or too many die; if the disk is full or away.
        Interrupted: If asked to stop; the jobs are cancelled, older tables stay.
    """
    published = Published(scans, results)
    shards = [path.stem for _, path in listed_shards(scans)]
    if not shards:
        raise SetupError(f"{scans}: no shards, list the scans first")
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
        with interrupts.shielded():
            recover_folder(output)
            for left in output.parent.glob(f".{output.name}.*.tmp"):  # of a killed collection
                if left != temporary:
                    shutil.rmtree(left, ignore_errors=True)
        try:
            with ExitStack() as stack:
                if cluster is Cluster.LOCAL:
                    workers = on_threads(n_workers)
                else:
                    by_slurm = stack.enter_context(slurm_cluster(jobs))
                    workers = on_cluster(by_slurm, n_jobs=n_jobs, patience_s=60 * patience_min)
                compute = stack.enter_context(workers)
                written, damaged, summary = _write_tables(
                    *(published, shards, radiomics, scans_per_file, temporary, output, compute),
                    mixed_models=mixed_models,
                    notes=Notes(notes),
                )
            interrupts.check()
            with interrupts.shielded():
                replace_folder(written, output)
                for error in damaged:
                    _set_aside(published, error)
        finally:
            _remove(temporary)
    return summary


def _remove(folder: Path) -> None:
    """Remove a folder into which a worker that was just killed may still write for a moment."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_REMOVAL_WAIT_S)


def _write_tables(
    published: Published,
    shards: Sequence[str],
    radiomics: bool,
    scans_per_file: int,
    temporary: Path,
    earlier: Path,
    compute: Compute,
    *,
    mixed_models: bool,
    notes: Notes,
) -> tuple[Path, list[UnreadableError], CollectSummary]:
    """Write all tables, once more for every shard whose damage shows only when rows are read."""
    known: dict[tuple[str, str], UnreadableError] = {}
    while True:
        output = temporary / f"{len(known)}"  # a dask worker may still write into the one before
        try:
            collection, measured, damaged = _find(
                *(published, shards, radiomics, known, output, earlier, compute),
                mixed_models=mixed_models,
                notes=notes,
            )
            summary = _write_parts(collection, measured, shards, scans_per_file, compute)
        except UnreadableError as error:
            known[error.step, error.shard] = error
            continue
        notes.save()
        _log_differing(collection.gaps)
        _log_mixed_settings(measured)
        return output, damaged, summary


def _find(
    published: Published,
    shards: Sequence[str],
    radiomics: bool,
    known: Mapping[tuple[str, str], UnreadableError],
    output: Path,
    earlier: Path,
    compute: Compute,
    *,
    mixed_models: bool,
    notes: Notes,
) -> tuple[Collection, list[Measured], list[UnreadableError]]:
    """Find what is published and of one kind in all shards, and what is damaged."""
    measured: list[Measured] = []
    damaged: list[UnreadableError] = []
    gaps: dict[tuple[str, str], Gap] = {}

    def look(step: str) -> list[Measured]:
        recalled = {shard: notes.recall(published, step, shard) for shard in shards}
        unknown = [
            shard for shard, (_, one) in recalled.items() if one is None or (step, shard) in known
        ]
        calls = [partial(_look, published, step, one, known.get((step, one))) for one in unknown]
        looked_at = dict(zip(unknown, compute(calls), strict=True))
        found = []
        for shard, (stamp, noted) in recalled.items():
            one = looked_at.get(shard, noted)
            if isinstance(one, UnreadableError):
                damaged.append(one)
                gaps[step, shard] = (Reason.SHARD_UNREADABLE, f"{one.step}: {one.fact}")
            elif one is not None:
                found.append(one)
                notes.note(stamp, one)
        return found

    def take(found: Sequence[Measured], kind: object) -> None:
        for one in found:
            if one.kind == kind:
                measured.append(one)
            else:
                fact = f"{one.step}: other organs or settings than in most shards"
                gaps[one.step, one.shard] = (Reason.SHARD_DIFFERS, fact)

    def leave_out(found: list[Measured], others: Container[str], why: str) -> list[Measured]:
        for one in found:
            if one.shard in others:
                gaps[one.step, one.shard] = (Reason.SHARD_DIFFERS, f"{one.step}: {why}")
        return [one for one in found if one.shard not in others]

    volumes = look(VOLUMES)
    structures = common_kind(volumes) or structures_of_labelmaps(published, shards)
    others = set() if mixed_models else of_other_models(volumes)
    volumes = leave_out(volumes, others, "labelled by another model than most")
    take(volumes, structures)
    features = None
    if radiomics:
        organs = tuple((organ.label, organ.name) for organ in structures)
        of_features = leave_out(look(FEATURES), others, "labelled by another model than most")
        elsewhere = labelled_otherwise(of_features, volumes)
        of_features = leave_out(of_features, elsewhere, "of other labelmaps than the volumes")
        features = common_kind([one for one in of_features if one.kind.organs == organs])
        take(of_features, features)
    steps = (VOLUMES, FEATURES) if radiomics else (VOLUMES,)
    collection = Collection(published, steps, structures, features, gaps, output, earlier)
    return collection, measured, damaged


def _look(
    published: Published, step: str, shard: str, damaged: UnreadableError | None
) -> Measured | UnreadableError | None:
    try:
        found = _FIND[step](published, shard)
        if found is None and step == VOLUMES:
            check_ledgers_before(published, shard)
    except UnreadableError as error:
        return error
    return found and (damaged or found)


def _write_parts(
    collection: Collection,
    measured: Sequence[Measured],
    shards: Sequence[str],
    scans_per_file: int,
    compute: Compute,
) -> CollectSummary:
    by_shard: dict[str, list[Measured]] = {shard: [] for shard in shards}
    for one in measured:
        by_shard[one.shard].append(one)
    collection = replace(collection, of_phantoms=any(one.of_phantoms for one in measured))
    placed = compute([partial(collection.place, *of_shard) for of_shard in by_shard.items()])
    if not any(map(len, placed)):  # everybody withdrew
        raise SetupError(f"{collection.published.scans}: no scan is listed in any shard")
    scans = order_scans(placed)
    parts = [
        collection.part(name, part, [one for shard in shards_of(part) for one in by_shard[shard]])
        for name, part in cut(scans, scans_per_file)
    ]
    facts = facts_of(scans, measured, collection.steps)
    if collection.of_phantoms:
        facts[PHANTOM_MODEL] = True

    def write(write_one: Callable[[Part], int]) -> int:
        return sum(compute([partial(write_one, part) for part in parts]))

    n_visits = write(collection.write_part)
    n_radiomics_rows = 0 if collection.radiomics is None else write(collection.write_radiomics)
    if collection.radiomics is not None:
        _warn_of_few_levels(collection.output / collection.radiomics.table.name)
    # A worker that died while writing left a file under a temporary name.
    for unfinished in collection.output.rglob(".*"):
        unfinished.unlink()
    tables = collection.tables
    files = {table.name: [f"{table.name}/{part.name}" for part in parts] for table in tables}
    files[FLOW.name] = [f"{FLOW.name}/part-0000.parquet"]
    scan_files = [collection.output / name for name in files[SCANS.name]]
    removed = read_withdrawn(collection.published.scans).removed
    write_flow(collection.output / files[FLOW.name][0], scan_files, removed)
    write_dictionary(collection.output / DICTIONARY, [*tables, FLOW], facts)
    write_codebooks(collection.output, [*tables, FLOW], files)
    return CollectSummary(
        n_shards=len(shards),
        n_scans=len(scans),
        n_organ_rows=len(scans) * len(collection.structures),
        n_visits=n_visits,
        n_files=len(parts),
        n_radiomics_rows=n_radiomics_rows,
        complete=bool(facts["complete"]),
        n_not_measured=int(facts["n_not_measured"]),
        n_radiomics_not_measured=int(facts.get("n_radiomics_not_measured", 0)),
    )


def _set_aside(published: Published, error: UnreadableError) -> None:
    """Take a damaged shard for not done, so that the next run does it again; delete nothing."""
    ledger = published.folder(error.step, error.shard) / LEDGER
    with suppress(FileNotFoundError):
        ledger.rename(ledger.with_suffix(".unreadable"))
    _logger.warning(
        "shard %s: %s of %s; its scans are not measured in the tables. Its ledger is set aside:"
        " run the workflow again, or organome %s and collect-tables",
        error.shard,
        error.fact,
        error.step,
        error.step.replace("_", "-"),
    )


def _warn_of_few_levels(folder: Path) -> None:
    """Say which images have a bin width that is too large for most of their organs."""
    measured, few = Counter[str](), Counter[str]()
    for part in folder.glob("*.parquet"):
        rows = read_table(part, columns=["contrast", "n_grey_levels"])
        for counter, counted in (
            (measured, pc.is_valid(rows["n_grey_levels"])),
            (few, pc.less(rows["n_grey_levels"], FEW_LEVELS)),
        ):
            for found in rows.filter(counted)["contrast"].value_counts().to_pylist():
                counter[found["values"]] += found["counts"]
    for contrast, n_few in sorted(few.items()):
        if 2 * n_few > measured[contrast]:
            _logger.warning(
                "radiomics of %s: %d of %d organs have fewer than %d grey levels, so that textures"
                " say little: choose a smaller bin width (docs/radiomics.md)",
                contrast,
                n_few,
                measured[contrast],
                FEW_LEVELS,
            )


def _log_differing(gaps: Mapping[tuple[str, str], Gap]) -> None:
    differing = [key for key, (reason, _) in gaps.items() if reason is Reason.SHARD_DIFFERS]
    if differing:
        step, shard = differing[0]
        _logger.warning(
            "%d shards (the first: %s, %s) have other organs, settings or models than most; their"
            " scans are not measured in the tables. Run the workflow again",
            len({shard for _, shard in differing}),
            shard,
            step,
        )


def _log_mixed_settings(measured: Sequence[Measured]) -> None:
    """Warn of steps whose settings changed, where only some shards were repeated since."""
    of_volumes = [one for one in measured if one.step == VOLUMES]  # features of others are left out
    for step, shards in mixed_settings(of_volumes).items():
        _logger.warning(
            "%d shards (the first: %s) were made by other settings or another version of %s than"
            " most, and are in the tables beside them; the tables name all (organome.settings.%s in"
            " their metadata). Run the workflow again, unless it is their release that differs",
            len(shards),
            shards[0],
            step,
            step,
        )
