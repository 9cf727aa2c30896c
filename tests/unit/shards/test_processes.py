"""Names of processes."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from organome.shards.lease_records import ProcessName, is_running, this_process


def name_of(process: subprocess.Popen[bytes]) -> ProcessName:
    stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return replace(this_process(), pid=process.pid, started=stat[19])


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_the_process_that_asks_is_running() -> None:
    assert is_running(this_process()) is True


def test_another_process_runs_until_it_is_killed_though_nobody_has_asked_how_it_ended() -> None:
    with sleeper() as process:
        name = name_of(process)
        assert is_running(name) is True
        process.kill()
        while is_running(name):  # a zombie at last: its exit status was not read
            time.sleep(0.01)
        assert Path(f"/proc/{process.pid}").exists()
    assert is_running(name) is False


def test_a_number_that_was_given_away_again_is_another_process() -> None:
    assert is_running(replace(this_process(), started="1")) is False


def test_a_number_that_nobody_has_is_gone() -> None:
    assert is_running(replace(this_process(), pid=2**22 + 1)) is False  # above the kernel's limit


def test_of_another_host_boot_or_container_nothing_can_be_told() -> None:
    here = this_process()
    for elsewhere in (
        replace(here, host="elsewhere"),
        replace(here, boot="another"),
        replace(here, namespace="pid:[1]"),
        replace(here, started=""),
        replace(here, pid=0),
    ):
        assert is_running(elsewhere) is None
