"""Scans measured in processes ahead of the runner, which takes them one by one and in order."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Final, Generic, TypeVar

import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD_PER_PROCESS: Final = 2  # results wait in memory; more would not keep anybody busier


class ScansAhead(Generic[Job, Result]):
    """Does jobs by key; with one process, when asked and in this one.

    The next few jobs in order are begun when one is asked for. Those begun in vain, because an
    earlier attempt had done them, cost time and nothing else.
    """

    def __init__(
        self,
        do: Callable[[Job], Result],
        jobs: Mapping[str, Job],
        *,
        n_processes: int,
    ) -> None:
        self._do = do
        self._jobs = jobs
        self._order = list(jobs)
        self._n_ahead = _AHEAD_PER_PROCESS * n_processes
        self._begun: dict[str, Future[Result | tuple[Reason, str]]] = {}
        self._pool: ProcessPoolExecutor | None = None
        if n_processes > 1:
            self._pool = ProcessPoolExecutor(
                n_processes, mp_context=get_context("forkserver"), initializer=_one_thread
            )

    def __enter__(self) -> "ScansAhead[Job, Result]":
        """Nothing is begun yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def result(self, key: str) -> Result:
        """Give the result of a job.

        Raises:
            ScanError: If the job raised it.
        """
        if self._pool is None:
            return self._do(self._jobs[key])
        start = self._order.index(key)
        for other in self._order[start : start + self._n_ahead]:
            if other not in self._begun:
                self._begun[other] = self._pool.submit(_attempt, self._do, self._jobs[other])
        done = self._begun[key].result()
        self._begun[key] = Future()  # what was taken need not be kept
        if isinstance(done, tuple):
            raise ScanError(*done)
        return done


def _attempt(do: Callable[[Job], Result], job: Job) -> Result | tuple[Reason, str]:
    try:
        return do(job)
    except ScanError as error:  # it does not survive the way between processes
        return error.reason, error.fact


def _one_thread() -> None:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
