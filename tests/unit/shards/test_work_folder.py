"""The work folder of a shard: whoever was replaced can do no harm, whenever it wakes up."""

import os
from pathlib import Path

import pytest

from organome.domain.errors import Interrupted
from organome.domain.outcomes import Outcome, Status
from organome.shards.journal import JOURNAL, Journal
from organome.shards.lease import LeaseTerms
from organome.shards.work_folder import Staging, WorkFolder, read_outcomes

HASTY = LeaseTerms(beat_s=0.05, patience_s=60)  # nobody waits for so long


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results" / "0000"


def record(folder: WorkFolder, scan: str, content: str) -> Outcome:
    path = folder.staging.place(scan)("a.txt")
    path.write_text(content)
    outcome = Outcome(scan, "copy", Status.DONE, content)
    folder.record(outcome, elapsed_s=0.0, files=[path])
    return outcome


def test_staging_of_a_replaced_attempt_is_gone(work: Path) -> None:
    first = Staging(work / ".000001-a")
    first.open()
    path = first.place("0000-0000")("a.txt")
    path.write_text("a")
    Staging(work / ".000002-b").open()
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        first.placed("0000-0000")
    with pytest.raises(FileNotFoundError):
        first.place("0000-0001")


def test_what_was_collected_goes_to_the_next_attempt_which_alone_can_publish(
    work: Path, output: Path
) -> None:
    first = WorkFolder(work, output=output, terms=HASTY)
    outcome = record(first, "0000-0000", "a")
    (work / "lease" / "000002.json").write_text("{}")  # the first attempt stands still
    second = WorkFolder(work, output=output, terms=HASTY)
    assert not first.files.exists()
    assert second.left_over("0000-0000") == outcome
    second.keep(["0000-0000"], is_whole=True)
    with pytest.raises(Interrupted):
        first.publish(["0000-0000"])
    assert not output.exists()
    second.publish(["0000-0000"])
    for folder in (first, second):
        folder.close()
    assert names(output) == {"0000-0000_a.txt", JOURNAL}
    assert names(output.parent) == {"0000"}


def test_empty_folder_of_an_attempt_that_woke_up_late_is_passed_over(
    work: Path, output: Path
) -> None:
    first = WorkFolder(work, output=output, terms=HASTY)
    outcome = record(first, "0000-0000", "a")
    first.close()
    (work / "files-000007-z").mkdir()
    second = WorkFolder(work, output=output, terms=HASTY)
    assert second.left_over("0000-0000") == outcome
    second.keep(["0000-0000"], is_whole=True)
    second.publish(["0000-0000"])
    second.close()
    assert not work.exists()


def test_output_that_was_put_aside_when_the_attempt_died_is_found(work: Path, output: Path) -> None:
    first = WorkFolder(work, output=output, terms=HASTY)
    outcome = record(first, "0000-0000", "a")
    first.publish(["0000-0000"])
    first.close()
    output.rename(output.with_name(".0000.node1-9-a.old"))
    second = WorkFolder(work, output=output, terms=HASTY)
    assert second.left_over("0000-0000") == outcome
    assert second.files.parent == work
    second.close()


def test_a_published_journal_is_the_one_that_was_written_and_names_the_scans_of_the_shard(
    work: Path, output: Path
) -> None:
    first = WorkFolder(work, output=output, terms=HASTY)
    outcomes = [record(first, f"0000-{number:04d}", "a") for number in range(3)]
    (journal,) = first.files.glob("journal-*")
    inode = journal.stat().st_ino
    first.publish([one.scan for one in outcomes])
    first.close()
    assert (output / JOURNAL).stat().st_ino == inode
    second = WorkFolder(work, output=output, terms=HASTY)
    second.keep(["0000-0000"], is_whole=True)
    second.publish(["0000-0000"])
    second.close()
    assert list(read_outcomes(work, output)) == ["0000-0000"]
    assert "0000-0002" not in (output / JOURNAL).read_text()


@pytest.mark.parametrize("published", [False, True])
def test_a_file_that_was_cut_short_is_not_kept(
    work: Path, output: Path, *, published: bool
) -> None:
    first = WorkFolder(work, output=output, terms=HASTY)
    scans = [record(first, f"0000-{number:04d}", "abc").scan for number in range(2)]
    if published:
        first.publish(scans)
    os.truncate((output if published else first.files) / "0000-0001_a.txt", 2)
    first.close()
    second = WorkFolder(work, output=output, terms=HASTY)
    assert second.left_over("0000-0000") is not None
    assert second.left_over("0000-0001") is None
    second.close()


def test_a_scan_that_died_between_its_files_and_its_line_is_not_taken_for_an_older_one(
    work: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = "0000-0000"

    def attempt(fingerprint: str) -> None:
        folder = WorkFolder(work, output=output, terms=HASTY)
        try:
            folder.keep([], is_whole=False)
            record(folder, scan, fingerprint)
        finally:
            folder.close()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    attempt("old settings")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "append_outcome", die)
        attempt("new settings")
    folder = WorkFolder(work, output=output, terms=HASTY)
    assert folder.left_over(scan) is None
    folder.close()


def test_a_replaced_attempt_writes_nothing_more(work: Path, output: Path) -> None:
    folder = WorkFolder(work, output=output, terms=HASTY)
    (work / "lease" / "000002.json").write_text("{}")
    before = sorted(path for path in work.rglob("*") if "lease" not in path.parts)
    outcome = Outcome("0000-0000", "copy", Status.DONE, "f")
    with pytest.raises(Interrupted):
        folder.record(outcome, elapsed_s=0.0, files=[])
    with pytest.raises(Interrupted):
        folder.publish([])
    folder.close()
    assert sorted(path for path in work.rglob("*") if "lease" not in path.parts) == before
    assert not output.exists()


def test_what_a_later_attempt_wrote_counts_though_the_lease_was_returned(
    work: Path, output: Path
) -> None:
    for number in range(11):
        folder = WorkFolder(work, output=output, terms=HASTY)
        outcome = Outcome("0000-0000", "copy", Status.DONE, str(number))
        folder.record(outcome, elapsed_s=0.0, files=[])
        folder.close()
    assert len(list(work.glob("files-*/journal-*"))) == 11
    folder = WorkFolder(work, output=output, terms=HASTY)
    assert folder.left_over("0000-0000") == outcome
    folder.close()
