"""SLURM's commands: what they print is read, and no answer is not an empty one."""

from pathlib import Path

import pytest

from doubles.fake_commands import FakeCommands
from organome.io.slurm import queue as slurm
from organome.io.slurm.cluster import cluster_settings, partitions, refusal, seconds
from organome.io.slurm.queue import Job, SlurmError


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    fakes = FakeCommands(tmp_path / "fakes", run_folder=tmp_path)
    monkeypatch.setenv("PATH", fakes.path)
    return fakes


def test_jobs_are_read_with_reasons_in_words_and_ended_ones_are_not_live(
    fakes: FakeCommands, tmp_path: Path
) -> None:
    fakes.put_jobs(
        ("1", "PENDING", "launch_failed_requeued_held", "a"),
        ("2", "COMPLETING", "None", "a"),
        ("3", "CANCELLED", "None", "b"),
    )
    jobs = slurm.own_jobs()
    assert jobs is not None
    assert jobs[0] == Job("1", "PENDING", "launch failed requeued held", "a", tmp_path)
    assert [job.job_id for job in jobs if job.is_live] == ["1", "2"]


def test_controller_that_is_away_is_not_an_empty_queue(fakes: FakeCommands) -> None:
    assert slurm.own_jobs() == ()
    fakes.go_away()
    assert slurm.own_jobs() is None
    assert slurm.cancel(["1"]) is False


def test_missing_command_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match="squeue is not on the PATH"):
        slurm.own_jobs()


def test_command_that_does_not_end_is_no_answer(fakes: FakeCommands) -> None:
    fakes.add("squeue", "sleep 60")
    answer = slurm.ask("squeue", timeout_s=0.2)
    assert answer.code is None
    assert answer.complaint == "no answer in time"


@pytest.mark.parametrize("command", ["squeue", "scancel", "sbatch", "sinfo", "scontrol"])
def test_every_command_of_slurm_is_given_up_after_a_while(
    fakes: FakeCommands, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(slurm, "ANSWER_S", 0.2)
    fakes.add(command, "exec sleep 60")
    if command == "sbatch":
        with pytest.raises(SlurmError, match="no answer in time"):
            slurm.submit([], command="true")
        assert refusal([]) == "no answer in time"
    elif command == "scancel":
        assert slurm.cancel(["1"]) is False
    else:
        look = {"squeue": slurm.own_jobs, "sinfo": partitions, "scontrol": cluster_settings}
        assert look[command]() is None


def test_many_jobs_are_cancelled_in_several_commands(fakes: FakeCommands) -> None:
    fakes.add("scancel", 'echo "$# arguments" >> "$FAKES/calls"')
    assert slurm.cancel([str(number) for number in range(1201)])
    assert fakes.calls == ["501 arguments", "501 arguments", "202 arguments"]  # with --quiet


def test_submission_gives_the_number_or_says_why_not(fakes: FakeCommands) -> None:
    fakes.add("sbatch", "echo '17;cluster'")
    assert slurm.submit(["--mem=1"], command="true") == "17"
    fakes.add("sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 1")
    with pytest.raises(SlurmError, match="invalid partition"):
        slurm.submit([], command="true")
    assert refusal(["--partition=x"]) == "sbatch: error: invalid partition"


def test_partitions_are_put_together_from_their_nodes(fakes: FakeCommands) -> None:
    lines = [
        "gpu|up|idle|gpu:a100:4(S:0-1,2),shard:8",
        "gpu|up|drained|gpu:h100:8",
        "cpu|up|mixed|(null)",
        "old|inact|down*|(null)",
    ]
    fakes.add("sinfo", "".join(f"echo '{line}'\n" for line in lines))
    found = partitions()
    assert found is not None
    assert found["gpu"].gres == {"gpu:a100:4", "shard:8", "gpu:h100:8"}
    assert found["gpu"].n_usable_nodes == 1
    assert found["cpu"].gres == frozenset()
    assert not found["old"].is_up


def test_settings_are_read_with_their_units(fakes: FakeCommands) -> None:
    fakes.add("scontrol", "echo 'MinJobAge               = 300 sec'; echo 'MailProg = /bin/true'")
    settings = cluster_settings()
    assert settings == {"MinJobAge": "300 sec", "MailProg": "/bin/true"}
    assert seconds(settings["MinJobAge"]) == 300
    assert seconds("INFINITE") is None
