"""status: what is listed, done, failed and left of a cohort or a training; names no participant."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from json import dumps
from pathlib import Path
from typing import Final

from organome.domain.errors import OrganomeError, SetupError
from organome.domain.job_requests import SIDE_STEPS
from organome.domain.outcomes import Reason, Status
from organome.domain.tables import SCANS
from organome.domain.wording import counted
from organome.io.models.phantoms import is_for_phantoms
from organome.io.models.places import locate_model
from organome.io.runs import Run, open_run
from organome.io.tables.parquet import count_rows
from organome.steps.inspect.benchmarks import peaks_gb
from organome.steps.inspect.decisions import (
    SCAN_STEPS,
    Decision,
    decisions,
    listed_scans,
    side_steps,
)
from organome.steps.inspect.shard_status import (
    FailedScan,
    ShardStatus,
    failed_lines,
    failed_scans,
    median_s,
    shard_lines,
    shard_status,
)
from organome.steps.inspect.trainings import TrainingStatus, read_training

_LATELY: Final = timedelta(hours=1)
_S_PER_H: Final = 3600
_H_SHOWN_IN_MIN: Final = 2


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
        per_hour: Scans that it decided in an hour, lately; None if there were none.
        n_running: Scans that are left in shards that a job holds.
        median_s: Median of seconds per scan that went through; None where none was timed.
        peak_gb: The most memory that one of its jobs took; None where that was not measured.
    """

    step: str
    n_done: int
    n_failed: int
    n_failed_before: int
    n_left: int
    n_failed_by_reason: Mapping[Reason, int]
    per_hour: float | None = None
    n_running: int = 0
    median_s: float | None = field(default=None, compare=False)
    peak_gb: float | None = None

    @property
    def to_go_h(self) -> float | None:
        """Hours to go at that rate, None where it is not known."""
        return None if self.per_hour is None else self.n_left / self.per_hour


@dataclass(frozen=True, slots=True)
class CohortStatus:
    """How far a cohort is.

    Attributes:
        n_shards: Shards that are listed.
        n_listed: Scans that are listed.
        steps: One entry per step, in order.
        n_in_tables: Scans in the cohort tables, None where there are no tables yet.
        warning: What whoever reads the tables has to know of the model, None if nothing.
        shards: One entry per shard and step.
        failed: The scans that failed.
        shows: Which of the two stand in the text, too.
    """

    n_shards: int
    n_listed: int
    steps: tuple[StepStatus, ...]
    n_in_tables: int | None
    warning: str | None = None
    shards: tuple[ShardStatus, ...] = ()
    failed: tuple[FailedScan, ...] = ()
    shows: frozenset[str] = frozenset()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.n_listed > 0 and all(step.n_left == 0 for step in self.steps)

    def as_json(self) -> str:
        """Write it as JSON."""
        content = asdict(self) | {"is_over": self.is_over}
        del content["shows"]
        for one, step in zip(content["steps"], self.steps, strict=True):
            one["to_go_h"] = step.to_go_h
        return dumps(content, indent=2)

    def __str__(self) -> str:
        """Write it as plain text of a few lines."""
        listed = f"{counted(self.n_listed, 'scan')} listed in {counted(self.n_shards, 'shard')}"
        lines = [
            listed if self.n_listed else f"{listed}; `organome run` lists them",
            *([self.warning] if self.warning else []),
            "",
            f"{'step':<17} {'done':>9} {'failed':>9} {'failed before':>14} {'running':>9}"
            f" {'left':>9} {'s/scan':>7} {'peak GB':>8}",
            *map(_step_line, self.steps),
            *_rate_lines(self.steps),
            "",
            "no scan in the tables"
            if self.n_in_tables is None
            else f"{counted(self.n_in_tables, 'scan')} in the tables",
        ]
        failed = [
            f"{step.step:<17} {n_failed:>9} {reason}"
            for step in self.steps
            for reason, n_failed in step.n_failed_by_reason.items()
        ]
        if failed:
            lines += ["", f"{'failed in':<17} {'scans':>9} reason", *failed]
        if "shards" in self.shows:
            lines += ["", *shard_lines(self.shards)]
        if "failed" in self.shows:
            lines += ["", *failed_lines(self.failed)]
        return "\n".join(lines) + "\n"


def run(
    run_folder: Path,
    /,
    *,
    shards: bool = False,
    failed: bool = False,
    watch: bool = False,
    every_s: float = 10.0,
    json: bool = False,
    on_status: Callable[[str], None] | None = None,
) -> CohortStatus | TrainingStatus | str:
    """Show how far a run is: what is published, and what is under way within the shards.

    Of a training: its steps, the epochs of each fold, and the logs of what failed.

    Args:
        run_folder: Run folder.
        shards: Show a line for each shard and step, too: state, seconds per scan, peak memory.
        failed: Show which scans failed, by their keys.
        watch: Look again and again until nothing is left.
        every_s: Seconds between two looks.
        json: Print it as JSON, with all shards and failed scans.
        on_status: Called with the text of each look but the last.

    Raises:
        SetupError: It is not a run folder, or the configuration of a training is wrong.
    """
    if every_s <= 0:
        raise SetupError(f"--every-s {every_s:g}: it must be above 0")
    place = open_run(run_folder)
    while True:
        now = datetime.now(UTC)
        status = read_training(place, now=now) if place.is_training else read_status(place, now=now)
        if isinstance(status, CohortStatus):
            asked = {"shards": shards, "failed": failed}
            status = replace(status, shows=frozenset(name for name in asked if asked[name]))
        if not watch or status.is_over:
            return status.as_json() if json else status
        if on_status is not None:
            on_status(str(status))
        time.sleep(every_s)


def read_status(place: Run, *, now: datetime) -> CohortStatus:
    """Read how far a run is.

    Args:
        place: The run.
        now: The present time, for the rate.
    """
    n_by_shard = listed_scans(place)
    by_shard = {shard: _decided_by_step(place, shard) for shard in n_by_shard}
    parts = sorted((place.tables / SCANS.name).glob("*.parquet"))
    steps, shards = [], []
    for step in [*SCAN_STEPS, *side_steps(place)]:
        peaks = peaks_gb(place, step)
        of_step = [
            shard_status(
                *(place, shard, step, decided[step]),
                n_listed=n_by_shard[shard],
                peak_gb=peaks.get(shard),
            )
            for shard, decided in by_shard.items()
        ]
        shards += of_step
        decided = [one for of_shard in by_shard.values() for one in of_shard[step]]
        status = _step_status(step, decided, n_listed=sum(n_by_shard.values()), now=now)
        n_running = sum(one.n_left for one in of_step if one.state == "running")
        steps.append(
            replace(status, n_running=n_running, peak_gb=max(peaks.values(), default=None))
        )
    return CohortStatus(
        n_shards=len(n_by_shard),
        n_listed=sum(n_by_shard.values()),
        steps=tuple(steps),
        n_in_tables=sum(map(count_rows, parts)) if parts else None,
        warning=_warning(place),
        shards=tuple(sorted(shards, key=lambda one: one.shard)),
        failed=tuple(failed_scans(by_shard.values())),
    )


def _step_line(step: StepStatus) -> str:
    seconds = "-" if step.median_s is None else f"{step.median_s:.1f}"
    peak = "-" if step.peak_gb is None else f"{step.peak_gb:.2f}"
    return (
        f"{step.step:<17} {step.n_done:>9} {step.n_failed:>9} {step.n_failed_before:>14}"
        f" {step.n_running:>9} {step.n_left:>9} {seconds:>7} {peak:>8}"
    )


def _rate_lines(steps: Sequence[StepStatus]) -> Iterator[str]:
    timed = [step for step in steps if step.n_left and step.to_go_h is not None]
    if timed:
        slowest = max(timed, key=lambda step: step.to_go_h or 0.0)
        hours = slowest.to_go_h or 0.0
        in_min = hours < _H_SHOWN_IN_MIN
        to_go = f"{60 * hours:.0f} minutes" if in_min else f"{hours:.0f} hours"
        yield f"about {to_go} to go: {slowest.step} does {slowest.per_hour:.0f} scans an hour"


def _warning(place: Run) -> str | None:
    """Return what a phantom model is; a configuration that is wrong is for others to report."""
    try:
        segment = place.config()["segment"]
        if segment["source"] == "model":
            model = locate_model(segment["model"], relative_to=place.folder)
            if is_for_phantoms(model):
                return f"model {model.name}: trained on phantoms, its labels of people mean nothing"
    except OrganomeError:
        pass
    return None


def _step_status(
    step: str, decided: Sequence[Decision], *, n_listed: int, now: datetime
) -> StepStatus:
    by_reason = Counter(
        one.reason for one in decided if one.reason is not None and one.step == step
    )
    n_done = sum(one.status is Status.DONE for one in decided)
    return StepStatus(
        step=step,
        n_done=n_done,
        n_failed=by_reason.total(),
        n_failed_before=len(decided) - n_done - by_reason.total(),
        n_left=max(0, n_listed - len(decided)),
        n_failed_by_reason=dict(
            sorted(by_reason.items(), key=lambda counted: (-counted[1], counted[0]))
        ),
        median_s=median_s(decided, step),
        per_hour=_per_hour([one.finished_at for one in decided if one.finished_at], now),
    )


def _per_hour(finished_at: Sequence[str], now: datetime) -> float | None:
    """Count what was decided in the last hour; in less, where it began later."""
    times = [time for time in map(datetime.fromisoformat, finished_at) if time > now - _LATELY]
    if not times:
        return None
    since_s = max((now - min(times)).total_seconds(), 1.0)
    return len(times) / since_s * _S_PER_H


def _decided_by_step(place: Run, shard: str) -> dict[str, list[Decision]]:
    """Read what all steps decided in one shard.

    Where the images are not kept, nor is their ledger: then the step after stands for both.
    """
    by_step = {step: list(decisions(place, step, shard)) for step in SIDE_STEPS}
    later: list[Decision] = []
    for step in reversed(SCAN_STEPS):
        decided = list(decisions(place, step, shard))
        if len(decided) < len(later):
            decided = [_as_of(step, decision) for decision in later]
        by_step[step] = later = decided
    return by_step


def _as_of(step: str, decision: Decision) -> Decision:
    before = SCAN_STEPS.index(decision.step) <= SCAN_STEPS.index(step)
    return decision if before else Decision(step, Status.DONE, None, 0.0, "")
