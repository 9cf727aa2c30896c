"""The journal of a shard: one line per outcome, on disk before the next scan begins.

Every attempt writes a journal of its own, since hosts that append to one file over NFS overwrite
each other; they are read as one. A line is the CRC-32 of a record and the record in JSON. A line
that was torn when the machine died, damaged, or written by another version of Organome is passed
over: its scan is done again.
"""

import json
import os
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from organome.domain.fingerprints import canonical_json
from organome.domain.outcomes import Attempt, JsonValue, Outcome, Reason, Status
from organome.io.files.atomic import sync_folder, write_bytes_atomic

JOURNAL: Final = "journal.jsonl"

Entries = dict[str, tuple[Outcome, Attempt]]


class Journal:
    """A new journal that stays open; appends whole lines and has the disk confirm each."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        sync_folder(path.parent)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

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
        line = _line(record)
        while line:
            line = line[self._file.write(line) :]
        os.fsync(self._file.fileno())


def write_journal(path: Path, entries: Iterable[tuple[Outcome, Attempt]]) -> None:
    """Write a journal with one line per entry, whole or not at all."""
    write_bytes_atomic(path, b"".join(_line(_record(*entry)) for entry in entries))


def read_journals(paths: Iterable[Path]) -> Entries:
    """Read the last outcome of each scan from several journals as if they were one.

    Args:
        paths: The journals, oldest first; those that do not exist are passed over.

    Returns:
        Outcome and attempt by scan key; without what was taken back, and without broken lines.
    """
    entries: Entries = {}
    for path in paths:
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                entries = _with_record(entries, _parsed(line))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    return entries


def without_scans(content: bytes, scans: Collection[str]) -> tuple[bytes, int]:
    """Return a journal without some scans, and how many lines named them.

    A torn line that names one goes as well; it counts for nothing anyway.
    """
    kept, n = [], 0
    for line in content.splitlines(keepends=True):
        if not any(scan.encode() in line for scan in scans):
            kept.append(line)
            continue
        n += 1
        try:
            dropped = _parsed(line.rstrip(b"\n"))["dropped"]
        except (ValueError, KeyError, TypeError):
            continue
        if others := [scan for scan in dropped if scan not in scans]:
            kept.append(_line({"dropped": others}))
    return b"".join(kept), n


def _with_record(entries: Entries, record: Mapping[str, Any]) -> Entries:
    if "void" in record:
        taken_back = (record["step"], record["void"])
        return {
            scan: (outcome, attempt)
            for scan, (outcome, attempt) in entries.items()
            if (outcome.step, outcome.reason) != taken_back
        }
    if "dropped" in record:
        for scan in record["dropped"]:
            entries.pop(scan, None)
    else:
        outcome, attempt = _entry(record)
        entries[outcome.scan] = (outcome, attempt)
    return entries


def _line(record: Mapping[str, JsonValue]) -> bytes:
    content = canonical_json(record).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _parsed(line: bytes) -> Mapping[str, Any]:
    checksum, _, content = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(content):
        raise ValueError("damaged")
    record: Mapping[str, Any] = json.loads(content)
    return record


def _record(outcome: Outcome, attempt: Attempt) -> dict[str, JsonValue]:
    both = (outcome, attempt)
    record = {field.name: getattr(one, field.name) for one in both for field in fields(one)}
    return {**record, "facts": dict(outcome.facts), "files": dict(attempt.files)}


def _entry(record: Mapping[str, Any]) -> tuple[Outcome, Attempt]:
    values = {
        **record,
        "status": Status(record["status"]),
        "reason": None if record["reason"] is None else Reason(record["reason"]),
        "facts": dict(record["facts"]),
        "files": dict(record["files"]),
    }
    return (
        Outcome(**{field.name: values[field.name] for field in fields(Outcome)}),
        Attempt(**{field.name: values[field.name] for field in fields(Attempt)}),
    )
