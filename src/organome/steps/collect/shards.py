"""What the steps have published of each listed shard: found, checked, and read back.

A shard that a step has not been through, or whose files are damaged, never stops the tables: its
scans are known from the list, and their rows say how far they came. Damage is whatever a reader
raises; only a fault of the machine, which says nothing about the file, stops the job.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.domain.fingerprints import digest_of
from organome.domain.flags import Flag
from organome.domain.organs import ORGANS, Organ
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.radiomics_tables import RADIOMICS, feature_columns, radiomics_table
from organome.domain.rows import Row
from organome.domain.scans import Scan
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.tables.ledgers import LEDGER, read_ledger, settings_before, settings_of
from organome.io.tables.parquet import (
    arrow_schema,
    column_names,
    fit_rows,
    footer_digest,
    read_structures,
    read_table,
    rows_to_arrow,
)
from organome.io.tables.scan_lists import read_keys, read_shard, shard_path
from organome.io.tables.schemes import read_published_scheme
from organome.shards.faults import machine_fault
from organome.steps.collect.placed import ORDER, has_rows

PREPARE, SEGMENT = "prepare_images", "segment_organs"
VOLUMES, FEATURES = "measure_volumes", "measure_radiomics"

_DECIDED: Final = ["scan", "status", "reason", "fact", "fingerprint"]
_KEY: Final = ["scan", *ORDER]

Unmeasured: TypeAlias = tuple[Scan, Outcome, tuple[Outcome, ...]]  # with the steps before
Gap: TypeAlias = tuple[Reason, str]  # why a step has no rows of a shard, and what was found


class UnreadableError(Exception):
    """A published file of a shard is missing or damaged.

    Attributes:
        step: The step that published it.
        shard: Name of the shard.
        fact: What is wrong, in one line without a path of this machine.
    """

    def __init__(self, step: str, shard: str, fact: str) -> None:
        super().__init__(step, shard, fact)  # as given, so that it can be pickled
        self.step = step
        self.shard = shard
        self.fact = fact


@dataclass(frozen=True, slots=True)
class Published:
    """Where a run has its lists and results."""

    scans: Path
    results: Path

    def folder(self, step: str, shard: str) -> Path:
        """Return the folder of a shard that a step publishes."""
        return self.results / step / shard

    def listed(self, shard: str) -> tuple[Scan, ...]:
        """Read the list of a shard."""
        return read_shard(shard_path(self.scans, int(shard)))

    def keys(self, shard: str) -> pa.Table:
        """Read the keys in the list of a shard: ``scan`` and what the tables are sorted by."""
        return read_keys(shard_path(self.scans, int(shard)))


@dataclass(frozen=True, slots=True)
class Measured:
    """What one measuring step has published of a shard.

    Attributes:
        step: The step.
        shard: Name of the shard.
        kind: What has to be the same in all shards of a table: organs, features, settings.
        missing: Keys of listed scans that have no rows. Rows of a scan that is not listed, or
            listed as another one, are passed over: the list counts.
        of_phantoms: Whether a model labelled it that was trained on phantoms.
        models: Digests of the models that labelled it.
        settings: Digests of the settings of the steps behind it, by name of the step.
        identity: Digest of outcomes and of what the files say of their rows.
    """

    step: str
    shard: str
    kind: Any
    missing: frozenset[str] = frozenset()
    of_phantoms: bool = False
    models: frozenset[str] = frozenset()
    settings: tuple[tuple[str, str], ...] = ()
    identity: str = ""


@dataclass(frozen=True, slots=True)
class Radiomics:
    """What the rows of the radiomics table are of.

    Attributes:
        features: Names of the features, in order of the columns.
        images: Contrast, engine and digest of the settings of each image, in order of contrast.
        organs: Label and name of each organ.
    """

    features: tuple[str, ...]
    images: tuple[tuple[str, str, str], ...]
    organs: tuple[tuple[int, str], ...]

    @property
    def table(self) -> Table:
        """The table that the rows are rows of."""
        return radiomics_table(self.features)


def find_volumes(published: Published, shard: str) -> Measured | None:
    """Find the scans that measure_volumes has published, each with a row for every organ.

    Only keys are read.

    Returns:
        None if the step has not been through the shard.

    Raises:
        UnreadableError: If a file is missing, damaged, or of another release.
    """
    folder = published.folder(VOLUMES, shard)
    if not (folder / LEDGER).is_file():
        return None
    decided = _read(published, VOLUMES, shard, LEDGER, columns=_DECIDED)
    rows = _read(published, VOLUMES, shard, SCANS, columns=[*_KEY, "flags", "model_digest"])
    scans = rows.column("scan").to_pylist()
    with _reading(VOLUMES, shard, ORGAN_ROWS.file_name):
        structures = read_structures(folder / ORGAN_ROWS.file_name)
    organs = _read(published, VOLUMES, shard, ORGAN_ROWS, columns=["scan", "label"])
    if scans != decided.column("scan").to_pylist() or len(set(scans)) != len(scans):
        fact = f"{SCANS.file_name} does not hold each scan of the ledger once"
        raise UnreadableError(VOLUMES, shard, fact)
    labels = [organ.label for organ in structures]
    if not (
        _holds(organs.column("scan"), np.repeat(np.array(scans, dtype=object), len(labels)))
        and _holds(organs.column("label"), np.tile(labels, len(scans)))
    ):
        fact = f"{ORGAN_ROWS.file_name} does not hold {len(structures)} rows for each scan"
        raise UnreadableError(VOLUMES, shard, fact)
    return Measured(
        VOLUMES,
        shard,
        structures,
        _missing(published, shard, rows),
        of_phantoms=any(Flag.PHANTOM_MODEL in (one or "") for one in _different(rows, "flags")),
        models=frozenset(filter(None, _different(rows, "model_digest"))),
        settings=_settings(VOLUMES, shard, decided, {SEGMENT: _now(published, SEGMENT, shard)}),
        identity=_identity(
            published, VOLUMES, shard, decided, (SCANS.file_name, ORGAN_ROWS.file_name)
        ),
    )


def find_radiomics(published: Published, shard: str) -> Measured | None:
    """Find the scans that measure_radiomics has published, a row for each image and organ.

    Only keys are read.

    Returns:
        None if the step has not been through the shard, or listed no scan.

    Raises:
        UnreadableError: If a file is missing, damaged, or mixes settings.
    """
    folder = published.folder(FEATURES, shard)
    if not (folder / LEDGER).is_file():
        return None
    path = folder / f"{RADIOMICS}.parquet"
    keys = ["contrast", "engine", "settings_digest", "label", "organ"]
    with _reading(FEATURES, shard, path.name):
        features = feature_columns(column_names(path))
    columns = [*_KEY, *keys]
    rows = _read(published, FEATURES, shard, radiomics_table(features), columns=columns)
    scans, contrasts, engines, digests, labels, organs = (
        rows.column(name).to_pylist() for name in ("scan", *keys)
    )
    images = sorted(set(zip(contrasts, engines, digests, strict=True)))
    structures = tuple(dict.fromkeys(zip(labels, organs, strict=True)))
    first_rows = {scan: place for place, scan in reversed([*enumerate(scans)])}
    in_order = sorted(first_rows, key=first_rows.__getitem__)
    if len({contrast for contrast, *_ in images}) != len(images):
        raise UnreadableError(FEATURES, shard, f"{path.name} mixes settings")
    wanted = [
        (scan, contrast, organ)
        for scan in in_order
        for contrast, *_ in images
        for organ in structures
    ]
    if list(zip(scans, contrasts, zip(labels, organs, strict=True), strict=True)) != wanted:
        fact = f"{path.name} does not hold a row for each scan, image and organ"
        raise UnreadableError(FEATURES, shard, fact)
    first = rows.take(pa.array([first_rows[scan] for scan in in_order], pa.int64()))
    decided = _read(published, FEATURES, shard, LEDGER, columns=_DECIDED)
    return Measured(
        FEATURES,
        shard,
        Radiomics(features, tuple(images), structures),
        _missing(published, shard, first),
        settings=_settings(FEATURES, shard, decided),
        identity=_identity(published, FEATURES, shard, decided, (path.name,)),
    )


def files_of(published: Published, step: str, shard: str) -> list[Path]:
    """Name the files of which ``find_volumes`` or ``find_radiomics`` makes what it returns."""
    names = {VOLUMES: (SCANS.file_name, ORGAN_ROWS.file_name), FEATURES: (f"{RADIOMICS}.parquet",)}
    folder = published.folder(step, shard)
    before = [published.folder(SEGMENT, shard) / LEDGER] if step == VOLUMES else []
    of_step = [folder / name for name in (LEDGER, *names[step])]
    return [shard_path(published.scans, int(shard)), *before, *of_step]


def common_kind(measured: Sequence[Measured]) -> Any:
    """Return what most shards are measured as; of equals, what came first. None without shards."""
    counted = Counter(one.kind for one in measured)
    return counted.most_common(1)[0][0] if counted else None


def _holds(column: pa.ChunkedArray, wanted: Any) -> bool:
    return bool(
        len(column) == len(wanted)
        and column.equals(pa.chunked_array([pa.array(wanted, column.type)]))
    )


def _missing(published: Published, shard: str, rows: pa.Table) -> frozenset[str]:
    """Return the keys of listed scans that are not among those of rows, a row a scan."""
    listed, keys = published.keys(shard), rows.select(_KEY)
    if keys.cast(listed.schema).equals(listed):
        return frozenset()
    found = {tuple(row.values()) for row in keys.to_pylist()}
    return frozenset(row["scan"] for row in listed.to_pylist() if tuple(row.values()) not in found)


def _different(rows: pa.Table, column: str) -> list[str | None]:
    return rows.column(column).unique().to_pylist()  # type: ignore[no-any-return]


def _settings(
    step: str, shard: str, ledger: pa.Table, otherwise: Mapping[str, str] | None = None
) -> tuple[tuple[str, str], ...]:
    """Return the digests of the settings behind the rows of a shard, by step.

    Args:
        step: The measuring step.
        shard: Name of the shard.
        ledger: Its ledger there.
        otherwise: What is taken of steps that the ledger, of an older release, says nothing of.
    """
    with _reading(step, shard, LEDGER):
        behind = {**(otherwise or {}), **settings_before(ledger), step: settings_of(ledger)}
    return tuple((name, digest) for name, digest in behind.items() if digest)


def _now(published: Published, step: str, shard: str) -> str:
    """Return the digest of the settings by which a step last made a shard; empty if not stated."""
    path = published.folder(step, shard) / LEDGER
    if not path.is_file():
        return ""
    with suppress(UnreadableError), _reading(step, shard, LEDGER):
        return settings_of(pq.read_schema(path))
    return ""


def _identity(
    published: Published, step: str, shard: str, decided: pa.Table, names: Sequence[str]
) -> str:
    """Digest the outcomes of a shard, and the sizes and extremes of all columns of its tables."""
    footers = []
    for name in names:
        with _reading(step, shard, name):
            footers.append(footer_digest(published.folder(step, shard) / name))
    return digest_of([decided.to_pydict(), footers])


def of_other_models(measured: Sequence[Measured]) -> set[str]:
    """Return the shards that another model labelled than most; of equals, what came first counts.

    Labelmaps as delivered are of no model and go with any.
    """
    counted = Counter(one.models for one in measured if one.models)
    usual = counted.most_common(1)[0][0] if counted else frozenset()
    return {one.shard for one in measured if one.models and one.models != usual}


def mixed_settings(measured: Sequence[Measured]) -> dict[str, list[str]]:
    """Return by step the shards that it made by other settings than most.

    The model, though a setting, may be another. So may the release be, which nothing tells apart
    from a setting here.
    """
    made: dict[tuple[str, frozenset[str]], dict[str, list[str]]] = {}
    for one in measured:
        for step, digest in one.settings:
            made.setdefault((step, one.models), {}).setdefault(digest, []).append(one.shard)
    found: dict[str, list[str]] = {}
    for (step, _), by_digest in made.items():
        usual = max(by_digest.values(), key=len)
        others = [one for of_one in by_digest.values() if of_one is not usual for one in of_one]
        if others:
            found[step] = sorted([*found.get(step, []), *others])
    return found


def labelled_otherwise(features: Sequence[Measured], volumes: Sequence[Measured]) -> set[str]:
    """Return the shards whose features are of other labelmaps than the volumes in the tables.

    So it is while one of the two steps is through with new labelmaps and the other is not. The
    features of a shard without volumes are compared with the volumes of all others.
    """
    labelled = {one.shard: dict(one.settings).get(SEGMENT) for one in volumes}
    known = {shard: digest for shard, digest in labelled.items() if digest}
    found = set()
    for one in features:
        digest = dict(one.settings).get(SEGMENT)
        wanted = {known[one.shard]} if one.shard in known else {*known.values()}
        if digest and wanted and digest not in wanted:
            found.add(one.shard)
    return found


def structures_of_labelmaps(published: Published, shards: Iterable[str]) -> tuple[Organ, ...]:
    """Return the organs of a run of which nothing is measured yet: those of its labelmaps."""
    for shard in shards:
        with suppress(SetupError):
            scheme = read_published_scheme(published.folder(SEGMENT, shard))
            if scheme is not None:
                return scheme.structures
    return ORGANS


def check_ledgers_before(published: Published, shard: str) -> None:
    """Check the ledgers of the steps before measuring, those that are there.

    Raises:
        UnreadableError: If one is damaged.
    """
    for step in (PREPARE, SEGMENT):
        _ledger(published, step, shard)


def unmeasured_scans(
    published: Published, shard: str, step: str, gap: Gap | None, scans: Container[str]
) -> Iterator[Unmeasured]:
    """Find out how far the scans of a shard came that a measuring step has no rows of.

    Args:
        published: Where lists and results are.
        shard: Name of the shard.
        step: The measuring step.
        gap: Reason and fact, where it is known why the step has no rows; None: the scans wait.
        scans: Keys of the scans to look at.

    Yields:
        Each of them with its outcome, and the outcomes of the steps before.
    """
    ledgers = []
    for before in (PREPARE, SEGMENT):
        try:
            ledgers.append(_ledger(published, before, shard))
        except UnreadableError:  # reported by check_ledgers_before
            ledgers.append({})
    prepared, labelled = ledgers
    for scan in published.listed(shard):
        key = scan.scan
        if key not in scans:
            continue
        found = tuple(ledger[key] for ledger in ledgers if key in ledger)
        if found and found[-1].status is Status.FAILED:
            yield scan, found[-1], found
            continue
        if key in labelled:
            reason, waits_for = Reason.NOT_MEASURED, step
        elif key in prepared:
            reason, waits_for = Reason.NOT_SEGMENTED, SEGMENT
        else:
            reason, waits_for = Reason.NOT_PREPARED, PREPARE
        reason, fact = gap or (reason, f"waits for {waits_for} of shard {shard}")
        outcome = Outcome(key, step, Status.NOT_MEASURED, "", reason=reason, fact=fact)
        yield scan, outcome, found


def read_rows(
    table: Table,
    published: Published,
    step: str,
    scans: pa.Table,
    made: Callable[[str, AbstractSet[str]], Iterable[Row]],
) -> pa.Table:
    """Read the rows of some scans from their shards, in the order of the scans.

    Args:
        table: Which rows.
        published: Where lists and results are.
        step: The step that published them.
        scans: The scans, as ``place_scans`` places them.
        made: Makes the rows of the scans of a shard that the step has none of.

    Raises:
        UnreadableError: If a file is damaged.
    """
    names, *of_each = (scans.column(one).to_pylist() for one in ("scan", "shard", has_rows(step)))
    by_shard: dict[tuple[str, bool], set[str]] = {}
    for name, *where in zip(names, *of_each, strict=True):
        by_shard.setdefault((where[0], where[1]), set()).add(name)
    schema = arrow_schema(table)
    parts = [rows_to_arrow(table, [])]
    for (shard, is_measured), keys in by_shard.items():
        if is_measured:
            parts.append(_read(published, step, shard, table, scans=keys).cast(schema))
        else:
            parts.append(rows_to_arrow(table, list(made(shard, keys))))
    rows = pa.concat_tables(parts)
    places = {name: place for place, name in enumerate(names)}
    place_of_row = [places[scan] for scan in rows.column("scan").to_pylist()]
    # Stable: the rows of a scan stay in their order.
    return rows.take(pa.array(np.argsort(place_of_row, kind="stable"), pa.int64()))


def _ledger(published: Published, step: str, shard: str) -> dict[str, Outcome]:
    path = published.folder(step, shard) / LEDGER
    if not path.is_file():
        return {}
    with _reading(step, shard, LEDGER):
        return read_ledger(path)


def _read(
    published: Published, step: str, shard: str, table: Table | str, **which: Any
) -> pa.Table:
    """Read a published table; one whose columns are described has to have them."""
    name = table if isinstance(table, str) else table.file_name
    path = published.folder(step, shard) / name
    with _reading(step, shard, name):
        if isinstance(table, str):
            return read_table(path, **which)
        schema = pq.read_schema(path)
        wanted = arrow_schema(table)
        if schema.remove_metadata() == wanted.remove_metadata():
            return read_table(path, **which)
        if _release(schema) == _release(wanted):
            raise UnreadableError(step, shard, f"{name} lacks columns")
        rows = fit_rows(read_table(path, scans=which.get("scans")), table)
        return rows.select(which["columns"]) if "columns" in which else rows


def _release(schema: pa.Schema) -> tuple[object, ...]:
    names = (b"organome.version", b"organome.schema_version")
    return tuple((schema.metadata or {}).get(name) for name in names)


@contextmanager
def _reading(step: str, shard: str, name: str) -> Iterator[None]:
    """Take every error for a damaged file, but those of the machine.

    Raises:
        OSError: If the machine is at fault, or the file may not be read.
        UnreadableError: At any other error.
    """
    try:
        yield
    except UnreadableError:
        raise
    except FileNotFoundError as error:
        raise UnreadableError(step, shard, f"{name} is missing") from error
    except Exception as error:
        if machine_fault(error) or (isinstance(error, OSError) and error.errno):
            raise
        raise UnreadableError(step, shard, f"{name} is damaged") from error
