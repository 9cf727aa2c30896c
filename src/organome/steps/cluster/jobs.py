"""The jobs of a run in SLURM's queue, also those of a controller that died."""

import logging
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from organome.io.slurm import queue as slurm
from organome.io.slurm.queue import Job
from organome.shards.signals import StopRequests

_logger = logging.getLogger(__name__)

_UNNAMED: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# SLURM holds these back until somebody releases them. Not JobHeldUser: that was our user.
_HELD: Final = re.compile(
    r"launch failed requeued held|JobLaunchFailure|JobHeldAdmin|JobHoldMaxRequeue", re.IGNORECASE
)
# These wait for a change of the cluster. Not BeginTime (requeued a moment ago), not
# ReqNodeNotAvail (nodes come back), not Resources, Priority or limits on all jobs together.
_IMPOSSIBLE: Final = re.compile(
    r"BadConstraints|PartitionTimeLimit|PartitionNodeLimit|DependencyNeverSatisfied"
    r"|Invalid(Account|QOS)|(Account|QOS)NotAllowed|(QOS|Assoc)Max\w*PerJob\w*",
    re.IGNORECASE,
)

# Limits of an account, a user or a QOS: the job's turn comes, but perhaps not for days.
_LIMITED: Final = re.compile(r"(Assoc|QOS)(Grp|Max)\w*", re.IGNORECASE)


class RunJobs:
    """The live jobs of one run."""

    def __init__(self, *, name: str, folder: Path) -> None:
        """Look after the jobs of one run.

        Args:
            name: What their names begin with.
            folder: The run folder. Jobs that a bare Snakemake submitted from there count, too.
        """
        self._name = name
        self._folder = folder
        self._stuck_before: frozenset[tuple[str, str]] = frozenset()
        self._logged_limits: set[str] = set()

    def live(self) -> tuple[Job, ...] | None:
        """Look up those that wait, run or are being ended; None if the controller is away."""
        jobs = slurm.own_jobs()
        if jobs is None:
            return None
        return tuple(job for job in jobs if job.is_live and self._is_ours(job))

    def end_earlier(self, *, cancel_running: bool, poll_s: float, requests: StopRequests) -> None:
        """Bring the jobs of an earlier controller to their end.

        Waiting ones are cancelled, because nobody would learn of their end; running ones are
        waited for, because what they do is kept, or cancelled as well.

        Raises:
            Interrupted: A signal came while waiting.
        """
        is_logged = False
        while (jobs := self.live()) != ():
            if jobs is None:
                _logger.warning("event=queue_away what=earlier_jobs")
            else:
                waiting = [job for job in jobs if job.state == "PENDING"]
                running = [job for job in jobs if job.state != "PENDING"]
                if not is_logged:
                    does = "cancel" if cancel_running else "wait"
                    _logger.info(
                        "event=earlier_jobs n_waiting=%d n_running=%d running=%s",
                        *(len(waiting), len(running), does),
                    )
                    is_logged = True
                slurm.cancel([job.job_id for job in (jobs if cancel_running else waiting)])
            requests.sleep(poll_s)

    def log_limits(self, jobs: Sequence[Job]) -> None:
        """Log each limit of the account that holds jobs back, once a run."""
        reasons = Counter(
            job.reason
            for job in jobs
            if job.state == "PENDING"
            and _LIMITED.fullmatch(job.reason)
            and not _IMPOSSIBLE.fullmatch(job.reason)
        )
        for reason, n_jobs in reasons.items():
            if reason not in self._logged_limits:
                self._logged_limits.add(reason)
                _logger.warning(
                    'event=jobs_limited reason="%s" n_jobs=%d does=wait', reason, n_jobs
                )

    def cancel_stuck(self, jobs: Sequence[Job]) -> int:
        """Cancel jobs that would wait for ever, so that Snakemake submits them again or gives up.

        Only what was stuck at the last look as well: reasons flicker while nodes come and go.

        Returns:
            How many of them SLURM held after a failed launch: the machine's fault.
        """
        stuck = {
            (job.job_id, job.reason): job
            for job in jobs
            if job.state == "PENDING"
            and (_HELD.fullmatch(job.reason) or _IMPOSSIBLE.fullmatch(job.reason))
        }
        again = [job for key, job in stuck.items() if key in self._stuck_before]
        self._stuck_before = frozenset(stuck)
        for job in again:
            _logger.warning('event=job_stuck job=%s reason="%s"', job.job_id, job.reason)
        slurm.cancel([job.job_id for job in again])
        return sum(_HELD.fullmatch(job.reason) is not None for job in again)

    def cancel_all(self, *, poll_s: float, within_s: float) -> int:
        """Cancel what is left, also what comes in while that goes on.

        Jobs that are being ended are left to SLURM.

        Returns:
            How many were cancelled.
        """
        cancelled: set[str] = set()
        n_empty, left_s = 0, within_s
        while n_empty < 2 and left_s > 0:
            jobs = self.live()
            open_jobs = [job for job in jobs or () if job.state != "COMPLETING"]
            ids = [job.job_id for job in open_jobs]
            slurm.cancel(ids)  # the next look shows whether it was heard
            cancelled |= {*ids}
            n_empty = n_empty + 1 if jobs is not None and not open_jobs else 0
            if n_empty < 2:
                time.sleep(poll_s)
            left_s -= poll_s
        if n_empty < 2:
            _logger.warning("event=queue_away what=leftovers, the next start ends them")
        return len(cancelled)

    def _is_ours(self, job: Job) -> bool:
        if job.name.startswith(f"{self._name}_"):
            return True
        return job.folder == self._folder and _UNNAMED.fullmatch(job.name) is not None
