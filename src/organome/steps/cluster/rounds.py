"""Round after round of Snakemake, as long as that helps."""

import logging
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from organome.domain.errors import SetupError
from organome.shards.signals import StopRequests
from organome.steps.cluster.controllers import Controller, TakenOver
from organome.steps.cluster.jobs import RunJobs
from organome.steps.cluster.run_folders import MACHINE_AT_FAULT, SET_UP_WRONG, RunFolder
from organome.steps.cluster.snakemake_process import SnakemakeProcess
from organome.steps.cluster.watchdog import Pace, RoundEnd, end, watch

_logger = logging.getLogger(__name__)

_MAX_MESSAGES: Final = 5  # of jobs, on the terminal; the logs have them all
_CANCEL_POLL_S: Final = 2.0  # scancel is quick; a job submitted meanwhile shows within a second


class Rounds:
    """One run of the workflow."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        targets: Sequence[str],
        folder: RunFolder,
        jobs: RunJobs | None,
        cancel_running: bool,
        pace: Pace,
        requests: StopRequests,
        controller: Controller,
    ) -> None:
        """Say what is run.

        Args:
            command: Snakemake with its flags.
            targets: What it shall make; empty: everything.
            folder: The run folder.
            jobs: Its jobs in SLURM's queue; None if they run on this machine.
            cancel_running: Whether running jobs of an earlier controller are cancelled.
            pace: How often to look and how long to be patient.
            requests: Whether one was asked to stop.
            controller: The hold on the run folder.
        """
        self._command = tuple(command)
        self._targets = ("--", *targets) if targets else ()
        self._folder = folder
        self._jobs = jobs
        self._cancel_running = cancel_running
        self._pace = pace
        self._requests = requests
        self._controller = controller
        started_at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        self._log = folder.folder / "logs" / "run" / f"{started_at}.log"

    def run(self, *, max_idle: int) -> tuple[int, int]:
        """Go on until all is done or nothing helps.

        Args:
            max_idle: Rounds in a row that may end without a further shard.

        Returns:
            How many rounds there were, and how many of them hung.

        Raises:
            SetupError: Nothing helps, or a kind of machine drifts.
            Interrupted: A signal has come, or another controller.
        """
        n_rounds = n_hangs = n_idle = 0
        while True:
            # After a disk that was full for all every node is noted, and none is left to ask for.
            self._folder.forget_faults()
            n_rounds += 1
            round_end = self._round()
            n_hangs += round_end.code is None
            n_new = self._folder.count_new_ledgers()
            faults = [one for one in self._folder.failures() if one.code == MACHINE_AT_FAULT]
            at_fault = round_end.machine_at_fault or bool(faults)
            _logger.info(
                "event=round_ended round=%d code=%s n_new_ledgers=%d machine_at_fault=%s",
                *(n_rounds, round_end.code, n_new, at_fault),
            )
            if round_end.code == 0:
                break
            n_idle = 0 if n_new else n_idle + 1
            if n_idle and (not at_fault or n_idle >= max_idle):
                self._collect_so_far()
                raise SetupError(self._what_is_left())
            self._requests.sleep(self._pace.pause_s)
        self._sweep()
        return n_rounds, n_hangs

    def _collect_so_far(self) -> None:
        """Collect the shards that are through: those that are left must not hold up their rows."""
        n_done, n_left = self._folder.count_shards()
        if n_done and n_left and not self._targets:
            last = self._round(("--", "tables_so_far"))
            _logger.info("event=tables_so_far code=%s n_shards=%d", last.code, n_done)

    def _round(self, targets: Sequence[str] | None = None) -> RoundEnd:
        """Run Snakemake once, and leave no job and no lock behind."""
        if self._jobs is not None:
            self._jobs.settle(
                cancel_running=self._cancel_running,
                poll_s=self._pace.poll_s,
                requests=self._requests,
            )
        self._unlock()
        wanted = self._targets if targets is None else targets
        process = SnakemakeProcess([*self._command, *wanted], log=self._log)
        try:
            self._controller.note_child(process.pid, process.started_at)
            round_end = watch(
                process,
                jobs=self._jobs,
                folder=self._folder,
                pace=self._pace,
                requests=self._requests,
                check_lease=self._controller.check,
            )
        except TakenOver:
            process.kill()  # its jobs and its lock are another's now
            raise
        except BaseException:
            end(process, pace=self._pace, requests=self._requests)
            self._clear()
            raise
        self._clear()
        return round_end

    def _clear(self) -> None:
        if self._jobs is not None:
            n_cancelled = self._jobs.cancel_all(
                poll_s=min(_CANCEL_POLL_S, self._pace.poll_s), within_s=self._pace.stop_s
            )
            if n_cancelled:
                _logger.info("event=leftovers_cancelled n_jobs=%d", n_cancelled)
        self._unlock()

    def _unlock(self) -> None:
        """Open the lock of a Snakemake that was killed; that none lives, the lease says."""
        if not self._folder.is_locked:
            return
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            done = subprocess.run(
                [*self._command, "--unlock"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
            )
        _logger.info("event=unlocked code=%d", done.returncode)

    def _sweep(self) -> None:
        if self._jobs is None or self._jobs.live() == ():
            n_removed = self._folder.sweep(older_than=self._controller.started)
            if n_removed:
                _logger.info("event=swept n_removed=%d", n_removed)

    def _what_is_left(self) -> str:
        n_done, n_left = self._folder.count_shards()
        left = f"{n_left} of {n_done + n_left} shards" if n_left else "not everything"
        verb = "could not be done" if n_left else "could be done"
        failures = self._folder.failures()
        # Each message once, however often its job was tried and for however many shards.
        first = {one.message: one for one in reversed(failures) if one.code == SET_UP_WRONG}
        said = [f"{one.step} {one.shard}: {one.message}" for one in reversed(first.values())]
        more = [f"and {len(said) - _MAX_MESSAGES} more"] if len(said) > _MAX_MESSAGES else []
        return "\n".join(
            [
                f"{left} {verb}; why stands in {self._log} and in logs/<rule>/<shard>.log",
                *said[:_MAX_MESSAGES],
                *more,
            ]
        )
