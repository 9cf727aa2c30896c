"""list_scans: cohort folders -> the sample sheet, one file per shard, before the workflow.

Dealing is append-only: a scan keeps its shard and key for ever, new scans open new shards, and no
file that is there is touched again. So one new participant is one new job, never a new cohort.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final, assert_never

from organome.cohorts.bids import parse_path
from organome.cohorts.folder import parse_table
from organome.cohorts.listing import group_images
from organome.cohorts.ukb import archive_scans
from organome.domain.errors import SetupError
from organome.domain.scans import CohortKind, Scan, Stations, scan_key
from organome.io.tables.scan_lists import listed_shards, read_shard, shard_path, write_shard
from organome.shards.log import log_event

_logger = logging.getLogger(__name__)

STEP: Final = "list_scans"
_Identity = tuple[str, str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class ListingSummary:
    """What listing found.

    Attributes:
        n_known: Scans listed before.
        n_new: Scans listed now.
        n_gone: Known scans that are no longer found. They stay listed, and fail as missing.
        n_shards: Shards there are now.
        n_changed: Known scans found with other files, or elsewhere. The list keeps what it says.
    """

    n_known: int
    n_new: int
    n_gone: int
    n_shards: int
    n_changed: int = 0


def run(
    *,
    kind: CohortKind,
    cohort: str,
    root: Path,
    scans: Path,
    shard_size: int = 200,
    stations: Stations = Stations.STITCH,
    protocols: Sequence[str] = (),
) -> ListingSummary:
    """List the scans of a cohort and deal new ones to new shards.

    Args:
        kind: How the cohort is laid out.
        cohort: Its name, for the tables.
        root: Its folder; for ``folder`` the TSV that names the images.
        scans: Folder of the sample sheet.
        shard_size: Scans per new shard.
        stations: Whether each station is a scan of its own.
        protocols: Protocols to list, ``t1`` for ``t1_ax``, too; none given means all.

    Returns:
        Counts; nothing was written if ``n_new`` is 0.

    Raises:
        SetupError: If nothing is found, the TSV is wrong, a scan is found twice, or the sample
            sheet was begun with another setting of ``stations``.
    """
    if shard_size < 1:
        raise SetupError(f"shard_size is {shard_size}, 1 or more needed")
    found = _by_identity(
        _wanted(_find(kind, cohort=cohort, root=root, stations=stations), protocols, root)
    )
    shards = list(listed_shards(scans))
    known = _by_identity(scan for _, path in shards for scan in read_shard(path))
    new = [scan for identity, scan in sorted(found.items()) if identity not in known]
    _check_stations(new, known.values(), stations)
    first = shards[-1][0] + 1 if shards else 0
    dealt = list(_deal(new, shard_size))
    for shard, of_shard in enumerate(dealt, start=first):
        named = [replace(scan, scan=scan_key(shard, place)) for place, scan in enumerate(of_shard)]
        write_shard(shard_path(scans, shard), named)
        log_event(_logger, "shard_listed", step=STEP, shard=f"{shard:04d}", n_scans=len(named))
    mine = [one for one in known.values() if one.cohort == cohort and _is_wanted(one, protocols)]
    again = [(one, found[one.identity]) for one in mine if one.identity in found]
    return ListingSummary(
        n_known=len(mine),
        n_new=len(new),
        n_gone=len(mine) - len(again),
        n_shards=len(shards) + len(dealt),
        n_changed=sum(replace(now, scan=before.scan) != before for before, now in again),
    )


def _find(kind: CohortKind, *, cohort: str, root: Path, stations: Stations) -> Iterator[Scan]:
    root = root.absolute()  # the list is read from another folder than it is made in
    if not (root.is_file() if kind == "folder" else root.is_dir()):
        expected = "TSV file" if kind == "folder" else "folder"
        raise SetupError(f"{root}: no such {expected}")
    match kind:
        case "ukb":
            for path in _files(root):
                yield from archive_scans(path.name, str(path), cohort=cohort, stations=stations)
        case "bids":
            below = (path for folder in sorted(root.glob("sub-*")) for path in _files(folder))
            images = (parse_path(path, root=root) for path in below)
            yield from group_images(filter(None, images), cohort=cohort, stations=stations)
        case "folder":
            rows = parse_table(_lines(root), name=root.name, root=root.parent)
            yield from group_images(rows, cohort=cohort, stations=stations)
        case _:
            assert_never(kind)


def _files(root: Path) -> Iterator[Path]:
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SetupError(f"{path.name}: not UTF-8 text") from error


def _wanted(found: Iterable[Scan], protocols: Sequence[str], root: Path) -> list[Scan]:
    scans = list(found)
    wanted = [scan for scan in scans if _is_wanted(scan, protocols)]
    if not wanted:
        others = ", ".join(sorted({scan.protocol for scan in scans}))
        of_others = f"; there are scans of {others}" if others else ""
        raise SetupError(f"{root}: no scan of {', '.join(protocols) or 'any protocol'}{of_others}")
    return wanted


def _is_wanted(scan: Scan, protocols: Sequence[str]) -> bool:
    return not protocols or not {scan.protocol, scan.protocol.split("_")[0]}.isdisjoint(protocols)


def _by_identity(scans: Iterable[Scan]) -> dict[_Identity, Scan]:
    by_identity: dict[_Identity, Scan] = {}
    for scan in scans:
        other = by_identity.setdefault(scan.identity, scan)
        if other is not scan:
            raise SetupError(f"{scan.sources[0].path}: same scan as {other.sources[0].path}")
    return by_identity


def _check_stations(new: Iterable[Scan], known: Iterable[Scan], stations: Stations) -> None:
    """Refuse to list the same images a second time with another setting.

    Raises:
        SetupError: If so: stitched scans and stations must not be pooled.
    """
    units = {scan.identity[:-1]: scan.station is None for scan in known}
    for scan in new:
        if units.get(scan.identity[:-1], scan.station is None) != (scan.station is None):
            raise SetupError(
                f"listed before, not with `stations: {stations}`: use another run folder"
            )


def _deal(scans: Sequence[Scan], shard_size: int) -> Iterator[list[Scan]]:
    """Cut scans into shards; the stations of one scan stay together, they are read at once."""
    shard: list[Scan] = []
    for _, group in groupby(scans, key=lambda scan: scan.identity[:-1]):
        stations = list(group)
        if shard and len(shard) + len(stations) > shard_size:
            yield shard
            shard = []
        shard += stations
    if shard:
        yield shard
