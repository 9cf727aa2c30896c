"""What the jobs of a run leave in its folder that the watchdog looks at.

No clock is read here: the clock of a file server and that of a login node differ. What is new is
found by comparing with what was there before.
"""

import hashlib
import json
import logging
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from organome.domain.canaries import Judgement
from organome.io.tables.ledgers import LEDGER

_logger = logging.getLogger(__name__)

_SWEPT: Final = (".*.*", "*/.*.*", "tables/**/.*.*")
LAST_STEP: Final = "measure_volumes"  # with its ledger a shard is through
STEPS: Final = ("prepare_images", "segment_organs", LAST_STEP)

MACHINE_AT_FAULT: Final = 69  # exit codes of organome
SET_UP_WRONG: Final = 2


@dataclass(frozen=True, slots=True)
class Failure:
    """How one attempt at a shard ended, in its own words."""

    step: str
    shard: str
    code: int
    message: str

    @property
    def is_set_up(self) -> bool:
        """Whether it was the set-up."""
        return self.code == SET_UP_WRONG

    @property
    def is_of_one_shard(self) -> bool:
        """Whether the message is about this shard, its scans or files; others may go well."""
        return re.search(rf"\b{re.escape(self.shard)}\b", self.message) is not None


class RunFolder:
    """The folder of a run; knows which ledgers it has seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._nodes = self.folder / "work" / "broken_nodes"
        self._failures = self.folder / "work" / "failures"
        self._locks = self.folder / ".snakemake" / "locks"
        self._canary_reports = self.folder / "work" / "canary"
        self._seen = self._ledgers()

    @property
    def name(self) -> str:
        """A name for the run in the queue, the same on all hosts that mount the folder alike."""
        return f"organome_{hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]}"

    @property
    def is_locked(self) -> bool:
        """Whether Snakemake holds the folder, or did when it was killed."""
        return any(self._locks.glob("*.lock"))

    def unlock(self) -> None:
        """Open Snakemake's lock, as its ``--unlock`` does in a process that may be killed."""
        shutil.rmtree(self._locks, ignore_errors=True)
        _logger.info("event=unlocked")

    def forget_faults(self) -> None:
        """Allow noted nodes again, and have drifting kinds of machine checked again."""
        shutil.rmtree(self._nodes, ignore_errors=True)
        shutil.rmtree(self._failures, ignore_errors=True)
        for path in self.drift_reports():
            path.unlink(missing_ok=True)

    def failures(self) -> list[Failure]:
        """Read what jobs noted of their own ends since the faults were forgotten."""
        found = []
        for path in sorted(self._failures.glob("*.jsonl")):
            step, _, shard = path.stem.rpartition(".")
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # just being written
                    note = json.loads(line)
                    found.append(Failure(step, shard, int(note["code"]), str(note["message"])))
        return found

    def drift_reports(self) -> list[Path]:
        """Find the reports of the canary which say that a kind of machine drifts."""
        return [path for path in sorted(self._canary_reports.glob("*.json")) if _says_drift(path)]

    def count_new_ledgers(self) -> int:
        """Count ledgers that were never there when this was asked before.

        A ledger that is published again counts once: what goes round in circles is not progress.
        """
        new = self._ledgers() - self._seen
        self._seen |= new
        return len(new)

    def count_shards(self) -> tuple[int, int]:
        """Count the shards that are through, and those that are listed and are not.

        The second is 0 where the lists do not lie in ``scans/``.
        """
        ledgers = (self.folder / "results" / LAST_STEP).glob(f"*/{LEDGER}")
        through = {path.parent.name for path in ledgers}
        listed = {path.stem for path in (self.folder / "scans").glob("[0-9]*.parquet")}
        return len(through), len(listed - through)

    def count_steps(self) -> tuple[int, int]:
        """Count the steps of shards that are through, and all that there are."""
        n_listed = sum(self.count_shards())
        through = {
            step: {
                path.parent.name for path in (self.folder / "results" / step).glob(f"*/{LEDGER}")
            }
            for step in STEPS
        }
        # Prepared images may be removed, ledger and all, once a shard is measured.
        measured = through.pop(LAST_STEP)
        n_before = sum(len(shards - measured) for shards in through.values())
        return len(STEPS) * len(measured) + n_before, len(STEPS) * n_listed

    def sweep(self, *, older_than: Path) -> int:
        """Remove what killed attempts left beside results; call it when no job lives.

        An older output that was set aside stays as long as nothing is in its place.

        Args:
            older_than: A file of the same file server that is as old as this run.

        Returns:
            How many files and folders were removed.
        """
        limit_ns = _changed_ns(older_than)
        n_removed = 0
        results = self.folder / "results"
        # Not inside shards: what lies there is looked through before it is published.
        for path in chain.from_iterable(map(results.glob, _SWEPT)):
            name, _, _ = path.name[1:].partition(".")
            is_aside = path.name.endswith(".old") and path.with_name(name).exists()
            is_temporary = ".tmp" in path.name
            if (is_aside or is_temporary) and 0 < _changed_ns(path) < limit_ns:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(True)
                n_removed += 1
        return n_removed

    def _ledgers(self) -> set[str]:
        paths = (self.folder / "results").glob(f"*/*/{LEDGER}")
        return {str(path.relative_to(self.folder)) for path in paths}


def _changed_ns(path: Path) -> int:
    """Read when a file was last changed; 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _says_drift(path: Path) -> bool:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # just being replaced, or not ours
    return isinstance(report, dict) and report.get("judgement") == Judgement.DRIFT
