"""Signals that ask a controller to stop: noted at once, obeyed where it is safe.

The steps drop the scan in flight from wherever they are (``interrupts``); a controller has jobs to
take back first, and may not be torn out of that.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from organome.domain.errors import Interrupted

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_S: Final = 0.5


class StopRequests:
    """Whether, and how often, the controller was asked to stop."""

    def __init__(self) -> None:
        self._asked_by: list[str] = []

    @property
    def n_asked(self) -> int:
        """How many signals have come; who asks twice is in a hurry."""
        return len(self._asked_by)

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Note that a signal has come."""
        self._asked_by.append(signal.Signals(number).name)

    def check(self) -> None:
        """Stop here if asked to.

        Raises:
            Interrupted: If a signal has come.
        """
        if self._asked_by:
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
def noting_stop_requests() -> Iterator[StopRequests]:
    """Note the signals within the block; only the main thread can.

    A hang-up that is ignored, as under nohup, stays ignored.
    """
    requests = StopRequests()
    numbers = [
        number
        for number in _SIGNALS
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, requests.on_signal) for number in numbers}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
