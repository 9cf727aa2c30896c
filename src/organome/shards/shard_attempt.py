"""One attempt at one shard: what becomes of each scan, and when to stop altogether."""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from organome.domain.errors import SetupError
from organome.domain.fingerprints import outcome_fingerprint
from organome.domain.outcomes import OF_THE_MACHINE, Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.shards.lease import Holder, LeaseTerms
from organome.shards.log import log_event
from organome.shards.packing import Packing
from organome.shards.pool import Death
from organome.shards.scan_attempts import ScanResult, Task
from organome.shards.scan_processes import Processes
from organome.shards.scan_results import Results, one_by_one, side_by_side
from organome.shards.signals import Interrupts
from organome.shards.step import ScanStep
from organome.shards.work_folder import WorkFolder

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
        lease_terms: LeaseTerms,
        on_outcome: Callable[[Outcome], None] | None,
        packing: Packing | None = None,
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
        self._work = WorkFolder(
            work,
            output=output,
            terms=lease_terms,
            on_wait=self._log_wait,
            stop_waiting=interrupts.check,
            packing=packing,
        )
        before = self._work.taken_from
        if before is not None:
            self._log("lease_taken_over", None, host=before.host, generation=before.generation)

    def __enter__(self) -> Self:
        """Hold the shard for the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the shard back, however the block ends."""
        with self._interrupts.shielded():
            self._work.close()

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
            if entry.step == self._step.name and entry.reason in OF_THE_MACHINE:
                continue
            self._work.keep(scan.scan)
            kept[scan.scan] = entry
            self._log("scan_kept", scan.scan)
        self._work.settle(is_whole=len(kept) == len(inputs))
        for outcome in kept.values():
            self._count(outcome)
        return kept

    def decide(
        self, tasks: Sequence[Task], *, workers: Sequence[ScanStep], max_scan_min: float
    ) -> Generator[Outcome]:
        """Do scans and write down what became of each.

        Args:
            tasks: The scans, each with its outcome in the step before.
            workers: The step as each of several processes does it; none: this process.
            max_scan_min: Minutes without a result after which one of them hangs.

        Yields:
            One outcome per scan, as they come.

        Raises:
            SetupError: If too many scans failed here for the same reason; the failures for this
                reason are forgotten by the next attempt.
        """
        for _, before in tasks:
            if before is not None and before.status is Status.FAILED:
                yield self._record(before, ScanResult())
        open_tasks = [task for task in tasks if task[1] is None or task[1].status is Status.DONE]
        results = self._results(open_tasks, workers, max_still_s=60 * max_scan_min)
        try:
            with closing(results):
                for (scan, before), result in results:
                    yield self._record(self._outcome(scan, before, result), result)
        except Exception:
            # A library may have turned either of these into an error of its own.
            self._interrupts.check()
            self._work.check_lease()
            raise

    def publish(self, outcomes: Sequence[Outcome]) -> None:
        """Write the step's tables and the ledger, and put the folder in its place."""
        self._step.finish(outcomes, self._work.tables)
        write_ledger(self._work.tables / LEDGER, outcomes, self._work.attempts)
        n_done = sum(outcome.status is Status.DONE for outcome in outcomes)
        with self._interrupts.shielded():
            self._work.publish([outcome.scan for outcome in outcomes])
        self._log("published", None, n_done=n_done, n_failed=len(outcomes) - n_done)

    def _results(
        self, tasks: Sequence[Task], workers: Sequence[ScanStep], *, max_still_s: float
    ) -> Results:
        # The fingerprint first: the input may change while it is read.
        bench, on_start = self._work.bench, self._fingerprint
        if not workers:
            return one_by_one(tasks, self._step, bench=bench, on_start=on_start)
        processes = Processes(
            steps=workers,
            bench=bench,
            interrupts=self._interrupts,
            on_start=on_start,
            on_death=self._log_death,
            max_still_s=max_still_s,
        )
        return side_by_side(tasks, processes)

    def _outcome(self, scan: Scan, before: Outcome | None, result: ScanResult) -> Outcome:
        if result.fact is not None:
            _logger.debug("scan=%s fact=%s", scan.scan, result.fact)
        return Outcome(
            scan=scan.scan,
            step=self._step.name,
            status=Status.DONE if result.reason is None else Status.FAILED,
            fingerprint=self._fingerprint(scan, before),
            reason=result.reason,
            fact=result.fact,
            facts=result.facts,
        )

    def _record(self, outcome: Outcome, result: ScanResult) -> Outcome:
        self._interrupts.check()
        with self._interrupts.shielded():
            self._work.record(
                outcome, elapsed_s=result.elapsed_s, files=result.files, lean=result.lean
            )
        self._interrupts.check()
        event = "scan_done" if outcome.status is Status.DONE else "scan_failed"
        fields = {"reason": outcome.reason, "elapsed_s": result.elapsed_s}
        self._log(event, outcome.scan, **fields, lean=result.lean or None)
        self._count(outcome)
        return outcome

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
        fingerprint = outcome_fingerprint(
            self._step.name, self._step.version, self._settings, identity
        )
        self._fingerprints[scan.scan] = fingerprint
        return fingerprint

    def _log_death(self, death: Death) -> None:
        scans = ",".join(scan.scan for scan, _ in death.tasks)
        self._log("worker_died", None, how=death.how, scans=scans)

    def _log_wait(self, holder: Holder) -> None:
        self._log("lease_wait", None, host=holder.host, generation=holder.generation)

    def _log(self, event: str, scan: str | None, **fields: object) -> None:
        log_event(
            _logger,
            event,
            step=self._step.name,
            shard=self._output.name,
            scan=scan,
            **fields,
        )
