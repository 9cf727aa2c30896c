"""Kill jobs, workers and controllers of a run at random times, again and again."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from campaigns.runs import CampaignRun

# By how often each is meant; a worker and a job are what dies most on a cluster.
_WEIGHTS: Final = {"job": 6, "worker": 3, "snakemake": 2, "controller": 3, "everything": 3}
_PAUSE_S: Final = 2.5  # at most, from when there is something to kill
_PATIENCE_S: Final = 300.0  # nothing takes so long
_AFTER_A_SCAN_SHARE: Final = 0.5  # so that a run gets on, however slow the machine is
_TERM_SHARE: Final = 0.3


class Killer:
    """Kills what works in one run folder, and starts it again."""

    def __init__(self, run: CampaignRun, *, seed: int) -> None:
        self.kills: Counter[str] = Counter()
        self.exit_codes: Counter[int] = Counter()
        self._run = run
        self._chance = random.Random(seed)
        self._robbed: set[int] = set()
        self._targets: Mapping[str, Callable[[], list[int]]] = {
            "job": run.jobs,
            "worker": self._workers,
            "snakemake": run.snakemake,
            "controller": run.controller,
            "everything": run.jobs,  # a power cut before the first job spoils nothing
        }

    def kill(self, n_times: int) -> bool:
        """Kill so often, and start the run whenever it has ended.

        Returns:
            Whether the run is not through yet.

        Raises:
            TimeoutError: Nothing goes on in the run, or killed processes do not end.
        """
        self._run.start()
        while self.kills.total() < n_times:
            kind = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            if self._chance.random() < _AFTER_A_SCAN_SHARE:
                self._await(self._further_scan(), what="a further scan")
            if self._await(self._targets[kind], what=f"a {kind} to kill"):
                time.sleep(self._chance.uniform(0, _PAUSE_S))
                self._strike(kind)
            if (code := self._run.exit_code()) is not None:
                self.exit_codes[code] += 1
                if code == 0:
                    return False
                self._run.start()
        return True

    def _await(self, holds: Callable[[], object], *, what: str) -> bool:
        """Wait for something to hold; return False if the run ends before, or cannot have it."""
        end_s = time.monotonic() + _PATIENCE_S
        while self._run.exit_code() is None:
            if holds():
                return True
            if holds == self._workers and self._run.jobs():
                return False  # not every step has workers
            if time.monotonic() > end_s:
                raise TimeoutError(f"waited {_PATIENCE_S:.0f} s for {what}")
            time.sleep(0.05)
        return False

    def _further_scan(self) -> Callable[[], bool]:
        n_before = self._run.n_done()
        return lambda: self._run.n_done() > n_before

    def _strike(self, kind: str) -> None:
        if kind == "everything":
            self._run.end_all()
            self.kills["everything SIGKILL"] += 1
            return
        targets = self._targets[kind]()
        if not targets:
            return
        pid = self._chance.choice(targets)
        if kind == "worker":
            self._robbed |= {job for job in self._run.jobs() if pid in self._run.workers(job)}
        number = signal.SIGTERM if self._chance.random() < _TERM_SHARE else signal.SIGKILL
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        self.kills[f"{kind} {number.name}"] += 1

    def _workers(self) -> list[int]:
        """Return workers of jobs that have not lost one yet.

        A scan whose workers die twice is to blame for it, and becomes a row of its own.
        """
        whole = [job for job in self._run.jobs() if job not in self._robbed]
        return [worker for job in whole for worker in self._run.workers(job)]
