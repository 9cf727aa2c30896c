"""The work folder of a shard: files and journals of scans that are through, until all are.

```
<work>/lease/                             who may write here
<work>/.<token>/                          staging: files of the scans in flight
<work>/files-<token>/                     files of the scans that are through; becomes the output
<work>/files-<token>/journal-<token>.jsonl   outcomes, one journal per attempt
<output>/journal.jsonl                    all of them, once published
```

A token is the generation of the lease and the name of the attempt. One attempt at a time holds the
lease. A new one first moves all that earlier ones left out of their reach: it removes their staging
and renames the collected files after itself. So an attempt that was cut off or paused, and does not
know yet that it was replaced, finds nothing to rename, whenever it wakes up.

Publishing is one rename of the collected files, with the journals that lie among them. An output
that is asked for again stays in its place while every outcome in it holds; otherwise it is renamed
back to work, and what holds is kept. An attempt can be cut off between any two of these moves, and
the next one finds all that was done.
"""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import Final, TypeVar

from organome.domain.errors import ScanError
from organome.domain.outcomes import Attempt, Outcome, Reason
from organome.io.files.atomic import (
    ATTEMPT,
    publish_folder,
    sync_file,
    sync_folder,
    write_bytes_atomic,
)
from organome.io.files.packs import packed_sizes, read_packed
from organome.io.files.published import ask_again
from organome.io.tables.ledgers import LEDGER
from organome.shards.journal import (
    JOURNAL,
    Entries,
    Journal,
    read_journals,
    without_scans,
    write_journal,
)
from organome.shards.lease import LEASE_TERMS, Lease, LeaseTerms
from organome.shards.lease_records import Record
from organome.shards.packing import Packing, is_packed_as_wanted, pack_as_wanted

_T = TypeVar("_T")
_TOKEN: Final = re.compile(r"(?:files|journal)-(\d{6,})-.*")


def files_folders(work: Path) -> list[Path]:
    """Find what attempts have collected, oldest first."""
    return sorted(path for path in work.glob("files-*") if path.is_dir())


@dataclass(frozen=True, slots=True)
class CollectedFiles:
    """Files of the scans of a shard that are through; to be read only while its lease is held.

    Attributes:
        work: Folder for what is under way.
        output: Folder to publish.
        archive: Name of the pack in which files may lie.
    """

    work: Path
    output: Path
    archive: str

    def read(self, name: str, parse: Callable[[bytes], _T]) -> _T:
        """Read a file, be it packed or not.

        Args:
            name: Its name.
            parse: Makes of the bytes what is wanted; ValueError or OSError where they are damaged.

        Raises:
            DamagedFile: If it is gone or damaged; the next attempt makes it again.
        """
        for folder in (*reversed(files_folders(self.work)), self.output):
            path, pack = folder / name, folder / self.archive
            is_loose = path.is_file()
            try:
                content = path.read_bytes() if is_loose else read_packed(pack, name)
                if content is not None:
                    return parse(content)
            except (ScanError, ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise (ask_again(path) if is_loose else ask_again(pack, member=name)) from error
        raise ask_again(self.output / name, found="gone")


def read_outcomes(work: Path, output: Path) -> Entries:
    """Read what was decided so far of a shard, under way or published, by scan key."""
    folders = (output, *files_folders(work))
    return read_journals(path for folder in folders for path in _journals(folder))


def forget_outcomes(work: Path, output: Path, scans: Collection[str]) -> None:
    """Have a shard asked for again, and some of its scans done again; only while nobody is at it.

    The ledger goes first: killed in between, the scans are still known to be forgotten.
    """
    (output / LEDGER).unlink(missing_ok=True)
    for folder in (output, *files_folders(work)):
        for path in filter(Path.is_file, _journals(folder)):
            content, n = without_scans(path.read_bytes(), scans)
            if n:
                write_bytes_atomic(path, content)


def _journals(folder: Path) -> list[Path]:
    """Find the journals in a folder, oldest first; the published one is older than all others."""
    return [folder / JOURNAL, *sorted(folder.glob("journal-*.jsonl"))]


class Staging:
    """A folder of one attempt, with a folder for each scan in flight, and one for tables.

    Copies of it serve the worker processes of the attempt.

    Attributes:
        folder: The folder.
        tables: The one for tables.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = folder / "tables"
        self._placed: dict[str, list[Path]] = {}

    def open(self) -> None:
        """Make the folder, and put those of all other attempts out of their reach."""
        for number, other in enumerate(sorted(self.folder.parent.glob(".*/"))):
            # Somebody may still write there while it is removed, but not after it is renamed.
            away = self.folder.with_name(f"{self.folder.name}.{number}")
            other.rename(away)
            shutil.rmtree(away, ignore_errors=True)
        self.tables.mkdir(parents=True)

    def place(self, scan: str) -> Callable[[str], Path]:
        """Return a function that names the file which a scan in flight writes under a name."""
        self.clear(scan)
        folder = self.folder / scan
        folder.mkdir()
        placed = self._placed[scan] = []

        def place_file(name: str) -> Path:
            if "/" in name or name.endswith(".nii"):
                raise ValueError(f"{name}: a plain file name, NIfTI compressed")
            path = folder / f"{scan}_{name}"
            placed.append(path)
            return path

        return place_file

    def placed(self, scan: str) -> tuple[Path, ...]:
        """Return the files that a scan was given places for.

        Raises:
            FileNotFoundError: If one was not written.
        """
        placed = tuple(dict.fromkeys(self._placed.get(scan, [])))
        for path in placed:
            path.stat()
        return placed

    def clear(self, scan: str) -> None:
        """Remove whatever a scan has left."""
        self._placed.pop(scan, None)
        if (self.folder / scan).exists():
            shutil.rmtree(self.folder / scan)

    def remove(self) -> None:
        """Remove the folder, and what is left of those of other attempts."""
        for path in self.folder.parent.glob(f"{self.folder.name}*"):
            shutil.rmtree(path, ignore_errors=True)


class WorkFolder:
    """One attempt at one shard: what earlier attempts left, and what this one adds.

    Attributes:
        staging: Where its scans in flight write.
        taken_from: The attempt that was taken over, None where none was under way.
    """

    def __init__(
        self,
        folder: Path,
        *,
        output: Path,
        terms: LeaseTerms = LEASE_TERMS,
        on_wait: Callable[[Record], None] | None = None,
        stop_waiting: Callable[[], None] | None = None,
        packing: Packing | None = None,
    ) -> None:
        self._folder = folder
        self._output = output
        self._packing = packing
        self._lease = Lease.take(
            folder,
            terms=terms,
            after=_last_generation(folder, output),
            on_wait=on_wait,
            stop_waiting=stop_waiting,
        )
        self.taken_from = self._lease.taken_from
        self._token = f"{self._lease.generation:06d}-{ATTEMPT}"
        self.staging = Staging(folder / f".{self._token}")
        self._in_place = False
        self._journal: Journal | None = None
        self._entries: Entries = {}
        try:
            with self._holding():
                self.staging.open()
                self._take_over()
                self._left_over = read_journals(_journals(self.files))
                self._sizes = self._found_sizes()
        except BaseException:
            self.close()
            raise

    @property
    def files(self) -> Path:
        """Where the files of scans that are through lie."""
        return self._output if self._in_place else self._folder / f"files-{self._token}"

    @property
    def attempts(self) -> dict[str, Attempt]:
        """How each outcome came about, by scan key."""
        return {scan: attempt for scan, (_, attempt) in self._entries.items()}

    def left_over(self, scan: str) -> Outcome | None:
        """Find the outcome of an earlier attempt, None where there is none with all its files."""
        if scan not in self._left_over:
            return None
        outcome, attempt = self._left_over[scan]
        whole = all(self._sizes.get(name) == size for name, size in attempt.files.items())
        return outcome if whole else None

    def left_names(self, scan: str) -> Collection[str]:
        """Name the files that belong to the outcome of an earlier attempt."""
        return self._left_over[scan][1].files

    def keep(self, scans: Sequence[str], *, is_whole: bool) -> None:
        """Keep the left-over outcomes of some scans, and forget all others.

        Args:
            scans: Keys of the scans.
            is_whole: Whether they are all of the shard. Then a published output stays where it is,
                so that whoever reads it never finds it gone.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        self._entries = {scan: self._left_over[scan] for scan in scans}
        if self._in_place and is_whole:
            return
        with self._holding():
            self._take_back()
            dropped = [scan for scan in self._left_over if scan not in self._entries]
            if dropped:
                self._open_journal().append_dropped(dropped)
            self._sweep({name for _, attempt in self._entries.values() for name in attempt.files})

    def record(
        self, outcome: Outcome, *, elapsed_s: float, files: Sequence[Path], lean: bool = False
    ) -> None:
        """Move the files of a scan into their place, then write down its outcome.

        Args:
            outcome: What became of the scan.
            elapsed_s: Wall time spent on it, in seconds.
            files: Its files in staging.
            lean: Whether it was done alone and with the least memory.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        with self._holding():
            sizes = self._move_in(files)
            self.staging.clear(outcome.scan)
            attempt = Attempt(
                files=sizes,
                attempt=ATTEMPT,
                host=gethostname(),
                elapsed_s=round(elapsed_s, 3),
                finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                lean=lean,
            )
            self.check_lease()
            self._open_journal().append_outcome(outcome, attempt)
        self._entries[outcome.scan] = (outcome, attempt)

    def void(self, step: str, reason: Reason) -> None:
        """Have the next attempt forget all failures of this step for this reason."""
        with self._holding():
            self._open_journal().append_void(step, reason)

    def publish(self, scans: Sequence[str]) -> None:
        """Make what was collected the output, with the tables in staging and one journal.

        Args:
            scans: Keys of all scans of the shard, in order.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        with self._holding():
            named = self._packed([name for scan in scans for name in self._entries[scan][1].files])
            self._join_journals(scans)
            # The ledger last: with it, the workflow takes the shard to be through.
            tables = sorted(
                self.staging.tables.iterdir(), key=lambda path: (path.name == LEDGER, path.name)
            )
            self._bring(tables)
            self._sweep({JOURNAL, *(path.name for path in tables), *named}, journals=True)
            self.check_lease()
            if not self._in_place:
                publish_folder(self.files, self._output, is_synced=True)
        self.staging.remove()
        self._folders_of_others()  # removes empty ones

    def check_lease(self) -> None:
        """Stop if another attempt has taken the shard over.

        Raises:
            Interrupted: If so.
        """
        self._lease.check()

    def close(self) -> None:
        """Return the lease; the folder goes if nothing is left in it."""
        if self._journal is not None:
            self._journal.close()
        self._lease.release()
        with suppress(OSError):
            self._folder.rmdir()

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Check the lease before, and tell a bug from a shard that was taken away meanwhile."""
        self.check_lease()
        try:
            yield
        except OSError:
            self.check_lease()
            raise

    def _take_over(self) -> None:
        """Rename to this attempt what earlier ones have collected, or find it published."""
        # In this order: whoever published at the last moment left nothing to adopt.
        while folders := self._folders_of_others():
            try:
                folders.pop().rename(self.files)
            except FileNotFoundError:
                continue  # published at the last moment by the attempt before
            for folder in folders:
                shutil.rmtree(folder)
            return
        if (self._output / JOURNAL).exists():
            self._in_place = True
            return
        # An output that was renamed aside by an attempt that was cut off right then.
        for journal in self._output.parent.glob(f".{self._output.name}.*.old/{JOURNAL}"):
            journal.parent.rename(self.files)
            return
        self.files.mkdir()

    def _folders_of_others(self) -> list[Path]:
        for folder in files_folders(self._folder):
            with suppress(OSError):
                folder.rmdir()  # an empty one may come from an attempt that woke up late
        return files_folders(self._folder)

    def _take_back(self) -> None:
        if self._in_place:
            self._in_place = False
            self._output.rename(self.files)

    def _open_journal(self) -> Journal:
        if self._journal is None:
            self._journal = Journal(self.files / f"journal-{self._token}.jsonl")
        return self._journal

    def _join_journals(self, scans: Sequence[str]) -> None:
        """Leave one journal that names the scans of the shard and no others."""
        published, *others = _journals(self.files)
        if not published.exists() and len(others) == 1 and not self._left_over:
            others[0].rename(published)
        elif others or not published.exists() or set(self._left_over) - set(scans):
            write_journal(self.staging.folder / JOURNAL, (self._entries[scan] for scan in scans))
            (self.staging.folder / JOURNAL).replace(published)
        sync_folder(self.files)

    def _move_in(self, files: Sequence[Path]) -> dict[str, int]:
        """Move files in and return their sizes in bytes by name."""
        sizes = {path.name: path.stat().st_size for path in files}
        for path in files:
            sync_file(path)
        for path in files:
            path.replace(self.files / path.name)
        if files:
            sync_folder(self.files)
        return dict(sorted(sizes.items()))

    def _bring(self, tables: Sequence[Path]) -> None:
        """Move tables in, in this order; those that are there already, byte for byte, stay."""
        for path in tables:
            target = self.files / path.name
            if not target.is_file() or target.read_bytes() != path.read_bytes():
                sync_file(path)
                path.replace(target)
        sync_folder(self.files)

    def _sweep(self, named: set[str], *, journals: bool = False) -> None:
        """Remove what is not named, journals only if asked to, the oldest first."""
        if not journals:
            named |= {path.name for path in _journals(self.files)}
            named |= {self._packing.archive} if self._packing else set()
        for path in sorted(self.files.iterdir()):
            if path.name not in named:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _found_sizes(self) -> dict[str, int]:
        """Return the sizes in bytes of all files that are there, packed or not, by name."""
        packed = packed_sizes(self.files / self._packing.archive) if self._packing else {}
        with os.scandir(self.files) as entries:
            return packed | {one.name: one.stat().st_size for one in entries if one.is_file()}

    def _packed(self, names: Sequence[str]) -> Sequence[str]:
        """Have the files of all scans packed or not, as wanted, and return what stays of them."""
        if self._packing is None or not names:
            return names
        if not is_packed_as_wanted(self.files, names, self._packing):
            # In work, where a paused attempt that wakes up finds nothing to remove.
            self._take_back()
            pack_as_wanted(self.files, names, self._packing, staging=self.staging.folder)
        return [self._packing.archive] if self._packing.wanted else names


def _last_generation(work: Path, output: Path) -> int:
    """Find the highest generation that has left files or a journal."""
    paths = [*files_folders(work), *output.glob("journal-*")]
    found = [_TOKEN.fullmatch(path.name) for path in paths]
    return max((int(one[1]) for one in found if one), default=0)
