"""One content under two names: what was delivered for two participants, or for two visits."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from organome.domain.errors import MachineFault
from organome.domain.scans import Scan
from organome.io.files.identity import content_mark, content_size
from organome.shards.faults import machine_fault


def find_copies(scans: Iterable[Scan]) -> list[tuple[Scan, ...]]:
    """Group scans of different participants or visits that have a file of one content.

    Only files of equal size are opened, and of these three pieces are read.

    Args:
        scans: All scans that were found.

    Returns:
        Groups of at least two, each sorted by identity; empty files are nobody's.

    Raises:
        MachineFault: If a disk is at fault.
    """
    placed = {(source.path, scan.identity): scan for scan in scans for source in scan.sources}
    files = [(Path(path), scan) for (path, _), scan in placed.items()]
    groups = [
        of_mark
        for of_size in _of_two_visits(files, content_size)
        for of_mark in _of_two_visits(of_size, content_mark)
    ]
    by_identity = [{scan.identity: scan for _, scan in one} for one in groups]
    found = {tuple(sorted(one)): one for one in by_identity}
    return [tuple(found[key][one] for one in key) for key in sorted(found)]


def _of_two_visits(
    files: Iterable[tuple[Path, Scan]], mark: Callable[[Path], Hashable]
) -> list[list[tuple[Path, Scan]]]:
    groups: dict[Hashable, list[tuple[Path, Scan]]] = defaultdict(list)
    marks: dict[Path, Hashable] = {}
    for path, scan in files:
        if path not in marks:
            marks[path] = _of(path, mark)
        if marks[path]:
            groups[marks[path]].append((path, scan))
    return [
        group
        for group in groups.values()
        if len({(scan.participant, scan.instance) for _, scan in group}) > 1
    ]


def _of(path: Path, mark: Callable[[Path], Hashable]) -> Hashable:
    try:
        return mark(path)
    except (OSError, ValueError) as error:
        fault = machine_fault(error)
        if fault is not None:
            raise MachineFault(f"a listed file: {fault.strerror}", is_local=False) from None
        return None
