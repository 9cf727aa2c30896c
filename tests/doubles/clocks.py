"""A clock that only pretends, in the place of the module ``time``."""

import time


class PretendedClock:
    """Time that passes only while somebody sleeps."""

    CLOCK_BOOTTIME = CLOCK_MONOTONIC = time.CLOCK_MONOTONIC

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """Read it."""
        return self.now_s

    def clock_gettime(self, _clock: int) -> float:
        """Read it."""
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        """Let time pass."""
        self.now_s += wait_s
