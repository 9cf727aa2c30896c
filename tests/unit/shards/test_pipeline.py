"""Stages in threads of one process: all scans come out, whatever happens in whichever stage."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from doubles.staged_steps import Item, StagedStep
from doubles.steps import make_scans
from organome.domain.errors import MachineFault, SetupError
from organome.domain.outcomes import JsonValue, Reason
from organome.shards.memory import MemoryGate
from organome.shards.pipeline import ScanPipeline, ScanResult, ScanWork
from organome.shards.step import Task
from organome.shards.work_folder import Staging

PATIENCE_S = 300.0
KEYS = [scan.scan for scan in make_scans(8)]


class Line:
    """A pipeline that runs in a thread, so that a test never waits for ever."""

    def __init__(self, folder: Path, *, host_bytes: int = 10**12) -> None:
        self.staging = Staging(folder / "work" / ".one")
        self.staging.open()
        self.host_bytes = host_bytes
        self.ends: list[tuple[str, ScanResult | BaseException]] = []

    def run(self, step: StagedStep, n_scans: int = 8) -> Mapping[str, Any]:
        pipeline = ScanPipeline(
            step,
            self.staging,
            gate=MemoryGate(self.host_bytes),
            on_end=lambda *one: self.ends.append(one),
        )
        for scan in make_scans(n_scans):
            pipeline.add(Task(scan, None))
        pipeline.end()
        thread = threading.Thread(target=pipeline.run, daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "it hangs"
        return dict(self.ends)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


def test_overlapping_gives_what_one_by_one_gives(line: Line, tmp_path: Path) -> None:
    ends = line.run(StagedStep(tmp_path / "traces", pause_s=0.005))
    assert set(ends) == set(KEYS)
    other = Staging(tmp_path / "other" / ".one")
    other.open()
    for scan in make_scans(8):
        alone = ScanWork(StagedStep(tmp_path / "more"), other).run(Task(scan, None))
        assert ends[scan.scan].facts == alone.facts
        pairs = list(zip(ends[scan.scan].files, alone.files, strict=True))
        assert len(pairs) == 2
        assert all(one.read_bytes() == two.read_bytes() for one, two in pairs)


class MeetingStep(StagedStep):
    """A scan is written only when another is worked on and a third is read."""

    def __init__(self, folder: Path, meeting: threading.Barrier) -> None:
        super().__init__(folder)
        self.n_readers = 1
        self.threads: dict[str, set[int]] = {"read": set(), "work": set(), "write": set()}
        self._meeting = meeting

    def _stage(self, stage: str, item: Item) -> Item:
        self.threads[stage].add(threading.get_ident())
        n_before = {"read": 2, "work": 1, "write": 0}[stage]
        if n_before <= KEYS.index(item[0].scan) < 6 + n_before:
            self._meeting.wait(PATIENCE_S)
        return item


def test_three_stages_are_at_work_at_the_same_time(line: Line, tmp_path: Path) -> None:
    step = MeetingStep(tmp_path / "traces", threading.Barrier(3))
    ends = line.run(step)
    assert all(isinstance(end, ScanResult) and end.reason is None for end in ends.values())
    assert [len(threads) for threads in step.threads.values()] == [1, 1, 1]
    assert len(set.union(*step.threads.values())) == 3


@pytest.mark.parametrize("stage", ["read", "work", "write"])
@pytest.mark.parametrize(
    ("mishap", "end"),
    [
        ("is flat", Reason.NOT_3D),
        ("lacks memory", Reason.OUT_OF_MEMORY),
        ("is on a broken disk", MachineFault),
        ("finds the set-up wrong", SetupError),
        ("has a bug", Reason.UNEXPECTED_ERROR),
        ("exits", Reason.UNEXPECTED_ERROR),
    ],
)
def test_what_happens_in_a_stage_is_known_and_the_others_go_through(
    line: Line, tmp_path: Path, stage: str, mishap: str, end: Any
) -> None:
    ends = line.run(StagedStep(tmp_path / "traces", {KEYS[2]: f"{stage}: {mishap}"}))
    assert set(ends) == set(KEYS)
    bad = ends.pop(KEYS[2])
    assert bad.reason is end if isinstance(end, Reason) else isinstance(bad, end)
    assert all(other.reason is None for other in ends.values())


class CountingStep(StagedStep):
    """Counts how much of all scans in hand is there at most."""

    def __init__(self, folder: Path, *, needs_bytes: Mapping[str, int]) -> None:
        super().__init__(folder, needs_bytes=needs_bytes, pause_s=0.002)
        self.most_bytes = 0
        self._there: dict[str, int] = {}

    def read(self, scan: Any, before: Any) -> Item:
        self._there[scan.scan] = self._needs_bytes[scan.scan]
        self.most_bytes = max(self.most_bytes, sum(self._there.values()))
        return super().read(scan, before)

    def write(self, item: Item, place: Callable[[str], Path]) -> Mapping[str, JsonValue]:
        facts = super().write(item, place)
        del self._there[item[0].scan]
        return facts


@pytest.mark.parametrize(
    ("needs", "most"), [([2] * 8, 8), ([5, 5, 5, 5, 5, 5, 5, 5], 5), ([1, 9, 1, 1, 9, 9, 1, 2], 9)]
)
def test_what_is_in_hand_fits_into_memory_together(
    tmp_path: Path, needs: Sequence[int], most: int
) -> None:
    line = Line(tmp_path, host_bytes=9)
    step = CountingStep(tmp_path / "traces", needs_bytes=dict(zip(KEYS, needs, strict=True)))
    ends = line.run(step)
    assert all(end.reason is None for end in ends.values())
    assert step.most_bytes <= most


def test_what_does_not_fit_alone_is_not_begun_and_says_by_how_much(tmp_path: Path) -> None:
    step = StagedStep(tmp_path / "traces", needs_bytes={KEYS[1]: 23_400_000_000})
    ends = Line(tmp_path, host_bytes=8_000_000_000).run(step)
    assert ends[KEYS[1]].reason is Reason.OUT_OF_MEMORY
    assert ends[KEYS[1]].fact == "needs about 23.4 GB of memory, 8.0 GB are there"
    assert ends[KEYS[1]].untried
    assert {scan for scan, _ in step.tries()} == set(KEYS) - {KEYS[1]}


def test_seconds_of_scans_that_overlap_are_not_counted_twice(line: Line, tmp_path: Path) -> None:
    before_s = time.perf_counter()
    ends = line.run(StagedStep(tmp_path / "traces", pause_s=0.02))
    passed_s = time.perf_counter() - before_s
    assert all(end.elapsed_s > 0 for end in ends.values())
    assert sum(end.elapsed_s for end in ends.values()) <= passed_s
