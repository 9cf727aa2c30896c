"""Which jobs are ours, and which of them wait for ever."""

from pathlib import Path

import pytest

from doubles.fake_commands import FakeCommands
from organome.io.slurm.queue import Job
from organome.steps.cluster.jobs import RunJobs


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    fakes = FakeCommands(tmp_path / "fakes", run_folder=tmp_path)
    monkeypatch.setenv("PATH", fakes.path)
    return fakes


@pytest.fixture
def jobs(tmp_path: Path) -> RunJobs:
    return RunJobs(name="organome_0123abcd", folder=tmp_path)


def waiting(reason: str, *, state: str = "PENDING") -> Job:
    return Job("1", state, reason, "organome_0123abcd_x", Path())


def test_prefix_of_a_longer_name_is_another_run(fakes: FakeCommands, jobs: RunJobs) -> None:
    fakes.put_jobs(
        ("1", "RUNNING", "None", "organome_0123abcd_x"),
        ("2", "RUNNING", "None", "organome_0123abcdef_x"),
        ("3", "RUNNING", "None", "night_run"),
        ("4", "FAILED", "None", "organome_0123abcd_x"),
    )
    live = jobs.live()
    assert live is not None
    assert [job.job_id for job in live] == ["1"]


@pytest.mark.parametrize(
    ("reason", "n_machine_faults"),
    [
        ("launch failed requeued held", 1),
        ("JobHeldAdmin", 1),
        ("BadConstraints", 0),
        ("PartitionTimeLimit", 0),
        ("QOSMaxWallDurationPerJobLimit", 0),
        ("AssocMaxCpuPerJobLimit", 0),
    ],
)
def test_job_that_waits_for_ever_is_cancelled_at_the_second_look(
    fakes: FakeCommands, jobs: RunJobs, reason: str, n_machine_faults: int
) -> None:
    assert jobs.cancel_stuck([waiting(reason)]) == 0
    assert fakes.cancelled == []
    assert jobs.cancel_stuck([waiting(reason)]) == n_machine_faults
    assert fakes.cancelled == ["1"]


@pytest.mark.parametrize(
    "reason",
    [
        "Priority",
        "Resources",
        "BeginTime",  # was requeued a moment ago
        "JobHeldUser",
        "ReqNodeNotAvail, UnavailableNodes:g1",
        "Nodes required for job are DOWN, DRAINED or reserved",
        "QOSMaxJobsPerUserLimit",
        "AssocGrpGRES",
        "AssocMaxJobsLimit",
    ],
)
def test_job_whose_turn_will_come_is_left_alone(
    fakes: FakeCommands, jobs: RunJobs, reason: str
) -> None:
    for _ in range(3):
        jobs.cancel_stuck([waiting(reason)])
    assert fakes.cancelled == []


@pytest.mark.parametrize(
    "reason",
    ["AssocGrpCpuLimit", "AssocGrpGRES", "QOSMaxJobsPerUserLimit", "AssocMaxJobsLimit"],
)
def test_limit_of_the_account_is_logged_once_with_its_reason(
    jobs: RunJobs, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    for _ in range(3):
        jobs.log_limits([waiting(reason), waiting(reason), waiting("Priority")])
    assert caplog.messages == [f'event=jobs_limited reason="{reason}" n_jobs=2 does=wait']


def test_other_reasons_are_no_limits_of_the_account(
    jobs: RunJobs, caplog: pytest.LogCaptureFixture
) -> None:
    jobs.log_limits(
        [
            waiting("Resources"),
            waiting("AssocMaxCpuPerJobLimit"),  # never starts: cancelled as stuck
            waiting("AssocGrpCpuLimit", state="RUNNING"),
        ]
    )
    assert caplog.messages == []


def test_reason_of_a_running_job_does_not_matter(fakes: FakeCommands, jobs: RunJobs) -> None:
    for _ in range(3):
        jobs.cancel_stuck([waiting("BadConstraints", state="RUNNING")])
    assert fakes.cancelled == []


def test_jobs_that_come_in_during_the_cancel_are_cancelled_too(
    fakes: FakeCommands, jobs: RunJobs, tmp_path: Path
) -> None:
    fakes.put_jobs(("1", "RUNNING", "None", "organome_0123abcd_x"))
    late = f"2|PENDING|None|organome_0123abcd_x|{tmp_path}"
    fakes.add(
        "scancel",
        f'echo "$2" >> "$FAKES/cancelled"; echo "{late}" > "$FAKES/queue"\n'
        '[ "$2" = 1 ] || : > "$FAKES/queue"',
    )
    assert jobs.cancel_all(poll_s=0.01, within_s=10) == 2
    assert fakes.cancelled == ["1", "2"]


def test_leftovers_wait_for_a_controller_that_is_away_only_so_long(
    fakes: FakeCommands, jobs: RunJobs, caplog: pytest.LogCaptureFixture
) -> None:
    fakes.go_away()
    assert jobs.cancel_all(poll_s=0.05, within_s=0.2) == 0
    assert "event=queue_away" in caplog.text
