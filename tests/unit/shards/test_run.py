"""The shard runner: resume, failures, publishing."""

import errno
import logging
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from doubles.steps import CopyStep, make_scans
from organome.domain.errors import Interrupted, MachineFault, ScanError, SetupError
from organome.domain.outcomes import JsonValue, Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.io.tables.ledgers import read_ledger
from organome.shards.lease import Lease, LeaseTerms, find_holder
from organome.shards.run import run_shard
from organome.shards.work_folder import files_folders, read_outcomes

BROKEN = ScanError(Reason.FILE_BROKEN, "second series: 3 bytes missing")


class Shard:
    """Folders of one shard, and how to run a step on it."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "results" / "copy_scans" / "0000"
        self.work = folder / "work" / "copy_scans" / "0000"

    def run(self, step: Any, scans: Sequence[Scan], **more: Any) -> tuple[Outcome, ...]:
        given = {"upstream": None, "output": self.output, "work": self.work, **more}
        return run_shard(step, scans=scans, **given)

    def names(self) -> set[str]:
        return {path.name for path in self.output.iterdir()}

    def journaled(self) -> set[str]:
        return set(read_outcomes(self.work, self.output))

    def under_way(self) -> Path:
        (folder,) = files_folders(self.work)
        return folder


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


class StopsAt(CopyStep):
    """Does something when it comes to a scan."""

    def __init__(self, scan: str, what: Callable[[], None], **more: Any) -> None:
        super().__init__(**more)
        self._scan = scan
        self._what = what

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        if scan.scan == self._scan:
            place("half.txt").write_text("half")
            self._what()
        return super().run_scan(scan, upstream, place)


def stop() -> None:
    raise SetupError("stopped on purpose")


def test_every_scan_gets_one_outcome_in_the_order_of_the_list(shard: Shard) -> None:
    scans = make_scans(5)[::-1]
    outcomes = shard.run(CopyStep(), scans)
    assert [outcome.scan for outcome in outcomes] == [scan.scan for scan in scans]
    assert list(read_ledger(shard.output / "ledger.parquet").values()) == list(outcomes)


def test_published_folder_holds_files_ledger_journal_and_tables_and_work_is_gone(
    shard: Shard,
) -> None:
    shard.run(CopyStep(), make_scans(1))
    assert shard.names() == {
        "0000-0000_first.txt",
        "0000-0000_second.bin",
        "ledger.parquet",
        "journal.jsonl",
        "summary.txt",
    }
    assert not shard.work.exists()


def test_failed_scan_is_a_row_with_its_reason_and_leaves_no_file(shard: Shard) -> None:
    outcomes = shard.run(CopyStep(faults={"0000-0001": BROKEN}), make_scans(3))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert (outcomes[1].reason, outcomes[1].fact) == (Reason.FILE_BROKEN, BROKEN.fact)
    assert not [name for name in shard.names() if name.startswith("0000-0001")]


def test_scan_that_failed_upstream_keeps_that_outcome_and_is_not_run(shard: Shard) -> None:
    before = {
        "0000-0000": Outcome("0000-0000", "prepare_images", Status.DONE, "a"),
        "0000-0001": Outcome(
            "0000-0001", "prepare_images", Status.FAILED, "b", Reason.ARCHIVE_EMPTY, "no member"
        ),
    }
    step = CopyStep()
    outcomes = shard.run(step, make_scans(2), upstream=before)
    assert outcomes[1] == before["0000-0001"]
    assert step.called == ["0000-0000"]


def test_scan_unknown_to_the_step_before_is_a_setup_error(shard: Shard) -> None:
    with pytest.raises(SetupError, match="0000-0000"):
        shard.run(CopyStep(), make_scans(1), upstream={})


def test_after_a_stop_finished_scans_are_kept_and_the_rest_is_done(shard: Shard) -> None:
    with pytest.raises(SetupError):
        shard.run(StopsAt("0000-0003", stop), make_scans(5))
    assert not shard.output.exists()
    step = CopyStep()
    shard.run(step, make_scans(5))
    assert step.called == ["0000-0003", "0000-0004"]
    assert "0000-0003_half.txt" not in shard.names()


def test_scan_whose_input_changed_is_done_again_and_no_other(shard: Shard) -> None:
    with pytest.raises(SetupError):
        shard.run(StopsAt("0000-0003", stop), make_scans(4))
    step = CopyStep(identities={"0000-0001": "delivered again"})
    shard.run(step, make_scans(4))
    assert step.called == ["0000-0001", "0000-0003"]


def test_new_version_of_the_step_does_everything_again(shard: Shard) -> None:
    with pytest.raises(SetupError):
        shard.run(StopsAt("0000-0002", stop), make_scans(3))
    step = CopyStep(version=2)
    shard.run(step, make_scans(3))
    assert len(step.called) == 3


def test_scan_whose_file_is_gone_is_done_again(shard: Shard) -> None:
    with pytest.raises(SetupError):
        shard.run(StopsAt("0000-0002", stop), make_scans(3))
    (shard.under_way() / "0000-0001_second.bin").unlink()
    step = CopyStep()
    shard.run(step, make_scans(3))
    assert step.called == ["0000-0001", "0000-0002"]


def test_files_that_no_kept_outcome_names_are_removed(shard: Shard) -> None:
    with pytest.raises(SetupError):
        shard.run(StopsAt("0000-0002", stop), make_scans(3))
    (shard.under_way() / "0000-0002_stray.txt").write_text("from a lost attempt")
    shard.run(CopyStep(), make_scans(3))
    assert "0000-0002_stray.txt" not in shard.names()


def test_output_asked_for_again_is_kept_as_far_as_it_holds(shard: Shard) -> None:
    first = shard.run(CopyStep(faults={"0000-0002": BROKEN}), make_scans(4))
    (shard.output / "ledger.parquet").unlink()  # as the workflow does before it starts a job again
    step = CopyStep(faults={"0000-0002": BROKEN}, identities={"0000-0001": "delivered again"})
    again = shard.run(step, make_scans(4))
    assert step.called == ["0000-0001"]
    assert [one.facts for one in again] == [one.facts for one in first]
    assert not shard.work.exists()


@pytest.mark.parametrize("renamed", [False, True])
def test_attempt_cut_off_while_publishing_costs_no_scan(shard: Shard, *, renamed: bool) -> None:
    shard.run(CopyStep(), make_scans(3))
    shard.work.mkdir(parents=True)
    if not renamed:
        shard.output.rename(shard.work / "files-000001-a")
    step = CopyStep()
    shard.run(step, make_scans(3))
    assert step.called == []
    assert "ledger.parquet" in shard.names()


def test_outcomes_are_equal_whether_fresh_or_kept(shard: Shard) -> None:
    with pytest.raises(SetupError):
        shard.run(StopsAt("0000-0002", stop), make_scans(3))
    kept = shard.run(CopyStep(), make_scans(3))
    other = Shard(shard.output.parents[2] / "undisturbed")
    assert other.run(CopyStep(), make_scans(3)) == kept


def test_the_same_failure_in_most_scans_stops_the_job_and_is_forgotten(shard: Shard) -> None:
    scans = make_scans(12)
    lost = ScanError(Reason.FILE_MISSING, "no such file")
    faults = {scan.scan: lost for scan in scans[1:]}
    step = CopyStep(faults=faults)
    with pytest.raises(SetupError, match=r"7 of 12 scans failed with file_missing"):
        shard.run(step, scans)
    assert len(step.called) == 8
    assert not shard.output.exists()
    repaired = CopyStep()
    shard.run(repaired, scans)
    assert repaired.called == [scan.scan for scan in scans[1:]]


def test_failures_from_the_step_before_do_not_stop_the_job(shard: Shard) -> None:
    scans = make_scans(12)
    before = {
        scan.scan: Outcome(
            scan.scan, "prepare_images", Status.FAILED, "b", Reason.ARCHIVE_EMPTY, "no member"
        )
        for scan in scans
    }
    assert len(shard.run(CopyStep(), scans, upstream=before)) == 12


def test_small_shards_are_not_judged(shard: Shard) -> None:
    scans = make_scans(9)
    faults = {scan.scan: BROKEN for scan in scans}
    assert len(shard.run(CopyStep(faults=faults), scans)) == 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_drops_the_scan_in_flight_and_keeps_the_others(
    shard: Shard, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=number.name):
        shard.run(StopsAt("0000-0002", lambda: os.kill(os.getpid(), number)), make_scans(4))
    assert signal.getsignal(number) is before
    assert shard.journaled() == {"0000-0000", "0000-0001"}
    step = CopyStep()
    shard.run(step, make_scans(4))
    assert step.called == ["0000-0002", "0000-0003"]


def test_signal_that_a_library_swallows_still_stops_the_job(shard: Shard) -> None:
    def swallow() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception as error:
            raise ScanError(Reason.FILE_BROKEN, "cannot be read") from error

    with pytest.raises(Interrupted):
        shard.run(StopsAt("0000-0001", swallow), make_scans(3))
    assert shard.journaled() == {"0000-0000"}


def test_attempt_that_lost_its_shard_to_another_stops(shard: Shard) -> None:
    def take_over() -> None:
        (shard.work / "lease" / "000002.json").write_text("{}")

    with pytest.raises(Interrupted, match="another attempt"):
        shard.run(StopsAt("0000-0001", take_over), make_scans(3))
    assert shard.journaled() == {"0000-0000"}


def test_attempt_whose_shard_another_has_brought_to_an_end_stops(shard: Shard) -> None:
    with pytest.raises(Interrupted, match="another attempt"):
        shard.run(StopsAt("0000-0001", lambda: shutil.rmtree(shard.work)), make_scans(3))
    assert not shard.work.exists()


def test_signal_that_logging_swallows_still_ends_the_waiting(shard: Shard) -> None:
    class Swallowing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)

    log = logging.getLogger("organome")
    log.addHandler(handler := Swallowing(logging.INFO))
    log.setLevel(logging.INFO)
    terms = LeaseTerms(beat_s=0.1, patience_s=600)
    try:
        with Lease.take(shard.work, terms=terms), pytest.raises(Interrupted, match="SIGTERM"):
            shard.run(CopyStep(), make_scans(1), lease_terms=terms)
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


@pytest.mark.parametrize("error", [SetupError, Interrupted, KeyboardInterrupt])
def test_lease_is_given_back_however_the_attempt_ends(
    shard: Shard, error: type[BaseException]
) -> None:
    def fail() -> None:
        assert find_holder(shard.work) is not None
        raise error

    with pytest.raises(error):
        shard.run(StopsAt("0000-0001", fail), make_scans(3))
    assert find_holder(shard.work) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_fault_of_the_machine_stops_the_job_even_when_wrapped(shard: Shard, number: int) -> None:
    def fail() -> None:
        try:
            raise OSError(number, os.strerror(number), "image.nii.gz")
        except OSError as error:
            raise ScanError(Reason.FILE_BROKEN, "cannot be read") from error

    with pytest.raises(MachineFault, match="scan 0000-0001: "):
        shard.run(StopsAt("0000-0001", fail), make_scans(3))
    assert shard.journaled() == {"0000-0000"}


def test_scan_too_large_for_memory_is_a_row(shard: Shard) -> None:
    outcomes = shard.run(CopyStep(faults={"0000-0000": MemoryError()}), make_scans(2))
    assert outcomes[0].reason is Reason.OUT_OF_MEMORY


def test_scan_that_lacked_memory_is_tried_again_when_it_is_asked_for_again(shard: Shard) -> None:
    shard.run(CopyStep(faults={"0000-0000": MemoryError()}), make_scans(2))
    (shard.output / "ledger.parquet").unlink()  # as the workflow does before it starts a job again
    step = CopyStep()
    again = shard.run(step, make_scans(2))
    assert step.called == ["0000-0000"]
    assert [one.status for one in again] == [Status.DONE, Status.DONE]


def test_placed_file_that_was_not_written_is_an_unexpected_error(shard: Shard) -> None:
    class Forgetful(CopyStep):
        def run_scan(
            self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
        ) -> Mapping[str, JsonValue]:
            place("never.txt")
            return {}

    (outcome,) = shard.run(Forgetful(), make_scans(1))
    assert (outcome.reason, outcome.fact) == (Reason.UNEXPECTED_ERROR, "FileNotFoundError")


def test_uncompressed_nifti_cannot_be_placed(shard: Shard) -> None:
    class Shadowing(CopyStep):
        def run_scan(
            self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
        ) -> Mapping[str, JsonValue]:
            place("labels.nii")
            return {}

    (outcome,) = shard.run(Shadowing(), make_scans(1))
    assert (outcome.reason, outcome.fact) == (Reason.UNEXPECTED_ERROR, "ValueError")


def test_every_outcome_is_reported_once_kept_ones_too(shard: Shard) -> None:
    with pytest.raises(SetupError):
        shard.run(StopsAt("0000-0002", stop), make_scans(4))
    seen: list[str] = []
    shard.run(CopyStep(), make_scans(4), on_outcome=lambda outcome: seen.append(outcome.scan))
    assert sorted(seen) == [scan.scan for scan in make_scans(4)]


def test_log_names_scans_and_reasons_but_neither_participants_nor_facts(
    shard: Shard, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        shard.run(CopyStep(faults={"0000-0001": BROKEN}), make_scans(2))
    lines = [record.getMessage() for record in caplog.records]
    assert any(
        line.startswith(
            "event=scan_failed step=copy_scans shard=0000 scan=0000-0001 reason=file_broken"
        )
        for line in lines
    )
    assert lines[-1] == "event=published step=copy_scans shard=0000 n_done=1 n_failed=1"
    assert BROKEN.fact not in "".join(lines)
