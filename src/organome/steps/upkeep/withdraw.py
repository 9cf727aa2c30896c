"""withdraw: take participants out of a run for good, and certify it without naming them.

What is to go is counted and written down first (``scans/withdrawal.json``: keys of scans, digests
of names), so that a withdrawal that was killed goes on where it is started again; until it is
through, nothing else works on the run. Digests stay (``scans/withdrawn.json``), so that listing
passes these participants over whatever is delivered.

Only files that hold something of them are written again, and all keep their times, so that no shard
is done again. The tables lose their rows at once. Reports are removed whole at once, because their
pages, pictures and plots are of single people; these and whatever else is computed over the cohort
are made anew by the next ``organome run``.
"""

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from organome import __version__
from organome.domain.errors import SetupError
from organome.domain.wording import counted
from organome.io.canaries.references import CANARY, read_canary
from organome.io.files.atomic import write_text_atomic
from organome.io.runs import Run, open_run
from organome.io.side_runs import VERSIONS
from organome.io.tables.covariate_files import PEOPLE, separator
from organome.io.tables.participants import tsv_lines
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.io.tables.withdrawn import PENDING, WITHDRAWN, read_withdrawn, write_withdrawn
from organome.steps.upkeep.alone import alone
from organome.steps.upkeep.freeze import amend_releases
from organome.steps.upkeep.removal import LEFT, Removal, files_below

CERTIFICATES: Final = "withdrawals"
# Made of all scans: older than any of their inputs, so that the workflow makes them again.
_OF_THE_COHORT: Final = (
    "results/tables/dictionary.json",
    "results/quality/dictionary.json",
    "results/evaluation/evaluation.md",
)
# Folders with pages of many scans; one that was being written, or replaced, is hidden.
_REPORTS: Final = tuple(
    f"results/{name}" for base in ("report", "report_shareable") for name in (base, f".{base}.*")
)
_LONG_AGO_S: Final = 1


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was withdrawn; names nobody.

    Attributes:
        date: When the withdrawal began, ISO 8601.
        organome_version: The release that did it.
        n_listed: Participants on the list.
        n_participants: Those of them who were in the run.
        n_scans: Scans that they had.
        n_shards: Shards that these were in.
        removed: What was removed, by kind.
        n_files_left: Files that name one of them still: your own, of a kind that is not changed.
    """

    date: str
    organome_version: str
    n_listed: int
    n_participants: int
    n_scans: int
    n_shards: int
    removed: Mapping[str, int]
    n_files_left: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing names them any more."""
        return not self.n_files_left

    def __str__(self) -> str:
        """Write it as plain text."""
        lines = [
            f"withdrawn: {self.n_participants} of {counted(self.n_listed, 'participant')} listed,"
            f" {counted(self.n_scans, 'scan')} in {counted(self.n_shards, 'shard')}",
            *(f"removed: {n} {kind}" for kind, n in self.removed.items()),
            "not touched: the delivery, backups, and whatever lies outside of the run folder",
        ]
        if self.n_files_left:
            lines.append(
                f"{counted(self.n_files_left, 'file')} of your own in the run folder still name one"
                " of them: look for the names of your list in it"
            )
        return "\n".join(lines)


def run(run_folder: Path, /, *, list: Path) -> Certificate:
    """Withdraw participants from a run: nothing of them stays, and no listing brings them back.

    Killed, it goes on when it is started again with the same list. Delete the list afterwards.

    Args:
        run_folder: Run folder.
        list: Text file with one participant a line; of a CSV or TSV the column that is headed so
            (``eid``, ``ID``, ...), else the first.

    Returns:
        What was removed; it also stands in ``withdrawals/`` of the run folder.

    Raises:
        SetupError: The list is not one, something works on the run, another withdrawal was begun,
            or the cohort lies in the run folder itself.
    """
    place = open_run(run_folder)
    _refuse_shared_folder(place)
    named = _read_list(list)
    with alone(place):
        digests, plan = _begin(place, named, list)
        return _go_on(place, named, list, digests, plan)


def _read_list(path: Path) -> frozenset[str]:
    """Read whom a list names; a heading and the prefix of BIDS are passed over.

    Raises:
        SetupError: It cannot be read, or names nobody.
    """
    try:
        lines = tsv_lines(path)
        delimiter = separator(next((line for line in lines if set(line) & set("\t;,")), ""))
        table = csv.reader(lines, delimiter=delimiter, strict=True)
        rows = [row for row in table if any(map(str.strip, row))]
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise SetupError(f"{path}: cannot be read as a list ({error})") from error
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    known = [heading.index(name) for name in PEOPLE if name in heading]
    place = known[0] if known else 0
    cells = [row[place].strip() for row in rows[bool(known) :] if place < len(row)]
    if found := frozenset(cell.removeprefix("sub-") for cell in cells if cell):
        return found
    raise SetupError(f"{path}: names no participant; one a line is needed")


def _begin(place: Run, named: Collection[str], path: Path) -> tuple[set[str], dict[str, Any]]:
    """Write down what is to be withdrawn, or find it written down; return digests and plan."""
    withdrawn = read_withdrawn(place.scans)
    digests = {withdrawn.digest(one) for one in named}
    pending = place.scans / PENDING
    with suppress(FileNotFoundError):
        plan: dict[str, Any] = json.loads(pending.read_text(encoding="utf-8"))
        if set(plan["digests"]) != digests:
            raise SetupError(
                f"{place.folder}: a withdrawal by another list was begun and not ended; start that"
                " one again first"
            )
        return digests, plan
    listed = (one for _, sheet in listed_shards(place.scans) for one in read_shard(sheet))
    theirs = [one for one in listed if one.participant in named]
    keys = sorted(one.scan for one in theirs)
    plan = {
        "digests": sorted(digests),
        "scans": keys,
        "certificate": asdict(
            Certificate(
                date=datetime.now(UTC).date().isoformat(),
                organome_version=__version__,
                n_listed=len(named),
                n_participants=len({one.participant for one in theirs}),
                n_scans=len(keys),
                n_shards=len({one.partition("-")[0] for one in keys}),
                removed=_look(place, Removal(frozenset(named), frozenset(keys)), path),
            )
        ),
    }
    write_withdrawn(place.scans, withdrawn.with_more(digests, theirs))
    write_text_atomic(pending, json.dumps(plan, indent=1) + "\n")
    return digests, plan


def _go_on(
    place: Run, named: Collection[str], path: Path, digests: set[str], plan: Mapping[str, Any]
) -> Certificate:
    """Remove what is planned, see that nothing is left, and certify it."""
    scans = frozenset(plan["scans"])
    removal = Removal(frozenset(named), scans, apply=True)
    for report in _reports(place) if scans else ():
        _remove_folder(report)
    for file, relative in _files(place, path):
        removal.from_file(file, relative)
    if scans:
        amend_releases(place, plan["certificate"]["date"])
    _remove_empty_canaries(place)
    if scans:
        for one in _run_folders(place):
            for made in filter(Path.is_file, (one / name for name in _OF_THE_COHORT)):
                os.utime(made, (_LONG_AGO_S, _LONG_AGO_S))
    left = Removal(frozenset(named), scans)
    n_left = sum(bool(left.from_file(*pair)) for pair in _files(place, path))
    certificate = Certificate(**plan["certificate"] | {"n_files_left": n_left})
    if certificate.n_scans or certificate.removed:
        write_text_atomic(_certificate_path(place, certificate, digests), _as_json(certificate))
    (place.scans / PENDING).unlink()
    return certificate


def _look(place: Run, removal: Removal, path: Path) -> dict[str, int]:
    """Count what is of them."""
    found: Counter[str] = Counter()
    for file, relative in _files(place, path):
        found += removal.from_file(file, relative)
    del found[LEFT]
    if removal.scans:
        found += Counter({"reports": len(_reports(place))})
    return dict(sorted(found.items()))


def _run_folders(place: Run) -> list[Path]:
    return [place.folder, *(place.folder / VERSIONS).glob("*/")]


def _reports(place: Run) -> list[Path]:
    return [
        found
        for one in _run_folders(place)
        for name in _REPORTS
        for found in one.glob(name)
        if found.is_dir()
    ]


def _remove_folder(folder: Path) -> None:
    """Remove a folder, or what a link leads to and the link."""
    shutil.rmtree(folder.resolve())
    folder.unlink(missing_ok=True)


def _files(place: Run, path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield all files of the run, and where they lie in it; the delivery and the list are not."""
    folder = place.folder.absolute()
    own = [place.scans / WITHDRAWN, place.scans / PENDING, folder / CERTIFICATES, path]
    for file in files_below(folder, [*own, *_delivery(place)]):
        yield file, file.relative_to(folder)


def _delivery(place: Run) -> list[Path]:
    """Return where the cohort was delivered; nothing where the run has no configuration.

    Raises:
        SetupError: The configuration is wrong, or that of a training.
    """
    if place.own_config is None:
        return []
    if place.is_training:
        raise SetupError(
            f"{place.own_config}: a training; take them out of its datasets, and train anew"
        )
    return [place.folder / place.config()["cohort"]["root"]]


def _refuse_shared_folder(place: Run) -> None:
    """Refuse a run folder in which nothing tells delivered files from those of the run.

    Raises:
        SetupError: The cohort lies in the run folder itself.
    """
    if any(root.resolve() == place.folder.resolve() for root in _delivery(place)):
        raise SetupError(
            f"{place.own_config}: cohort.root: is the run folder itself; move what was delivered"
            " into a folder of its own, and name that"
        )


def _remove_empty_canaries(place: Run) -> None:
    """Remove a canary whose last scan was withdrawn."""
    for path in place.folder.rglob(CANARY):
        with suppress(SetupError):
            canary, _ = read_canary(path.parent)
            if not canary.scans:
                path.unlink()


def _certificate_path(place: Run, certificate: Certificate, digests: Collection[str]) -> Path:
    """Name a certificate by its day, and by its participants: it is the same after a kill."""
    mark = sorted(digests)[0][:8]
    return place.folder / CERTIFICATES / f"{certificate.date}_{mark}.json"


def _as_json(certificate: Certificate) -> str:
    return json.dumps(asdict(certificate), indent=1) + "\n"
