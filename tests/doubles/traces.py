"""What the steps of a run logged in all their attempts; tests/slurm/bin/organome keeps it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Event:
    """One logged event: when, in which job, on which node, by which process, and its fields."""

    at_s: float
    job: str
    node: str
    pid: int
    said: Mapping[str, str]


def read_events(folder: Path) -> Iterator[Event]:
    """Read the events of all attempts; a line that was cut off has no event."""
    for path in folder.glob("*.log"):
        job, node, pid = path.stem.rsplit("_", 2)
        for line in path.read_text().splitlines():
            at_s, _, text = line.partition(" ")
            said = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', text))
            if "event" in said:
                yield Event(float(at_s), job, node, int(pid), said)


def traced_pids(folder: Path) -> set[int]:
    """Return the processes that ever worked on a step."""
    return {int(path.stem.rsplit("_", 1)[1]) for path in folder.glob("*.log")}


def scans_done_twice(folder: Path) -> dict[tuple[str, str], int]:
    """Count how often each scan was finished in each step, where more than once."""
    finished = (event.said for event in read_events(folder))
    counts = Counter((one["step"], one["scan"]) for one in finished if one["event"] == "scan_done")
    return {scan: n for scan, n in counts.items() if n > 1}
