"""How large a shard should be, and what a cohort costs: from what scans have cost so far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from organome.domain.errors import SetupError

SEGMENT: Final = "segment_organs"
FIXED_JOB_S: Final = 20  # Snakemake starts twice on the node, then the model is loaded
MAX_SHARD_SIZE: Final = 10_000  # of the configuration
_S_PER_MIN: Final = 60
_S_PER_H: Final = 3600


@dataclass(frozen=True, slots=True)
class StepCost:
    """What the scans of one step have cost, and how many are left.

    Attributes:
        step: Name of the step.
        n_measured: Scans that went through and were timed.
        median_s: Median of their wall time in seconds, NaN where none was timed.
        p95_s: 95th percentile, likewise.
        mean_s: Mean, likewise: times the size of a shard, it is the time of a job.
        n_left: Scans that the step has not decided yet.
    """

    step: str
    n_measured: int
    median_s: float
    p95_s: float
    mean_s: float
    n_left: int


@dataclass(frozen=True, slots=True)
class JobShape:
    """What the jobs of a step have.

    Attributes:
        n_processes: Scans that are done at the same time, on each GPU where there are any.
        n_gpus: GPUs of a job; 0: none.
    """

    n_processes: int = 1
    n_gpus: int = 0

    @property
    def n_parallel(self) -> int:
        """Scans that a job does at the same time."""
        return self.n_processes * max(1, self.n_gpus)


@dataclass(frozen=True, slots=True)
class ShardSize:
    """A proposed size of shards.

    Attributes:
        n_scans: Scans in a shard.
        bound_by: The step that its jobs would take too long with more.
        job_min: Minutes that a job of each timed step takes.
    """

    n_scans: int
    bound_by: str
    job_min: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Hours:
    """What is left to do.

    Attributes:
        core_h: Hours of CPU cores, those beside the GPUs left out.
        gpu_h: Hours of GPUs.
    """

    core_h: float
    gpu_h: float


def step_cost(step: str, elapsed_s: Sequence[float], *, n_left: int) -> StepCost:
    """Sum up the wall times of the scans that a step brought through."""
    if not elapsed_s:
        return StepCost(step, 0, math.nan, math.nan, math.nan, n_left)
    median_s, p95_s = np.percentile(elapsed_s, (50, 95)).tolist()
    return StepCost(step, len(elapsed_s), median_s, p95_s, float(np.mean(elapsed_s)), n_left)


def propose_size(
    costs: Sequence[StepCost],
    shapes: Mapping[str, JobShape],
    *,
    target_min: float,
    max_other_min: float,
) -> ShardSize:
    """Propose the size with which a job of segment_organs takes as long as wanted.

    Args:
        costs: One per step; those without a timed scan do not count.
        shapes: What the jobs of each step have.
        target_min: Minutes that a job of segment_organs shall take.
        max_other_min: Minutes that a job of another step may take.

    Raises:
        SetupError: A job would be over before it has begun.
    """
    timed = [cost for cost in costs if cost.n_measured]
    wanted_min = {cost.step: max_other_min for cost in timed} | {SEGMENT: target_min}
    if min(target_min, max_other_min) * _S_PER_MIN <= FIXED_JOB_S:
        raise SetupError(f"a job needs {FIXED_JOB_S} s to start, so give it some minutes")
    fitting = {
        cost.step: (wanted_min[cost.step] * _S_PER_MIN - FIXED_JOB_S)
        * shapes[cost.step].n_parallel
        / max(cost.mean_s, 1e-3)  # the clock of the ledger
        for cost in timed
    }
    bound_by = min(fitting, key=lambda step: fitting[step])
    n_scans = _two_digits(min(fitting[bound_by], MAX_SHARD_SIZE))
    job_min = {
        cost.step: (FIXED_JOB_S + n_scans * cost.mean_s / shapes[cost.step].n_parallel) / _S_PER_MIN
        for cost in timed
    }
    return ShardSize(n_scans, bound_by, job_min)


def hours_left(
    costs: Sequence[StepCost], shapes: Mapping[str, JobShape], *, shard_size: int
) -> Hours:
    """Add up what is left to do; steps without a timed scan are left out."""
    core_s = gpu_s = 0.0
    for cost in costs:
        if not cost.n_measured:
            continue
        shape = shapes[cost.step]
        start_s = math.ceil(cost.n_left / shard_size) * FIXED_JOB_S
        job_s = start_s + cost.n_left * cost.mean_s / shape.n_parallel
        gpu_s += job_s * shape.n_gpus
        core_s += 0 if shape.n_gpus else job_s * shape.n_processes
    return Hours(core_s / _S_PER_H, gpu_s / _S_PER_H)


def _two_digits(number: float) -> int:
    """Round down to two digits that count, at least 1."""
    whole = max(1, math.floor(number))
    unit: int = 10 ** max(0, len(str(whole)) - 2)
    return whole // unit * unit
