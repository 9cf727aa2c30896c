"""Who may run the workflow on a run folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.clocks import PretendedClock
from organome.domain.errors import SetupError
from organome.shards import lease
from organome.shards.controllers import CONTROLLER, sole_controller
from organome.shards.lease import LEASE_TERMS
from organome.shards.lease_records import ProcessName, Record, put_record, write_beat

ELSEWHERE = ProcessName(host="login2", boot="b", namespace="n", pid=7, started="1")
RECORD = Record(1, key="k", attempt="a", process=ELSEWHERE, patience_s=LEASE_TERMS.patience_s)


class Clock(PretendedClock):
    """A clock on which something happens whenever time passes."""

    def __init__(self, happens: Callable[[float], None] = lambda _: None) -> None:
        super().__init__()
        self._happens = happens

    def sleep(self, wait_s: float) -> None:
        super().sleep(wait_s)
        self._happens(self.now_s)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def place(folder: Path) -> Path:
    return folder / CONTROLLER / "lease"


def test_a_live_controller_of_another_host_is_refused_at_its_next_beat(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put_record(place, RECORD)
    clock = Clock(lambda now_s: write_beat(place, RECORD, int(now_s // 10)))
    monkeypatch.setattr(lease, "time", clock)
    refused = pytest.raises(SetupError, match=r"works here already \(login2, pid 7\)")
    with refused, sole_controller(folder):
        pass
    assert clock.now_s <= 2 * LEASE_TERMS.beat_s


def test_a_dead_controller_of_another_host_is_waited_for_once(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put_record(place, RECORD)
    monkeypatch.setattr(lease, "time", clock := Clock())
    with sole_controller(folder) as controller:
        assert controller.may_unlock
    assert LEASE_TERMS.patience_s <= clock.now_s <= LEASE_TERMS.patience_s + LEASE_TERMS.beat_s


def test_a_damaged_record_where_nothing_beats_costs_no_minutes(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put_record(place, RECORD)
    (place / "000001.json").write_bytes(b"\0" * 200)
    monkeypatch.setattr(lease, "time", clock := Clock())
    with sole_controller(folder) as controller:
        assert controller.may_unlock
    assert clock.now_s <= 4 * LEASE_TERMS.beat_s


def test_a_record_that_is_just_being_written_is_of_a_live_controller(
    folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file system knows no hard links."""
    whole = RECORD.to_json()
    place.mkdir(parents=True)
    (place / "000001.json").write_bytes(whole[:20])
    clock = Clock(lambda _: (place / "000001.json").write_bytes(whole) and None)
    monkeypatch.setattr(lease, "time", clock)
    with pytest.raises(SetupError, match="works here already"), sole_controller(folder):
        pass


def test_a_free_folder_explains_no_lock(folder: Path) -> None:
    with sole_controller(folder) as controller:
        assert not controller.may_unlock
