"""A row per visit, as wide as asked for: values of organs, facts of scans, radiomics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from organome.domain.columns import Column, Table
from organome.domain.errors import SetupError
from organome.domain.quality import Quality
from organome.io.tables.parquet import described_table, fact_of_file, read_structures

_KEY: Final = ("cohort", "participant", "instance", "protocol", "array")
_VOLUME: Final = "volume_ml"
# Of several stations the values of the first by this order: the one that shows most, or the worst.
_ORDERS: Final = {
    "organs": ("volume_observed_ml", "descending"),
    "organ_quality": ("quality", "ascending"),
    "indices": ("quality", "ascending"),
    "scans": ("station", "ascending"),
    "quality": ("quality", "ascending"),
    "covariates": ("instance", "ascending"),  # one row a visit
}
_WORST_FIRST: Final = pa.array([*reversed(Quality)], pa.string())


@dataclass(frozen=True, slots=True)
class Width:
    """What a row of visits holds.

    Attributes:
        organs: Names of the organs; empty: all of the run.
        values: Columns of ``organs``, or of ``indices`` or ``organ_quality`` of check_quality, once
            for each organ.
        scan_columns: Columns of ``scans``, or of ``quality`` or ``covariates`` of check_quality.
        features: Columns of ``radiomics``, once for each organ and contrast.
        contrasts: Images that these are of.
        protocol: The protocol whose rows are wanted; None: all.
        quality: Folder that check_quality published, None if it has not.
    """

    organs: tuple[str, ...] = ()
    values: tuple[str, ...] = (_VOLUME,)
    scan_columns: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()
    protocol: str | None = None
    quality: Path | None = None


def open_table(tables: Path, name: str) -> tuple[Any, Table]:
    """Open a table of a run as a dataset, with what its files say of it.

    Raises:
        SetupError: There is none.
    """
    parts = sorted((tables / name).glob("*.parquet"))
    if not parts:
        there = ", ".join(sorted(path.name for path in tables.iterdir() if path.is_dir()))
        raise SetupError(f"{tables}: no table {name}; there are {there or 'none'}")
    dataset = ds.dataset(parts, format="parquet")
    table = described_table(dataset.schema)
    if any(fact_of_file(part, "complete") == "false" for part in parts):
        table = replace(table, facts=(*table.facts, ("complete", "false")))
    return dataset, table


def read_columns(tables: Path, name: str, columns: Sequence[str]) -> tuple[Table, pa.Table]:
    """Read a table, or some columns of it, sorted by its key."""
    dataset, table = open_table(tables, name)
    chosen = _named(table, columns or [column.name for column in table.columns])
    key = [one for one in table.key if one in {column.name for column in chosen}]
    rows = dataset.to_table([column.name for column in chosen])
    return _sorted(replace(table, columns=chosen, key=tuple(key)), rows)


def wide_visits(tables: Path, width: Width) -> tuple[Table, pa.Table]:
    """Make the rows of visits as wide as asked for.

    A visit of several stations has the values of the station that shows most of an organ, except
    for its volume, which is that of ``visits``. Sex, age, height and weight are those that
    check_quality scored by, where it has run: of the file of participants, else of the images.

    Raises:
        SetupError: A table, an organ or a column is not there.
    """
    dataset, table = open_table(tables, "visits")
    structures = {one.name for one in read_structures(sorted((tables / "visits").iterdir())[0])}
    organs = width.organs or tuple(
        column.name.removesuffix(f"_{_VOLUME}")
        for column in table.columns
        if column.name.endswith(f"_{_VOLUME}")
    )
    if unknown := sorted({*organs} - structures):
        raise SetupError(f"no organ {_advice(unknown[0], structures)}")
    of_organs = {f"{organ}_{what}" for organ in structures for what in (_VOLUME, "na_reason")}
    columns = [column for column in table.columns if column.name not in of_organs]
    which = None if width.protocol is None else ds.field("protocol") == width.protocol
    visits = dataset.to_table(filter=which)
    if not visits.num_rows:
        raise SetupError(f"{tables}: no visit" + ("" if which is None else f" of {width.protocol}"))
    rows = visits.select([column.name for column in columns])
    extra = [*_scan_columns(tables, width, rows), *_organ_columns(tables, width, visits, organs)]
    for column, values in extra:
        rows = rows.append_column(column.name, values)
    columns += [column for column, _ in extra]
    for column, values in _known_covariates(width, rows):
        place = rows.column_names.index(column.name)
        of_images = rows.column(column.name)
        known = pc.coalesce(values.cast(of_images.type), of_images)  # visits collected since
        rows, columns[place] = rows.set_column(place, column.name, known), column
    return _sorted(replace(table, columns=tuple(columns)), rows)


def _known_covariates(width: Width, visits: pa.Table) -> list[tuple[Column, pa.ChunkedArray]]:
    """Return what ``covariates`` knows of columns that are from the images."""
    if width.quality is None or not (width.quality / "covariates").is_dir():
        return []
    known = open_table(width.quality, "covariates")[0].schema.names
    names = [name for name in visits.column_names if name in known and name not in _KEY]
    return _values(width.quality, "covariates", names, visits, {}, _ORDERS["covariates"])


def _scan_columns(
    tables: Path, width: Width, visits: pa.Table
) -> Iterable[tuple[Column, pa.ChunkedArray]]:
    wanted = [name for name in width.scan_columns if name not in visits.column_names]
    of_scans = (tables, "scans"), *((width.quality, one) for one in ("quality", "covariates"))
    for (folder, name), names in _dealt(wanted, of_scans).items():
        yield from _values(folder, name, names, visits, {}, _ORDERS[name])


def _organ_columns(
    tables: Path, width: Width, visits: pa.Table, organs: Sequence[str]
) -> Iterable[tuple[Column, pa.ChunkedArray]]:
    described = {column.name: column for column in described_table(visits.schema).columns}
    of_organs = (tables, "organs"), (width.quality, "indices"), (width.quality, "organ_quality")
    dealt = _dealt([name for name in width.values if name != _VOLUME], of_organs)
    contrasts = width.contrasts if width.features else ()
    for organ in organs:
        reason = f"{organ}_na_reason" if _VOLUME in width.values else None
        for name in (f"{organ}_{_VOLUME}", reason) if reason else ():
            yield described[name], visits.column(name)
        for (folder, table), names in dealt.items():
            where, order = {"organ": organ}, _ORDERS[table]
            if table == "indices":
                where = {"structure": organ}
            for column, found in _values(folder, table, names, visits, where, order):
                yield _of(organ, column, _reason_of(column, organ, width)), found
        for contrast in contrasts:
            of_image = {"organ": organ, "contrast": contrast}
            order = ("n_voxels", "descending")
            for column, found in _values(
                tables, "radiomics", width.features, visits, of_image, order
            ):
                yield _of(f"{organ}_{contrast}", column, None), found


def _dealt(
    names: Sequence[str], places: Sequence[tuple[Path | None, str]]
) -> dict[tuple[Path, str], list[str]]:
    """Deal columns to the first of some tables that has them.

    Raises:
        SetupError: None has one of them.
    """
    there = [(folder, table) for folder, table in places if folder and (folder / table).is_dir()]
    known = {place: {*open_table(*place)[0].schema.names} for place in there if names}
    dealt: dict[tuple[Path, str], list[str]] = {}
    for name in names:
        place = next((one for one, columns in known.items() if name in columns), None)
        if place is None:
            tables = ", ".join(table for _, table in there)
            raise SetupError(f"no column {_advice(name, set().union(*known.values()))} ({tables})")
        dealt.setdefault(place, []).append(name)
    return dealt


def _reason_of(column: Column, organ: str, width: Width) -> str | None:
    """Name the exported column that says why a value is null, where it is among them."""
    reason = column.missing
    is_there = reason in width.values or (reason == "na_reason" and _VOLUME in width.values)
    return f"{organ}_{reason}" if is_there else None


def _of(what: str, column: Column, reason: str | None) -> Column:
    meaning = f"{what}: {column.meaning}"
    return replace(column, name=f"{what}_{column.name}", meaning=meaning, missing=reason)


def _values(
    tables: Path,
    name: str,
    wanted: Sequence[str],
    visits: pa.Table,
    where: Mapping[str, str],
    order: tuple[str, str],
) -> list[tuple[Column, pa.ChunkedArray]]:
    """Read columns of a table for each visit, from the first of its rows in some order."""
    dataset, table = open_table(tables, name)
    columns = _named(table, wanted)
    conditions = [ds.field(column) == value for column, value in where.items()]
    key = [one for one in _KEY if one in dataset.schema.names]
    rows = dataset.to_table(
        list(dict.fromkeys([*key, order[0], *wanted])),
        filter=reduce(and_, conditions) if conditions else None,
    )
    if not rows.num_rows:
        raise SetupError(f"{tables / name}: no row with {' '.join(where.values())}")
    by = rows.column(order[0])
    if order[0] == "quality":
        by = pc.index_in(by, value_set=_WORST_FIRST)
    rows = rows.take(pc.sort_indices(pa.table({"by": by}), sort_keys=[("by", order[1])]))
    keys = pd.MultiIndex.from_frame(rows.select(key).to_pandas())
    is_first = ~keys.duplicated()
    found = keys[is_first].get_indexer(pd.MultiIndex.from_frame(visits.select(key).to_pandas()))
    places = pa.array(np.flatnonzero(is_first)[found], mask=found < 0)
    return [
        (replace(column, nullable=True), rows.column(column.name).take(places))
        for column in columns
    ]


def _named(table: Table, names: Sequence[str]) -> tuple[Column, ...]:
    known = {column.name: column for column in table.columns}
    if unknown := [name for name in names if name not in known]:
        raise SetupError(f"{table.name} has no column {_advice(unknown[0], known)}")
    return tuple(known[name] for name in names)


def _advice(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"{name}; did you mean {close[0]}?" if close else name


def _sorted(table: Table, rows: pa.Table) -> tuple[Table, pa.Table]:
    by = [(name, "ascending") for name in table.key]
    order = pc.sort_indices(rows, sort_keys=by) if by else None
    return replace(table, sorted_by=table.key), rows if order is None else rows.take(order)
