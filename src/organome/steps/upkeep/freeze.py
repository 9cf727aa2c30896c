"""freeze: a dated, citable release of the tables of a run, with what is needed to trust them.

```
releases/<name>/tables/                 as they were, dictionary and codebooks among them
releases/<name>/inputs.tsv              digest of what each scan's outcome depends on, by key
releases/<name>/settings/               configuration, digest of the model
releases/<name>/methods.md              a paragraph for the paper
releases/<name>/changes.md              what changed since the release before
releases/<name>/release.json            name, date, release before, counts
releases/<name>/ro-crate-metadata.json  all of it, described as an RO-Crate
releases/<name>/SHA256SUMS              ``sha256sum -c SHA256SUMS``
```
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from organome import __version__
from organome.domain.errors import SetupError
from organome.domain.wording import counted
from organome.io.files.atomic import ATTEMPT, publish_folder, write_text_atomic
from organome.io.methods import methods_text, read_facts
from organome.io.research_crates import describe_release
from organome.io.runs import CONFIG, Run, open_run
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.shards.work_folder import read_outcomes
from organome.steps.upkeep.changes import changes_text

RELEASES: Final = "releases"
RELEASE, SUMS, INPUTS = "release.json", "SHA256SUMS", "inputs.tsv"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STEPS: Final = ("prepare_images", "segment_organs", "measure_volumes", "measure_radiomics")


@dataclass(frozen=True, slots=True)
class Release:
    """A release of tables.

    Attributes:
        name: Its name.
        date: The day it was made, ISO 8601.
        organome_version: The release of Organome that made it.
        before: Name of the release before; None for the first.
        n_scans: Scans in it.
        n_scans_done: Those that were measured.
        complete: Whether every listed scan was measured or failed for a reason of its own.
        models: Digests of the models.
        amended: Days on which participants who withdrew were taken out of it.
    """

    name: str
    date: str
    organome_version: str
    before: str | None
    n_scans: int
    n_scans_done: int
    complete: bool
    models: tuple[str, ...]
    amended: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it as plain text, with how to cite it."""
        part = "" if self.complete else " (not complete: shards are left)"
        return (
            f"{RELEASES}/{self.name}: {counted(self.n_scans, 'scan')}, {self.n_scans_done}"
            f" measured{part}\ncite as: release {self.name} of {self.date}, Organome"
            f" {self.organome_version}"
        )


def run(run_folder: Path, name: str, /, *, partial: bool = False) -> Release:
    """Freeze the tables of a run as a release that is never written again.

    Only those who withdraw are taken out of it, and it says so.

    Args:
        run_folder: Run folder with tables.
        name: Name of the release, such as ``2026-03``.
        partial: Freeze tables although shards are left.

    Raises:
        SetupError: There are no tables, they are not complete, or the name is taken.
    """
    place = open_run(run_folder)
    target = place.folder / RELEASES / name
    if not _NAME.fullmatch(name):
        raise SetupError(f"{name}: a release is named by letters, digits, '_', '.' and '-'")
    if target.exists():
        raise SetupError(f"{target}: is there already, and a release does not change")
    facts = read_facts(place)
    known: dict[str, Any] = json.loads((place.tables / "dictionary.json").read_text("utf-8"))
    if not known.get("complete", True) and not partial:
        raise SetupError(f"{place.tables}: shards are left; finish the run, or freeze --partial")
    before = last_release(place)
    release = Release(
        name=name,
        date=datetime.now(UTC).date().isoformat(),
        organome_version=__version__,
        before=before.name if before else None,
        n_scans=facts.scans.num_rows,
        n_scans_done=dict(facts.counts("status")).get("done", 0),
        complete=bool(known.get("complete", True)),
        models=tuple(facts.values("model_digest")),
    )
    folder = target.with_name(f".{name}.{ATTEMPT}.tmp")
    try:
        shutil.copytree(place.tables, folder / "tables")
        _copy_settings(place, folder / "settings")
        write_text_atomic(folder / INPUTS, "".join(_inputs(place)))
        methods = methods_text(facts)
        write_text_atomic(folder / "methods.md", methods)
        earlier = None if before is None else target.with_name(before.name)
        write_text_atomic(folder / "changes.md", changes_text(folder, earlier))
        write_release(folder, release)
        describe_release(folder, _crate(release, methods))
        write_sums(folder)
        publish_folder(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return release


def releases(place: Run) -> list[Release]:
    """Read the releases of a run, the oldest first."""
    found = [_read(path) for path in (place.folder / RELEASES).glob(f"[!.]*/{RELEASE}")]
    before = {one.name: one.before for one in found}

    def n_before(release: Release) -> int:
        earlier, n = release.before, 0
        while earlier is not None and n < len(found):
            earlier, n = before.get(earlier), n + 1
        return n

    return sorted(found, key=n_before)


def last_release(place: Run) -> Release | None:
    """Return the release that was made last, None where there is none."""
    return next(reversed(releases(place)), None)


def _read(path: Path) -> Release:
    content = json.loads(path.read_text(encoding="utf-8"))
    tuples = {name: tuple(content[name]) for name in ("models", "amended")}
    return Release(**{**content, **tuples})


def amend_releases(place: Run, date: str) -> None:
    """Have the releases whose files were changed say so, and hold the checksums of what is there.

    Args:
        place: The run.
        date: The day on which participants withdrew, ISO 8601.
    """
    for release in releases(place):
        folder = place.folder / RELEASES / release.name
        if (folder / SUMS).read_text(encoding="utf-8") == _sums(folder):
            continue
        if date not in release.amended:
            write_release(folder, replace(release, amended=(*release.amended, date)))
        write_sums(folder)


def write_release(folder: Path, release: Release) -> None:
    """Write what a release is."""
    write_text_atomic(folder / RELEASE, json.dumps(asdict(release), indent=1) + "\n")


def write_sums(folder: Path) -> None:
    """Write the checksums of all files of a release, as ``sha256sum`` reads them."""
    write_text_atomic(folder / SUMS, _sums(folder))


def _sums(folder: Path) -> str:
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != SUMS:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    return "".join(lines)


def _copy_settings(place: Run, folder: Path) -> None:
    folder.mkdir()
    pinned = place.results / "model" / "digest.txt"
    for path, name in ((place.folder / CONFIG, CONFIG), (pinned, "model_digest.txt")):
        with suppress(FileNotFoundError):
            shutil.copyfile(path, folder / name)


def _inputs(place: Run) -> Iterator[str]:
    """Yield a line for each listed scan: what the outcome of each step depends on, as a digest."""
    yield "\t".join(("scan", *(f"{step}_fingerprint" for step in _STEPS))) + "\n"
    for _, path in listed_shards(place.scans):
        decided = [
            read_outcomes(place.work / step / path.stem, place.results / step / path.stem)
            for step in _STEPS
        ]
        for scan in read_shard(path):
            digests = [one[scan.scan][0].fingerprint if scan.scan in one else "" for one in decided]
            yield "\t".join((scan.scan, *digests)) + "\n"


def _crate(release: Release, methods: str) -> Mapping[str, Any]:
    return {
        "name": f"Organ tables, release {release.name}",
        "date": release.date,
        "version": release.name,
        "description": methods.partition("\n")[0],
        "organome_version": release.organome_version,
        "models": release.models,
    }
