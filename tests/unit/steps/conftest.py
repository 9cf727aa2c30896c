"""Processes that do scans, and Dask workers on this machine."""

from collections.abc import Iterator
from multiprocessing import forkserver, get_context

import pytest
from distributed import LocalCluster, SpecCluster

from organome.shards import worker
from organome.shards.pool import _LIBRARIES, _signals_held
from organome.steps.collect.workers import plain_dask_config

# Each of hundreds of worker processes would import it for itself, seconds each.
NETWORK = ("organome.compute.inference.loading", "nnunetv2.utilities.plans_handling.plans_handler")


@pytest.fixture(scope="session", autouse=True)
def server_has_torch() -> None:
    """The server whose forks do scans in these tests has imported what takes long."""
    with _signals_held():
        server = get_context("forkserver")
        server.set_forkserver_preload([worker.__name__, *_LIBRARIES, *NETWORK])
        forkserver.ensure_running()


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
