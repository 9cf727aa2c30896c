"""The work folder of a shard: files and journal of scans that are through, until all are.

```
<work>/lease            who may write here
<work>/journal.jsonl    one line per outcome
<work>/files/           files of the scans that are through; becomes the published folder
<work>/.<attempt>/      files of the scan in flight
```

Where the journal lies says how far a shard is: in the work folder while scans are missing, then in
``files/``, and with it in the output. Every one of these moves is a rename, so an attempt can be
cut off between any two and the next one finds all that was done. An output that is asked for again
(a new model, an input that changed) is taken back to work, and what still holds in it is kept.
"""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname

from organome.domain.errors import Interrupted
from organome.domain.outcomes import Attempt, Outcome, Reason
from organome.io.atomic import ATTEMPT, publish_folder, sync_file, sync_folder
from organome.io.journal import JOURNAL, Journal, read_journal
from organome.io.lease import holds_lease, take_lease


class WorkFolder:
    """One attempt at one shard: what earlier attempts left, and what this one adds."""

    def __init__(self, folder: Path, *, output: Path) -> None:
        self.folder = folder
        self.output = output
        self.files = folder / "files"
        self._bench = folder / f".{ATTEMPT}"
        self._placed: list[Path] = []
        self._entries: dict[str, tuple[Outcome, Attempt]] = {}
        self._journal = folder / JOURNAL
        take_lease(folder)
        for other in folder.glob(".*/"):
            shutil.rmtree(other, ignore_errors=True)
        self._take_back()
        self.files.mkdir(exist_ok=True)
        self._bench.mkdir(exist_ok=True)
        self._left_over = read_journal(self._journal)

    @property
    def attempts(self) -> dict[str, Attempt]:
        """How each outcome came about, by scan key."""
        return {scan: attempt for scan, (_, attempt) in self._entries.items()}

    def left_over(self, scan: str) -> Outcome | None:
        """Find the outcome of an earlier attempt, None where there is none with all its files."""
        if scan not in self._left_over:
            return None
        outcome, attempt = self._left_over[scan]
        whole = all((self.files / name).is_file() for name in attempt.files)
        return outcome if whole else None

    def keep(self, scan: str) -> None:
        """Take over the outcome of an earlier attempt."""
        self._entries[scan] = self._left_over[scan]

    def sweep(self) -> None:
        """Remove every file that no kept outcome named; call it when all was looked through."""
        named = {name for _, attempt in self._entries.values() for name in attempt.files}
        for path in self.files.iterdir():
            if path.name not in named:
                _remove(path)

    def place(self, scan: str) -> Callable[[str], Path]:
        """Give a function that says where the scan in flight writes a file of a given name."""
        self._clear_bench()

        def place_file(name: str) -> Path:
            if "/" in name or name.endswith(".nii"):
                raise ValueError(f"{name}: a plain file name, NIfTI compressed")
            path = self._bench / f"{scan}_{name}"
            self._placed.append(path)
            return path

        return place_file

    def record(self, outcome: Outcome, *, elapsed_s: float, with_files: bool) -> None:
        """Move the files of a scan into their place, then write down its outcome.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        self.check_lease()
        names = self._move_placed() if with_files else ()
        self._clear_bench()
        attempt = Attempt(
            files=names,
            attempt=ATTEMPT,
            host=gethostname(),
            elapsed_s=round(elapsed_s, 3),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with Journal(self._journal) as journal:
            journal.append_outcome(outcome, attempt)
        self._entries[outcome.scan] = (outcome, attempt)

    def void(self, step: str, reason: Reason) -> None:
        """Have the next attempt forget all failures of this step for this reason."""
        with Journal(self._journal) as journal:
            journal.append_void(step, reason)

    def publish(self) -> None:
        """Make ``files/`` the output by one rename and remove the work folder.

        Raises:
            Interrupted: If another attempt has taken the shard over.
        """
        self.check_lease()
        self._journal.touch()
        self._journal.replace(self.files / JOURNAL)
        publish_folder(self.files, self.output)
        shutil.rmtree(self.folder, ignore_errors=True)

    def check_lease(self) -> None:
        """Stop if another attempt has taken the shard over.

        Raises:
            Interrupted: If so.
        """
        if not holds_lease(self.folder):
            raise Interrupted(f"{self.folder}: another attempt has taken this shard over")

    def _take_back(self) -> None:
        if not self._journal.exists():
            if not (self.files / JOURNAL).exists() and (self.output / JOURNAL).exists():
                shutil.rmtree(self.files, ignore_errors=True)
                self.output.rename(self.files)
            if (self.files / JOURNAL).exists():
                (self.files / JOURNAL).replace(self._journal)

    def _move_placed(self) -> tuple[str, ...]:
        for path in self._placed:
            sync_file(path)
        for path in self._placed:
            path.replace(self.files / path.name)
        if self._placed:
            sync_folder(self.files)
        return tuple(sorted({path.name for path in self._placed}))

    def _clear_bench(self) -> None:
        self._placed = []
        for path in self._bench.iterdir():
            _remove(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
