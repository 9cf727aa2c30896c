"""The shard runner: every step's way through its scans, resumable at any moment.

A step says what to do with one scan. The runner journals each outcome, keeps those of earlier
attempts that still hold, and publishes the shard by one rename when all scans are through. It is
the only place that turns a ScanError into a row.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError
from organome.domain.outcomes import Outcome
from organome.domain.scans import Scan
from organome.shards.faults import machine_faults_stop_the_job
from organome.shards.lease import LEASE_TERMS, LeaseTerms
from organome.shards.packing import Packing
from organome.shards.shard_attempt import ShardAttempt
from organome.shards.signals import listening
from organome.shards.step import ScanStep

MAX_SCAN_MIN: Final = 120.0  # no scan takes so long, a file server that is away may take for ever


def run_shard(
    step: ScanStep,
    *,
    scans: Sequence[Scan],
    upstream: Mapping[str, Outcome] | None,
    output: Path,
    work: Path,
    workers: Sequence[ScanStep] = (),
    apart: bool = False,
    max_scan_min: float = MAX_SCAN_MIN,
    max_same_reason_share: float = 0.5,
    lease_terms: LeaseTerms = LEASE_TERMS,
    packing: Packing | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> tuple[Outcome, ...]:
    """Bring all scans of a shard through one step and publish the result.

    Args:
        step: What to do with one scan.
        scans: The scans of the shard, in order.
        upstream: Outcomes of the step before by scan key; None for the first step.
        output: Folder to publish, ``results/<step>/<shard>``.
        work: Folder for what is under way, ``work/<step>/<shard>``, on the same file system.
        workers: The step as each of several processes does it, all at the same time; fewer than
            two: in this process. They give what one process gives, bit for bit.
        apart: Whether scans are done in a process of their own even if one does them all.
        max_scan_min: Minutes without a result after which such a process hangs and is ended.
        max_same_reason_share: Above this share of scans failing here for one reason the fault is
            taken to be the machine's (a lost mount, a broken GPU) and nothing is published.
        lease_terms: How the shard is held while it is worked on.
        packing: Whether the files of its scans are published in one archive; None: they never are.
        on_outcome: Called after each scan, kept ones included.

    Returns:
        One outcome per scan, in order.

    Raises:
        SetupError: If the step before does not know a scan, or most scans fail alike.
        MachineFault: If the machine is at fault, or worker processes die and no scan is to blame.
        Interrupted: If asked to stop, or another attempt has taken the shard over.
    """
    with (
        listening() as interrupts,
        machine_faults_stop_the_job(),
        ShardAttempt(
            step,
            n_scans=len(scans),
            output=output,
            work=work,
            interrupts=interrupts,
            max_same_reason_share=max_same_reason_share,
            lease_terms=lease_terms,
            packing=packing,
            on_outcome=on_outcome,
        ) as attempt,
    ):
        inputs = [(scan, _upstream_of(scan, upstream)) for scan in scans]
        outcomes = attempt.keep(inputs)
        tasks = [task for task in inputs if task[0].scan not in outcomes]
        if len(workers) < 2 and not apart:
            workers = ()
        decisions = attempt.decide(tasks, workers=workers, max_scan_min=max_scan_min)
        with closing(decisions) as decided:
            for outcome in decided:
                outcomes[outcome.scan] = outcome
        ordered = tuple(outcomes[scan.scan] for scan in scans)
        attempt.publish(ordered)
        return ordered


def _upstream_of(scan: Scan, upstream: Mapping[str, Outcome] | None) -> Outcome | None:
    if upstream is None:
        return None
    if scan.scan not in upstream:
        raise SetupError(f"{scan.scan}: not in the ledger of the step before; the two do not match")
    return upstream[scan.scan]
