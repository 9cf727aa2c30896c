"""One scan, done in this process."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from organome.domain.errors import ScanError
from organome.domain.outcomes import Outcome, Reason
from organome.domain.scans import Scan
from organome.io.journal import canonical_json
from organome.steps.benches import Bench
from organome.steps.machine_faults import machine_fault
from organome.steps.scan_steps import ScanStep

Task = tuple[Scan, Outcome | None]  # a scan, and its outcome in the step before


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a step made of one scan.

    Attributes:
        elapsed_s: Wall time in seconds.
        reason: Why it failed, None when done.
        fact: What was found, in one line, None when done.
        facts: Results that go into tables, as they read back from the journal.
        files: Its files on the bench.
    """

    elapsed_s: float = 0.0
    reason: Reason | None = None
    fact: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


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
    except (ScanError, MemoryError) as error:
        if machine_fault(error) is not None:
            raise
        reason, fact = _why(error)
        return ScanResult(elapsed_s=time.perf_counter() - start_s, reason=reason, fact=fact)
    return ScanResult(
        elapsed_s=time.perf_counter() - start_s,
        facts=json.loads(canonical_json(facts)),
        files=bench.placed(scan.scan),
    )


def _why(error: ScanError | MemoryError) -> tuple[Reason, str]:
    if isinstance(error, ScanError):
        return error.reason, error.fact
    return Reason.OUT_OF_MEMORY, "the scan does not fit into memory"
