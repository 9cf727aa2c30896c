"""estimate: from scans that are through, how to cut the rest into jobs and what it will cost.

Of a training: from epochs that are through, how long its folds take.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from organome.domain.errors import SetupError
from organome.domain.job_requests import SEGMENT, configured_gpus, configured_processes
from organome.domain.outcomes import Status
from organome.io.runs import Run, open_run
from organome.io.tables.ledgers import LEDGER
from organome.steps.inspect.benchmarks import cpu_s_per_scan, peaks_gb
from organome.steps.inspect.decisions import SCAN_STEPS, decisions, listed_scans, side_steps
from organome.steps.inspect.training_estimates import TrainingEstimate, estimate_training

PREPARE: Final = SCAN_STEPS[0]
FIXED_JOB_S: Final = 20  # Snakemake starts twice on the node, then the model is loaded
MAX_SHARD_SIZE: Final = 10_000  # of the configuration
_S_PER_MIN: Final = 60
_S_PER_H: Final = 3600
MAX_JOBS: Final = 20_000  # beyond, Snakemake plans for minutes; see benchmarks/planning.py
_MEMORY_MARGIN: Final = 1.2  # scans differ, and the kernel kills at the limit
_N_LAST_JOBS: Final = 3  # collect_tables, check_quality, write_report
_SLURM_LOGS: Final = "logs/slurm"
_BILL_SCANS: Final = 100_000
_N_WEIGHED: Final = 3  # shards whose files are looked at
_BYTES_PER_GIB: Final = 1 << 30


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
class Leftover:
    """What a step has published, a scan.

    Attributes:
        n_files: Files, those of the shard dealt to its scans.
        n_bytes: Their size.
    """

    n_files: float
    n_bytes: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the rest of a cohort needs.

    Attributes:
        n_scans: Scans of the whole cohort.
        n_shards_listed: Shards that they are dealt to, None where they are not listed yet.
        costs: What scans cost, one entry a step.
        shapes: What the jobs of each step have, by step.
        size: The proposed size of shards.
        core_h: Hours of CPU cores that are left to do: wall time times processes, those beside the
            GPUs left out.
        gpu_h: Hours of GPUs that are left to do.
        mem_gb: Memory of a process that jobs should ask for, by step, where it was measured.
        leftovers: What scans have left, by step, as far as it is still there.
        cpu_s: CPU seconds of jobs a scan, by step, where Snakemake measured them.
        keeps_images: Whether images stay when they are measured.
        n_shard_jobs: Jobs of a shard.
        n_other_jobs: Jobs of the cohort as a whole.
        assumed: What was assumed of the GPUs, empty where that is known.
    """

    n_scans: int
    n_shards_listed: int | None
    costs: tuple[StepCost, ...]
    shapes: Mapping[str, JobShape]
    size: ShardSize
    core_h: float
    gpu_h: float
    mem_gb: Mapping[str, float] = field(default_factory=dict)
    leftovers: Mapping[str, Leftover] = field(default_factory=dict)
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    keeps_images: bool = True
    n_shard_jobs: int = len(SCAN_STEPS)
    n_other_jobs: int = _N_LAST_JOBS
    assumed: str = ""

    @property
    def n_shards(self) -> int:
        """Shards of the proposed size."""
        return math.ceil(self.n_scans / self.size.n_scans)

    def __str__(self) -> str:
        """Write it as plain text that ends in lines for the configuration."""
        return "\n".join(_lines(self))


def run(
    run_folder: Path,
    /,
    *,
    target_min: float = 45,
    max_other_min: float = 120,
    n_processes: int = 1,
    n_gpus: int | None = None,
    n_cpu_processes: int = 1,
    n_listed: int | None = None,
) -> Estimate | TrainingEstimate:
    """Propose the size of shards and what jobs ask for, and estimate what is left to do.

    Wall times of single scans are taken as they were: let the first shard run with as many
    processes side by side as the rest will, because they share the machine. Epochs of a
    training are timed by nnU-Net's logs; there no flag changes anything.

    Args:
        run_folder: Run folder; scans of shards under way are timed, too.
        target_min: Minutes that a job of segment_organs should take; 30 to 60 waste little, whether
            they start or are preempted.
        max_other_min: Minutes that a job of another step may take at most.
        n_processes: Scans that a job of segment_organs does at the same time on each of its GPUs.
        n_gpus: GPUs of a job of segment_organs; 0: it runs on the CPU. By default as the
            configuration says.
        n_cpu_processes: Scans that a job of another step does at the same time.
        n_listed: Scans of the cohort, where not all of them are listed yet.

    Raises:
        SetupError: It is not a run folder, or no scan has been segmented and no epoch trained yet.
    """
    place = open_run(run_folder)
    if place.is_training:
        return estimate_training(place, mem_gb=_mem_gb(place, "train_fold", n_processes=1))
    config = None if place.own_config is None else place.config()
    n_by_shard = listed_scans(place)
    n_scans = sum(n_by_shard.values()) if n_listed is None else n_listed
    costs = _step_costs(place, shards=list(n_by_shard), n_scans=n_scans)
    if not any(cost.n_measured for cost in costs if cost.step == SEGMENT):
        last = [SCAN_STEPS[-1], *side_steps(place)]
        targets = " ".join(f"results/{step}/0000/{LEDGER}" for step in last)
        raise SetupError(
            f"{run_folder}: no scan has been segmented yet; run one shard first: organome run"
            f" {run_folder} --targets {targets}"
        )
    shapes = {cost.step: JobShape(n_cpu_processes) for cost in costs}
    assumed = "" if n_gpus is not None else _assumed(config)
    if n_gpus is None:
        n_gpus = 1 if config is None else configured_gpus(config)
    shapes[SEGMENT] = JobShape(n_processes, n_gpus)
    size = propose_size(costs, shapes, target_min=target_min, max_other_min=max_other_min)
    core_h, gpu_h = hours_left(costs, shapes, shard_size=size.n_scans)
    return Estimate(
        n_scans=n_scans,
        n_shards_listed=len(n_by_shard) if n_listed is None else None,
        costs=costs,
        shapes=shapes,
        size=size,
        core_h=core_h,
        gpu_h=gpu_h,
        mem_gb={
            cost.step: mem_gb
            for cost in costs
            if (n := _n_processes(place, cost.step, config))
            and (mem_gb := _mem_gb(place, cost.step, n_processes=n))
        },
        leftovers={
            cost.step: left
            for cost in costs
            if (left := weigh_shards(place.results / cost.step, n_by_shard))
        },
        cpu_s={
            cost.step: cpu_s
            for cost in costs
            if (cpu_s := cpu_s_per_scan(place, cost.step, n_by_shard)) is not None
        },
        keeps_images=config is None or bool(config["keep_images"]),
        # Images that are not kept are dropped by a job of their own.
        n_shard_jobs=len(costs) + (config is not None and not config["keep_images"]),
        # pin_model
        n_other_jobs=_N_LAST_JOBS + (config is None or config["segment"]["source"] == "model"),
        assumed=assumed,
    )


def weigh_shards(published: Path, n_by_shard: Mapping[str, int]) -> Leftover | None:
    """Look at what a step has published of the first shards; None where nothing is there.

    Args:
        published: Folder with a folder for each shard.
        n_by_shard: Scans of each shard.
    """
    there = (shard for shard in n_by_shard if (published / shard / LEDGER).exists())
    shards = list(islice(there, _N_WEIGHED))
    files = (one for shard in shards for one in (published / shard).iterdir() if one.is_file())
    sizes = [one.stat().st_size for one in files]
    n_scans = sum(n_by_shard[shard] for shard in shards)
    return Leftover(len(sizes) / n_scans, sum(sizes) / n_scans) if n_scans else None


def _step_costs(place: Run, *, shards: Sequence[str], n_scans: int) -> tuple[StepCost, ...]:
    """Sum up the scan times of all steps, those beside the pipeline where they are wanted."""
    beside = side_steps(place)
    steps = [*SCAN_STEPS, *beside]
    elapsed_s: dict[str, list[float]] = {step: [] for step in steps}
    n_decided = dict.fromkeys(steps, 0)
    for shard in shards:
        n_later = 0  # where images are not kept, nor is their ledger: the step after stands for it
        for step in (*beside, *reversed(SCAN_STEPS)):
            decided = list(decisions(place, step, shard))
            elapsed_s[step] += [
                one.elapsed_s for one in decided if one.status is Status.DONE and one.step == step
            ]
            n_known = len(decided) if step in beside else (n_later := max(n_later, len(decided)))
            n_decided[step] += n_known
    return tuple(
        step_cost(step, elapsed_s[step], n_left=max(0, n_scans - n_decided[step])) for step in steps
    )


def _assumed(config: Mapping[str, Any] | None) -> str:
    """Describe what is assumed about GPUs where the configuration leaves it open."""
    if config is None:
        return "no config.yaml says whether there is a GPU: taken as one a job (--n-gpus)"
    n_gpus = configured_gpus(config)
    if n_gpus and config["segment"]["device"] == "auto":
        return f"segment.device is auto: taken as {n_gpus} GPU(s) a job; --n-gpus 0 if on the CPU"
    return ""


def _n_processes(place: Run, step: str, config: Mapping[str, Any] | None) -> int:
    """Count the processes that the jobs of a step had; 0 where nobody knows.

    On one machine, where the configuration leaves it open, they were as many as fitted.
    """
    if config is None:
        return 0
    was_local = not (place.folder / _SLURM_LOGS).is_dir()
    may_be_on_gpu = {configured_gpus(config) > 0}
    if was_local and config["segment"]["device"] == "auto":
        may_be_on_gpu.add(False)
    counts = {configured_processes(config, step, on_gpu=on_gpu) for on_gpu in may_be_on_gpu}
    n_processes = counts.pop() if len(counts) == 1 else 0
    return n_processes if was_local else max(1, n_processes)


def _mem_gb(place: Run, step: str, *, n_processes: int) -> float | None:
    """Read what the jobs of a step took at most, per process; None where that was not measured."""
    peaks = peaks_gb(place, step)
    if not peaks:
        return None
    of_one_gb = max(peaks.values()) / n_processes
    return math.ceil(2 * _MEMORY_MARGIN * of_one_gb) / 2


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
        target_min: Minutes that a job of segment_organs should take.
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
) -> tuple[float, float]:
    """Add up the hours of cores and of GPUs that are left; steps without a timed scan do not count.

    Cores beside the GPUs are left out.
    """
    core_s = gpu_s = 0.0
    for cost in costs:
        if not cost.n_measured:
            continue
        shape = shapes[cost.step]
        start_s = math.ceil(cost.n_left / shard_size) * FIXED_JOB_S
        job_s = start_s + cost.n_left * cost.mean_s / shape.n_parallel
        gpu_s += job_s * shape.n_gpus
        core_s += 0 if shape.n_gpus else job_s * shape.n_processes
    return core_s / _S_PER_H, gpu_s / _S_PER_H


def _two_digits(number: float) -> int:
    """Round down to two digits that count, at least 1."""
    whole = max(1, math.floor(number))
    unit: int = 10 ** max(0, len(str(whole)) - 2)
    return whole // unit * unit


def _lines(estimate: Estimate) -> Iterator[str]:
    size, shapes = estimate.size, estimate.shapes
    yield f"{'seconds per scan':<16} {'scans':>8} {'median':>8} {'p95':>8} {'mean':>8} {'left':>9}"
    for cost in estimate.costs:
        times = (cost.median_s, cost.p95_s, cost.mean_s)
        shown = " ".join("-".rjust(8) if math.isnan(one) else f"{one:8.2f}" for one in times)
        yield f"{cost.step:<16} {cost.n_measured:>8} {shown} {cost.n_left:>9}"
    yield ""
    minutes = ", ".join(f"{step} {each_min:.0f}" for step, each_min in size.job_min.items())
    yield f"a shard of {size.n_scans} scans takes, in minutes a job: {minutes}"
    yield f"(bound by {size.bound_by}; {FIXED_JOB_S} s of each job go into starting it)"
    yield from _jobs_lines(estimate)
    yield f"left to do: {estimate.core_h:.1f} core-hours and {estimate.gpu_h:.1f} GPU-hours"
    yield "(core-hours are wall time times processes, without the cores beside GPUs)"
    if estimate.assumed:
        yield f"({estimate.assumed})"
    yield from _bill_lines(estimate)
    if untimed := [cost.step for cost in estimate.costs if not cost.n_measured]:
        yield f"not timed yet, left out of the bill: {', '.join(untimed)}"
    if shapes[SEGMENT].n_gpus:
        yield "several processes on a GPU pay as long as their memory fits"
    yield ""
    yield f"shard_size: {size.n_scans}"
    yield "resources:"
    for cost in estimate.costs:
        if cost.n_measured:
            yield f"  {cost.step}: {_resources(cost, shapes[cost.step], estimate.mem_gb)}"


def _bill_lines(estimate: Estimate) -> Iterator[str]:
    costs = [replace(one, n_left=_BILL_SCANS) for one in estimate.costs]
    core_h, gpu_h = hours_left(costs, estimate.shapes, shard_size=estimate.size.n_scans)
    yield (
        f"{_BILL_SCANS:,} scans like these take {core_h:,.0f} core-hours and {gpu_h:,.0f} GPU-hours"
    )
    for step, cpu_s in estimate.cpu_s.items():
        yield f"  {step} takes {cpu_s * _BILL_SCANS / _S_PER_H:,.0f} CPU-hours, starts included"
    for step, left in estimate.leftovers.items():
        n_files, n_bytes = left.n_files * _BILL_SCANS, left.n_bytes * _BILL_SCANS
        shard_gib = left.n_bytes * estimate.size.n_scans / _BYTES_PER_GIB
        passes = step == PREPARE and not estimate.keeps_images
        yield (
            f"  {step} publishes {n_files:,.0f} files of {n_bytes / _BYTES_PER_GIB:,.0f} GiB,"
            f" {shard_gib:.2f} GiB a shard{', until it is measured' if passes else ''}"
        )
    if PREPARE not in estimate.leftovers and not estimate.keeps_images:
        yield f"  {PREPARE}: the images are gone, so their size is not known"
    yield "  (bytes that are read are not measured)"


def _jobs_lines(estimate: Estimate) -> Iterator[str]:
    n_jobs = estimate.n_shard_jobs * estimate.n_shards + estimate.n_other_jobs
    yield f"in all: scans {estimate.n_scans}, shards {estimate.n_shards}, jobs {n_jobs}"
    if n_jobs > MAX_JOBS:
        n_most = (MAX_JOBS - estimate.n_other_jobs) // estimate.n_shard_jobs
        yield (
            f"WARNING: Snakemake plans more than {MAX_JOBS} jobs slowly; with shards of"
            f" {math.ceil(estimate.n_scans / n_most)} scans there are fewer"
        )
    listed = estimate.n_shards_listed
    if listed not in (None, estimate.n_shards):
        yield (
            f"they are listed in {listed} shards and keep them; to deal them again, list them into"
            " another run folder"
        )


def _resources(cost: StepCost, shape: JobShape, mem_gb: Mapping[str, float]) -> str:
    # Rounded up: what is asked for too short is cut off.
    asked = {"seconds_per_scan": f"{max(0.1, math.ceil(10 * cost.mean_s) / 10):.1f}"}
    if cost.step in mem_gb:
        asked["mem_gb"] = f"{mem_gb[cost.step]:g}"
    if shape.n_processes > 1:
        asked["processes"] = str(shape.n_processes)
    if shape.n_gpus > 1:
        asked["gpus"] = str(shape.n_gpus)
    return "{" + ", ".join(f"{name}: {value}" for name, value in asked.items()) + "}"
