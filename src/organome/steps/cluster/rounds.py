"""Round after round of Snakemake, each of them watched, as long as that helps.

Why Snakemake is watched: its SLURM plugin waits for ever for a job that SLURM does not know any
more, that was preempted without being requeued, or that is held after a failed launch; and it
submits jobs while it is being interrupted, which then belong to nobody.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from organome.domain.errors import SetupError
from organome.io.slurm.queue import Job
from organome.shards.controllers import Controller, TakenOver
from organome.shards.signals import StopRequests
from organome.steps.cluster.jobs import RunJobs
from organome.steps.cluster.run_folders import MACHINE_AT_FAULT, RunFolder
from organome.steps.cluster.snakemake_process import Descendants, SnakemakeProcess

_logger = logging.getLogger(__name__)

_CHOOSE_RULES: Final = ("--until", "-U", "--omit-from", "-O")
_MAX_MESSAGES: Final = 5  # of jobs, on the terminal; the logs have them all
_CANCEL_POLL_S: Final = 2.0  # scancel is quick; a job submitted meanwhile shows within a second
_FAILURES_POLL_S: Final = 2.0  # a job that must not be tried again is tried again within seconds
_REPORT_POLL_S: Final = 5.0  # each looks for three files a shard
_SHUT_OUT: Final = b"LockException"  # what Snakemake says where another one holds the folder
_N_LOOKS: Final = 3
SILENCE_LOG_S: Final = 60.0  # between two log lines while SLURM does not answer
TICK_S: Final = 0.5  # between looks at the process and its log; the queue is asked less often


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """How a Snakemake ended.

    Attributes:
        code: Its exit code; None if it hung and was killed.
        machine_at_fault: Whether SLURM was away, a job could not be launched, or it was killed.
    """

    code: int | None
    machine_at_fault: bool


class WrongSetUp(SetupError):
    """A job ended with exit code 2, for a reason that is not of its shard alone."""


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


@dataclass(kw_only=True)
class Rounds:
    """One run of the workflow.

    Attributes:
        command: Snakemake with its flags.
        targets: What it shall make; empty: everything.
        folder: The run folder.
        jobs: Its jobs in SLURM's queue; None if they run on this machine, where nothing is known
            of a hang.
        cancel_running: Whether running jobs of an earlier controller are cancelled.
        poll_s: Seconds between two looks at the queue.
        stall_s: Seconds without any sign of life after which Snakemake hangs.
        pause_s: Seconds between two rounds.
        stop_s: Seconds that Snakemake gets to stop by itself.
        requests: Whether one was asked to stop.
        controller: The hold on the run folder.
        on_shards: Called now and then with how many steps of shards are through, and how many
            there are; then what Snakemake says goes to the log alone.
    """

    command: Sequence[str]
    targets: Sequence[str]
    folder: RunFolder
    jobs: RunJobs | None
    cancel_running: bool
    poll_s: float
    stall_s: float
    pause_s: float
    stop_s: float
    requests: StopRequests
    controller: Controller
    on_shards: Callable[[int, int], None] | None = None

    def __post_init__(self) -> None:
        """Name the log."""
        started_at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._log = self.folder.folder / "logs" / "run" / f"{started_at}.log"

    def list_scans(self) -> None:
        """Have Snakemake list what is new, as its rule says.

        Raises:
            SetupError: Nothing could be listed; in the words of the step.
            Interrupted: A signal has come.
        """
        flags, chooses = [], False  # rules that are chosen are those of the run
        for word in self.command:
            chooses = word.split("=")[0] in _CHOOSE_RULES if word.startswith("-") else chooses
            flags += [] if chooses else [word]
        # A lock would outlive a listing that is killed, and nobody else is at work.
        process = SnakemakeProcess(
            [*flags, "--nolock", "--quiet", "all", "--", "list_scans"], log=self._log, show=False
        )
        try:
            self.controller.note_child(process.pid, process.started_at)
            while (code := process.wait(TICK_S)) is None:
                self.requests.check()
        except BaseException:
            self._end(process)
            raise
        if code == 0:
            return
        said, mark = self.folder.folder / "logs" / "list_scans" / "list_scans.log", "organome: "
        lines = said.read_text(encoding="utf-8").splitlines() if said.is_file() else []
        reasons = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
        last = process.written().decode(errors="replace").strip().splitlines()[-1:]
        raise SetupError("; ".join(reasons or last or ["the scans could not be listed"]))

    def run(self, *, max_idle: int) -> tuple[int, int]:
        """Go on until all is done or nothing helps.

        Args:
            max_idle: Rounds in a row that may end without a further shard.

        Returns:
            How many rounds there were, and how many of them hung.

        Raises:
            SetupError: Nothing helps, or a kind of machine drifts.
            WrongSetUp: A job said that the set-up is wrong; it is not tried again.
            Interrupted: A signal has come, or another controller.
        """
        n_rounds = n_hangs = n_idle = 0
        while True:
            n_rounds += 1
            try:
                round_end = self._round(self.targets)
            except WrongSetUp:
                self._collect_so_far()
                raise
            n_hangs += round_end.code is None
            n_new = self.folder.count_new_ledgers()
            faults = [one for one in self.folder.failures() if one.code == MACHINE_AT_FAULT]
            at_fault = round_end.machine_at_fault or bool(faults)
            _logger.info(
                "event=round_ended round=%d code=%s n_new_ledgers=%d machine_at_fault=%s",
                *(n_rounds, round_end.code, n_new, at_fault),
            )
            if round_end.code == 0:
                break
            n_idle = 0 if n_new else n_idle + 1
            if n_idle and (not at_fault or n_idle >= max_idle):
                left = self._what_is_left()
                self._collect_so_far()
                raise SetupError(left)
            self.requests.sleep(self.pause_s)
        self._sweep()
        return n_rounds, n_hangs

    def _collect_so_far(self) -> None:
        """Collect the shards that are through: those that are left must not hold up their rows."""
        n_done, n_left = self.folder.count_shards()
        if n_done and n_left and not self.targets:
            last = self._round(["tables_so_far"])
            _logger.info("event=tables_so_far code=%s n_shards=%d", last.code, n_done)

    def _round(self, targets: Sequence[str]) -> RoundEnd:
        """Run Snakemake once, and leave no job and no lock behind."""
        # After a disk that was full for all every node is noted, and none is left to ask for.
        self.folder.forget_faults()
        if self.jobs is not None:
            self.jobs.end_earlier(
                cancel_running=self.cancel_running,
                poll_s=self.poll_s,
                requests=self.requests,
            )
        self.open_lock(asked=False)
        wanted = ["--", *targets] if targets else []
        process = SnakemakeProcess(
            [*self.command, *wanted], log=self._log, show=self.on_shards is None
        )
        try:
            self.controller.note_child(process.pid, process.started_at)
            round_end = self._watch(process)
        except TakenOver:
            process.kill()  # its jobs and its lock are another's now
            raise
        except BaseException:
            self._end(process)
            self._clear(process)
            raise
        self._clear(process)
        return round_end

    def _report(self) -> None:
        if self.on_shards is not None:
            self.on_shards(*self.folder.count_steps())

    def _clear(self, process: SnakemakeProcess) -> None:
        if self.jobs is not None:
            n_cancelled = self.jobs.cancel_all(
                poll_s=min(_CANCEL_POLL_S, self.poll_s), within_s=self.stop_s
            )
            if n_cancelled:
                _logger.info("event=leftovers_cancelled n_jobs=%d", n_cancelled)
        if self.folder.is_locked and _SHUT_OUT not in process.written():
            self.folder.unlock()

    def open_lock(self, *, asked: bool) -> None:
        """Open the lock that a killed Snakemake of ours left; call it before anything is started.

        What a dead controller left is opened once: a lock that comes later is not its.

        Args:
            asked: Open it whoever left it.

        Raises:
            SetupError: A Snakemake that is not ours may hold it, on whatever host.
        """
        may_unlock, self.controller.may_unlock = asked or self.controller.may_unlock, False
        if not self.folder.is_locked:
            return
        if not may_unlock:
            raise SetupError(
                f"{self.folder.folder}: locked by a Snakemake that organome run did not start,"
                " perhaps on another host; once you are sure that it is gone, start with --unlock"
            )
        self.folder.unlock()

    def _sweep(self) -> None:
        if self.jobs is None or self.jobs.live() == ():
            n_removed = self.folder.sweep(older_than=self.controller.started)
            if n_removed:
                _logger.info("event=swept n_removed=%d", n_removed)

    def _what_is_left(self) -> str:
        n_done, n_left = self.folder.count_shards()
        left = f"{n_left} of {n_done + n_left} shards" if n_left else "not everything"
        verb = "could not be done" if n_left else "could be done"
        failures = self.folder.failures()
        # Each message once, however often its job was tried and for however many shards.
        first = {one.message: one for one in reversed(failures) if one.is_set_up}
        said = [f"{one.step} {one.shard}: {one.message}" for one in reversed(first.values())]
        more = [f"and {len(said) - _MAX_MESSAGES} more"] if len(said) > _MAX_MESSAGES else []
        return "\n".join(
            [
                f"{left} {verb}; why stands in {self._log} and in logs/<rule>/<shard>.log",
                *said[:_MAX_MESSAGES],
                *more,
            ]
        )

    def _watch(self, process: SnakemakeProcess) -> RoundEnd:
        """Watch Snakemake until it ends or hangs; one that hangs is killed.

        Raises:
            Interrupted: A signal has come, or another controller. Snakemake still runs.
            SetupError: A kind of machine drifts. Snakemake still runs.
            WrongSetUp: A job said that the set-up is wrong. Snakemake may still run.
        """
        stillness, silence = Stillness(time.monotonic()), Silence()
        at_fault, next_look_s, next_failures_s, next_report_s = False, 0.0, 0.0, 0.0
        while (code := process.wait(TICK_S)) is None:
            self.requests.check()
            if time.monotonic() >= next_failures_s:
                self._refuse_wrong_set_up()
                next_failures_s = time.monotonic() + _FAILURES_POLL_S
            if time.monotonic() >= next_report_s:
                self._report()
                next_report_s = time.monotonic() + _REPORT_POLL_S
            if time.monotonic() < next_look_s:
                continue
            self.controller.check()
            self._refuse_drift()
            if self.jobs is not None:
                live = self.jobs.live()
                silence.look(now_s=time.monotonic(), answers=live is not None)
                self.jobs.log_limits(live or ())
                at_fault |= live is None or self.jobs.cancel_stuck(live) > 0
                still_s = stillness.look(
                    now_s=time.monotonic(),
                    n_written=process.n_written,
                    working=process.working(),
                    jobs=live,
                )
                if still_s >= self.stall_s:
                    _logger.warning("event=snakemake_hangs still_s=%.0f does=kill", still_s)
                    process.kill()
                    return RoundEnd(None, machine_at_fault=True)
            next_look_s = time.monotonic() + self.poll_s
        self._report()
        if code != 0:
            self._refuse_wrong_set_up()
        # Below 0 it was killed, by somebody or for want of memory, and nothing is said of shards.
        return RoundEnd(code, machine_at_fault=at_fault or code < 0)

    def _end(self, process: SnakemakeProcess) -> None:
        """Have Snakemake stop, by force if it takes its time or a second signal comes."""
        process.interrupt()
        until_s = time.monotonic() + self.stop_s
        while process.wait(TICK_S) is None:
            if time.monotonic() > until_s or self.requests.n_asked > 1:
                process.kill()
                return

    def _refuse_drift(self) -> None:
        """Stop if a kind of machine does not reproduce the canary."""
        drifting = self.folder.drift_reports()
        if drifting:
            raise SetupError(
                f"a kind of machine does not reproduce the canary: see {drifting[0]}."
                " The run is stopped; leave such nodes out, or make a new canary, and start again"
            )

    def _refuse_wrong_set_up(self) -> None:
        """Stop if a job said that the set-up is wrong: the next attempt would only say so again."""
        for failure in self.folder.failures():
            if failure.is_set_up and not failure.is_of_one_shard:
                raise WrongSetUp(f"{failure.step}: {failure.message}")
