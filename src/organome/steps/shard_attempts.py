"""One attempt at one shard: what becomes of each scan, and when to stop altogether."""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.io.journal import canonical_json
from organome.io.ledgers import LEDGER, write_ledger
from organome.steps.events import log_event
from organome.steps.interrupts import Interrupts
from organome.steps.machine_faults import machine_fault
from organome.steps.scan_steps import ScanStep
from organome.steps.work_folders import WorkFolder

_logger = logging.getLogger(__name__)

MIN_SCANS_TO_JUDGE: Final = 10  # in fewer, half of the scans may well be bad


class ShardAttempt:
    """One attempt of one step at one shard."""

    def __init__(
        self,
        step: ScanStep,
        *,
        n_scans: int,
        output: Path,
        work: Path,
        interrupts: Interrupts,
        max_same_reason_share: float,
        on_outcome: Callable[[Outcome], None] | None,
    ) -> None:
        self._step = step
        self._n_scans = n_scans
        self._output = output
        self._interrupts = interrupts
        self._settings = step.settings()
        self._fingerprints: dict[str, str] = {}
        self._n_by_reason: Counter[Reason] = Counter()
        self._max_same_reason_share = max_same_reason_share
        self._on_outcome = on_outcome
        self._work = WorkFolder(work, output=output)

    def keep(self, inputs: Sequence[tuple[Scan, Outcome | None]]) -> dict[str, Outcome]:
        """Take over what earlier attempts decided and still holds; remove the rest.

        Raises:
            SetupError: If too many scans failed here for the same reason.
        """
        kept = {}
        for scan, before in inputs:
            entry = self._work.left_over(scan.scan)
            if entry is None or entry.fingerprint != self._fingerprint(scan, before):
                continue
            self._work.keep(scan.scan)
            kept[scan.scan] = entry
            self._log("scan_kept", scan.scan)
        self._work.sweep()
        for outcome in kept.values():
            self._count(outcome)
        return kept

    def decide(self, scan: Scan, before: Outcome | None) -> Outcome:
        """Do one scan and write down what became of it.

        Raises:
            SetupError: If with it too many scans failed here for the same reason; the failures for
                this reason are forgotten by the next attempt.
        """
        start_s = time.perf_counter()
        try:
            outcome = self._attempt(scan, before)
        except Exception:
            # A library may have turned either of these into an error of its own.
            self._interrupts.check()
            self._work.check_lease()
            raise
        self._interrupts.check()
        elapsed_s = time.perf_counter() - start_s
        done = outcome.status is Status.DONE
        with self._interrupts.shielded():
            self._work.record(outcome, elapsed_s=elapsed_s, with_files=done)
        self._interrupts.check()
        event = "scan_done" if done else "scan_failed"
        self._log(event, scan.scan, reason=outcome.reason, elapsed_s=elapsed_s)
        self._count(outcome)
        return outcome

    def publish(self, outcomes: Sequence[Outcome]) -> None:
        """Write the step's tables and the ledger, and put the folder in its place."""
        self._step.finish(outcomes, self._work.files)
        write_ledger(self._work.files / LEDGER, outcomes, self._work.attempts)
        n_done = sum(outcome.status is Status.DONE for outcome in outcomes)
        with self._interrupts.shielded():
            self._work.publish()
        self._log("published", None, n_done=n_done, n_failed=len(outcomes) - n_done)

    def _attempt(self, scan: Scan, before: Outcome | None) -> Outcome:
        if before is not None and before.status is Status.FAILED:
            return before
        fingerprint = self._fingerprint(scan, before)
        try:
            facts = self._step.run_scan(scan, before, self._work.place(scan.scan))
        except (ScanError, MemoryError) as error:
            if machine_fault(error) is not None:
                raise
            reason, fact = _why(error)
            _logger.debug("scan=%s fact=%s", scan.scan, fact)
            return Outcome(
                scan=scan.scan,
                step=self._step.name,
                status=Status.FAILED,
                fingerprint=fingerprint,
                reason=reason,
                fact=fact,
            )
        return Outcome(
            scan=scan.scan,
            step=self._step.name,
            status=Status.DONE,
            fingerprint=fingerprint,
            facts=json.loads(canonical_json(facts)),  # as it reads back from the journal
        )

    def _count(self, outcome: Outcome) -> None:
        if self._on_outcome:
            self._on_outcome(outcome)
        if outcome.reason is None or outcome.step != self._step.name:
            return
        self._n_by_reason[outcome.reason] += 1
        n_failed = self._n_by_reason[outcome.reason]
        enough = self._n_scans >= MIN_SCANS_TO_JUDGE
        if enough and n_failed > self._max_same_reason_share * self._n_scans:
            self._work.void(self._step.name, outcome.reason)
            raise SetupError(
                f"{self._step.name}, shard {self._output.name}: {n_failed} of {self._n_scans} scans"
                f" failed with {outcome.reason} (the last: {outcome.scan}: {outcome.fact});"
                " this looks like a fault of the machine or of the configuration"
            )

    def _fingerprint(self, scan: Scan, before: Outcome | None) -> str:
        """Digest all that the outcome of a scan depends on; its files are looked at once."""
        if before is not None and before.status is Status.FAILED:
            return before.fingerprint
        if scan.scan in self._fingerprints:
            return self._fingerprints[scan.scan]
        identity = self._step.input_identity(scan, before)
        parts: Any = [self._step.name, self._step.version, self._settings, identity]
        fingerprint = hashlib.sha256(canonical_json(parts).encode()).hexdigest()
        self._fingerprints[scan.scan] = fingerprint
        return fingerprint

    def _log(self, event: str, scan: str | None, **fields: object) -> None:
        log_event(
            _logger,
            event,
            step=self._step.name,
            shard=self._output.name,
            scan=scan,
            **fields,
        )


def _why(error: ScanError | MemoryError) -> tuple[Reason, str]:
    if isinstance(error, ScanError):
        return error.reason, error.fact
    return Reason.OUT_OF_MEMORY, "the scan does not fit into memory"
