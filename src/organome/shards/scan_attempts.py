"""One scan, done in this process."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from organome.domain.errors import ScanError
from organome.domain.fingerprints import canonical_json
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.scans import Scan
from organome.shards.faults import lacks_memory, machine_fault
from organome.shards.memory import NoRoomError
from organome.shards.staging import Bench
from organome.shards.step import ScanStep

Task = tuple[Scan, Outcome | None]  # a scan, and its outcome in the step before


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a step made of one scan.

    Attributes:
        elapsed_s: Wall time in seconds; of scans that overlap in one process, since the one before
            was through.
        reason: Why it failed, None when done.
        fact: What was found, in one line, None when done.
        facts: Results that go into tables, as they read back from the journal.
        files: Its files on the bench.
        lean: Whether it was done alone and with the settings that need the least memory.
        untried: Whether it was not begun, because it needs more memory than there is.
    """

    elapsed_s: float = 0.0
    reason: Reason | None = None
    fact: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    lean: bool = False
    untried: bool = False


def attempt_scan(step: ScanStep, scan: Scan, before: Outcome | None, bench: Bench) -> ScanResult:
    """Do one scan; that it cannot be done is a result, too.

    Args:
        step: What to do.
        scan: The scan.
        before: Its outcome in the step before.
        bench: Where its files lie meanwhile.
    """
    start_s = time.perf_counter()
    try:
        facts = step.run_scan(scan, before, bench.place(scan.scan))
    except Exception as error:
        return failed_result(error, elapsed_s=time.perf_counter() - start_s)
    return done_result(scan, facts, bench, elapsed_s=time.perf_counter() - start_s)


def done_result(
    scan: Scan, facts: Mapping[str, JsonValue], bench: Bench, *, elapsed_s: float
) -> ScanResult:
    """Give the result of a scan that went through."""
    return ScanResult(
        elapsed_s=elapsed_s,
        facts=json.loads(canonical_json(facts)),
        files=bench.placed(scan.scan),
    )


def failed_result(error: Exception, *, elapsed_s: float) -> ScanResult:
    """Give the result of a scan that cannot be done.

    Raises:
        Exception: The same, if the machine is to blame or it is a bug.
    """
    if machine_fault(error) is not None:
        raise error
    if isinstance(error, ScanError) and (
        error.reason is Reason.OUT_OF_MEMORY or not lacks_memory(error)
    ):
        untried = isinstance(error, NoRoomError)
        return ScanResult(
            elapsed_s=elapsed_s, reason=error.reason, fact=error.fact, untried=untried
        )
    if lacks_memory(error):
        fact = "the scan does not fit into memory"
        return ScanResult(elapsed_s=elapsed_s, reason=Reason.OUT_OF_MEMORY, fact=fact)
    raise error
