"""Scans in several processes: the same results, and no harm from a process that dies."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doubles.hard_steps import HardStep
from doubles.places import TESTS
from doubles.shard_folders import Shard
from doubles.steps import CopyStep, make_scans
from organome.domain.errors import MachineFault, ScanError, SetupError
from organome.domain.outcomes import Outcome, Reason, Status

PROGRAM = TESTS / "doubles" / "hard_shard.py"
PATIENCE_S = 300.0


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


def scan_key(place: int) -> str:
    return f"0000-{place:04d}"


def test_three_processes_give_what_one_gives_bit_for_bit(tmp_path: Path) -> None:
    scans = make_scans(12)[::-1]
    upstream = {
        scan.scan: Outcome(scan.scan, "prepare_images", Status.DONE, "a") for scan in scans
    } | {scan_key(5): Outcome(scan_key(5), "p", Status.FAILED, "b", Reason.NOT_3D, "flat")}
    bad = {scan_key(place): ScanError(Reason.FILE_BROKEN, "3 bytes") for place in (2, 7)}
    one, three = Shard(tmp_path / "one"), Shard(tmp_path / "three")
    outcomes = [
        shard.run(CopyStep(faults=bad), scans, n=n, upstream=upstream)
        for shard, n in ((one, 1), (three, 3))
    ]
    assert outcomes[0] == outcomes[1]
    assert [outcome.scan for outcome in outcomes[1]] == [scan.scan for scan in scans]
    assert one.contents() == three.contents()
    assert not three.work.exists()


def test_scans_are_in_flight_at_the_same_time_and_never_more_than_processes(shard: Shard) -> None:
    together = {scan_key(place): "meets two others" for place in range(3)}
    step = HardStep(shard.folder / "traces", together)
    shard.run(step, make_scans(9), n=3)
    processes = {process for _, process in step.tries()}
    assert len(processes) == 3
    assert os.getpid() not in processes


def test_stations_of_one_archive_stay_in_one_process_and_in_order(shard: Shard) -> None:
    scans = [
        replace(scan, participant=f"{place // 4:03d}", station=1 + place % 4)
        for place, scan in enumerate(make_scans(12))
    ]
    step = HardStep(shard.folder / "traces")
    shard.run(step, scans, n=2)
    for participant in range(3):
        of_archive = [scan.scan for scan in scans[4 * participant : 4 * participant + 4]]
        tries = [one for one in step.tries() if one[0] in of_archive]
        assert [scan for scan, _ in tries] == of_archive
        assert len({process for _, process in tries}) == 1


@pytest.mark.parametrize(
    ("mishap", "kind", "text"),
    [
        ("finds the set-up wrong", SetupError, "no such thing"),
        ("is on a broken disk", MachineFault, r"scan 0000-0001: Input/output error \(EIO\)"),
    ],
)
def test_what_stops_the_job_travels_as_itself_with_where_it_comes_from(
    shard: Shard, mishap: str, kind: type[Exception], text: str
) -> None:
    step = HardStep(shard.folder / "traces", {scan_key(1): mishap})
    with pytest.raises(kind, match=text) as caught:
        shard.run(step, make_scans(4), n=2)
    assert "hard_steps.py" in "".join(caught.value.__notes__)
    assert scan_key(1) not in shard.journaled()


@pytest.mark.parametrize(
    ("mishap", "fact"), [("has a bug", "ZeroDivisionError"), ("exits", "SystemExit")]
)
def test_an_error_that_nobody_foresaw_is_a_row_with_its_type_and_a_trace_in_the_log(
    shard: Shard, caplog: pytest.LogCaptureFixture, mishap: str, fact: str
) -> None:
    step = HardStep(shard.folder / "traces", {scan_key(1): mishap})
    outcomes = shard.run(step, make_scans(4), n=2)
    reasons = [None, Reason.UNEXPECTED_ERROR, None, None]
    assert [outcome.reason for outcome in outcomes] == reasons
    assert outcomes[1].fact == fact
    (line,) = [one for one in caplog.messages if "unexpected error" in one]
    assert line.startswith("scan=0000-0001 ")
    assert "hard_steps.py" in line
    assert "a bug" not in line.replace('ZeroDivisionError("a bug")', "")  # the line of code


def test_scan_that_lacked_memory_beside_others_is_done_alone(shard: Shard) -> None:
    mishaps = {scan_key(1): "lacks memory once", scan_key(2): "lacks memory"}
    step = HardStep(shard.folder / "traces", mishaps)
    outcomes = shard.run(step, make_scans(6), n=2)
    reasons = [None, None, Reason.OUT_OF_MEMORY, None, None, None]
    assert [outcome.reason for outcome in outcomes] == reasons
    tried = [scan for scan, _ in step.tries()]
    assert sorted(tried[-2:]) == [scan_key(1), scan_key(2)]
    assert len(tried) == 8


def test_most_scans_failing_alike_stop_the_job_and_its_processes(shard: Shard) -> None:
    scans = make_scans(12)
    bad = {scan.scan: ScanError(Reason.FILE_MISSING, "gone") for scan in scans}
    with pytest.raises(SetupError, match="of 12 scans failed with file_missing"):
        shard.run(CopyStep(faults=bad), scans, n=3)
    assert not shard.output.exists()


def test_processes_leave_it_to_the_parent_to_stop(shard: Shard) -> None:
    step = HardStep(shard.folder / "traces", {scan_key(1): "is asked to stop"})
    outcomes = shard.run(step, make_scans(3), n=2)
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 3


class Program:
    """Two processes with scans that never end, and the parent of both."""

    def __init__(self, folder: Path, *, stage: str) -> None:
        self.shard = Shard(folder)
        self.step = HardStep(folder / "traces")
        given = (folder / "traces", self.shard.output, self.shard.work, *stage.split())
        self.process = subprocess.Popen([sys.executable, PROGRAM, *given], start_new_session=True)
        wait_until(lambda: len(self.shard.journaled()) == 4 and len(self.step.in_flight()) >= 2)
        self.workers = {process for _, process in self.step.tries()}


@pytest.fixture(params=["", "read", "work", "write"])
def program(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    started = Program(tmp_path, stage=request.param)
    yield started
    started.process.kill()
    started.process.wait()


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGTERM, True), (signal.SIGUSR1, False)])
def test_signal_ends_all_processes_and_keeps_what_is_finished(
    program: Program, number: signal.Signals, to_all: bool
) -> None:
    (os.killpg if to_all else os.kill)(program.process.pid, number)
    assert program.process.wait(timeout=PATIENCE_S) == 75
    assert not any(is_alive(worker) for worker in program.workers)
    assert program.shard.journaled() == {scan_key(place) for place in range(4)}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals such an end to a child")
def test_processes_do_not_outlive_a_parent_that_was_killed_and_the_shard_goes_on(
    program: Program, tmp_path: Path
) -> None:
    program.process.kill()
    wait_until(lambda: not any(is_alive(worker) for worker in program.workers))
    program.process.wait()
    scans = make_scans(8)
    again = HardStep(tmp_path / "again")
    program.shard.run(again, scans, n=2)
    assert {scan for scan, _ in again.tries()} == {scan_key(place) for place in range(4, 8)}
    undisturbed = Shard(tmp_path / "undisturbed")
    undisturbed.run(CopyStep(), scans, n=1)
    assert program.shard.contents() == undisturbed.contents()


def wait_until(holds: Any) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Return whether a process runs; one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
