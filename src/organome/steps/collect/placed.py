"""The listed scans of a cohort in order, and dealt to files: columns of Arrow, not objects.

A cohort of a hundred thousand scans then takes some megabytes, and sorting it a moment.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from organome.domain.errors import SetupError

ORDER: Final = ("cohort", "participant", "instance", "array", "protocol", "station")
SHARDS_PER_FILE: Final = 8  # part of the tables' layout: other files hold other rows
_VISIT: Final = ORDER[:3]


def place_scans(
    listed: pa.Table,
    shard: str,
    missing: Mapping[str, Container[str]],
    waiting: Mapping[str, Container[str]],
) -> pa.Table:
    """Note of the scans of a shard where they lie, and which steps have rows of them.

    Args:
        listed: Their keys, as the list of the shard has them.
        shard: Name of the shard.
        missing: By measuring step, those that it has published no rows of.
        waiting: By measuring step, those of them that it has not been through, though they did not
            fail before.

    Returns:
        The keys, ``shard``, and of each step the columns ``has_rows`` and ``waits`` name.
    """
    scans = listed.column("scan").to_pylist()
    placed = listed.append_column("shard", pa.array([shard] * len(scans), pa.string()))
    for step, without in missing.items():
        has = pa.array([scan not in without for scan in scans], pa.bool_())
        waits = pa.array([scan in waiting[step] for scan in scans], pa.bool_())
        placed = placed.append_column(has_rows(step), has).append_column(waits_for(step), waits)
    return placed


def has_rows(step: str) -> str:
    """Name the column that says whether a step has published rows of the scan."""
    return f"{step} has rows"


def waits_for(step: str) -> str:
    """Name the column that says whether the scan waits for a step."""
    return f"waits for {step}"


def order_scans(placed: Sequence[pa.Table]) -> pa.Table:
    """Sort the scans of all shards, none of which may be listed twice, by key or by what it is.

    Raises:
        SetupError: If one is.
    """
    scans = pa.concat_tables(placed)
    _check_unlike_neighbours(_sorted(scans.select(["scan", "shard"]), ["scan"]), ["scan"])
    ordered = _sorted(scans, ORDER)
    _check_unlike_neighbours(ordered, ORDER)
    return ordered


def cut(scans: pa.Table, scans_per_file: int) -> Iterator[tuple[str, pa.Table]]:
    """Deal the ordered scans to files, never dividing a visit, and name these.

    A visit is in the files of its first shard, so that a later delivery leaves those of the shards
    before it as they are.
    """
    starts = np.flatnonzero(np.r_[True, ~_equal_neighbours(scans, _VISIT)])
    n_scans = np.diff(np.r_[starts, len(scans)])
    shards = scans.column("shard").cast(pa.int32()).to_numpy()
    groups = np.minimum.reduceat(shards, starts) // SHARDS_PER_FILE
    for group in np.unique(groups).tolist():
        visits = np.flatnonzero(groups == group)
        for place, run in enumerate(_runs(visits, n_scans[visits], scans_per_file)):
            of_run = np.zeros(len(starts), bool)
            of_run[run] = True
            rows = np.flatnonzero(np.repeat(of_run, n_scans))
            name = f"part-{group:04d}{f'_{place:03d}' if place else ''}.parquet"
            yield name, scans.take(pa.array(rows)).combine_chunks()


def shards_of(scans: pa.Table) -> list[str]:
    """Name the shards of some scans, in order."""
    return sorted(pc.unique(scans.column("shard")).to_pylist())


def _runs(visits: NDArray[Any], n_scans: NDArray[Any], scans_per_file: int) -> Iterator[Any]:
    if n_scans.sum() <= scans_per_file:
        yield visits
        return
    run: list[int] = []
    n_in_run = 0
    for visit, n in zip(visits.tolist(), n_scans.tolist(), strict=True):
        if run and n_in_run + n > scans_per_file:
            yield run
            run, n_in_run = [], 0
        run.append(visit)
        n_in_run += n
    yield run


def _sorted(scans: pa.Table, names: Sequence[str]) -> pa.Table:
    by = [(name, "ascending", "at_start") for name in names]  # null: no station
    return scans.take(pc.sort_indices(scans, sort_keys=by)).combine_chunks()


def _check_unlike_neighbours(ordered: pa.Table, names: Sequence[str]) -> None:
    twins = np.flatnonzero(_equal_neighbours(ordered, names))
    if twins.size:
        # Sorting is stable: of two, that of the earlier shard comes first.
        earlier, later = ordered.select(["scan", "shard"]).slice(twins[0], 2).to_pylist()
        raise SetupError(
            f"shard {later['shard']}: scan {later['scan']} is scan {earlier['scan']} of shard "
            f"{earlier['shard']} once more"
        )


def _equal_neighbours(ordered: pa.Table, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether each row but the last has the same values as the next one."""
    equal = np.ones(len(ordered) - 1, bool)
    for name in names:
        column = ordered.column(name)
        if column.null_count:
            column = column.fill_null(-1)  # only stations are
        equal &= pc.equal(column[:-1], column[1:]).to_numpy()
    return equal
