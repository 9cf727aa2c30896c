"""The journal of a shard."""

from pathlib import Path

import pytest

from organome.domain.fingerprints import canonical_json
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.shards.journal import Journal, read_journal, read_journals, write_journal

DONE = Outcome("0000-0000", "prepare_images", Status.DONE, "f0", facts={"spacing": [0.1, 1e-7]})
FAILED = Outcome(
    "0000-0001", "prepare_images", Status.FAILED, "f1", Reason.ARCHIVE_BROKEN, "member 3: bad CRC"
)
ATTEMPT = Attempt(
    ("0000-0000_water.nii.gz",), "host-1-a", "host", 1.25, "2024-01-01T00:00:00+00:00"
)


def test_outcomes_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append_outcome(DONE, ATTEMPT)
        journal.append_outcome(FAILED, Attempt())
    assert read_journal(path) == {"0000-0000": (DONE, ATTEMPT), "0000-0001": (FAILED, Attempt())}


def test_missing_journal_is_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "journal.jsonl") == {}


@pytest.mark.parametrize("n_bytes_lost", [1, 2, 40])
def test_torn_last_line_is_ignored_and_spoils_nothing_after_it(
    tmp_path: Path, n_bytes_lost: int
) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append_outcome(DONE, ATTEMPT)
        journal.append_outcome(FAILED, Attempt())
    path.write_bytes(path.read_bytes()[: -1 - n_bytes_lost])
    assert set(read_journal(path)) == {"0000-0000"}
    with Journal(path) as journal:
        journal.append_outcome(FAILED, Attempt())
    assert set(read_journal(path)) == {"0000-0000", "0000-0001"}


def test_last_line_of_a_scan_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    again = Outcome("0000-0001", "prepare_images", Status.DONE, "f2")
    with Journal(path) as journal:
        journal.append_outcome(FAILED, Attempt())
        journal.append_outcome(again, Attempt())
    assert read_journal(path)["0000-0001"][0] == again


def test_void_takes_back_earlier_failures_of_that_reason_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append_outcome(DONE, ATTEMPT)
        journal.append_outcome(FAILED, Attempt())
        journal.append_void("prepare_images", Reason.FILE_MISSING)
        assert set(read_journal(path)) == {"0000-0000", "0000-0001"}
        journal.append_void("prepare_images", Reason.ARCHIVE_BROKEN)
        assert set(read_journal(path)) == {"0000-0000"}
        journal.append_outcome(FAILED, Attempt())
    assert set(read_journal(path)) == {"0000-0000", "0000-0001"}


def test_journals_read_as_one_in_their_order(tmp_path: Path) -> None:
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    done = Outcome("0000-0001", "prepare_images", Status.DONE, "f2")
    with Journal(second) as late:
        late.append_outcome(done, Attempt())
    with Journal(first) as early:
        early.append_outcome(DONE, ATTEMPT)
        early.append_outcome(FAILED, Attempt())
    none = tmp_path / "none.jsonl"
    entries = {"0000-0000": (DONE, ATTEMPT), "0000-0001": (done, Attempt())}
    assert read_journals([first, none, second]) == entries
    assert read_journals([second, first])["0000-0001"] == (FAILED, Attempt())


def test_taking_back_reaches_into_earlier_journals_only(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for path in (paths[0], paths[2]):
        with Journal(path) as journal:
            journal.append_outcome(DONE, ATTEMPT)
            journal.append_outcome(FAILED, Attempt())
    with Journal(paths[1]) as journal:
        journal.append_void("prepare_images", Reason.ARCHIVE_BROKEN)
        journal.append_dropped(["0000-0000", "0000-0099"])
    assert read_journals(paths[:2]) == {}
    assert set(read_journals(paths)) == {"0000-0000", "0000-0001"}


def test_a_journal_written_at_once_has_one_line_per_entry(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append_outcome(DONE, ATTEMPT)
        journal.append_outcome(DONE, ATTEMPT)
    entries = read_journal(path)
    write_journal(path, entries.values())
    assert read_journal(path) == entries
    assert len(path.read_text().splitlines()) == 1


def test_canonical_json_is_one_text_per_value() -> None:
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))
