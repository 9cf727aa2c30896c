"""The work folder of a shard: files and journals of scans that are through, until all are.

One attempt at a time holds its lease. A new one first moves all that earlier ones left out of their
reach: it removes the folders of their scans in flight and puts its own name on the collected files.
So an attempt that was cut off or paused, and does not know yet that it was replaced, finds nothing
to rename, whenever it wakes up. See ``shard_places`` for what lies where.

Publishing is one rename of the collected files. An output that is asked for again stays in its
place while every outcome in it holds; otherwise it is renamed back to work, and what holds is kept.
An attempt can be cut off between any two of these moves, and the next one finds all that was done.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname

from organome.domain.outcomes import Attempt, Outcome, Reason
from organome.io.files.atomic import ATTEMPT
from organome.io.files.packs import packed_names
from organome.io.tables.ledgers import LEDGER
from organome.shards import places as shard_places
from organome.shards.collected_files import CollectedFiles, remove
from organome.shards.journal import JOURNAL, Journal, read_journals, write_journal
from organome.shards.lease import LEASE_TERMS, Holder, Lease, LeaseTerms
from organome.shards.packing import Packing, give_form, has_form
from organome.shards.staging import Bench

_Entries = dict[str, tuple[Outcome, Attempt]]


class WorkFolder:
    """One attempt at one shard: what earlier attempts left, and what this one adds.

    Attributes:
        bench: Where its scans in flight write.
        taken_from: The attempt that was taken over, None where none was under way.
    """

    def __init__(
        self,
        folder: Path,
        *,
        output: Path,
        terms: LeaseTerms = LEASE_TERMS,
        on_wait: Callable[[Holder], None] | None = None,
        stop_waiting: Callable[[], None] | None = None,
        packing: Packing | None = None,
    ) -> None:
        self._folder = folder
        self._packing = packing
        self._lease = Lease.take(
            folder,
            terms=terms,
            after=shard_places.last_generation(folder),
            on_wait=on_wait,
            stop_waiting=stop_waiting,
        )
        self.taken_from = self._lease.taken_from
        token = shard_places.token_of(self._lease.generation, ATTEMPT)
        self.bench = Bench(folder / f".{token}")
        self._files = CollectedFiles(folder, output=output, token=token)
        self._journal = shard_places.journal_of(folder, token)
        self._entries: _Entries = {}
        try:
            with self._holding():
                self.bench.open()
                self._files.open()
                self._journal.parent.mkdir(exist_ok=True)
                self._left_over: _Entries = read_journals(shard_places.journals(folder, output))
                self._packed = self._packed_names()
        except BaseException:
            self.close()
            raise

    @property
    def attempts(self) -> dict[str, Attempt]:
        """How each outcome came about, by scan key."""
        return {scan: attempt for scan, (_, attempt) in self._entries.items()}

    @property
    def tables(self) -> Path:
        """Where the step writes its tables and the ledger, before they are published."""
        return self.bench.tables

    def left_over(self, scan: str) -> Outcome | None:
        """Find the outcome of an earlier attempt, None where there is none with all its files."""
        if scan not in self._left_over:
            return None
        outcome, attempt = self._left_over[scan]
        whole = all(
            name in self._packed or (self._files.folder / name).is_file() for name in attempt.files
        )
        return outcome if whole else None

    def keep(self, scan: str) -> None:
        """Take over the outcome of an earlier attempt."""
        self._entries[scan] = self._left_over[scan]

    def settle(self, *, is_whole: bool) -> None:
        """Forget what was not kept; call it when all scans were looked through.

        Args:
            is_whole: Whether every scan of the shard was kept. Then a published output stays where
                it is, so that whoever reads it never finds it gone.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        if self._files.in_place and is_whole:
            return
        with self._holding():
            self._files.take_back()
            dropped = [scan for scan in self._left_over if scan not in self._entries]
            if dropped:
                with Journal(self._journal) as journal:
                    journal.append_dropped(dropped)
            self._files.sweep(named={JOURNAL, *self._archive(), *self._named()})

    def record(
        self, outcome: Outcome, *, elapsed_s: float, files: Sequence[Path], lean: bool = False
    ) -> None:
        """Move the files of a scan into their place, then write down its outcome.

        Args:
            outcome: What became of the scan.
            elapsed_s: Wall time spent on it, in seconds.
            files: Its files on the bench.
            lean: Whether it was done alone and with the least memory.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        with self._holding():
            names = self.bench.move(files, self._files.folder)
            self.bench.clear(outcome.scan)
            attempt = Attempt(
                files=names,
                attempt=ATTEMPT,
                host=gethostname(),
                elapsed_s=round(elapsed_s, 3),
                finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
                lean=lean,
            )
            self.check_lease()
            with Journal(self._journal) as journal:
                journal.append_outcome(outcome, attempt)
        self._entries[outcome.scan] = (outcome, attempt)

    def void(self, step: str, reason: Reason) -> None:
        """Have the next attempt forget all failures of this step for this reason."""
        with self._holding(), Journal(self._journal) as journal:
            journal.append_void(step, reason)

    def publish(self, scans: Sequence[str]) -> None:
        """Make what was collected the output, with ``tables`` and one journal of all attempts.

        Args:
            scans: Keys of all scans of the shard, in order.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        with self._holding():
            write_journal(self.tables / JOURNAL, (self._entries[scan] for scan in scans))
            named = self._give_form([name for scan in scans for name in self._names(scan)])
            # The ledger last: with it, the workflow takes the shard to be through.
            tables = sorted(self.tables.iterdir(), key=lambda path: path.name == LEDGER)
            self._files.bring(tables)
            self._files.sweep(named={*(path.name for path in tables), *named})
            traces = self._traces()
            self.check_lease()
            self._files.publish()
        for path in traces:
            with suppress(OSError):
                remove(path)
        with suppress(OSError):
            self._journal.parent.rmdir()

    def check_lease(self) -> None:
        """Stop if another attempt has taken the shard over.

        Raises:
            Interrupted: If so.
        """
        self._lease.check()

    def close(self) -> None:
        """Give the lease back; the folder goes if nothing is left in it."""
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

    def _named(self) -> set[str]:
        return {name for _, attempt in self._entries.values() for name in attempt.files}

    def _names(self, scan: str) -> tuple[str, ...]:
        return self._entries[scan][1].files

    def _archive(self) -> list[str]:
        return [] if self._packing is None else [self._packing.archive]

    def _packed_names(self) -> frozenset[str]:
        return frozenset(
            name
            for archive in self._archive()
            for name in packed_names(self._files.folder / archive)
        )

    def _give_form(self, names: Sequence[str]) -> Collection[str]:
        """Have the files of all scans packed or not, as wanted, and say what stays of them."""
        if self._packing is None or not names:
            return names
        if not has_form(self._files.folder, names, self._packing):
            # In work, where a paused attempt that wakes up finds nothing to remove.
            self._files.take_back()
            give_form(self._files.folder, names, self._packing, bench=self.bench.folder)
        return self._archive() if self._packing.wanted else names

    def _traces(self) -> list[Path]:
        """Name what this attempt and those before leave: never what one after it may bring."""
        return [
            self._folder / JOURNAL,
            *self._journal.parent.glob("*"),
            *shard_places.files_folders(self._folder),
            *self.bench.traces(),
        ]
