"""Calls as dask tasks, by threads or on a cluster whose workers may die."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

from dask.base import compute
from dask.delayed import delayed
from distributed import Client, Future, KilledWorker, SpecCluster, wait

from organome.domain.errors import MachineFault

_LOOKS_EVERY_S: Final = 5.0

_Result = TypeVar("_Result")


class Compute(Protocol):
    """Runs calls that do not depend on each other; returns their results in order."""

    def __call__(self, calls: Sequence[Callable[[], _Result]], /) -> tuple[_Result, ...]:
        """Run the calls."""
        ...


@contextmanager
def on_threads(n_threads: int) -> Iterator[Compute]:
    """Run calls in threads of this process.

    Threads: Arrow works outside of Python's lock, and no rows are copied between processes.
    """

    def run(calls: Sequence[Callable[[], _Result]]) -> tuple[_Result, ...]:
        # Handed over as calls: dask would take lists of scans apart, a third of the whole time.
        tasks = [delayed(call)() for call in calls]
        done: tuple[_Result, ...] = compute(*tasks, scheduler="threads", num_workers=n_threads)
        return done

    yield run


@contextmanager
def on_cluster(cluster: SpecCluster, *, n_jobs: int, patience_s: float) -> Iterator[Compute]:
    """Run calls on the workers of a cluster; they must leave the same when run twice.

    What a worker was at when it died is given to another one, and its job is submitted again.

    Args:
        cluster: Where.
        n_jobs: Workers to keep up.
        patience_s: How long it may be without any worker, in seconds.

    Raises:
        MachineFault: By the calls, if there is no worker for that long, or one call loses four.
    """
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


def _raise_first_error(futures: Sequence[Future[Any]]) -> None:
    for future in futures:
        if future.status == "error":
            error = future.exception()
            if isinstance(error, KilledWorker):
                raise MachineFault("workers died at one and the same task: no memory?") from error
            raise error
