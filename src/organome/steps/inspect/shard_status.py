"""How far each shard is in each step, and which scans failed; names no participant."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from organome.domain.outcomes import Reason, Status
from organome.io.runs import Run
from organome.io.tables.ledgers import LEDGER
from organome.shards.lease import find_holder
from organome.steps.inspect.decisions import Decision


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """How far a shard is in a step.

    Attributes:
        shard: Name of the shard.
        step: Name of the step.
        state: ``published``, ``running`` (a job holds it, as far as can be seen from here),
            ``begun`` or ``waits``.
        n_done: Scans that went through.
        n_failed: Scans that failed in this step or before.
        n_left: Scans that are not decided.
        host: Who holds it; None where nobody does.
        median_s: Median of seconds per scan; None where none was timed.
        peak_gb: The most memory that its job took; None where that was not measured.
    """

    shard: str
    step: str
    state: str
    n_done: int
    n_failed: int
    n_left: int
    host: str | None = None
    median_s: float | None = None
    peak_gb: float | None = None


@dataclass(frozen=True, slots=True)
class FailedScan:
    """A scan that failed: its key, and where and why."""

    scan: str
    step: str
    reason: Reason


def shard_status(
    place: Run,
    shard: str,
    step: str,
    decided: Sequence[Decision],
    *,
    n_listed: int,
    peak_gb: float | None,
) -> ShardStatus:
    """Sum up what a step decided in one shard.

    Args:
        place: The run.
        shard: Name of the shard.
        step: Name of the step.
        decided: What is decided.
        n_listed: Scans of the shard.
        peak_gb: The most memory that its job took.
    """
    holder = find_holder(place.work / step / shard)
    is_held = holder is not None and holder.is_alive is not False
    n_done = sum(one.status is Status.DONE for one in decided)
    if is_held:
        state = "running"
    elif (place.results / step / shard / LEDGER).is_file() or len(decided) >= n_listed > 0:
        state = "published"
    else:
        state = "begun" if decided else "waits"
    return ShardStatus(
        shard=shard,
        step=step,
        state=state,
        n_done=n_done,
        n_failed=len(decided) - n_done,
        n_left=max(0, n_listed - len(decided)),
        host=holder.process.host if holder is not None and is_held else None,
        median_s=median_s(decided, step),
        peak_gb=peak_gb,
    )


def median_s(decided: Iterable[Decision], step: str) -> float | None:
    """Return the median of seconds that scans took which went through; None where none did."""
    times = [one.elapsed_s for one in decided if one.status is Status.DONE and one.step == step]
    return median(times) if times else None


def failed_scans(by_shard: Iterable[Mapping[str, Sequence[Decision]]]) -> list[FailedScan]:
    """List the scans that failed, each once, by key."""
    found = {
        (one.scan, one.step): FailedScan(one.scan, one.step, one.reason)
        for by_step in by_shard
        for decided in by_step.values()
        for one in decided
        if one.reason is not None
    }
    return [found[key] for key in sorted(found)]


def shard_lines(shards: Sequence[ShardStatus]) -> Iterator[str]:
    """Write a line for each shard and step."""
    yield (
        f"{'shard':<7} {'step':<17} {'state':<10} {'done':>6} {'failed':>7} {'left':>6}"
        f" {'s/scan':>7} {'peak GB':>8} host"
    )
    for one in shards:
        seconds = "-" if one.median_s is None else f"{one.median_s:.1f}"
        peak = "-" if one.peak_gb is None else f"{one.peak_gb:.2f}"
        line = (
            f"{one.shard:<7} {one.step:<17} {one.state:<10} {one.n_done:>6} {one.n_failed:>7}"
            f" {one.n_left:>6} {seconds:>7} {peak:>8} {one.host or ''}"
        )
        yield line.rstrip()


def failed_lines(failed: Sequence[FailedScan]) -> Iterator[str]:
    """Write a line for each scan that failed."""
    yield f"{'scan':<11} {'failed in':<17} reason (organome show SCAN has its history)"
    yield from (f"{one.scan:<11} {one.step:<17} {one.reason}" for one in failed)
