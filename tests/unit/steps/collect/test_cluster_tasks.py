"""Calls on dask workers: the same as on threads, whatever happens to the workers."""

from functools import partial
from pathlib import Path

import pytest
from distributed import LocalCluster, SpecCluster

from doubles.worker_calls import die, die_once, refuse, square
from organome.domain.errors import MachineFault, SetupError
from organome.steps.collect.cluster_tasks import on_cluster, on_threads


def test_results_come_in_the_order_of_the_calls(dask_workers: SpecCluster) -> None:
    calls = [partial(square, number) for number in range(50)]
    with on_threads(2) as threads, on_cluster(dask_workers, n_jobs=2, patience_s=60) as jobs:
        assert jobs(calls) == threads(calls) == tuple(number**2 for number in range(50))


def test_errors_arrive_as_they_were_raised(dask_workers: SpecCluster) -> None:
    calls = [partial(square, 3), *(partial(refuse, f"000{shard}") for shard in range(3))]
    with (
        on_cluster(dask_workers, n_jobs=2, patience_s=60) as compute,
        pytest.raises(SetupError, match=r"^shard 000\d: no$"),
    ):
        compute(calls)


def test_what_a_worker_was_at_when_it_died_is_done_by_another(
    dask_workers: SpecCluster, tmp_path: Path
) -> None:
    names = [str(number) for number in range(3)]
    with on_cluster(dask_workers, n_jobs=2, patience_s=60) as compute:
        assert compute([partial(die_once, tmp_path / name) for name in names]) == tuple(names)


def test_call_that_takes_its_workers_with_it_is_an_error(dask_workers: SpecCluster) -> None:
    with (
        on_cluster(dask_workers, n_jobs=2, patience_s=60) as compute,
        pytest.raises(MachineFault, match="died at one and the same task"),
    ):
        compute([die])


def test_having_no_worker_is_an_error_in_the_end() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as nobody,
        on_cluster(nobody, n_jobs=0, patience_s=0.1) as compute,
        pytest.raises(MachineFault, match="none of 0 workers"),
    ):
        compute([partial(square, 2)])
