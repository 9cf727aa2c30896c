"""The lease of a folder."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.clocks import PretendedClock
from organome.domain.errors import Interrupted, MachineFault
from organome.shards import lease as lease_module
from organome.shards import lease_records
from organome.shards.lease import LEASE_TERMS, Lease, LeaseTerms, find_holder
from organome.shards.lease_records import (
    ProcessName,
    Record,
    look_at,
    put_record,
    this_process,
    write_beat,
)

HASTY = LeaseTerms(beat_s=0.05, patience_s=60)  # nobody waits for so long
ELSEWHERE = ProcessName(host="elsewhere", boot="b", namespace="n", pid=7, started="1")


def record_of(process: ProcessName, *, generation: int = 1, patience_s: float = 1.0) -> Record:
    return Record(generation, key="k", attempt="other", process=process, patience_s=patience_s)


def held_elsewhere(folder: Path) -> Record:
    record = record_of(ELSEWHERE)
    assert put_record(folder / "lease", record)
    return record


class Newcomer:
    """Takes a lease in a thread of its own."""

    def __init__(self, folder: Path, terms: LeaseTerms = HASTY) -> None:
        self.waits_for: list[Record] = []
        self.took: list[Lease] = []

        def take() -> None:
            self.took.append(Lease.take(folder, terms=terms, on_wait=self.waits_for.append))

        self._thread = threading.Thread(target=take, daemon=True)
        self._thread.start()

    def wait_until_waiting(self) -> None:
        while not self.waits_for:
            time.sleep(0.005)

    def wait(self) -> Lease:
        self._thread.join()
        (lease,) = self.took
        return lease


def lose(folder: Path) -> None:
    """Have another attempt take the folder over, whoever holds it."""
    sight = look_at(folder / "lease")
    assert sight is not None
    assert put_record(
        folder / "lease", record_of(ELSEWHERE, generation=sight.record.generation + 1)
    )


def test_a_free_folder_is_taken_and_given_back_without_a_trace(tmp_path: Path) -> None:
    with Lease.take(tmp_path / "folder", terms=HASTY) as lease:
        assert (lease.generation, lease.taken_from, lease.is_held()) == (1, None, True)
        lease.check()
    assert not lease.is_held()
    assert list((tmp_path / "folder").iterdir()) == []


def test_terms_under_which_a_living_holder_would_lose_are_refused() -> None:
    with pytest.raises(ValueError, match="three beats"):
        LeaseTerms(beat_s=10, patience_s=20)


def test_a_newcomer_waits_while_the_holder_lives_and_comes_next(tmp_path: Path) -> None:
    holder = Lease.take(tmp_path, terms=HASTY)
    newcomer = Newcomer(tmp_path)
    newcomer.wait_until_waiting()
    time.sleep(10 * HASTY.beat_s)
    assert newcomer.took == []
    assert holder.is_held()
    holder.release()
    lease = newcomer.wait()
    assert lease.is_held()
    assert lease.taken_from is None
    assert [one.process.pid for one in newcomer.waits_for] == [os.getpid()]
    lease.release()


def test_a_holder_on_another_machine_is_waited_for_until_its_beat_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = held_elsewhere(tmp_path)

    class Elsewhere(PretendedClock):
        """A clock by which the holder beats for 100 seconds."""

        def sleep(self, wait_s: float) -> None:
            super().sleep(wait_s)
            if self.now_s < 100:
                write_beat(tmp_path / "lease", record, int(self.now_s))

    clock = Elsewhere()
    monkeypatch.setattr(lease_module, "time", clock)
    with Lease.take(tmp_path, terms=LeaseTerms(beat_s=1, patience_s=10)) as lease:
        assert 109 <= clock.now_s <= 111
        assert lease.generation == 2
        assert lease.taken_from == record


def test_a_holder_that_is_gone_from_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    here = this_process()
    gone = ProcessName(here.host, here.boot, here.namespace, 2**22 + 1, "1")
    put_record(tmp_path / "lease", record_of(gone, patience_s=1e6))
    patient = LeaseTerms(beat_s=1e5, patience_s=1e6)
    with Lease.take(tmp_path, terms=patient) as lease:
        assert lease.generation == 2


def test_the_holders_own_patience_counts_where_it_is_longer(tmp_path: Path) -> None:
    put_record(tmp_path / "lease", record_of(ELSEWHERE, patience_s=1e6))
    newcomer = Newcomer(tmp_path, LeaseTerms(beat_s=0.01, patience_s=0.05))
    newcomer.wait_until_waiting()
    time.sleep(1)
    assert newcomer.took == []
    for path in (tmp_path / "lease").iterdir():
        path.unlink(missing_ok=True)  # the heart beats meanwhile
    newcomer.wait().release()


def test_a_generation_exceeds_older_traces(tmp_path: Path) -> None:
    with Lease.take(tmp_path, terms=HASTY, after=41) as lease:
        assert lease.generation == 42


def test_whoever_was_replaced_stops_and_leaves_the_lease_alone(tmp_path: Path) -> None:
    lease = Lease.take(tmp_path, terms=HASTY)
    lose(tmp_path)
    assert not lease.is_held()
    with pytest.raises(Interrupted, match="another attempt"):
        lease.check()
    lease.release()
    holder = find_holder(tmp_path)
    assert holder is not None
    assert holder.generation == 2


def test_a_lease_that_was_removed_is_lost_though_others_hold_the_same_number(
    tmp_path: Path,
) -> None:
    lease = Lease.take(tmp_path, terms=HASTY)
    for path in (tmp_path / "lease").iterdir():
        path.unlink(missing_ok=True)  # the heart beats meanwhile
    assert put_record(tmp_path / "lease", record_of(ELSEWHERE))
    assert not lease.is_held()
    lease.release()
    assert find_holder(tmp_path) is not None


def test_a_holder_that_cannot_beat_stops_before_others_may_come_and_goes_on_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Lease.take(tmp_path, terms=LeaseTerms(beat_s=0.05, patience_s=4)) as lease:
        with monkeypatch.context() as patch:
            patch.setattr(lease_module, "write_beat", fail)
            assert lease.is_held()  # once does no harm
            while lease.is_held():
                time.sleep(0.01)
            with pytest.raises(Interrupted, match="cannot beat") as caught:
                lease.check()
            assert isinstance(caught.value.__cause__, OSError)
        assert lease.is_held()


def test_a_paused_holder_goes_on_if_nobody_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = lease_module._now_s
    slow = LeaseTerms(beat_s=1000, patience_s=3000)  # it does not beat by itself in this test
    with Lease.take(tmp_path, terms=slow) as lease:
        monkeypatch.setattr(lease_module, "_now_s", lambda: clock() + 1e5)
        assert lease.is_held()
        lose(tmp_path)
        monkeypatch.setattr(lease_module, "_now_s", lambda: clock() + 2e5)
        assert not lease.is_held()


def test_of_many_that_come_at_once_one_gets_the_lease(tmp_path: Path) -> None:
    place, start = tmp_path / "lease", threading.Barrier(8)
    took: list[bool] = []

    def take(number: int) -> None:
        record = Record(1, str(number), "a", this_process(), patience_s=1.0)
        start.wait()
        took.append(put_record(place, record))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(took) == [False] * 7 + [True]
    assert [path.name for path in place.iterdir()] == ["000001.json"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_file_systems_without_hard_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fail)
    with Lease.take(tmp_path, terms=HASTY) as lease:
        assert lease.is_held()
        assert not put_record(tmp_path / "lease", record_of(ELSEWHERE))
        assert lease.is_held()


def test_a_link_that_was_made_though_the_answer_was_lost_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    with Lease.take(tmp_path, terms=HASTY) as lease:
        assert (lease.generation, lease.is_held()) == (1, True)


def test_a_half_written_record_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "lease").mkdir()
    (tmp_path / "lease" / "000001.json").write_text('{"attem')
    seen: list[Record] = []
    with Lease.take(tmp_path, terms=HASTY, on_wait=seen.append) as lease:
        assert lease.generation == 2
    assert [one.is_alive for one in seen] == [None]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: bytes(len(text)),
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b"elsewhere", b"elsewhern"),
        lambda text: text.replace(b"1.0", b"9e9"),
        lambda text: b"{}",
        lambda text: b"[]",
    ],
    ids=["empty", "blank", "cut", "other host", "other patience", "nothing", "a list"],
)
def test_a_damaged_record_is_waited_for_no_longer_than_three_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    held_elsewhere(tmp_path)
    path = tmp_path / "lease" / "000001.json"
    path.write_bytes(damage(path.read_bytes()))
    clock = PretendedClock()
    monkeypatch.setattr(lease_module, "time", clock)
    with Lease.take(tmp_path) as lease:
        assert lease.generation == 2
    assert 3 * LEASE_TERMS.beat_s <= clock.now_s <= 4 * LEASE_TERMS.beat_s


def test_a_holder_whose_record_is_damaged_has_lost_it(tmp_path: Path) -> None:
    with Lease.take(tmp_path, terms=HASTY) as lease:
        (tmp_path / "lease" / "000001.json").write_bytes(b"")
        assert not lease.is_held()


def test_whoever_is_told_to_stop_waiting_takes_nothing(tmp_path: Path) -> None:
    def stop() -> None:
        raise Interrupted("SIGTERM")

    held_elsewhere(tmp_path)
    with pytest.raises(Interrupted):
        Lease.take(tmp_path, terms=HASTY, stop_waiting=stop)
    sight = look_at(tmp_path / "lease")
    assert sight is not None
    assert sight.record.generation == 1


def test_a_lease_that_is_returned_while_it_is_looked_at_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_elsewhere(tmp_path)
    list_generations = lease_records._generations

    def list_then_return(place: Path) -> list[int]:
        found = list_generations(place)
        shutil.rmtree(place, ignore_errors=True)
        return found

    monkeypatch.setattr(lease_records, "_generations", list_then_return)
    assert look_at(tmp_path / "lease") is None


def test_a_record_that_is_listed_for_ever_though_it_is_gone_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_records, "_generations", lambda _: [4])
    sight = look_at(tmp_path)
    assert sight is not None
    assert sight.record.is_damaged
    assert sight.record.generation == 4


def test_a_folder_that_is_removed_while_it_is_made_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, n_made = Path.mkdir, 0

    def make_or_meet(path: Path, *args: object, **kwargs: object) -> None:
        nonlocal n_made
        n_made += 1
        if n_made == 1:  # as pathlib says where what it met is gone when it looks
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        make(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", make_or_meet)
    with Lease.take(tmp_path, terms=HASTY) as lease:
        assert lease.is_held()
    assert n_made == 2


def test_a_file_in_the_place_of_a_lease_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lease").touch()
    with pytest.raises(FileExistsError):
        Lease.take(tmp_path, terms=HASTY)


def test_the_record_goes_last_so_that_nobody_comes_before_the_rest_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    unlink = Path.unlink

    def note(path: Path, missing_ok: bool = False) -> None:
        removed.append(path.name)
        unlink(path, missing_ok=missing_ok)

    lease = Lease.take(tmp_path, terms=HASTY)
    put_record(tmp_path / "lease", earlier := record_of(ELSEWHERE, generation=0))
    write_beat(tmp_path / "lease", earlier, 3)
    monkeypatch.setattr(Path, "unlink", note)
    lease.release()
    assert removed[-1] == "000001.json"
    assert {"000000.json", "000000.beat"} <= set(removed)
    assert not (tmp_path / "lease").exists()


class TestFindHolder:
    """Who holds it, for somebody who does not want it."""

    def test_nobody(self, tmp_path: Path) -> None:
        assert find_holder(tmp_path / "none") is None

    def test_a_process_of_this_machine(self, tmp_path: Path) -> None:
        with Lease.take(tmp_path, terms=HASTY):
            holder = find_holder(tmp_path)
        assert holder is not None
        assert (holder.is_alive, holder.process) == (True, this_process())

    def test_elsewhere_cannot_be_told_at_once(self, tmp_path: Path) -> None:
        record = held_elsewhere(tmp_path)
        assert find_holder(tmp_path) == record
        assert record.is_alive is None


def test_a_beat_that_cannot_begin_is_a_fault_of_the_machine_and_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch, pytest.raises(MachineFault, match="no thread"):
        patch.setattr(threading.Thread, "start", start)
        Lease.take(tmp_path, terms=HASTY)
    assert find_holder(tmp_path) is None
