"""Processes, read from /proc; only those that were started here are ever ended."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROC = Path("/proc")


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    return _stat(pid)[:1] not in ([], ["Z"])


def started(pid: int) -> str:
    """Return when a process started, in ticks since boot: with its pid, that names it for good."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def all_pids() -> list[int]:
    """List the processes of this machine."""
    return [int(path.name) for path in PROC.iterdir() if path.name.isdecimal()]


def environment(pid: int) -> dict[str, str]:
    """Read the variables that a process was started with; empty if it is gone."""
    try:
        words = (PROC / str(pid) / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)


def children(pid: int) -> list[int]:
    """List what a process started."""
    found: list[int] = []
    for task in (PROC / str(pid) / "task").glob("*"):
        with suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """List all that a process started, and what those started."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def belonging_to(folder: Path) -> list[tuple[int, str]]:
    """List live processes that work in a folder or name it: pid and command line."""
    found = []
    for pid in all_pids():
        if pid == os.getpid() or not is_alive(pid):
            continue
        with suppress(OSError):
            words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
            line = words.replace("\0", " ").strip()
            where = (PROC / str(pid) / "cwd").readlink()
            if where.is_relative_to(folder) or f"{folder}/" in f"{line}/":
                found.append((pid, line))
    return found


def kill_trees(pids: Iterable[int]) -> None:
    """End processes and all below them at one stroke, like a power cut."""
    roots = list(pids)
    stopped: set[int] = set()
    while new := {pid for root in roots for pid in (root, *descendants(root))} - stopped:
        for pid in new:
            _signal(pid, signal.SIGSTOP)  # none of them may notice that another is gone
        stopped |= new
    for pid in stopped:
        _signal(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, stopped)), what="killed processes to end")


@contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Stop processes for the block."""
    chosen = list(pids)
    for pid in chosen:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in chosen:
            _signal(pid, signal.SIGCONT)


@contextmanager
def slowed(pid: int, *, share: float = 0.01, every_s: float = 2.5) -> Iterator[None]:
    """Slow a process, and all below it, down to a small share of the time.

    It never stands still for long.
    """
    done = threading.Event()

    def pace() -> None:
        while not done.is_set():
            chosen = [pid, *descendants(pid)]
            for one in chosen:
                _signal(one, signal.SIGSTOP)
            done.wait(every_s * (1 - share))
            for one in chosen:
                _signal(one, signal.SIGCONT)
            done.wait(every_s * share)

    thread = threading.Thread(target=pace)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def wait_until(
    holds: Callable[[], object], *, what: str, within_s: float = 300.0, every_s: float = 0.1
) -> None:
    """Wait for something to hold.

    Raises:
        TimeoutError: If it does not hold in time.
    """
    end_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError(f"waited {within_s:.0f} s for {what}")
        time.sleep(every_s)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on: state, parent, ..."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
