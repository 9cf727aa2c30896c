import math

import pytest

from organome.domain.errors import SetupError
from organome.steps.inspect.job_sizes import (
    FIXED_JOB_S,
    JobShape,
    StepCost,
    hours_left,
    propose_size,
    step_cost,
)

PREPARE, SEGMENT, MEASURE = "prepare_images", "segment_organs", "measure_volumes"
ONE = JobShape()
SHAPES = {PREPARE: ONE, SEGMENT: JobShape(n_processes=1, n_gpus=1), MEASURE: ONE}


def cost(step: str, mean_s: float, *, n_left: int = 0) -> StepCost:
    return step_cost(step, [mean_s], n_left=n_left)


def propose(*costs: StepCost, shapes=SHAPES, target_min: float = 45, max_other_min: float = 120):
    return propose_size(costs, shapes, target_min=target_min, max_other_min=max_other_min)


def test_costs_are_median_tail_and_mean() -> None:
    summed = step_cost(SEGMENT, [*range(1, 100), 1000], n_left=7)
    assert (summed.n_measured, summed.median_s, summed.n_left) == (100, 50.5, 7)
    assert summed.p95_s == pytest.approx(95.05)
    assert summed.mean_s == pytest.approx(59.5)
    assert math.isnan(step_cost(SEGMENT, [], n_left=7).mean_s)


def test_a_segment_job_takes_as_long_as_wanted() -> None:
    size = propose(cost(PREPARE, 6), cost(SEGMENT, 9.8), cost(MEASURE, 1.2))
    assert (size.n_scans, size.bound_by) == (270, SEGMENT)
    assert size.job_min == pytest.approx(
        {
            step: (FIXED_JOB_S + 270 * each_s) / 60
            for step, each_s in ((PREPARE, 6), (SEGMENT, 9.8), (MEASURE, 1.2))
        }
    )


def test_processes_and_gpus_side_by_side_make_shards_larger() -> None:
    shapes = SHAPES | {SEGMENT: JobShape(n_processes=2, n_gpus=3)}
    assert propose(cost(SEGMENT, 9.8), shapes=shapes).n_scans == 1600
    on_cpu = SHAPES | {SEGMENT: JobShape(n_processes=4, n_gpus=0)}
    assert propose(cost(SEGMENT, 9.8), shapes=on_cpu).n_scans == 1000


def test_no_other_step_takes_too_long() -> None:
    size = propose(cost(PREPARE, 60), cost(SEGMENT, 0.5), max_other_min=60)
    assert (size.n_scans, size.bound_by) == (59, PREPARE)
    assert size.job_min[PREPARE] <= 60


def test_a_step_without_a_timed_scan_does_not_count() -> None:
    size = propose(step_cost(PREPARE, [], n_left=5), cost(SEGMENT, 9.8))
    assert size.n_scans == 270
    assert set(size.job_min) == {SEGMENT}


@pytest.mark.parametrize(("segment_s", "n_scans"), [(0.0, 10_000), (0.01, 10_000), (1e6, 1)])
def test_sizes_are_those_that_the_configuration_takes(segment_s: float, n_scans: int) -> None:
    assert propose(cost(SEGMENT, segment_s)).n_scans == n_scans


def test_a_job_must_be_longer_than_its_start() -> None:
    with pytest.raises(SetupError, match="to start"):
        propose(cost(SEGMENT, 10), target_min=0.3)


def test_hours_are_of_what_is_left_and_of_starting_jobs() -> None:
    costs = [cost(PREPARE, 3.6, n_left=1000), cost(SEGMENT, 7.2, n_left=2000)]
    shapes = {PREPARE: JobShape(n_processes=2), SEGMENT: JobShape(n_processes=4, n_gpus=2)}
    left = hours_left(costs, shapes, shard_size=300)
    starts_h = FIXED_JOB_S / 3600
    assert left.core_h == pytest.approx(1.0 + 4 * starts_h * 2)
    assert left.gpu_h == pytest.approx(4.0 / 4 + 7 * starts_h * 2)
    on_cpu = hours_left(costs, shapes | {SEGMENT: JobShape(n_processes=4)}, shard_size=300)
    assert on_cpu.gpu_h == 0
    assert on_cpu.core_h == pytest.approx(left.core_h + 4.0 + 7 * starts_h * 4)
