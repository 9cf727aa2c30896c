"""Dask workers on this machine, in processes of their own."""

from collections.abc import Iterator

import pytest
from distributed import LocalCluster, SpecCluster

from organome.steps.collect.workers import plain_dask_config


@pytest.fixture(scope="module")
def dask_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpecCluster]:
    with (
        plain_dask_config(),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            local_directory=str(tmp_path_factory.mktemp("workers")),
        ) as cluster,
    ):
        yield cluster
