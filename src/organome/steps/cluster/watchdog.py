"""Watch one Snakemake: does it hang, do its jobs wait for ever, is the machine in doubt?

Why it is needed: Snakemake's SLURM plugin waits for ever for a job that SLURM does not know any
more, that was preempted without being requeued, or that is held after a failed launch; and it
submits jobs while it is being interrupted, which then belong to nobody.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from organome.domain.errors import SetupError
from organome.io.slurm.queue import Job
from organome.shards.signals import StopRequests
from organome.steps.cluster.jobs import RunJobs
from organome.steps.cluster.run_folders import RunFolder
from organome.steps.cluster.snakemake_process import Descendants, SnakemakeProcess

_logger = logging.getLogger(__name__)

_N_LOOKS: Final = 3
SILENCE_LOG_S: Final = 60.0  # between two log lines while SLURM does not answer
TICK_S: Final = 0.5  # between looks at the process and its log; the queue is asked less often


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the watchdog looks, and how long it is patient.

    Attributes:
        poll_s: Seconds between two looks at the queue.
        stall_s: Seconds without any sign of life after which Snakemake hangs.
        pause_s: Seconds between two rounds.
        stop_s: Seconds that Snakemake gets to stop by itself.
    """

    poll_s: float = 30.0
    stall_s: float = 900.0
    pause_s: float = 300.0
    stop_s: float = 60.0


USUAL_PACE: Final = Pace()


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """How a Snakemake ended.

    Attributes:
        code: Its exit code; None if it hung and was killed.
        machine_at_fault: Whether SLURM was away, a job could not be launched, or it was killed.
    """

    code: int | None
    machine_at_fault: bool


class Silence:
    """Since when SLURM has not answered; logged once a minute, so that nobody waits unaware."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._logged_s = 0.0

    def look(self, *, now_s: float, answers: bool) -> None:
        """Take in whether SLURM answered now.

        Args:
            now_s: Seconds of a clock that only goes on.
            answers: Whether it did.
        """
        if answers:
            if self._since_s is not None:
                _logger.info("event=slurm_answers silent_s=%.0f", now_s - self._since_s)
            self._since_s = None
        elif self._since_s is None or now_s - self._logged_s >= SILENCE_LOG_S:
            self._since_s = now_s if self._since_s is None else self._since_s
            self._logged_s = now_s
            _logger.warning(
                "event=slurm_does_not_answer silent_s=%.0f does=wait", now_s - self._since_s
            )


class Stillness:
    """Since when nothing has moved: no job in the queue, no line in the log, no work here."""

    def __init__(self, now_s: float) -> None:
        self._since_s = now_s
        self._n_looks = 0
        self._n_written = -1
        self._working: Descendants = frozenset()

    def look(
        self, *, now_s: float, n_written: int, working: Descendants, jobs: Sequence[Job] | None
    ) -> float:
        """Take in what is seen now.

        Args:
            now_s: Seconds of a clock that only goes on.
            n_written: Bytes in Snakemake's log.
            working: Processes below it. Those that were there at the last look are local jobs; the
                others may be SLURM commands, which it calls for ever while it hangs.
            jobs: Its jobs in the queue, None if the queue does not answer.

        Returns:
            Seconds since something last moved; 0 until that has been seen a few times, because a
            single look after the whole machine was paused says nothing.
        """
        stirred = n_written != self._n_written or bool(working & self._working)
        self._n_looks += 1
        if jobs is None or jobs or stirred:
            self._since_s, self._n_looks = now_s, 0
        self._n_written, self._working = n_written, working
        return now_s - self._since_s if self._n_looks >= _N_LOOKS else 0.0


def watch(
    process: SnakemakeProcess,
    *,
    jobs: RunJobs | None,
    folder: RunFolder,
    pace: Pace,
    requests: StopRequests,
    check_lease: Callable[[], None],
) -> RoundEnd:
    """Watch until it ends or hangs; one that hangs is killed.

    Args:
        process: Snakemake.
        jobs: Its jobs; None if they run on this machine, where nothing is known of a hang.
        folder: The run folder.
        pace: How often and how long.
        requests: Whether the watchdog was asked to stop.
        check_lease: Raises if another controller has taken the run folder.

    Raises:
        Interrupted: A signal has come, or another controller. Snakemake still runs.
        SetupError: A kind of machine drifts. Snakemake still runs.
    """
    stillness, silence = Stillness(time.monotonic()), Silence()
    at_fault, next_look_s = False, 0.0
    while (code := process.wait(TICK_S)) is None:
        requests.check()
        if time.monotonic() < next_look_s:
            continue
        check_lease()
        refuse_drift(folder)
        if jobs is not None:
            live = jobs.live()
            silence.look(now_s=time.monotonic(), answers=live is not None)
            jobs.log_limits(live or ())
            at_fault |= live is None or jobs.cancel_stuck(live) > 0
            still_s = stillness.look(
                now_s=time.monotonic(),
                n_written=process.n_written,
                working=process.working(),
                jobs=live,
            )
            if still_s >= pace.stall_s:
                _logger.warning("event=snakemake_hangs still_s=%.0f does=kill", still_s)
                process.kill()
                return RoundEnd(None, machine_at_fault=True)
        next_look_s = time.monotonic() + pace.poll_s
    # Below 0 it was killed, by somebody or for want of memory, and nothing is said of the shards.
    return RoundEnd(code, machine_at_fault=at_fault or code < 0)


def end(process: SnakemakeProcess, *, pace: Pace, requests: StopRequests) -> None:
    """Have Snakemake stop, by force if it takes its time or a second signal comes."""
    process.interrupt()
    until_s = time.monotonic() + pace.stop_s
    while process.wait(TICK_S) is None:
        if time.monotonic() > until_s or requests.n_asked > 1:
            process.kill()
            return


def refuse_drift(folder: RunFolder) -> None:
    """Stop if a kind of machine does not reproduce the canary.

    Raises:
        SetupError: If so.
    """
    drifting = folder.drift_verdicts()
    if drifting:
        raise SetupError(
            f"a kind of machine does not reproduce the canary: see {drifting[0]}."
            " The run is stopped; leave such nodes out, or make a new canary, and start again"
        )
