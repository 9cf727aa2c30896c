"""A step that is killed again and again ends as if nothing had been."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from organome.io.ledgers import REPRODUCIBLE_COLUMNS

PROGRAM = Path(__file__).parents[2] / "doubles" / "slow_shard.py"
N_KILLS = 3


def start(output: Path, work: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(output), str(work)], stderr=subprocess.PIPE
    )


def run_to_the_end(output: Path, work: Path) -> None:
    process = start(output, work)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def journaled(path: Path) -> list[str]:
    if not path.exists():
        return []
    return [line for line in path.read_text().splitlines() if line]


def whole_lines(lines: list[str]) -> list[str]:
    """Scans of the lines that no kill has torn."""
    return [json.loads(line)["scan"] for line in lines if line.endswith("}")]


def wait_until_journaled(path: Path, n_lines: int, process: subprocess.Popen[bytes]) -> None:
    while len(journaled(path)) < n_lines:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_three_times_gives_the_same_bytes_and_repeats_no_finished_scan(
    tmp_path: Path, seed: int
) -> None:
    undisturbed = tmp_path / "undisturbed"
    run_to_the_end(undisturbed, tmp_path / "work_undisturbed")

    chance = random.Random(seed)
    output, work = tmp_path / "output", tmp_path / "work"
    for _ in range(N_KILLS):
        process = start(output, work)
        n_before = len(journaled(work / "journal.jsonl"))
        wait_until_journaled(work / "journal.jsonl", n_before + chance.randint(1, 4), process)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
    finished_before = journaled(work / "journal.jsonl")
    run_to_the_end(output, work)

    lines = journaled(output / "journal.jsonl")
    assert lines[: len(finished_before)] == finished_before
    ledger = pq.read_table(output / "ledger.parquet")
    reproducible = list(REPRODUCIBLE_COLUMNS)
    assert ledger.select(reproducible) == pq.read_table(
        undisturbed / "ledger.parquet", columns=reproducible
    )
    assert sorted(whole_lines(lines)) == ledger["scan"].to_pylist()
    assert len(set(ledger["attempt"].to_pylist())) == N_KILLS + 1
    for path in sorted(undisturbed.iterdir()):
        if path.name not in ("ledger.parquet", "journal.jsonl"):
            assert (output / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in output.iterdir()} == {p.name for p in undisturbed.iterdir()}


def test_terminated_program_leaves_no_half_written_scan(tmp_path: Path) -> None:
    output, work = tmp_path / "output", tmp_path / "work"
    process = start(output, work)
    wait_until_journaled(work / "journal.jsonl", 2, process)
    process.send_signal(signal.SIGTERM)
    assert b"Interrupted" in process.communicate()[1]
    run_to_the_end(output, work)
    assert (
        len(journaled(output / "journal.jsonl"))
        == pq.read_metadata(output / "ledger.parquet").num_rows
    )
