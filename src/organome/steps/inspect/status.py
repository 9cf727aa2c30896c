"""status: what is listed, done, failed and left, without a name of any participant."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.domain.outcomes import Reason, Status
from organome.domain.tables import SCANS
from organome.io.runs import open_run
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.parquet import count_rows, read_table
from organome.shards.work_folder import read_outcomes

SCAN_STEPS: Final = ("prepare_images", "segment_organs", "measure_volumes")
# What is done beside the last of them, where it is asked for.
SIDE_STEPS: Final = ("measure_radiomics",)

_Decided = tuple[str, Status, Reason | None]  # step that decided, status, reason


@dataclass(frozen=True, slots=True)
class StepStatus:
    """How far one step is.

    Attributes:
        step: Name of the step.
        n_done: Scans that went through.
        n_failed: Scans that failed in this step.
        n_failed_before: Scans that a step before had failed.
        n_left: Scans that it has not decided yet.
        n_failed_by_reason: Scans that failed in this step, by reason, most frequent first.
    """

    step: str
    n_done: int
    n_failed: int
    n_failed_before: int
    n_left: int
    n_failed_by_reason: Mapping[Reason, int]


@dataclass(frozen=True, slots=True)
class CohortStatus:
    """How far a cohort is.

    Attributes:
        n_shards: Shards that are listed.
        n_listed: Scans that are listed.
        steps: One entry per step, in order.
        n_in_tables: Scans in the cohort tables, None where there are no tables yet.
    """

    n_shards: int
    n_listed: int
    steps: tuple[StepStatus, ...]
    n_in_tables: int | None

    def __str__(self) -> str:
        """Write it as plain text."""
        return render_status(self)


def run(run_folder: Path, /) -> CohortStatus:
    """Show how far a run is: ledgers of published shards, journals of shards under way.

    Args:
        run_folder: Run folder.

    Raises:
        SetupError: It is not one.
    """
    place = open_run(run_folder)
    scans, results, work = place.scans, place.results, place.work
    n_by_shard = {path.stem: count_rows(path) for path in sorted(scans.glob("[0-9]*.parquet"))}
    by_shard = [_decided_by_step(results, work, shard) for shard in n_by_shard]
    steps = [*SCAN_STEPS, *side_steps(results, work)]
    parts = sorted((results / "tables" / SCANS.name).glob("*.parquet"))
    return CohortStatus(
        n_shards=len(n_by_shard),
        n_listed=sum(n_by_shard.values()),
        steps=tuple(
            _step_status(
                step,
                [outcome for decided in by_shard for outcome in decided[step]],
                n_listed=sum(n_by_shard.values()),
            )
            for step in steps
        ),
        n_in_tables=sum(map(count_rows, parts)) if parts else None,
    )


def render_status(status: CohortStatus) -> str:
    """Write a status as plain text of a few lines."""
    lines = [
        f"{_counted(status.n_listed, 'scan')} listed in {_counted(status.n_shards, 'shard')}",
        "",
        f"{'step':<16} {'done':>9} {'failed':>9} {'failed before':>14} {'left':>9}",
        *(
            f"{step.step:<16} {step.n_done:>9} {step.n_failed:>9} {step.n_failed_before:>14} "
            f"{step.n_left:>9}"
            for step in status.steps
        ),
        "",
        "no scan in the tables"
        if status.n_in_tables is None
        else f"{_counted(status.n_in_tables, 'scan')} in the tables",
    ]
    failed = [
        f"{step.step:<16} {n_failed:>9} {reason}"
        for step in status.steps
        for reason, n_failed in step.n_failed_by_reason.items()
    ]
    if failed:
        lines += ["", f"{'failed in':<16} {'scans':>9} reason", *failed]
    return "\n".join(lines) + "\n"


def _counted(n_things: int, thing: str) -> str:
    return f"{n_things} {thing}" if n_things == 1 else f"{n_things} {thing}s"


def _step_status(step: str, decided: list[_Decided], *, n_listed: int) -> StepStatus:
    by_reason = Counter(
        reason for decider, _, reason in decided if reason is not None and decider == step
    )
    n_done = sum(status is Status.DONE for _, status, _ in decided)
    return StepStatus(
        step=step,
        n_done=n_done,
        n_failed=by_reason.total(),
        n_failed_before=len(decided) - n_done - by_reason.total(),
        n_left=n_listed - len(decided),
        n_failed_by_reason=dict(
            sorted(by_reason.items(), key=lambda counted: (-counted[1], counted[0]))
        ),
    )


def side_steps(results: Path, work: Path | None) -> list[str]:
    """Name the steps beside the pipeline that a run has begun."""
    folders = [results] if work is None else [results, work]
    return [step for step in SIDE_STEPS if any((folder / step).exists() for folder in folders)]


def _decided_by_step(results: Path, work: Path, shard: str) -> dict[str, list[_Decided]]:
    """Read what all steps decided in one shard.

    Where the images are not kept, nor is their ledger: then the step after tells of both.
    """
    by_step = {
        step: list(_decided(results / step / shard, work / step / shard)) for step in SIDE_STEPS
    }
    later: list[_Decided] = []
    for step in reversed(SCAN_STEPS):
        decided = list(_decided(results / step / shard, work / step / shard))
        if len(decided) < len(later):
            decided = [_as_of(step, outcome) for outcome in later]
        by_step[step] = later = decided
    return by_step


def _as_of(step: str, outcome: _Decided) -> _Decided:
    decider, _, _ = outcome
    before = SCAN_STEPS.index(decider) <= SCAN_STEPS.index(step)
    return outcome if before else (step, Status.DONE, None)


def _decided(output: Path, work: Path) -> Iterable[_Decided]:
    """Read what a step decided in one shard: the ledger once published, before that journals."""
    if (output / LEDGER).is_file():
        rows = read_table(output / LEDGER, columns=["step", "status", "reason"]).to_pylist()
        for row in rows:
            reason = None if row["reason"] is None else Reason(row["reason"])
            yield row["step"], Status(row["status"]), reason
        return
    for outcome, _ in read_outcomes(work, output).values():
        yield outcome.step, outcome.status, outcome.reason
