"""Where calls run that do not depend on each other: threads here, or dask workers in SLURM jobs.

Of dask nothing is taken from its configuration files or environment variables, here or in the
workers, and nothing is written but in the work folder. Scheduler and workers talk TLS with a
certificate made for this run: whoever reaches an open dask port runs code in your name. Dask is
imported where it is used: a collection on threads does without, and it takes half a second.
"""

import copy
import importlib
import logging
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from organome.domain.errors import MachineFault, SetupError
from organome.io.files.atomic import ATTEMPT
from organome.io.machine.certificates import write_certificate

if TYPE_CHECKING:
    from distributed import Future, Security, SpecCluster

_LOG: Final = logging.getLogger(__name__)

_HERE_ONLY: Final = "127.0.0.1:0"  # dask's web server cannot be left out, only kept at home
_SETTINGS: Final = {
    "distributed.scheduler.allowed-failures": 3,  # workers that one task may take with it
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
_LOOKS_EVERY_S: Final = 5.0
_CLOSING_S: Final = 60
_ASKS_AGAIN_S: Final = 30  # a controller that cannot answer is not helped by haste
# What sbatch will say again however often it is asked; all else may pass (a busy controller).
_FOR_GOOD: Final = re.compile(
    r"invalid|not available|not permitted|satisf|denied|no such file", re.IGNORECASE
)


_Result = TypeVar("_Result")


class Compute(Protocol):
    """Runs calls that do not depend on each other; returns their results in order."""

    def __call__(self, calls: Sequence[Callable[[], _Result]], /) -> tuple[_Result, ...]:
        """Run the calls."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJobs:
    """What the jobs of the workers ask for.

    Attributes:
        n_jobs: Jobs, each with one worker.
        n_threads: Tasks at a time in each.
        memory_gb: Memory of each in GB.
        runtime_min: Time limit of each in minutes.
        account: SLURM account, None for your default one.
        partition: SLURM partition, None for the cluster's default one.
        interface: Network interface by which nodes reach each other, None for the main one.
        name: Name of the jobs.
        work: Folder for logs of the workers, and while they live for what they spill and for the
            key; all nodes must see it.
    """

    n_jobs: int
    n_threads: int
    memory_gb: float
    runtime_min: int
    account: str | None
    partition: str | None
    interface: str | None
    name: str
    work: Path


@contextmanager
def on_threads(n_threads: int) -> Iterator[Compute]:
    """Run calls in threads of this process: Arrow works outside of Python's lock."""

    def run(calls: Sequence[Callable[[], _Result]]) -> tuple[_Result, ...]:
        return tuple(threads.map(lambda call: call(), calls))

    threads = ThreadPoolExecutor(n_threads)
    try:
        yield run
    finally:
        threads.shutdown(cancel_futures=True)


@contextmanager
def on_cluster(cluster: "SpecCluster", *, n_jobs: int, patience_s: float) -> Iterator[Compute]:
    """Run calls on the workers of a cluster; they must leave the same when run twice.

    What a worker was at when it died is given to another one, and its job is submitted again.

    Args:
        cluster: Where.
        n_jobs: Workers to keep up.
        patience_s: How long it may be without any worker, in seconds.

    Raises:
        MachineFault: By the calls, if there is no worker for that long, or one call loses four.
    """
    from distributed import Client, wait

    with Client(cluster) as client:

        def run(calls: Sequence[Callable[[], _Result]]) -> tuple[_Result, ...]:
            futures = [client.submit(call, pure=False) for call in calls]
            seen_s = time.monotonic()
            while waiting := [future for future in futures if not future.done()]:
                cluster.scale(n_jobs)
                with suppress(TimeoutError):
                    wait(waiting, timeout=min(_LOOKS_EVERY_S, patience_s / 4))
                _raise_first_error(futures)
                if client.nthreads():
                    seen_s = time.monotonic()
                elif time.monotonic() - seen_s > patience_s:
                    raise MachineFault(f"none of {n_jobs} workers for {patience_s / 60:g} min")
            _raise_first_error(futures)
            return tuple(client.gather(futures))

        yield run


@contextmanager
def slurm_cluster(jobs: WorkerJobs) -> Iterator["SpecCluster"]:
    """Start a scheduler in this process; its ``scale`` submits jobs. All are cancelled at the end.

    Raises:
        SetupError: If TLS cannot be set up; by ``scale``, if SLURM will never take such a job.
    """
    folder = jobs.work.resolve()
    logs, private = folder / "worker_logs", folder / f"workers.{ATTEMPT}"
    logs.mkdir(parents=True, exist_ok=True)
    try:
        with plain_dask_config({"distributed.comm.require-encryption": True}):
            cluster = _cluster_class()(
                **_job_options(jobs, logs=logs, local=private),
                security=_security(private),
                protocol="tls://",
                scheduler_options={"dashboard": False, "dashboard_address": _HERE_ONLY},
            )
            try:
                yield cluster
            finally:
                with suppress(TimeoutError):  # workers without a scheduler end by themselves
                    cluster.close(timeout=_CLOSING_S)
    finally:
        shutil.rmtree(private, ignore_errors=True)


@contextmanager
def plain_dask_config(more: Mapping[str, object] | None = None) -> Iterator[None]:
    """Let dask's own defaults and our settings hold, whatever its files and variables say."""
    import dask.config

    before = copy.deepcopy(dask.config.config)
    dask.config.refresh(paths=[], env={})
    dask.config.set({**_SETTINGS, **(more or {})})
    try:
        yield
    finally:
        dask.config.config.clear()
        dask.config.config.update(before)


def _job_options(jobs: WorkerJobs, *, logs: Path, local: Path) -> dict[str, Any]:
    import dask.config

    settings = dask.config.serialize(dask.config.config)
    return {
        "cores": jobs.n_threads,
        "processes": 1,
        "memory": f"{jobs.memory_gb}GB",
        "job_mem": f"{round(jobs.memory_gb * 1000)}M",
        "walltime": str(jobs.runtime_min),
        "account": jobs.account,
        "queue": jobs.partition,
        "interface": jobs.interface,
        "job_name": jobs.name,
        "nanny": False,
        # In place of the shell: what ends the job then ends the worker, however it hangs.
        "python": f"exec {shlex.quote(sys.executable)}",
        "local_directory": shlex.quote(str(local)),
        "death_timeout": _CLOSING_S,
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", _HERE_ONLY],
        "job_script_prologue": [
            "unset ${!DASK_@}",
            f"export DASK_INTERNAL_INHERIT_CONFIG={settings}",
        ],
        # Not requeued: a lost job is replaced by a new one, which knows this scheduler.
        "job_extra_directives": ["--no-requeue", f'--output="{logs}/%x-%j.log"'],
    }


def _security(private: Path) -> "Security":
    from distributed import Security

    certificate, key = write_certificate(private)
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=str(certificate),
        **{f"tls_{role}_cert": str(certificate) for role in roles},
        **{f"tls_{role}_key": str(key) for role in roles},
    )


def _cluster_class() -> type[Any]:
    import dask.config
    from distributed import Status

    # When imported, dask-jobqueue puts a file into ~/.config/dask, unless this here is a file.
    home, dask.config.PATH = dask.config.PATH, __file__
    try:
        jobqueue: Any = importlib.import_module("dask_jobqueue.slurm")
    finally:
        dask.config.PATH = home

    class Job(jobqueue.SLURMJob):  # type: ignore[misc]
        """A worker's job. One that was refused counts as started, so that others go on."""

        refused = ""
        refused_s = 0.0
        # At the end the scheduler has asked the worker to close; a SIGTERM on top of that makes it
        # hang for ever (distributed 2026.8). It has nothing to lose.
        cancel_command = "scancel --signal=KILL --full"

        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, OSError) as error:
                self.refused, self.refused_s = _last_words(error), time.monotonic()
                _LOG.warning("no job for a worker: %s", self.refused)
                self.status = Status.running

        async def close(self) -> None:
            await super().close()
            await self._close_job(self.job_id, jobqueue.SLURMJob.cancel_command)  # if it only waits
            self.status = Status.closed

    class Cluster(jobqueue.SLURMCluster):  # type: ignore[misc]
        """Submits again what was refused, and by dask's own means what was lost."""

        job_cls = Job

        def scale(self, n: int | None = None, **others: Any) -> Any:
            for name, job in [*self.workers.items()]:
                if n and _FOR_GOOD.search(job.refused) and not self.scheduler.workers:
                    raise SetupError(job.refused)
                if job.refused and time.monotonic() - job.refused_s > _ASKS_AGAIN_S:
                    job.status = Status.closed
                    del self.workers[name]
            return super().scale(n, **others)

    return Cluster


def _last_words(error: Exception) -> str:
    """Find what sbatch itself said in what dask-jobqueue makes of it."""
    said = [line for line in str(error).splitlines() if line.strip()]
    by_sbatch = [line for line in said if line.startswith("sbatch:")]
    return (by_sbatch or said or [repr(error)])[-1]


def _raise_first_error(futures: Sequence["Future[Any]"]) -> None:
    from distributed import KilledWorker

    for future in futures:
        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                raise MachineFault("workers died at one and the same task: no memory?") from error
            raise error
