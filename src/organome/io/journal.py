"""The journal of a shard: one JSON line per outcome, on disk before the next scan begins.

A line is torn when the machine dies in the middle of it. Torn lines are passed over on reading, and
a writer that finds one starts on a fresh line, so nothing is ever cut off another's line.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from organome.domain.outcomes import Attempt, JsonValue, Outcome, Reason, Status

JOURNAL: Final = "journal.jsonl"


class Journal:
    """An open journal; appends whole lines and has the disk confirm each."""

    def __init__(self, path: Path) -> None:
        torn = path.exists() and path.stat().st_size > 0 and path.read_bytes()[-1:] != b"\n"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if torn:
            os.write(self._descriptor, b"\n")

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
        self._append(
            {
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
            }
        )

    def append_void(self, step: str, reason: Reason) -> None:
        """Take back all failures so far of one step for one reason: the machine was at fault."""
        self._append({"void": reason, "step": step})

    def _append(self, record: Mapping[str, JsonValue]) -> None:
        os.write(self._descriptor, (canonical_json(record) + "\n").encode())
        os.fsync(self._descriptor)


def read_journal(path: Path) -> dict[str, tuple[Outcome, Attempt]]:
    """Read the last outcome of each scan; voided ones and torn lines are left out.

    Returns:
        Outcome and attempt by scan key; empty where there is no journal.
    """
    entries: dict[str, tuple[Outcome, Attempt]] = {}
    for record in _records(path):
        if "void" in record:
            entries = {
                scan: entry
                for scan, entry in entries.items()
                if (entry[0].step, entry[0].reason) != (record["step"], record["void"])
            }
        else:
            outcome, attempt = _entry(record)
            entries[outcome.scan] = (outcome, attempt)
    return entries


def canonical_json(value: JsonValue) -> str:
    """Write a value the one way in which equal values give equal text.

    Raises:
        ValueError: If the value holds NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _records(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


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
        ),
    )
