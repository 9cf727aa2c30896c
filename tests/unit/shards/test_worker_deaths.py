"""Processes that die or hang: the job goes on, the bad scan is found, nobody waits for ever."""

import logging
import os
import random
import signal
import time
from pathlib import Path

import pytest

from doubles.hard_steps import HardStep
from doubles.shard_folders import Shard
from doubles.staged_steps import StagedStep
from doubles.steps import CopyStep, make_scans
from organome.domain.errors import MachineFault
from organome.domain.outcomes import Outcome, Reason, Status
from organome.io.machine.memory import job_memory_bytes
from organome.shards import pool as scan_workers

HANGS_MIN = 0.1
KEYS = [scan.scan for scan in make_scans(12)]


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    shard = Shard(tmp_path_factory.mktemp("undisturbed"))
    shard.run(CopyStep(), make_scans(8), n=1)
    return shard.contents()


@pytest.mark.parametrize("n", [1, 2])
def test_stages_in_processes_give_what_one_by_one_gives(
    shard: Shard, undisturbed: dict[str, bytes], n: int
) -> None:
    step = StagedStep(shard.folder / "traces")
    shard.run(step, make_scans(8), n=n)
    assert shard.contents() == undisturbed
    assert os.getpid() not in {process for _, process in step.tries()}
    # One may be through with all scans before another has started.
    assert step.starts() in [["usual"] * n_started for n_started in range(1, n + 1)]


@pytest.mark.parametrize(
    ("stage", "mishap"),
    [
        ("", "is killed once"),
        ("", "crashes once"),
        ("read: ", "is killed once"),
        ("work: ", "crashes once"),
        ("write: ", "is killed once"),
    ],
)
def test_scans_of_a_process_that_died_are_done_alone_and_the_tables_are_the_same(
    shard: Shard, undisturbed: dict[str, bytes], stage: str, mishap: str
) -> None:
    mishaps = {KEYS[5]: f"{stage}{mishap}"}
    traces = shard.folder / "traces"
    step = StagedStep(traces, mishaps) if stage else HardStep(traces, mishaps)
    shard.run(step, make_scans(8))
    assert shard.contents() == undisturbed
    lean = [key for key, is_lean in zip(KEYS, shard.column("lean"), strict=False) if is_lean]
    assert KEYS[5] in lean
    # The others that were in hand are done again, and nothing that was through is.
    tried = [scan for scan, _ in step.tries()]
    assert {scan for scan in tried if tried.count(scan) > 1} <= set(lean)
    assert tried.count(KEYS[5]) == 2


@pytest.mark.parametrize(
    ("mishap", "reason", "how"),
    [
        ("is killed", Reason.OUT_OF_MEMORY, "SIGKILL"),
        ("crashes", Reason.WORKER_DIED, "SIGSEGV"),
        ("leaves", Reason.WORKER_DIED, "exit code 3"),
    ],
)
def test_scan_that_ends_its_process_alone_as_well_is_a_row(
    shard: Shard, caplog: pytest.LogCaptureFixture, mishap: str, reason: Reason, how: str
) -> None:
    caplog.set_level(logging.INFO)
    step = StagedStep(shard.folder / "traces", {KEYS[3]: f"work: {mishap}"})
    outcomes = shard.run(step, make_scans(6), n=1)
    assert [outcome.reason for outcome in outcomes] == [*[None] * 3, reason, None, None]
    assert outcomes[3].fact == f"a worker process died of this scan alone ({how})"
    assert step.starts().count("lean") >= 1
    assert len([line for line in caplog.messages if "event=worker_died" in line]) == 2


def test_a_scan_that_needs_the_memory_of_all_goes_through_with_lean_settings(shard: Shard) -> None:
    step = StagedStep(shard.folder / "traces", {KEYS[1]: "work: is killed beside others"})
    outcomes = shard.run(step, make_scans(4))
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 4
    assert shard.column("lean")[1] is True


def test_what_lacks_memory_with_lean_settings_is_done_with_the_leanest(shard: Shard) -> None:
    mishaps = {KEYS[1]: "work: is killed until leanest"}
    step = StagedStep(shard.folder / "traces", mishaps, n_lean=2)
    outcomes = shard.run(step, make_scans(4), n=1)
    assert [outcome.status for outcome in outcomes] == [Status.DONE] * 4
    tried = [scan for scan, _ in step.tries()]
    assert tried.count(KEYS[1]) == 3
    assert max(tried.count(key) for key in (KEYS[0], *KEYS[2:4])) <= 2


def test_several_bad_scans_are_all_found(shard: Shard) -> None:
    bad = {KEYS[place]: "is killed" for place in (0, 1, 2, 4)}
    outcomes = shard.run(HardStep(shard.folder / "traces", bad), make_scans(12))
    assert [outcome.scan for outcome in outcomes if outcome.reason] == list(bad)


def test_deaths_without_a_culprit_are_a_fault_of_the_machine(shard: Shard) -> None:
    scans = make_scans(16)
    mishaps = {scan.scan: "work: is killed beside others" for scan in scans}
    with pytest.raises(MachineFault, match="3 worker processes died, perhaps for memory"):
        shard.run(StagedStep(shard.folder / "traces", mishaps), scans, n=1)
    assert not shard.output.exists()
    finished = shard.journaled()
    assert len(finished) == 12  # what went through alone is kept
    again = StagedStep(shard.folder / "again")
    shard.run(again, scans, n=1)
    assert {scan for scan, _ in again.tries()} == {scan.scan for scan in scans} - finished


@pytest.mark.parametrize(
    ("at_start", "text"),
    [
        ("dies", r"died while it started \(exit code 3\)"),
        ("has no GPU", "no GPU"),
        ("lacks memory", "could not start"),
        ("never ends", r"died while it started \(no result for"),
    ],
)
def test_a_process_that_cannot_start_is_a_fault_of_the_machine(
    shard: Shard, monkeypatch: pytest.MonkeyPatch, at_start: str, text: str
) -> None:
    if at_start == "never ends":
        monkeypatch.setattr(scan_workers, "START_S", 3.0)
    step = StagedStep(shard.folder / "traces", at_start=at_start)
    with pytest.raises(MachineFault, match=text):
        shard.run(step, make_scans(4))
    assert step.tries() == []


@pytest.mark.parametrize("stage", ["", "read: ", "write: "])
def test_a_process_that_hangs_is_ended_and_its_scans_go_through(
    shard: Shard, undisturbed: dict[str, bytes], stage: str
) -> None:
    mishaps = {KEYS[2]: f"{stage}hangs once"}
    traces = shard.folder / "traces"
    step = StagedStep(traces, mishaps) if stage else HardStep(traces, mishaps)
    shard.run(step, make_scans(8), max_scan_min=HANGS_MIN)
    assert shard.contents() == undisturbed


def test_a_scan_that_hangs_alone_as_well_is_a_row(shard: Shard) -> None:
    step = StagedStep(shard.folder / "traces", {KEYS[0]: "work: never ends"})
    outcomes = shard.run(step, make_scans(3), max_scan_min=HANGS_MIN)
    assert [outcome.reason for outcome in outcomes] == [Reason.WORKER_DIED, None, None]
    assert "no result for" in str(outcomes[0].fact)


def test_a_scan_too_large_for_its_share_has_the_memory_of_all(shard: Shard) -> None:
    there = job_memory_bytes()
    needs_bytes = {KEYS[0]: there * 2 // 3, KEYS[1]: 10 * there, KEYS[2]: 10_000 * there}
    step = StagedStep(shard.folder / "traces", needs_bytes=needs_bytes)  # lean: a thousandth of it
    outcomes = shard.run(step, make_scans(4), n=2)
    assert [outcome.reason for outcome in outcomes] == [None, None, Reason.OUT_OF_MEMORY, None]
    assert shard.column("lean") == [False, True, True, False]
    assert "GB are there" in str(outcomes[2].fact)
    assert step.starts()[-2:] == ["usual", "lean"]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_from_outside_at_any_moment_it_comes_to_the_same_end(
    shard: Shard, undisturbed: dict[str, bytes], seed: int
) -> None:
    chance = random.Random(seed)
    step = StagedStep(shard.folder / "traces", pause_s=0.02)
    killed: list[int] = []

    def kill_while_beside_others(_: Outcome) -> None:
        process = step.tries()[-1][1]
        if step.starts()[-1] == "usual" and process not in killed:
            time.sleep(chance.uniform(0, 0.05))
            killed.append(process)
            os.kill(process, signal.SIGKILL)

    shard.run(step, make_scans(8), n=1, on_outcome=kill_while_beside_others)
    assert killed
    assert shard.contents() == undisturbed
