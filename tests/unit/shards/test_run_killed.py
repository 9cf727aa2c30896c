"""Attempts that are killed, paused, or run at the same time end as if nothing had been."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doubles.cut_shard import BEGINNINGS
from doubles.places import TESTS
from organome.io.tables.ledgers import REPRODUCIBLE_COLUMNS
from organome.shards.work_folder import read_outcomes

DOUBLES = TESTS / "doubles"
N_KILLS = 3
HASTY = ("0.05", "6")  # beat and patience in seconds

Attempt = subprocess.Popen[str]


class Shard:
    """Folders of one shard, and attempts at it as processes."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "results" / "0000"
        self.work = folder / "work" / "0000"

    def start(self, *terms: str) -> Attempt:
        program = str(DOUBLES / "slow_shard.py")
        return subprocess.Popen(
            [sys.executable, program, str(self.output), str(self.work), *terms],
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_to_the_end(self) -> None:
        process = self.start()
        _, log = process.communicate()
        assert process.returncode == 0, log

    def journaled(self) -> list[str]:
        """Scans of all whole lines."""
        lines: list[str] = []
        try:
            for path in sorted(self.work.glob("files-*/journal*.jsonl")):
                lines += path.read_text().splitlines()
        except FileNotFoundError:  # just renamed, by its next holder or to be published
            return self.journaled()
        return [json.loads(line[9:])["scan"] for line in lines if line.endswith("}")]

    def wait_until_journaled(self, n_scans: int, process: Attempt) -> None:
        while len(self.journaled()) < n_scans and process.poll() is None:
            time.sleep(0.005)


def decided(log: str) -> list[str]:
    return re.findall(r"event=scan_(?:done|failed) .*scan=(\S+)", log)


def wait_for_event(process: Attempt, event: str) -> None:
    assert process.stderr is not None
    while f"event={event} " not in (line := process.stderr.readline()):
        assert line, "it ended before"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    shard = Shard(tmp_path_factory.mktemp("undisturbed"))
    shard.run_to_the_end()
    return shard


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


def assert_like(shard: Shard, undisturbed: Shard) -> None:
    reproducible = list(REPRODUCIBLE_COLUMNS)
    ledger, other = (
        pq.read_table(one.output / "ledger.parquet", columns=reproducible)
        for one in (shard, undisturbed)
    )
    assert ledger == other
    assert list(read_outcomes(shard.work, shard.output)) == ledger["scan"].to_pylist()
    for path in sorted(undisturbed.output.iterdir()):
        if path.name not in ("ledger.parquet", "journal.jsonl"):
            assert (shard.output / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in shard.output.iterdir()} == {
        path.name for path in undisturbed.output.iterdir()
    }
    assert not shard.work.exists()
    assert [path.name for path in shard.output.parent.iterdir()] == [shard.output.name]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_three_times_gives_the_same_bytes_and_repeats_no_finished_scan(
    shard: Shard, undisturbed: Shard, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(N_KILLS):
        process = shard.start()
        n_before = len(shard.journaled())
        shard.wait_until_journaled(n_before + chance.randint(1, 4), process)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
    finished = shard.journaled()
    assert len(set(finished)) == len(finished)
    process = shard.start()
    _, log = process.communicate()
    assert process.returncode == 0
    assert not set(decided(log)) & set(finished)
    assert "event=lease_taken_over" in log
    assert_like(shard, undisturbed)
    attempts = pq.read_table(shard.output / "ledger.parquet")["attempt"].to_pylist()
    assert len(set(attempts)) == N_KILLS + 1


def test_terminated_program_leaves_no_half_written_scan(shard: Shard, undisturbed: Shard) -> None:
    process = shard.start()
    shard.wait_until_journaled(2, process)
    process.send_signal(signal.SIGTERM)
    assert "Interrupted" in process.communicate()[1]
    shard.run_to_the_end()
    assert_like(shard, undisturbed)


def test_of_two_at_the_same_time_one_does_the_work(shard: Shard, undisturbed: Shard) -> None:
    attempts = [shard.start(), shard.start()]
    logs = [attempt.communicate()[1] for attempt in attempts]
    assert [attempt.returncode for attempt in attempts] == [0, 0], logs
    done = [scan for log in logs for scan in decided(log)]
    assert sorted(done) == sorted(read_outcomes(shard.work, shard.output))
    assert_like(shard, undisturbed)


def test_whoever_waits_goes_on_when_the_holder_is_killed(shard: Shard, undisturbed: Shard) -> None:
    holder = shard.start("1000", "100000")  # nobody would wait for so long to see it stand still
    shard.wait_until_journaled(2, holder)
    holder.send_signal(signal.SIGSTOP)  # so that it is not through before the newcomer waits
    newcomer = shard.start("1", "100000")
    wait_for_event(newcomer, "lease_wait")
    holder.kill()
    _, log = newcomer.communicate()
    _, before = holder.communicate()
    assert newcomer.returncode == 0
    assert "event=lease_taken_over" in log
    assert not set(decided(log)) & set(decided(before))
    assert_like(shard, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_whoever_waits_stops_when_asked_to(
    shard: Shard, undisturbed: Shard, number: signal.Signals
) -> None:
    holder = shard.start()
    shard.wait_until_journaled(1, holder)
    holder.send_signal(signal.SIGSTOP)
    newcomer = shard.start()
    wait_for_event(newcomer, "lease_wait")
    newcomer.send_signal(number)
    assert "Interrupted" in newcomer.communicate()[1]
    holder.send_signal(signal.SIGCONT)
    assert holder.wait() == 0, holder.communicate()[1]
    holder.communicate()
    assert_like(shard, undisturbed)


@pytest.mark.parametrize("seed", range(4))
def test_paused_for_too_long_it_stops_when_it_wakes_up_and_spoils_nothing(
    shard: Shard, undisturbed: Shard, seed: int
) -> None:
    chance = random.Random(seed)
    paused = shard.start(*HASTY)
    shard.wait_until_journaled(chance.randint(1, 8), paused)
    time.sleep(chance.uniform(0, 0.05))
    paused.send_signal(signal.SIGSTOP)
    finished = shard.journaled()
    newcomer = shard.start(*HASTY)
    wait_for_event(newcomer, "lease_taken_over")
    shard.wait_until_journaled(len(finished) + chance.randint(0, 3), newcomer)
    paused.send_signal(signal.SIGCONT)
    assert "Interrupted" in paused.communicate()[1]
    assert paused.returncode != 0
    _, log = newcomer.communicate()
    assert newcomer.returncode == 0, log
    assert not set(decided(log)) & set(finished)
    assert_like(shard, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_cut_off_before_any_change_of_a_file_it_is_brought_to_the_same_end(
    tmp_path: Path, beginning: str
) -> None:
    program = [sys.executable, str(DOUBLES / "cut_shard.py"), str(tmp_path), beginning]
    subprocess.run(program, check=True)
    *cut, whole = sorted(tmp_path.iterdir())
    assert len(cut) > 20
    for folder in cut:
        seen = json.loads((folder / "seen.json").read_text())
        assert not set(seen["called"]) & set(seen["finished"]), folder.name
        assert not (folder / "work").exists(), folder.name
        assert {path.name for path in folder.iterdir()} == {"output", "seen.json"}, folder.name
        assert facts_of(folder / "output") == facts_of(whole / "output"), folder.name


def facts_of(output: Path) -> dict[str, object]:
    """What stands in an output, but for who made it and when."""
    facts: dict[str, object] = {
        path.name: path.read_bytes()
        for path in output.iterdir()
        if path.name not in ("ledger.parquet", "journal.jsonl")
    }
    columns = list(REPRODUCIBLE_COLUMNS)
    ledger = pq.read_table(output / "ledger.parquet", columns=columns)
    facts["journal"] = [outcome for outcome, _ in read_outcomes(output / "none", output).values()]
    return facts | {"ledger": ledger.to_pylist()}
