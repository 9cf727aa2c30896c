"""The journal of a shard: one JSON line per outcome, on disk before the next scan begins.

Every attempt writes a journal of its own, since hosts that append to one file over NFS overwrite
each other; they are read as one. A line is torn when the machine dies in the middle of it. Torn
lines are passed over on reading, and a writer that finds one starts on a fresh line, so nothing is
ever cut off another's line.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from organome.domain.fingerprints import canonical_json
from organome.domain.outcomes import Attempt, JsonValue, Outcome, Reason, Status
from organome.io.files.atomic import sync_folder, write_bytes_atomic

JOURNAL: Final = "journal.jsonl"


class Journal:
    """An open journal; appends whole lines and has the disk confirm each."""

    def __init__(self, path: Path) -> None:
        is_new = not path.exists()
        torn = not is_new and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if torn:
            os.write(self._descriptor, b"\n")
        if is_new:
            sync_folder(path.parent)

    def __enter__(self) -> Self:
        """Hold the file open for the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def append_outcome(self, outcome: Outcome, attempt: Attempt) -> None:
        """Write down what became of a scan; call it when the scan's files are in place."""
        self._append(_record(outcome, attempt))

    def append_void(self, step: str, reason: Reason) -> None:
        """Take back all failures so far of one step for one reason: the machine was at fault."""
        self._append({"void": reason, "step": step})

    def append_dropped(self, scans: Sequence[str]) -> None:
        """Take back what was written of some scans; call it before their files are removed."""
        self._append({"dropped": list(scans)})

    def _append(self, record: Mapping[str, JsonValue]) -> None:
        os.write(self._descriptor, _line(record))
        os.fsync(self._descriptor)


def write_journal(path: Path, entries: Iterable[tuple[Outcome, Attempt]]) -> None:
    """Write a journal with one line per entry, whole or not at all."""
    write_bytes_atomic(path, b"".join(_line(_record(*entry)) for entry in entries))


def read_journal(path: Path) -> dict[str, tuple[Outcome, Attempt]]:
    """Read the last outcome of each scan; what was taken back and torn lines are left out.

    Returns:
        Outcome and attempt by scan key; empty where there is no journal.
    """
    return read_journals([path])


def read_journals(paths: Iterable[Path]) -> dict[str, tuple[Outcome, Attempt]]:
    """Read several journals as if they were one.

    Args:
        paths: The journals, oldest first; those that do not exist are passed over.
    """
    entries: dict[str, tuple[Outcome, Attempt]] = {}
    for record in (record for path in paths for record in _records(path)):
        if "void" in record:
            entries = {
                scan: entry
                for scan, entry in entries.items()
                if (entry[0].step, entry[0].reason) != (record["step"], record["void"])
            }
        elif "dropped" in record:
            for scan in record["dropped"]:
                entries.pop(scan, None)
        else:
            outcome, attempt = _entry(record)
            entries[outcome.scan] = (outcome, attempt)
    return entries


def _line(record: Mapping[str, JsonValue]) -> bytes:
    return (canonical_json(record) + "\n").encode()


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    records = []
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _record(outcome: Outcome, attempt: Attempt) -> dict[str, JsonValue]:
    return {
        "scan": outcome.scan,
        "step": outcome.step,
        "status": outcome.status,
        "reason": outcome.reason,
        "fact": outcome.fact,
        "fingerprint": outcome.fingerprint,
        "facts": dict(outcome.facts),
        "files": list(attempt.files),
        "elapsed_s": attempt.elapsed_s,
        "host": attempt.host,
        "attempt": attempt.attempt,
        "finished_at": attempt.finished_at,
        "lean": attempt.lean,
    }


def _entry(record: Mapping[str, Any]) -> tuple[Outcome, Attempt]:
    return (
        Outcome(
            scan=record["scan"],
            step=record["step"],
            status=Status(record["status"]),
            fingerprint=record["fingerprint"],
            reason=None if record["reason"] is None else Reason(record["reason"]),
            fact=record["fact"],
            facts=record["facts"],
        ),
        Attempt(
            files=tuple(record["files"]),
            attempt=record["attempt"],
            host=record["host"],
            elapsed_s=record["elapsed_s"],
            finished_at=record["finished_at"],
            lean=record.get("lean", False),  # unknown to journals of older releases
        ),
    )
