"""How busy a GPU is while a command runs, and how many scans an hour go through it."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

EVERY_MS: Final = 200
QUERY: Final = (
    "nvidia-smi",
    "--query-gpu=utilization.gpu",
    "--format=csv,noheader,nounits",
    f"--loop-ms={EVERY_MS}",
    "--id=0",
)


@contextmanager
def gpu_watched() -> Iterator[list[float]]:
    """Look at the first GPU five times a second.

    Yields:
        Its utilisation in percent, as the driver tells it (share of the time in which a kernel
        ran); filled in when the context ends, empty without ``nvidia-smi``.
    """
    seen: list[float] = []
    if shutil.which(QUERY[0]) is None:
        yield seen
        return
    watch = subprocess.Popen(QUERY, stdout=subprocess.PIPE, text=True)
    try:
        yield seen
    finally:
        watch.terminate()
        printed, _ = watch.communicate()
        seen += [float(line) for line in printed.split() if line.isdigit()]


def busy_share(percents: Sequence[float]) -> float | None:
    """Share of the time that the GPU was busy, from its first work to its last.

    Returns:
        None where it was never seen to work.
    """
    working = [number for number, percent in enumerate(percents) if percent > 0]
    if not working:
        return None
    part = percents[working[0] : working[-1] + 1]
    return sum(part) / len(part) / 100.0
