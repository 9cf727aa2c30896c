"""list_scans: cohort folders -> the sample sheet, one file per shard, before the workflow.

Dealing is append-only: a scan keeps its shard and key for ever, and new scans open new shards. So
one new participant is one new job, never a new cohort. The list of a shard is written again only
where scans of it were delivered again, elsewhere or with other files (decision 34). A repeat that
comes later leaves the name of the first as it was. Two listings at the same time wait for each
other.

Nothing is passed over in silence: an unreadable folder stops the listing, linked folders are
followed, and what is not listed is counted by kind. No message names a participant.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Final, assert_never

from organome.cohorts import bids, nako, ukb
from organome.cohorts.folder import parse_table
from organome.cohorts.listing import FoundImage, group_images
from organome.domain.errors import MachineFault, SetupError
from organome.domain.scans import CohortKind, Scan, Stations, scan_key
from organome.io.files.delivered import folder_files
from organome.io.runs import check_root
from organome.io.tables.participants import listed_participants, tsv_lines
from organome.io.tables.scan_lists import listed_shards, read_shard, shard_path, write_shard
from organome.io.tables.withdrawn import check_none_pending, read_withdrawn
from organome.shards.faults import machine_fault
from organome.shards.lease import Lease
from organome.shards.log import log_event
from organome.steps.listing.copies import find_copies

_logger = logging.getLogger(__name__)

STEP: Final = "list_scans"
_LOOKED_AT: Final = 100  # images of a TSV, to see whether its paths lead anywhere
_Identity = tuple[str, str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class ListingSummary:
    """What listing found.

    Attributes:
        n_known: Scans listed before.
        n_new: Scans listed now.
        n_gone: Known scans that are no longer found. They stay listed, and fail as missing.
        n_shards: Shards there are now.
        n_changed: Known scans found with other files, or elsewhere. The list says so from now on.
        n_redelivered: Known scans of which a file was changed after it was listed, as far as that
            was looked for; their shards are done again.
        left_out: What was found and is not listed: kind and number, sorted.
        found: What the scans that are listed are, as far as names say it: kind and number, sorted.
    """

    n_known: int
    n_new: int
    n_gone: int
    n_shards: int
    n_changed: int = 0
    n_redelivered: int = 0
    left_out: tuple[tuple[str, int], ...] = ()
    found: tuple[tuple[str, int], ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        """Write it as plain text, a line a number."""
        numbers = asdict(self)
        del numbers["left_out"], numbers["found"]
        numbers |= {f"found, {kind}": number for kind, number in self.found}
        numbers |= {f"left out, {kind}": number for kind, number in self.left_out}
        return "\n".join(f"{name}: {number}" for name, number in numbers.items())


def run(
    *,
    kind: CohortKind,
    cohort: str,
    root: Path,
    scans: Path,
    shard_size: int = 200,
    stations: Stations = Stations.STITCH,
    first_chunk: int = 1,
    n_stations: int = 0,
    protocols: Sequence[str] = (),
    check: bool = False,
) -> ListingSummary:
    """List the scans of a cohort and deal new ones to new shards.

    Args:
        kind: How the cohort is laid out.
        cohort: Its name, for the tables.
        root: Its folder; for ``folder`` the TSV that names the images.
        scans: Folder of the sample sheet.
        shard_size: Scans per new shard.
        stations: Whether each station is a scan of its own.
        first_chunk: Number of the first station in names of kind ``nako`` and ``bids``, 0 or 1; a
            scan that has a chunk 0 is counted from 0 in any case.
        n_stations: Stations that a whole scan has, fewer are flagged; 0: four for ``nako``, for
            others as many as the highest number in the scan. Archives of ``ukb`` know it.
        protocols: Protocols to list, ``t1`` for ``t1_ax``, too, but not for what was made from
            other images (``t1_space-MNI``); none given means all.
        check: Look at the time of every listed file, too, and have the shards done again of which
            one was delivered again in its place; count scans of different participants or visits
            that have a file of one content, and name their keys in the log. Costs a look at each
            file.

    Returns:
        Counts; nothing was written if ``n_new`` and ``n_changed`` are 0.

    Raises:
        SetupError: If nothing is found, a folder cannot be read, the TSV is wrong, or the sample
            sheet was begun with another ``stations`` or under another name of the cohort.
        MachineFault: If a disk is at fault.
    """
    if shard_size < 1:
        raise SetupError(f"shard_size: {shard_size} must be at least 1")
    check_none_pending(scans)
    left_out: Counter[str] = Counter()
    everything = _find(
        kind,
        cohort=cohort,
        root=root,
        stations=stations,
        first_chunk=first_chunk,
        n_stations=n_stations,
        left_out=left_out,
    )
    found = _by_identity(_wanted(everything, protocols, left_out, kind=kind, root=root))
    if kind == "ukb":
        found = _by_identity(ukb.with_slices(found.values(), left_out))
    with _alone(scans):
        shards = list(listed_shards(scans))
        sheet = {path: read_shard(path) for _, path in shards}
        known = {one.identity: one for listed in sheet.values() for one in listed}
        if kind in ("bids", "nako"):  # elsewhere a repeat has its number from the cohort
            found = _named_as_listed(found, known.values())
        found = _without_withdrawn(found, known, scans, left_out)
        new = [scan for identity, scan in sorted(found.items()) if identity not in known]
        _check_stations(new, known.values(), stations)
        _check_names(new, known.values())
        first = shards[-1][0] + 1 if shards else 0
        dealt = list(_deal(new, shard_size))
        for shard, of_shard in enumerate(dealt, start=first):
            named = [
                replace(scan, scan=scan_key(shard, place)) for place, scan in enumerate(of_shard)
            ]
            write_shard(shard_path(scans, shard), named)
            log_event(_logger, "shard_listed", step=STEP, shard=f"{shard:04d}", n_scans=len(named))
        base = root.absolute().parent if kind == "folder" else root.absolute()
        redelivered = {
            path: _redelivered(path, [found.get(one.identity, one) for one in listed])
            for path, listed in sheet.items()
            if check
        }
        n_changed = sum(_update(path, listed, found, base) for path, listed in sheet.items())
        for path, times_ns in redelivered.items():
            if times_ns:
                _mark_as_changed(path, max(times_ns))
    copies = find_copies(found.values()) if check else []
    _name_copies(copies, scans)
    mine = [one for one in known.values() if one.cohort == cohort and _is_wanted(one, protocols)]
    return ListingSummary(
        n_known=len(mine),
        n_new=len(new),
        n_gone=sum(one.identity not in found for one in mine),
        n_shards=len(shards) + len(dealt),
        n_changed=n_changed,
        n_redelivered=sum(map(len, redelivered.values())),
        left_out=tuple(sorted(left_out.items())),
        found=tuple(
            sorted(
                (
                    _counted(found.values())
                    + _without_scans(kind, root, found)
                    + _counted_copies(copies)
                ).items()
            )
        ),
    )


def _named_as_listed(
    found: Mapping[_Identity, Scan], known: Iterable[Scan]
) -> dict[_Identity, Scan]:
    """Give each scan the array under which its image is already listed.

    Names tell repeats apart once there are several, so one more, or one less, would rename others.
    """
    holders = {
        (_without_array(scan), Path(source.path).name): identity
        for identity, scan in found.items()
        for source in scan.sources
    }
    arrays: dict[_Identity, str] = {}
    for listed in known:
        first = Path(listed.sources[0].path).name
        holder = holders.get((_without_array(listed), first))
        if holder is not None and (holder == listed.identity or holder not in arrays):
            arrays[holder] = listed.array
    return _by_identity(
        [replace(one, array=arrays.get(identity, one.array)) for identity, one in found.items()]
    )


def _without_array(scan: Scan) -> _Identity:
    return replace(scan, array="").identity


def _without_withdrawn(
    found: dict[_Identity, Scan],
    known: Collection[_Identity],
    scans: Path,
    left_out: Counter[str],
) -> dict[_Identity, Scan]:
    """Leave out whoever withdrew and is still, or again, delivered; who is listed did not."""
    new = {scan.participant for identity, scan in found.items() if identity not in known}
    gone = read_withdrawn(scans).of(new)
    left = {
        key: scan for key, scan in found.items() if key in known or scan.participant not in gone
    }
    if len(left) < len(found):
        left_out["scans of participants who withdrew"] = len(found) - len(left)
    return left


def _counted(scans: Collection[Scan]) -> Counter[str]:
    counted = Counter(one for scan in scans for one in _kinds(scan))
    spellings = Counter(one.casefold() for one in {scan.participant for scan in scans})
    if doubtful := sum(n for n in spellings.values() if n > 1):
        counted["participants whose names differ in case only"] = doubtful
    return counted


def _name_copies(groups: Sequence[Sequence[Scan]], scans: Path) -> None:
    """Write the keys of scans that have one content to the log, a line a group."""
    if not groups:
        return
    sheet = (one for _, path in listed_shards(scans) for one in read_shard(path))
    keys = {one.identity: one.scan for one in sheet}
    for group in groups:
        first, *others = sorted(keys[one.identity] for one in group)
        shard = first.split("-")[0]
        same_as = ",".join(others)
        log_event(_logger, "same_content", step=STEP, shard=shard, scan=first, same_as=same_as)


def _counted_copies(groups: Iterable[Sequence[Scan]]) -> Counter[str]:
    n = len({scan.identity for group in groups for scan in group})
    kind = "scans that have the very file of another participant or visit"
    return Counter({kind: n} if n else {})


def _without_scans(kind: CohortKind, root: Path, found: Iterable[_Identity]) -> Counter[str]:
    """Count those who stand in ``participants.tsv`` and have no scan that is listed."""
    there = listed_participants(root) if kind in ("bids", "nako") else None
    n = len(there - {participant for _, participant, *_ in found}) if there else 0
    return Counter({"participants of participants.tsv without a scan": n} if n else {})


def _kinds(scan: Scan) -> Iterator[str]:
    """Say of a scan what it is, and what is odd about it, in words that name nobody."""
    contrasts = dict.fromkeys(
        source.contrast or ukb.multi_echo_protocol(source.path) or "by its headers"
        for source in scan.sources
    )
    n_stations = len({source.station for source in scan.sources if source.station is not None})
    stations = f" at {n_stations} stations" if n_stations else ""
    yield f"{scan.protocol}: {', '.join(contrasts)}{stations}"
    yield from (f"flag {flag}" for flag in scan.flags)
    own = ukb.own_sources(scan)
    if len({(source.contrast, source.station) for source in own}) < len(own):
        yield "scans with two files at one place"


def _update(path: Path, listed: Sequence[Scan], found: Mapping[_Identity, Scan], base: Path) -> int:
    """Have the list of a shard say where its scans lie now; return how many lay elsewhere.

    Where a cohort has moved as it is, the list keeps its time, so that no shard counts as stale.
    """
    now = [replace(found.get(one.identity, one), scan=one.scan) for one in listed]
    changed = [pair for pair in zip(listed, now, strict=True) if pair[0] != pair[1]]
    if changed:
        listed_at = path.stat()
        write_shard(path, now)
        if all(_lies_below_another_root(*pair, base) for pair in changed):
            os.utime(path, ns=(listed_at.st_atime_ns, listed_at.st_mtime_ns))
        log_event(_logger, "shard_updated", step=STEP, shard=path.stem, n_changed=len(changed))
    return len(changed)


def _redelivered(path: Path, listed: Iterable[Scan]) -> list[int]:
    """Return for each scan with a file that is younger than the list of its shard how young."""
    listed_ns = path.stat().st_mtime_ns
    newest_ns = (max(map(_changed_ns, _paths(scan)), default=0) for scan in listed)
    return [time_ns for time_ns in newest_ns if time_ns > listed_ns]


def _changed_ns(path: Path) -> int:
    """Return when a file was changed last, a folder as its youngest file; 0 if it is not there."""
    try:
        below = (Path(one.path) for _, one in folder_files(path)) if path.is_dir() else ()
        files: list[Path] = [path, *below]
        return max(one.stat().st_mtime_ns for one in files)
    except OSError as error:
        fault = machine_fault(error)
        if fault is not None:
            raise MachineFault(f"a listed file: {fault.strerror}", is_local=False) from None
        return 0


def _mark_as_changed(path: Path, newest_ns: int) -> None:
    """Have Snakemake bring a shard through again; its job does again what fingerprints miss."""
    now_ns = max(time.time_ns(), newest_ns)  # the clock of the file server may be ahead
    os.utime(path, ns=(now_ns, now_ns))
    log_event(_logger, "shard_redelivered", step=STEP, shard=path.stem)


def _lies_below_another_root(before: Scan, now: Scan, base: Path) -> bool:
    """Return whether all that tells two entries of a scan apart is the folder of the cohort."""
    if _without_paths(before) != _without_paths(now):
        return False
    for old, new in zip(_paths(before), _paths(now), strict=True):
        if old.is_relative_to(base) or not new.is_relative_to(base):
            return False
        below = new.relative_to(base).parts
        if old.parts[-len(below) :] != below:
            return False
    return True


def _paths(scan: Scan) -> list[Path]:
    return [Path(one) for one in (*(each.path for each in scan.sources), scan.labelmap) if one]


def _without_paths(scan: Scan) -> Scan:
    sources = tuple(replace(one, path="") for one in scan.sources)
    return replace(scan, sources=sources, labelmap=scan.labelmap and "given")


@contextmanager
def _alone(scans: Path) -> Iterator[None]:
    """Let one listing at a time deal scans to a sample sheet; the others wait."""
    scans = scans.resolve()  # the versions of a run link to one sheet
    folder = scans.with_name(f".{scans.name}.listing")
    made_parent = not folder.parent.exists()

    def say_so(*_: object) -> None:
        _logger.warning("event=listing_wait step=%s another listing is at work", STEP)

    try:
        with Lease.take(folder, on_wait=say_so):
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()
            if made_parent:
                folder.parent.rmdir()


def _find(
    kind: CohortKind,
    *,
    cohort: str,
    root: Path,
    stations: Stations,
    first_chunk: int,
    n_stations: int,
    left_out: Counter[str],
) -> list[Scan]:
    root = root.absolute()  # the list is read from another folder than it is made in
    check_root(kind, root, named="cohort.root")
    if not _is_utf8(str(root)):
        raise SetupError("cohort.root: its path is not UTF-8, and no list can hold it; rename it")
    scans: list[Scan] = []
    match kind:
        case "ukb":
            for path in _files(root, left_out):
                of_archive = ukb.archive_scans(
                    path.name, str(path), cohort=cohort, stations=stations
                )
                scans += of_archive
                if not of_archive:
                    left_out[ukb.kind_left_out(path.name)] += 1
        case "bids" | "nako":
            is_nako = kind == "nako"
            images = []
            for path in _files(root, left_out, begins="" if is_nako else "sub-"):
                image = bids.parse_path(path, root=root, by_name=is_nako)
                if image is None and is_nako:
                    image = nako.parse_archive(path, root=root)
                if image is None:
                    of_nako = is_nako and nako.is_archive(path)
                    left_out[nako.LEFT_OUT if of_nako else bids.kind_left_out(path)] += 1
                else:
                    images.append(image)
            scans += group_images(
                images,
                cohort=cohort,
                stations=stations,
                is_table=False,
                first_station=first_chunk,
                n_stations=n_stations or (nako.STATIONS if is_nako else 0),
            )
            if is_nako and stations is Stations.SEPARATE:
                scans = [one for scan in scans for one in _by_station(scan)]
        case "folder":
            rows = parse_table(tsv_lines(root), name=root.name, root=root.parent)
            _check_images(rows, root)
            scans += group_images(rows, cohort=cohort, stations=stations, n_stations=n_stations)
        case _:
            assert_never(kind)
    return scans


def _by_station(scan: Scan) -> Iterator[Scan]:
    """Make a scan of each station where archives hold them all; images are apart already."""
    holds_all = scan.protocol == nako.DIXON and scan.station is None
    if not holds_all or not all(nako.is_archive(Path(one.path)) for one in scan.sources):
        yield scan
        return
    yield from (replace(scan, station=number) for number in range(1, nako.STATIONS + 1))


def _files(root: Path, left_out: Counter[str], *, begins: str = "") -> Iterator[Path]:
    """Yield the files below a folder, by name; each folder once, however many links lead to it.

    Folders come before links beside them: an alias that sorts first would hide a participant.

    Args:
        root: The folder.
        left_out: Where folders that are met again are counted, and files whose path is not UTF-8,
            for neither a list nor a table can hold that.
        begins: How folders right below the root must begin to be looked into; then files that lie
            in the root itself do not count.

    Raises:
        SetupError: If a folder cannot be read: its scans would be lost.
        MachineFault: If that is for a fault of the disk.
    """
    unreadable: list[OSError] = []
    seen: set[tuple[int, int]] = set()
    for name, subfolders, names in os.walk(root, onerror=unreadable.append, followlinks=True):
        folder = Path(name)
        if folder == root and begins:
            subfolders[:] = [one for one in subfolders if one.startswith(begins)]
            names = []
        try:
            found = folder.stat()
        except OSError as error:
            unreadable.append(error)
            subfolders.clear()
            continue
        if (found.st_dev, found.st_ino) in seen:
            left_out["linked folders that were met before"] += 1
            subfolders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        # Path.is_symlink would raise where a disk fails.
        subfolders.sort(key=lambda one: (os.path.islink(folder / one), one))  # noqa: PTH114
        is_utf8 = _is_utf8(name)
        for one in sorted(names):
            if is_utf8 and _is_utf8(one):
                yield folder / one
            else:
                left_out["files whose names are not UTF-8"] += 1
    if unreadable:
        # Without their paths, which may hold the name of a participant.
        depths = {len(Path(one.filename).relative_to(root).parts) for one in unreadable}
        deep = " and ".join(map(str, sorted(depths)))
        fault = next(filter(None, map(machine_fault, unreadable)), None)
        said = (
            f"{root}: {len(unreadable)} folder(s) cannot be read, {deep} level(s) below it"
            f" ({(fault or unreadable[0]).strerror}); their scans would be lost, so nothing was"
            " listed"
        )
        raise SetupError(said) if fault is None else MachineFault(said, is_local=False)


def _is_utf8(text: str) -> bool:
    """Return whether a path can be written down; else Python holds its bytes as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_images(rows: Sequence[FoundImage], root: Path) -> None:
    """Refuse a TSV whose images are all elsewhere; a single one that is missing is a row."""
    first = rows[:_LOOKED_AT]
    # Path.exists would raise where a disk fails, and name a file of a participant.
    if first and not any(os.path.exists(one.path) for one in first):  # noqa: PTH110
        raise SetupError(
            f"{root}: none of the first {len(first)} images is there; their paths are relative to"
            " the folder of the TSV"
        )


def _wanted(
    scans: Sequence[Scan],
    protocols: Sequence[str],
    left_out: Counter[str],
    *,
    kind: CohortKind,
    root: Path,
) -> list[Scan]:
    wanted = [scan for scan in scans if _is_wanted(scan, protocols)]
    left_out.update(
        f"scans of {scan.protocol}" for scan in scans if not _is_wanted(scan, protocols)
    )
    if not wanted:
        others = ", ".join(sorted({scan.protocol for scan in scans}))
        advice = (
            f"there are scans of {others}: set cohort.protocols"
            if others
            else f"nothing in it is named as in a cohort of kind {kind} (docs/cohorts.md)"
        )
        raise SetupError(f"{root}: no scan of {', '.join(protocols) or 'any protocol'}; {advice}")
    return wanted


def _is_wanted(scan: Scan, protocols: Sequence[str]) -> bool:
    if not protocols or scan.protocol in protocols:
        return True
    return scan.protocol.split("_")[0] in protocols and not bids.is_derived(scan.protocol)


def _by_identity(scans: Sequence[Scan]) -> dict[_Identity, Scan]:
    """Join what is one scan: an archive of one name in two folders, which its row is to say."""
    found: dict[_Identity, Scan] = {}
    for scan in scans:
        other = found.get(scan.identity)
        joined = (*other.sources, *scan.sources) if other else scan.sources
        found[scan.identity] = replace(scan, sources=joined)
    return found


def _check_stations(new: Iterable[Scan], known: Iterable[Scan], stations: Stations) -> None:
    """Refuse another setting for images that are listed: the two must not be pooled."""
    is_stitched = {scan.identity[:-1]: scan.station is None for scan in known}
    for scan in new:
        here = scan.station is None
        if is_stitched.get(scan.identity[:-1], here) != here:
            raise SetupError(
                f"listed before, not with `stations: {stations}`: set it back, or use another run"
                " folder"
            )


def _check_names(new: Iterable[Scan], known: Iterable[Scan]) -> None:
    """Refuse another name of the cohort for images that are listed: all would be there twice."""
    names = {_files_of(scan): scan.cohort for scan in known}
    again = Counter(names[_files_of(scan)] for scan in new if _files_of(scan) in names)
    if again:
        (name, n_scans), *_ = again.most_common(1)
        raise SetupError(
            f"{n_scans} of these scans are listed already, as cohort {name!r}:"
            " set cohort.name back, or use another run folder"
        )


def _files_of(scan: Scan) -> tuple[_Identity, tuple[str, ...]]:
    """Return what a scan has in common with itself under another name or another root."""
    names = tuple(Path(source.path).name for source in ukb.own_sources(scan))
    return ("", *scan.identity[1:]), names


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
