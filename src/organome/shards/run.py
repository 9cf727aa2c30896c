"""The shard runner: every step's way through its scans, resumable at any moment.

A step says what to do with one scan. The runner journals each outcome, keeps those of earlier
attempts that still hold, and publishes the shard by one rename when all scans are through.
"""

import logging
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Self

from organome.domain.errors import SetupError
from organome.domain.fingerprints import settings_digest
from organome.domain.outcomes import RETRIED, Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.io.machine.memory import job_memory_bytes
from organome.io.tables.ledgers import LEDGER, write_ledger
from organome.shards.faults import machine_faults_stop_the_job
from organome.shards.lease import LEASE_TERMS, LeaseTerms
from organome.shards.lease_records import Record
from organome.shards.log import log_event
from organome.shards.packing import Packing
from organome.shards.pipeline import ScanResult, ScanWork
from organome.shards.pool import Crew, Death, do_scans
from organome.shards.signals import StopRequests, listening
from organome.shards.step import IdentityStep, ScanStep, Task, has_left
from organome.shards.work_folder import WorkFolder

_logger = logging.getLogger(__name__)

MAX_SCAN_MIN: Final = 120.0  # no scan takes so long, a file server that is away may take for ever
MIN_SCANS_TO_JUDGE: Final = 10  # in fewer, half of the scans may well be bad
# More scans with an unexpected error than either of these are a bug, and not odd files.
MAX_UNEXPECTED: Final = 3
MAX_UNEXPECTED_SHARE: Final = 0.02


def run_shard(
    step: ScanStep,
    *,
    scans: Sequence[Scan],
    upstream: Mapping[str, Outcome] | None,
    output: Path,
    work: Path,
    workers: Sequence[ScanStep] = (),
    max_scan_min: float = MAX_SCAN_MIN,
    memory_bytes: int | None = None,
    max_same_reason_share: float = 0.5,
    lease_terms: LeaseTerms = LEASE_TERMS,
    packing: Packing | None = None,
    settings_before: Mapping[str, str] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Bring all scans of a shard through one step and publish the result.

    Args:
        step: What to do with one scan.
        scans: The scans of the shard, in order.
        upstream: Outcomes of the step before by scan key; None for the first step.
        output: Folder to publish, ``results/<step>/<shard>``.
        work: Folder for what is under way, ``work/<step>/<shard>``, on the same file system.
        workers: The step as each of several processes does it, all at the same time. None: scans
            are done in this process, without limits of time and memory; for steps that read no file
            from outside. The results are the same, bit for bit.
        max_scan_min: Minutes without a result after which a process hangs and is ended.
        memory_bytes: What the processes may take together; by default what the job may take.
        max_same_reason_share: Above this share of scans failing here for one reason the fault is
            taken to be the machine's (a lost mount, a broken GPU) and nothing is published.
        lease_terms: How the shard is held while it is worked on.
        packing: Whether the files of its scans are published in one archive; None: they never are.
        settings_before: Digests of the settings of the steps before, by step, noted in the ledger.
        on_outcome: Called after each scan, kept ones included.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: If the step before does not know a scan, or most scans fail alike, or several
            fail unexpectedly.
        MachineFault: If the machine is at fault, or worker processes die and no scan is to blame.
        Interrupted: If asked to stop, or another attempt has taken the shard over.
    """
    with (
        listening() as requests,
        machine_faults_stop_the_job(),
        _ShardAttempt(
            step=step,
            workers=workers,
            n_scans=len(scans),
            output=output,
            work=work,
            requests=requests,
            max_scan_min=max_scan_min,
            memory_bytes=memory_bytes or job_memory_bytes(),
            max_same_reason_share=max_same_reason_share,
            lease_terms=lease_terms,
            on_outcome=on_outcome,
            packing=packing,
            settings_before=settings_before,
        ) as attempt,
    ):
        tasks = [Task(scan, _upstream_of(scan, upstream)) for scan in scans]
        outcomes = attempt.keep(tasks)
        outcomes |= attempt.do([task for task in tasks if task.key not in outcomes])
        ordered = tuple(outcomes[scan.scan] for scan in scans)
        attempt.publish(ordered)
        return ordered


def _upstream_of(scan: Scan, upstream: Mapping[str, Outcome] | None) -> Outcome | None:
    if upstream is None:
        return None
    if scan.scan not in upstream:
        raise SetupError(f"{scan.scan}: not in the ledger of the step before; the two do not match")
    return upstream[scan.scan]


@dataclass(kw_only=True)
class _ShardAttempt:
    """One attempt at one shard: what becomes of each scan, and when to stop altogether."""

    step: ScanStep
    workers: Sequence[ScanStep]
    n_scans: int
    output: Path
    work: Path
    requests: StopRequests
    max_scan_min: float
    memory_bytes: int
    max_same_reason_share: float
    lease_terms: LeaseTerms
    packing: Packing | None
    settings_before: Mapping[str, str] | None
    on_outcome: Callable[[Outcome], None] | None

    def __post_init__(self) -> None:
        """Wait for the lease of the shard, and take it."""
        self._n_by_reason: Counter[Reason] = Counter()
        self._work = WorkFolder(
            self.work,
            output=self.output,
            terms=self.lease_terms,
            on_wait=partial(self._log_holder, "lease_wait"),
            stop_waiting=self.requests.check,
            packing=self.packing,
        )
        if self._work.taken_from is not None:
            self._log_holder("lease_taken_over", self._work.taken_from)

    def __enter__(self) -> Self:
        """Hold the shard for the block."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Return the shard, however the block ends."""
        with self.requests.shielded():
            self._work.close()

    def keep(self, tasks: Sequence[Task]) -> dict[str, Outcome]:
        """Take over what earlier attempts decided and still holds; remove the rest.

        Raises:
            SetupError: If too many scans failed here for the same reason.
        """
        earlier = {
            task.key: outcome
            for task in tasks
            if (outcome := self._work.left_over(task.key)) is not None
            and has_left(self.step, outcome, self._work.left_names(task.key))
        }
        failed_before = [task for task in tasks if _has_failed(task)]
        kept = {task.key for task in failed_before if earlier.get(task.key) == task.before}
        unsure = [
            task
            for task in tasks
            if task.key in earlier
            and not _has_failed(task)
            and not (
                earlier[task.key].step == self.step.name and earlier[task.key].reason in RETRIED
            )
        ]
        identities = [IdentityStep(worker) for worker in self.workers]
        with closing(self._results(unsure, IdentityStep(self.step), identities)) as results:
            for task, result in results:
                if result.fingerprint == earlier[task.key].fingerprint:
                    kept.add(task.key)
        outcomes = {task.key: earlier[task.key] for task in tasks if task.key in kept}
        self._work.keep(list(outcomes), is_whole=len(outcomes) == len(tasks))
        for outcome in outcomes.values():
            self._log("scan_kept", outcome.scan)
            self._count(outcome)
        return outcomes

    def do(self, tasks: Sequence[Task]) -> dict[str, Outcome]:
        """Do scans, write down what became of each, and return that by scan key.

        Raises:
            SetupError: If too many scans failed here for the same reason; the failures for this
                reason are forgotten by the next attempt.
        """
        outcomes = {}
        for task in tasks:
            if task.before is not None and _has_failed(task):
                outcomes[task.key] = self._record(task.before, ScanResult())
        open_tasks = [task for task in tasks if not _has_failed(task)]
        try:
            with closing(self._results(open_tasks, self.step, self.workers)) as results:
                for task, result in results:
                    outcomes[task.key] = self._record(self._outcome(task, result), result)
        except Exception:
            # A library may have turned either of these into an error of its own.
            self.requests.check()
            self._work.check_lease()
            raise
        return outcomes

    def publish(self, outcomes: Sequence[Outcome]) -> None:
        """Write the step's tables and the ledger, and put the folder in its place."""
        tables = self._work.staging.tables
        self.step.finish(outcomes, tables)
        settings = settings_digest(self.step.version, self.step.settings())
        write_ledger(
            tables / LEDGER,
            outcomes,
            self._work.attempts,
            settings=settings,
            settings_before=self.settings_before,
        )
        n_done = sum(outcome.status is Status.DONE for outcome in outcomes)
        with self.requests.shielded():
            self._work.publish([outcome.scan for outcome in outcomes])
        self._log("published", None, n_done=n_done, n_failed=len(outcomes) - n_done)

    def _results(
        self, tasks: Sequence[Task], step: ScanStep, workers: Sequence[ScanStep]
    ) -> Generator[tuple[Task, ScanResult], None, None]:
        if not workers:
            scan_work = ScanWork(step, self._work.staging)
            yield from ((task, scan_work.run(task)) for task in tasks)
            return
        crew = Crew(
            steps=workers,
            staging=self._work.staging,
            requests=self.requests,
            on_death=self._log_death,
            max_still_s=60 * self.max_scan_min,
            memory_bytes=self.memory_bytes,
        )
        with closing(do_scans(tasks, crew)) as results:
            yield from results

    def _outcome(self, task: Task, result: ScanResult) -> Outcome:
        if result.trace is not None:
            _logger.error("scan=%s unexpected error:\n%s", task.key, result.trace)
        return Outcome(
            scan=task.key,
            step=self.step.name,
            status=Status.DONE if result.reason is None else Status.FAILED,
            fingerprint=result.fingerprint,
            reason=result.reason,
            fact=result.fact,
            facts=result.facts,
        )

    def _record(self, outcome: Outcome, result: ScanResult) -> Outcome:
        self.requests.check()
        with self.requests.shielded():
            self._work.record(
                outcome, elapsed_s=result.elapsed_s, files=result.files, lean=result.lean
            )
        self.requests.check()
        event = "scan_done" if outcome.status is Status.DONE else "scan_failed"
        fields = {"reason": outcome.reason, "elapsed_s": result.elapsed_s}
        self._log(event, outcome.scan, **fields, lean=result.lean or None)
        self._count(outcome)
        return outcome

    def _count(self, outcome: Outcome) -> None:
        if self.on_outcome:
            self.on_outcome(outcome)
        if outcome.reason is None or outcome.step != self.step.name:
            return
        self._n_by_reason[outcome.reason] += 1
        n_failed = self._n_by_reason[outcome.reason]
        if n_failed <= self._max_failed(outcome.reason):
            return
        self._work.void(self.step.name, outcome.reason)
        blame = "a fault of the machine or of the configuration"
        if outcome.reason is Reason.UNEXPECTED_ERROR:
            blame = "a bug in Organome, see the log"
        raise SetupError(
            f"{self.step.name}, shard {self.output.name}: {n_failed} of {self.n_scans} scans failed"
            f" with {outcome.reason} (the last: {outcome.scan}: {outcome.fact}); this looks like"
            f" {blame}"
        )

    def _max_failed(self, reason: Reason) -> float:
        """Return how many scans may fail for a reason before the scans are not to blame."""
        if reason is Reason.UNEXPECTED_ERROR:
            return max(MAX_UNEXPECTED, MAX_UNEXPECTED_SHARE * self.n_scans)
        if self.n_scans < MIN_SCANS_TO_JUDGE:
            return self.n_scans
        return self.max_same_reason_share * self.n_scans

    def _log_death(self, death: Death) -> None:
        self._log(
            "worker_died", None, how=death.how, scans=",".join(task.key for task in death.tasks)
        )

    def _log_holder(self, event: str, holder: Record) -> None:
        self._log(event, None, host=holder.process.host, generation=holder.generation)

    def _log(self, event: str, scan: str | None, **fields: object) -> None:
        log_event(_logger, event, step=self.step.name, shard=self.output.name, scan=scan, **fields)


def _has_failed(task: Task) -> bool:
    return task.before is not None and task.before.status is Status.FAILED
