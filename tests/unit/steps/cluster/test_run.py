"""The watchdog around Snakemake, with commands that only pretend."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from doubles.fake_commands import FakeCommands
from doubles.places import REPOSITORY
from organome.domain.errors import Interrupted, SetupError
from organome.shards.lease_records import Record, put_record, this_process
from organome.steps.cluster.run import RunSummary, run

# On a loaded machine even a pretended Snakemake is slow: it hangs only where a test says so.
PACE: dict[str, Any] = {"poll_s": 0.1, "stall_s": 600.0, "pause_s": 0.0, "stop_s": 60.0}
SOON_HANGS = PACE | {"stall_s": 3.0}
SLURM = ("--executor", "slurm")
FOR_EVER = "while :; do sleep 0.1; done"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "scans").mkdir(parents=True)
    for shard in ("0000", "0001"):
        (folder / "scans" / f"{shard}.parquet").touch()
    (folder / "config.yaml").write_text(
        "cohort: {name: c, kind: bids, root: .}\nsegment: {source: labelmaps}\n"
    )
    return folder


@pytest.fixture
def fakes(tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    fakes = FakeCommands(tmp_path / "fakes", run_folder=run_folder)
    monkeypatch.setenv("PATH", fakes.path)
    monkeypatch.chdir(tmp_path)
    return fakes


@pytest.fixture
def start(fakes: FakeCommands, run_folder: Path) -> Callable[..., subprocess.Popen[str]]:
    """A function that starts ``organome run`` as a program."""

    def start(*flags: str, **pace: float) -> subprocess.Popen[str]:
        # Whoever runs the tests may ignore them, as nohup does.
        heeded = "import signal as s; s.signal(s.SIGHUP, s.SIG_DFL); s.signal(s.SIGINT, s.SIG_DFL)"
        code = f"{heeded}; from organome.cli.app import main; main()"
        paces = [f"--{name.replace('_', '-')}={value}" for name, value in (PACE | pace).items()]
        command = [sys.executable, "-c", code, "run", str(run_folder), *paces, *flags]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, **pipes, text=True, start_new_session=True)

    return start


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    while not holds():
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def job_name(fakes: FakeCommands) -> str:
    words = fakes.calls[0].split()
    return words[words.index("--slurm-jobname-prefix") + 1]


def test_success_needs_one_round_and_passes_flags_and_targets_on(
    fakes: FakeCommands, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fakes.starts(["echo all well; through 0000; through 0001"])
    (config := run_folder / "c.yaml").write_text("shard_size: 7\n")
    summary = run(run_folder, "--jobs", "7", configfile=[config], targets=["tables"], **PACE)
    assert (summary.n_rounds, summary.n_shards_done, summary.n_shards_left) == (1, 2, 0)
    assert fakes.calls == [
        f"--snakefile {REPOSITORY / 'Snakefile'} --directory {run_folder}"
        f" --configfile {config} --jobs 7 -- tables"
    ]
    assert "all well" in capfd.readouterr().err
    (log,) = (run_folder / "logs" / "run").iterdir()
    assert log.read_text() == "all well\n"


def test_scans_are_listed_even_where_the_run_ends_with_a_step(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["exit 0"])
    run(run_folder, "--cores", "2", "--until", "segment_organs", **PACE)
    assert fakes.n_listings == 1
    assert "--cores 2 --until segment_organs" in fakes.calls[0]


def test_round_that_brought_shards_further_is_followed_by_another(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["through 0000; exit 1", "through 0001; exit 0"])
    summary = run(run_folder, **PACE)
    assert (summary.n_rounds, summary.n_shards_left) == (2, 0)


def test_round_without_progress_and_without_a_fault_is_followed_by_the_tables_so_far(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["through 0000; exit 1", "through 0000; exit 1", "exit 0"])
    with pytest.raises(SetupError, match=r"1 of 2 shards could not be done; .*logs/run"):
        run(run_folder, **PACE)
    assert [call.endswith("-- tables_so_far") for call in fakes.calls] == [False, False, True]


FAILURES = "work/failures/segment_organs.000$n_starts.jsonl"
AT_FAULT = """echo '{"code": 69, "message": "GPU"}'"""


def test_who_asks_how_far_it_is_is_not_shown_what_snakemake_says(
    fakes: FakeCommands, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fakes.starts(["echo all well; through 0000; through 0001"])
    seen: list[tuple[int, int]] = []
    run(run_folder, **PACE, on_shards=lambda *now: seen.append(now))
    assert seen[-1] == (6, 6)
    assert "all well" not in capfd.readouterr().err
    (log,) = (run_folder / "logs" / "run").iterdir()
    assert "all well" in log.read_text()


def test_what_a_job_found_wrong_with_its_shard_is_said_once(
    fakes: FakeCommands, run_folder: Path
) -> None:
    notes = "work/failures/segment_organs.0001.jsonl"
    wrong = """echo '{"code": 2, "message": "scans/0001.parquet: cut short"}'"""
    fakes.starts([f"mkdir -p work/failures; {wrong} >> {notes}; {wrong} >> {notes}; exit 1"])
    with pytest.raises(SetupError, match="2 of 2 shards") as caught:
        run(run_folder, **PACE)
    assert str(caught.value).splitlines()[1:] == [
        "segment_organs 0001: scans/0001.parquet: cut short"
    ]


def test_faults_of_machines_buy_more_rounds_up_to_the_limit(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts([f"mkdir -p work/failures; {AT_FAULT} > {FAILURES}; exit 1"] * 9)
    with pytest.raises(SetupError, match="2 of 2 shards"):
        run(run_folder, max_rounds=3, **PACE)
    assert len(fakes.calls) == 3


def test_notes_and_drift_of_an_earlier_run_are_forgotten_at_the_start(
    fakes: FakeCommands, run_folder: Path
) -> None:
    note = run_folder / "work" / "broken_nodes" / "g1"
    report = run_folder / "work" / "canary" / "k.json"
    for path in (note, report):
        path.parent.mkdir(parents=True)
    note.touch()
    report.write_text('{"judgement": "drift"}')
    fakes.starts(["exit 0"])
    assert run(run_folder, **PACE).n_rounds == 1
    assert not note.exists()
    assert not report.exists()


# --- whose lock it is ----------------------------------------------------------------------------


def lock(run_folder: Path) -> Path:
    path = run_folder / ".snakemake" / "locks" / "0.input.lock"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def leave_lease(run_folder: Path) -> None:
    """Leave the lease of a controller that ran on this machine and is gone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    process = replace(this_process(), pid=gone.pid)
    record = Record(1, key="k", attempt="a", process=process, patience_s=120.0)
    assert put_record(run_folder / "work" / "controller" / "lease", record)


def test_a_lock_that_our_own_dead_controller_explains_is_opened_before_anything_is_listed(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["exit 0"])
    lock(run_folder)
    leave_lease(run_folder)
    run(run_folder, **PACE)
    assert fakes.n_listings == 1
    assert not fakes.was_locked_when_listed


def test_a_lock_without_a_lease_of_ours_is_refused_before_anything_is_listed(
    fakes: FakeCommands, run_folder: Path
) -> None:
    held = lock(run_folder)
    with pytest.raises(SetupError, match=rf"^{run_folder}: locked by .* start with --unlock$"):
        run(run_folder, **PACE)
    assert held.exists()
    assert (fakes.calls, fakes.n_listings) == ([], 0)


def test_a_lock_that_the_user_knows_of_is_opened_when_asked(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["exit 0"])
    lock(run_folder)
    run(run_folder, unlock=True, **PACE)
    assert not fakes.was_locked_when_listed


def test_lock_of_our_own_snakemake_is_opened_when_that_was_killed(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["through 0000; lock; kill -9 $$", "[ ! -e .snakemake/locks ]"])
    assert run(run_folder, **PACE).n_rounds == 2


def test_a_snakemake_that_came_between_keeps_its_lock(
    fakes: FakeCommands, run_folder: Path
) -> None:
    leave_lease(run_folder)  # it explains the locks of before, not this one
    fakes.starts(["through 0000; lock; echo LockException:; exit 1"])
    with pytest.raises(SetupError, match="--unlock"):
        run(run_folder, **PACE)
    assert (run_folder / ".snakemake" / "locks").exists()
    assert len(fakes.calls) == 1


# --- a wrong set-up ------------------------------------------------------------------------------


def test_a_set_up_error_of_a_job_is_said_once_and_not_tried_again(
    fakes: FakeCommands, run_folder: Path
) -> None:
    wrong = "set_up_wrong 0001 'model m: digest differs'"
    fakes.starts([f"through 0000; {wrong}; {FOR_EVER}", "exit 0", "exit 0"])
    with pytest.raises(SetupError, match=r"^segment_organs: model m: digest differs$"):
        run(run_folder, **PACE | {"poll_s": 60.0})
    first, so_far = fakes.calls
    assert not first.endswith("tables_so_far")
    assert so_far.endswith("-- tables_so_far")  # the rows of the shards that are through


def test_a_set_up_error_that_ends_snakemake_is_not_tried_again_either(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["set_up_wrong 0001 'no such scheme'; exit 1"])
    with pytest.raises(SetupError, match="no such scheme"):
        run(run_folder, **PACE)
    assert len(fakes.calls) == 1


def test_a_set_up_error_of_one_shard_does_not_stop_the_others(
    fakes: FakeCommands, run_folder: Path
) -> None:
    wrong = "set_up_wrong 0001 'shard 0001: 9 of 9 scans failed'"
    fakes.starts([f"{wrong}; be_looked_at 20; through 0000; exit 1", f"{wrong}; exit 1", "exit 0"])
    with pytest.raises(SetupError, match="1 of 2 shards could not be done"):
        run(run_folder, *SLURM, **PACE)


def test_snakemake_that_hangs_is_killed_and_started_again(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["trap '' INT; lock; echo $$ > pid; " + FOR_EVER, "[ ! -e .snakemake/locks ]"])
    summary = run(run_folder, *SLURM, **SOON_HANGS)
    assert (summary.n_rounds, summary.n_hangs) == (2, 1)
    assert is_gone(int((run_folder / "pid").read_text()))


def test_snakemake_with_work_on_this_machine_does_not_hang(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["sleep 600 & be_looked_at 20; kill $!; exit 0"])
    assert run(run_folder, *SLURM, **SOON_HANGS).n_hangs == 0


def test_queue_that_does_not_answer_is_no_hang_but_buys_a_round(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(['touch "$FAKES/away"; be_looked_at 20; rm "$FAKES/away"; exit 1', "exit 0"])
    summary = run(run_folder, *SLURM, **SOON_HANGS)
    assert (summary.n_rounds, summary.n_hangs) == (2, 0)


def test_job_in_the_queue_is_no_hang(fakes: FakeCommands, run_folder: Path) -> None:
    job = '"7|RUNNING|None|${name}_0|$RUN"'
    fakes.starts([f'echo {job} > "$FAKES/queue"; be_looked_at 20; : > "$FAKES/queue"; exit 0'])
    summary = run(run_folder, *SLURM, **SOON_HANGS)
    assert (summary.n_rounds, summary.n_hangs) == (1, 0)


def test_job_held_after_a_failed_launch_is_cancelled(fakes: FakeCommands, run_folder: Path) -> None:
    held = '"7|PENDING|launch_failed_requeued_held|${name}_0|$RUN"'
    until = 'until grep -q CANCELLED "$FAKES/queue"; do sleep 0.1; done'
    fakes.starts([f'echo {held} > "$FAKES/queue"; {until}; exit 1', "exit 0"])
    assert run(run_folder, *SLURM, **PACE).n_rounds == 2
    assert fakes.cancelled == ["7"]


def test_jobs_of_an_earlier_controller_end_before_snakemake_starts(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["exit 0", "exit 0"])
    run(run_folder, *SLURM, **PACE)
    name = job_name(fakes)
    fakes.put_jobs(
        ("1", "PENDING", "Priority", f"{name}_x"),
        ("2", "RUNNING", "None", f"{name}_x"),
        ("3", "RUNNING", "None", "organome_of_another_folder"),
        ("4", "PENDING", "None", "01234567-89ab-cdef-0123-456789abcdef"),  # a bare Snakemake's
    )
    summary = run(run_folder, *SLURM, live_jobs="cancel", **PACE)
    assert summary.n_rounds == 1
    assert sorted(fakes.cancelled) == ["1", "2", "4"]


def test_running_jobs_of_an_earlier_controller_are_waited_for(
    fakes: FakeCommands, run_folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    fakes.starts(["exit 0", "exit 0"])
    run(run_folder, *SLURM, **PACE)
    name = job_name(fakes)
    fakes.put_jobs(("1", "PENDING", "Priority", f"{name}_x"), ("2", "RUNNING", "None", f"{name}_x"))
    second = start("--", *SLURM)
    wait_until(lambda: fakes.cancelled == ["1"], second)
    assert len(fakes.calls) == 1
    fakes.put_jobs(("2", "COMPLETED", "None", f"{name}_x"))
    _, errors = second.communicate()
    assert second.returncode == 0
    assert "event=earlier_jobs n_waiting=1 n_running=1" in errors
    assert fakes.cancelled == ["1"]


def test_drift_stops_the_run_and_takes_its_jobs_back(fakes: FakeCommands, run_folder: Path) -> None:
    job = '"7|RUNNING|None|${name}_0|$RUN"'
    drift = 'mkdir -p work/canary; echo \'{"judgement": "drift"}\' > work/canary/k.json'
    fakes.starts([f'echo {job} > "$FAKES/queue"; {drift}; {FOR_EVER}'])
    with pytest.raises(SetupError, match=r"does not reproduce the canary: see .*k\.json"):
        run(run_folder, *SLURM, **PACE)
    assert fakes.cancelled == ["7"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_takes_everything_back_and_exits_75(
    fakes: FakeCommands,
    run_folder: Path,
    start: Callable[..., subprocess.Popen[str]],
    number: signal.Signals,
) -> None:
    orphan = 'echo "9|PENDING|None|${name}_0|$RUN" > "$FAKES/queue"'
    asked = f"trap '{orphan}; touch interrupted; exit 1' INT"  # submits while it is cancelled
    fakes.starts([f"{asked}; lock; touch up; {FOR_EVER}"])
    process = start("--", *SLURM)
    wait_until((run_folder / "up").exists, process)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 75, errors
    assert (run_folder / "interrupted").exists()
    assert fakes.cancelled == ["9"]
    assert not (run_folder / ".snakemake" / "locks").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_scans_are_listed_stops_the_listing_and_exits_75(
    fakes: FakeCommands,
    run_folder: Path,
    start: Callable[..., subprocess.Popen[str]],
    number: signal.Signals,
) -> None:
    fakes.lists(f"trap 'touch interrupted; exit 1' INT; touch up; {FOR_EVER}")
    process = start()
    wait_until((run_folder / "up").exists, process)
    os.killpg(process.pid, number)  # as a terminal does
    _, errors = process.communicate()
    assert process.returncode == 75, errors
    assert f"{number.name}: what is done is kept, start again to go on" in errors
    assert (run_folder / "interrupted").exists()
    assert fakes.calls == []


def _kill_beside_a_job(start: Callable[..., subprocess.Popen[str]], run_folder: Path) -> None:
    """Kill a controller once Snakemake and a job of it run; wait until Snakemake is gone."""
    first = start()
    wait_until(lambda: (run_folder / "up").exists() and (run_folder / "job").exists(), first)
    wait_until((run_folder / "work" / "controller" / "snakemake.json").exists, first)
    first.kill()
    first.communicate()
    wait_until(lambda: is_gone(int((run_folder / "pid").read_text())))


def test_a_controller_that_was_killed_while_it_listed_is_followed_by_another(
    fakes: FakeCommands, run_folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    job = "sh -c 'echo $$ > job; exec sleep 600'"
    fakes.lists(f"echo $$ > pid; {job} & touch up; {FOR_EVER}")
    _kill_beside_a_job(start, run_folder)
    fakes.lists("exit 0")
    fakes.starts(["exit 0"])
    assert run(run_folder, **PACE).n_rounds == 1
    assert is_gone(int((run_folder / "job").read_text()))


def test_a_listing_that_fails_is_said_in_its_last_words(
    fakes: FakeCommands, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fakes.lists("echo first; echo no such cohort >&2; exit 1")
    with pytest.raises(SetupError, match=r"^no such cohort$"):
        run(run_folder, **PACE)
    assert "first" not in capfd.readouterr().err
    (log,) = (run_folder / "logs" / "run").iterdir()
    assert log.read_text() == "first\nno such cohort\n"


def test_snakemake_that_does_not_listen_is_killed(
    fakes: FakeCommands, run_folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    fakes.starts([f"trap '' INT; echo $$ > pid; touch up; {FOR_EVER}"])
    process = start(stop_s=2.0)
    wait_until((run_folder / "up").exists, process)
    process.terminate()
    process.communicate()
    assert process.returncode == 75
    assert is_gone(int((run_folder / "pid").read_text()))


def test_second_controller_refuses_and_names_the_first(
    fakes: FakeCommands, run_folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    fakes.starts([f"touch up; {FOR_EVER}"])
    first = start()
    wait_until((run_folder / "up").exists, first)
    with pytest.raises(SetupError, match=rf"works here already \(.+, pid {first.pid}\)"):
        run(run_folder, **PACE)
    first.terminate()
    first.communicate()


def test_killed_controller_takes_snakemake_along_and_the_next_one_ends_its_jobs_here(
    fakes: FakeCommands, run_folder: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    job = "sh -c 'echo $$ > job; exec sleep 600'"
    fakes.starts([f"echo $$ > pid; {job} & touch up; {FOR_EVER}", "exit 0"])
    _kill_beside_a_job(start, run_folder)
    assert not is_gone(int((run_folder / "job").read_text()))
    assert run(run_folder, **PACE).n_rounds == 1
    assert is_gone(int((run_folder / "job").read_text()))


def test_controller_that_was_taken_over_leaves_the_jobs_to_the_other(
    fakes: FakeCommands, run_folder: Path
) -> None:
    job = '"7|RUNNING|None|${name}_0|$RUN"'
    lose = "lock; echo $$ > pid; rm -r work/controller/lease"
    fakes.starts([f'echo {job} > "$FAKES/queue"; {lose}; {FOR_EVER}'])
    with pytest.raises(Interrupted, match="another controller has taken over"):
        run(run_folder, *SLURM, **PACE)
    assert is_gone(int((run_folder / "pid").read_text()))
    assert fakes.cancelled == []
    assert (run_folder / ".snakemake" / "locks").exists()


def test_bare_snakemake_in_the_folder_is_refused(fakes: FakeCommands, run_folder: Path) -> None:
    fakes.starts([FOR_EVER])
    bare = subprocess.Popen([str(fakes.bin / "snakemake")], cwd=run_folder)
    try:
        wait_until(lambda: (fakes.folder / "n_starts").exists())
        with pytest.raises(
            SetupError, match=rf"without organome run works here \(pid {bare.pid}\)"
        ):
            run(run_folder, **PACE)
    finally:
        bare.kill()
        bare.wait()


def test_leftovers_of_killed_attempts_are_swept_and_new_ones_are_not(
    fakes: FakeCommands, run_folder: Path
) -> None:
    step = run_folder / "results" / "measure_volumes"
    aside, only_copy = step / ".0000.a.old", step / ".0001.a.old"
    temporary, new = step.parent / ".digest.txt.a.tmp", step.parent / ".digest.txt.b.tmp"
    for folder in (aside, only_copy, step / "0000"):
        folder.mkdir(parents=True)
    temporary.touch()
    for path in (aside, only_copy, temporary):
        os.utime(path, (1, 1))
    fakes.starts([f"touch {new}; exit 0"])
    run(run_folder, **PACE)
    assert [path.exists() for path in (aside, only_copy, temporary, new)] == [
        False,
        True,
        False,
        True,
    ]


def test_missing_snakemake_and_missing_folder_are_said(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetupError, match="no such run folder"):
        run(tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="snakemake is not on the PATH"):
        run(run_folder)


def test_summary_is_one_line() -> None:
    assert str(RunSummary(2, 1, 7, 0, 90.0)) == (
        "7 shards through, 0 left; 2 rounds, 1 of them hung; 1.5 minutes"
    )


def write_scan_table(folder: Path, *rows: tuple[str, str | None]) -> None:
    table = folder / "results" / "tables" / "scans" / "part-0000.parquet"
    table.parent.mkdir(parents=True)
    statuses, reasons = zip(*rows, strict=True)
    pq.write_table(pa.table({"status": statuses, "reason": pa.array(reasons, pa.string())}), table)


def test_a_run_ends_with_what_is_done_what_failed_and_where_the_tables_are(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["through 0000; through 0001"])
    write_scan_table(run_folder, *[("done", None)] * 3, ("failed", "not_3d"))
    summary = run(run_folder, **PACE)
    assert str(summary).splitlines() == [
        "done: 3 of 4 scans",
        "failed: 1 (1 not_3d)",
        f"tables: {run_folder / 'results' / 'tables'}",
    ]
    assert summary.holds


def test_a_run_in_which_most_scans_failed_does_not_end_like_a_good_one(
    fakes: FakeCommands, run_folder: Path
) -> None:
    fakes.starts(["through 0000; through 0001"])
    write_scan_table(run_folder, ("done", None), ("failed", "not_3d"), ("failed", "file_broken"))
    summary = run(run_folder, **PACE)
    assert "MOST SCANS FAILED" in str(summary)
    assert not summary.holds


def test_a_wrong_configuration_is_said_before_anything_is_started(
    fakes: FakeCommands, run_folder: Path
) -> None:
    config = run_folder / "config.yaml"
    good = config.read_text()
    for wrong, said in (
        (good.replace("source", "sorce"), "did you mean segment.source"),
        (good.replace("root: .", "root: ./gone"), r"cohort\.root: .*/gone: no such"),
        (good.replace("source: labelmaps", "model: unheard-of"), "not installed"),
        (good.replace("source: labelmaps", "model: phantom"), "trained on phantoms"),
    ):
        config.write_text(wrong)
        with pytest.raises(SetupError, match=said):
            run(run_folder, **PACE)
    assert fakes.calls == []
    assert not (run_folder / "work").exists()


@pytest.mark.parametrize("named", ["slurm", "profiles/slurm"])
def test_a_shipped_profile_is_found_from_any_folder(
    fakes: FakeCommands, run_folder: Path, named: str
) -> None:
    fakes.starts(["through 0000; through 0001"])
    run(run_folder, workflow_profile=Path(named), **PACE)
    assert f"--workflow-profile {REPOSITORY / 'profiles' / 'slurm'} " in fakes.calls[0]
