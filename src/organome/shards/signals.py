"""Signals that ask a program to stop.

A step drops the scan in flight from wherever it is: SLURM sends SIGTERM or SIGUSR1 before a time
limit or a preemption. A controller has jobs to take back first, so it notes the request and obeys
where it is safe.
"""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

from organome.domain.errors import Interrupted

_OF_A_STEP: Final = (signal.SIGTERM, signal.SIGUSR1)
_OF_A_CONTROLLER: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_S: Final = 0.5


class StopRequests:
    """Whether, and how often, the program was asked to stop, and where it may not be stopped."""

    def __init__(self, *, at_once: bool = False) -> None:
        """Begin without a request.

        Args:
            at_once: Whether a signal raises from wherever the program is, once, unless shielded.
        """
        self._asked_by: list[str] = []
        self._holds_back = not at_once

    @property
    def n_asked(self) -> int:
        """How many signals have come; who asks twice is in a hurry."""
        return len(self._asked_by)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Note that a signal has come; stop at once, or at the end of the shielded block."""
        self._asked_by.append(signal.Signals(number).name)
        if not self._holds_back:
            self._holds_back = True  # a second one must not break into the clean-up of the first
            self.check()

    def check(self) -> None:
        """Stop here if asked to.

        Needed besides the handler: libraries swallow exceptions, or turn them into others.

        Raises:
            Interrupted: If a signal has come.
        """
        if self._asked_by:
            self._holds_back = True
            raise Interrupted(f"{self._asked_by[0]}: what is done is kept, start again to go on")

    def sleep(self, wait_s: float) -> None:
        """Wait, and stop waiting when asked to stop.

        Raises:
            Interrupted: If a signal has come.
        """
        until_s = time.monotonic() + wait_s
        self.check()
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _TICK_S))
            self.check()

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Let the block end, a few file operations at most; ``check`` after it where that helps."""
        before, self._holds_back = self._holds_back, True
        try:
            yield
        finally:
            self._holds_back = before


@contextmanager
def listening() -> Iterator[StopRequests]:
    """Turn the signals that ask a step to stop into Interrupted within the block.

    So is every error that follows one: a scheduler ends all processes of a job at once, and a
    library then misses its own.
    """
    with _handling(_OF_A_STEP, StopRequests(at_once=True)) as requests:
        try:
            yield requests
        except Exception:
            requests.check()
            raise


@contextmanager
def noting_stop_requests() -> Iterator[StopRequests]:
    """Note the signals that ask a controller to stop within the block.

    A hang-up that is ignored, as under nohup, stays ignored.
    """
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    numbers = [one for one in _OF_A_CONTROLLER if not (ignored and one is signal.SIGHUP)]
    with _handling(numbers, StopRequests()) as requests:
        yield requests


@contextmanager
def _handling(numbers: Sequence[signal.Signals], requests: StopRequests) -> Iterator[StopRequests]:
    if threading.current_thread() is not threading.main_thread():  # no other thread can
        yield requests
        return
    before = {number: signal.signal(number, requests.on_signal) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
