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
from organome.io.tables.parquet import described_table, read_structures
from organome.io.tables.part_facts import fact_texts, joined_facts

_KEY: Final = ("cohort", "participant", "instance", "protocol", "array")
_VOLUME: Final = "volume_ml"
_FLAGS: Final = "flags"
# Of several stations the values of the first by this order: the one that shows most, or the worst.
_ORDERS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "organs": (("volume_observed_ml", "descending"),),
    "organ_quality": (("quality", "ascending"),),
    "indices": (("quality", "ascending"),),
    "scans": (("status", "ascending"), ("station", "ascending")),  # done, failed, not_measured
    "quality": (("quality", "ascending"),),
    "covariates": (("instance", "ascending"),),  # one row a visit
    "radiomics": (("n_voxels", "descending"),),
}
# Columns that are null in all rows of organs: indices has them of pairs, organ_quality of both.
_OF_PAIRS: Final = {"indices": {"asymmetry_pct"}}
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
    facts = fact_texts(joined_facts(parts))
    return dataset, replace(described_table(dataset.schema), facts=facts)


def read_columns(
    tables: Path, name: str, columns: Sequence[str], where: Mapping[str, str]
) -> tuple[Table, pa.Table]:
    """Read a table, or some columns of it, sorted by its key.

    Args:
        tables: Folder of the tables.
        name: Name of the table.
        columns: Names of the columns; empty: all.
        where: Values by column that the rows have.

    Raises:
        SetupError: A column is not there, or no such row.
    """
    dataset, table = open_table(tables, name)
    _named(table, [*where])
    chosen = _named(table, columns or [column.name for column in table.columns])
    key = [one for one in table.key if one in {column.name for column in chosen}]
    rows = dataset.to_table([column.name for column in chosen], filter=_all_equal(where))
    if where and not rows.num_rows:
        raise SetupError(f"{tables / name}: no row with {' '.join(where.values())}")
    return _sorted(replace(table, columns=chosen, key=tuple(key)), rows)


def wide_visits(tables: Path, width: Width) -> tuple[Table, pa.Table]:
    """Make the rows of visits as wide as asked for.

    A visit of several stations has the values of the station that shows most of an organ, except
    for its volume, which is that of ``visits``; columns of scans are those of the first station
    that was measured, and flags those of all. Sex, age, height and weight are those that
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
    return _values(width.quality, "covariates", names, visits, {})


def _scan_columns(
    tables: Path, width: Width, visits: pa.Table
) -> Iterable[tuple[Column, pa.ChunkedArray]]:
    wanted = [name for name in width.scan_columns if name not in visits.column_names]
    of_scans = (tables, "scans"), *((width.quality, one) for one in ("quality", "covariates"))
    for (folder, name), names in _dealt(wanted, of_scans).items():
        yield from _values(folder, name, names, visits, {})


def _organ_columns(
    tables: Path, width: Width, visits: pa.Table, organs: Sequence[str]
) -> Iterable[tuple[Column, pa.ChunkedArray]]:
    described = {column.name: column for column in described_table(visits.schema).columns}
    of_organs = (tables, "organs"), (width.quality, "indices"), (width.quality, "organ_quality")
    of_visits = (_VOLUME, "na_reason") if _VOLUME in width.values else ()
    dealt = _dealt([one for one in dict.fromkeys(width.values) if one not in of_visits], of_organs)
    contrasts = width.contrasts if width.features else ()
    for organ in organs:
        reason = f"{organ}_na_reason" if _VOLUME in width.values else None
        for name in (f"{organ}_{_VOLUME}", reason) if reason else ():
            yield described[name], visits.column(name)
        for (folder, table), names in dealt.items():
            where = {"structure" if table == "indices" else "organ": organ}
            for column, found in _values(folder, table, names, visits, where):
                yield _of(organ, column, _reason_of(column, organ, width)), found
        for contrast in contrasts:
            of_image = {"organ": organ, "contrast": contrast}
            for column, found in _values(tables, "radiomics", width.features, visits, of_image):
                yield _of(f"{organ}_{contrast}", column, None), found


def _dealt(
    names: Sequence[str], places: Sequence[tuple[Path | None, str]]
) -> dict[tuple[Path, str], list[str]]:
    """Deal columns to the first of some tables that has them.

    Raises:
        SetupError: None has one of them.
    """
    there = [(folder, table) for folder, table in places if folder and (folder / table).is_dir()]
    known = {
        (folder, table): {*open_table(folder, table)[0].schema.names} - _OF_PAIRS.get(table, set())
        for folder, table in there
        if names
    }
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
) -> list[tuple[Column, pa.ChunkedArray]]:
    """Read columns of a table for each visit, from the first of its rows in its order."""
    dataset, table = open_table(tables, name)
    order = _ORDERS[name]
    columns = _named(table, wanted)
    key = [one for one in _KEY if one in dataset.schema.names]
    rows = dataset.to_table(
        list(dict.fromkeys([*key, *(column for column, _ in order), *wanted])),
        filter=_all_equal(where),
    )
    if not rows.num_rows:
        raise SetupError(f"{tables / name}: no row with {' '.join(where.values())}")
    by = {column: rows.column(column) for column, _ in order}
    if "quality" in by:
        by["quality"] = pc.index_in(by["quality"], value_set=_WORST_FIRST)
    rows = rows.take(pc.sort_indices(pa.table(by), sort_keys=list(order)))
    keys = pd.MultiIndex.from_frame(rows.select(key).to_pandas())
    if _FLAGS in wanted:
        place = rows.column_names.index(_FLAGS)
        rows = rows.set_column(place, _FLAGS, _flags_of_stations(keys, rows.column(_FLAGS)))
    is_first = ~keys.duplicated()
    found = keys[is_first].get_indexer(pd.MultiIndex.from_frame(visits.select(key).to_pandas()))
    places = pa.array(np.flatnonzero(is_first)[found], mask=found < 0)
    return [
        (replace(column, nullable=True), rows.column(column.name).take(places))
        for column in columns
    ]


def _flags_of_stations(keys: pd.MultiIndex, flags: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return in each row the flags of all rows with its key."""
    found: dict[Any, dict[str, None]] = {}
    for key, text in zip(keys, flags.to_pylist(), strict=True):
        if text is not None:
            found.setdefault(key, {}).update(dict.fromkeys(filter(None, text.split(";"))))
    joined = [";".join(found[key]) if key in found else None for key in keys]
    return pa.chunked_array([pa.array(joined, pa.string())])


def _all_equal(where: Mapping[str, str]) -> Any:
    conditions = [ds.field(column) == value for column, value in where.items()]
    return reduce(and_, conditions) if conditions else None


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
