"""When nothing moves."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from organome.io.slurm.queue import Job
from organome.steps.cluster.rounds import Silence, Stillness

JOB = Job("1", "RUNNING", "None", "organome_x", Path())
WORKER, COMMAND, NEXT_COMMAND = (7, 1.0), (8, 1.0), (9, 2.0)


def look(
    stillness: Stillness,
    now_s: float,
    *,
    n_written: int = 5,
    working: Sequence[tuple[int, float]] = (),
    jobs: Sequence[Job] | None = (),
) -> float:
    return stillness.look(now_s=now_s, n_written=n_written, working=frozenset(working), jobs=jobs)


def seen_still(stillness: Stillness, *, until_s: float, n_written: int = 5) -> float:
    return [
        look(stillness, now_s, n_written=n_written) for now_s in (until_s - 2, until_s - 1, until_s)
    ][-1]


def test_time_runs_from_the_last_move() -> None:
    stillness = Stillness(0.0)
    assert look(stillness, 10.0) == 0  # the log has its first bytes
    assert seen_still(stillness, until_s=100.0) == 90
    assert look(stillness, 110.0, n_written=6) == 0
    assert seen_still(stillness, until_s=150.0, n_written=6) == 40


def test_jobs_and_a_silent_controller_are_no_stillness() -> None:
    stillness = Stillness(0.0)
    look(stillness, 0.0)
    assert seen_still(stillness, until_s=100.0) == 100
    assert look(stillness, 101.0, jobs=[JOB]) == 0
    assert look(stillness, 102.0, jobs=None) == 0
    assert seen_still(stillness, until_s=110.0) == 8


def test_process_that_stays_is_work_and_commands_that_come_and_go_are_not() -> None:
    stillness = Stillness(0.0)
    look(stillness, 0.0, working=[COMMAND])
    look(stillness, 10.0, working=[NEXT_COMMAND])
    look(stillness, 20.0)
    assert look(stillness, 30.0, working=[WORKER]) == 30
    assert look(stillness, 40.0, working=[WORKER]) == 0


def test_single_look_after_a_pause_of_the_machine_says_nothing() -> None:
    stillness = Stillness(0.0)
    look(stillness, 0.0)
    assert look(stillness, 10_000.0) == 0


def test_silent_slurm_is_logged_once_a_minute_and_when_it_answers_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    silence = Silence()
    for now_s, answers in ((0, True), (30, False), (60, False), (90, False), (120, True)):
        silence.look(now_s=float(now_s), answers=answers)
    assert caplog.messages == [
        "event=slurm_does_not_answer silent_s=0 does=wait",
        "event=slurm_does_not_answer silent_s=60 does=wait",
        "event=slurm_answers silent_s=90",
    ]
