"""What a failed job leaves in the run folder."""

import errno
import json
from pathlib import Path

import pytest

from organome.cli import app
from organome.cli.failures import note_failure
from organome.domain.errors import Interrupted, MachineFault, SetupError
from organome.steps.measure import measure_volumes

TOKENS = ["measure-volumes", "--shard=scans/0003.parquet", "--images=i"]


@pytest.fixture(autouse=True)
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURMD_NODENAME", "g1")
    return tmp_path


def noted_nodes() -> list[str]:
    return [path.name for path in Path("work/broken_nodes").glob("*")]


def notes() -> list[dict[str, object]]:
    path = Path("work/failures/measure_volumes.0003.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def full_disk() -> MachineFault:
    fault = MachineFault("results: No space left on device")
    fault.__cause__ = OSError(errno.ENOSPC, "No space left on device", "results")
    return fault


def test_broken_gpu_notes_the_node_and_asks_for_no_more_memory() -> None:
    note_failure(TOKENS, MachineFault("GPU: it fell off the bus"), code=69)
    assert noted_nodes() == ["g1"]
    assert notes() == [{"code": 69, "memory": False, "message": "GPU: it fell off the bus"}]


@pytest.mark.parametrize(
    "error",
    [
        full_disk(),
        MachineFault("2 worker processes died, perhaps for memory"),
        SetupError("no model"),
        Interrupted("asked to stop"),
    ],
)
def test_healthy_node_is_not_noted(error: Exception) -> None:
    note_failure(TOKENS, error, code=1)
    assert noted_nodes() == []


def test_lack_of_memory_is_noted_as_such_and_attempts_are_lines() -> None:
    note_failure(TOKENS, Interrupted("time limit"), code=75)
    note_failure(TOKENS, MachineFault("a worker process died while it started"), code=69)
    assert [note["memory"] for note in notes()] == [False, True]


def test_command_outside_a_run_folder_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other := tmp_path / "other").mkdir()
    monkeypatch.chdir(other)
    note_failure(TOKENS, MachineFault("GPU"), code=69)
    assert not list(other.iterdir())


def test_exit_code_69_leaves_its_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*, shard: Path) -> None:
        raise MachineFault(f"GPU: gone at {shard.stem}")

    monkeypatch.setattr(measure_volumes, "run", fail)
    assert app.run([TOKENS[0], TOKENS[1]]) == 69
    assert noted_nodes() == ["g1"]
