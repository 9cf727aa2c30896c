"""The work folder of a shard: whoever was replaced can do no harm, whenever it wakes up."""

from pathlib import Path

import pytest

from organome.domain.errors import Interrupted
from organome.domain.outcomes import Outcome, Status
from organome.shards.collected_files import CollectedFiles
from organome.shards.journal import Journal
from organome.shards.lease import LeaseTerms
from organome.shards.places import files_of
from organome.shards.staging import Bench
from organome.shards.work_folder import WorkFolder

HASTY = LeaseTerms(beat_s=0.05, patience_s=1.0)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results" / "0000"


def collected(work: Path, output: Path, token: str) -> CollectedFiles:
    files = CollectedFiles(work, output=output, token=token)
    files.open()
    return files


def test_files_of_a_replaced_attempt_cannot_be_moved_in(work: Path, output: Path) -> None:
    first = Bench(work / ".000001-a")
    first.open()
    files = collected(work, output, "000001-a")
    first.place("0000-0000")("a.txt").write_text("a")
    Bench(work / ".000002-b").open()
    with pytest.raises(FileNotFoundError):
        first.move(first.placed("0000-0000"), files.folder)
    assert names(files.folder) == set()
    with pytest.raises(FileNotFoundError):
        first.place("0000-0001")


def test_what_was_collected_goes_to_the_next_attempt_which_alone_can_publish(
    work: Path, output: Path
) -> None:
    first = collected(work, output, "000001-a")
    (first.folder / "a.txt").write_text("a")
    (first.folder / "journal.jsonl").touch()
    second = collected(work, output, "000002-b")
    with pytest.raises(FileNotFoundError):
        first.publish()
    assert not output.exists()
    second.publish()
    with pytest.raises(FileNotFoundError):
        first.publish()
    assert names(output) == {"a.txt", "journal.jsonl"}
    assert names(output.parent) == {"0000"}


def test_empty_folder_of_an_attempt_that_woke_up_late_is_passed_over(
    work: Path, output: Path
) -> None:
    first = collected(work, output, "000001-a")
    (first.folder / "a.txt").write_text("a")
    files_of(work, "000007-z").mkdir()
    assert names(collected(work, output, "000008-b").folder) == {"a.txt"}


def test_output_that_was_put_aside_when_the_attempt_died_is_found(work: Path, output: Path) -> None:
    aside = output.with_name(".0000.node1-9-a.old")
    aside.mkdir(parents=True)
    (aside / "journal.jsonl").touch()
    files = collected(work, output, "000001-a")
    assert not files.in_place
    assert names(files.folder) == {"journal.jsonl"}


def test_a_scan_that_died_between_its_files_and_its_line_is_not_taken_for_an_older_one(
    work: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = "0000-0000"

    def attempt(fingerprint: str) -> None:
        folder = WorkFolder(work, output=output, terms=HASTY)
        try:
            folder.settle(is_whole=False)
            path = folder.bench.place(scan)("a.txt")
            path.write_text(fingerprint)
            outcome = Outcome(scan, "copy", Status.DONE, fingerprint)
            folder.record(outcome, elapsed_s=0.0, files=[path])
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


def test_what_a_later_attempt_wrote_counts_though_the_lease_was_given_back(
    work: Path, output: Path
) -> None:
    for number in range(11):
        folder = WorkFolder(work, output=output, terms=HASTY)
        outcome = Outcome("0000-0000", "copy", Status.DONE, str(number))
        folder.record(outcome, elapsed_s=0.0, files=[])
        folder.close()
    assert len(list((work / "journals").iterdir())) == 11
    folder = WorkFolder(work, output=output, terms=HASTY)
    assert folder.left_over("0000-0000") == outcome
    folder.close()
