"""SIGTERM and SIGUSR1: drop the scan in flight, keep what is journaled, exit.

SLURM sends one of them before a time limit or a preemption.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from organome.domain.errors import Interrupted

_SIGNALS: Final = (signal.SIGTERM, signal.SIGUSR1)


class Interrupts:
    """Whether the job was asked to stop, and where it may not be stopped."""

    def __init__(self) -> None:
        self._asked_by: str | None = None
        self._shielded = False
        self._raised = False

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """Stop at once, or at the end of the shielded block."""
        self._asked_by = signal.Signals(number).name
        # A second signal must not break into the clean-up that the first one started.
        if not self._shielded and not self._raised:
            self.check()

    def check(self) -> None:
        """Stop here if asked to.

        Needed besides the handler: libraries swallow exceptions, or turn them into others.

        Raises:
            Interrupted: If a signal has come.
        """
        if self._asked_by is not None:
            self._raised = True
            raise Interrupted(f"{self._asked_by}: finished scans are kept, start again to go on")

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Let the block end, a few file operations at most; ``check`` after it where that helps."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False


@contextmanager
def listening() -> Iterator[Interrupts]:
    """Turn the signals into Interrupted within the block; only the main thread can."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.signal(number, interrupts.on_signal) for number in _SIGNALS}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
