"""What each scan took in each step: by the ledger, by the journal while there is none."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from organome.domain.outcomes import Status
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.parquet import read_table
from organome.shards.work_folder import read_outcomes
from organome.steps.inspect.job_sizes import StepCost, step_cost
from organome.steps.inspect.status import SCAN_STEPS, side_steps


def step_costs(
    results: Path, work: Path | None, *, shards: Sequence[str], n_scans: int
) -> tuple[StepCost, ...]:
    """Sum up the scan times of all steps, those beside the pipeline where they were begun.

    Args:
        results: Folder of published results.
        work: Folder of what is under way, None to leave it out.
        shards: Names of the listed shards.
        n_scans: Scans of the whole cohort.
    """
    beside = side_steps(results, work)
    steps = [*SCAN_STEPS, *beside]
    elapsed_s: dict[str, list[float]] = {step: [] for step in steps}
    n_decided = dict.fromkeys(steps, 0)
    for shard in shards:
        n_later = 0  # where images are not kept, nor is their ledger: the step after tells of it
        for step in (*beside, *reversed(SCAN_STEPS)):
            under_way = None if work is None else work / step / shard
            timings = list(_timings(results / step / shard, under_way))
            elapsed_s[step] += [one_s for decided_by, one_s in timings if decided_by == step]
            n_known = len(timings) if step in beside else (n_later := max(n_later, len(timings)))
            n_decided[step] += n_known
    return tuple(
        step_cost(step, elapsed_s[step], n_left=max(0, n_scans - n_decided[step])) for step in steps
    )


def _timings(output: Path, work: Path | None) -> Iterator[tuple[str | None, float]]:
    """Yield for each decided scan the step that brought it through, None if none, and seconds."""
    if (output / LEDGER).is_file():
        columns = ["step", "status", "elapsed_s"]
        for row in read_table(output / LEDGER, columns=columns).to_pylist():
            yield row["step"] if row["status"] == Status.DONE else None, row["elapsed_s"]
        return
    if work is not None:
        for outcome, attempt in read_outcomes(work, output).values():
            done = outcome.status is Status.DONE
            yield outcome.step if done else None, attempt.elapsed_s
