"""The journal of a shard."""

import zlib
from contextlib import closing
from pathlib import Path

import pytest

from organome.domain.fingerprints import canonical_json
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.shards.journal import Entries, Journal, read_journals, write_journal

DONE = Outcome("0000-0000", "prepare_images", Status.DONE, "f0", facts={"spacing": [0.1, 1e-7]})
FAILED = Outcome(
    "0000-0001", "prepare_images", Status.FAILED, "f1", Reason.ARCHIVE_BROKEN, "member 3: bad CRC"
)
ATTEMPT = Attempt(
    {"0000-0000_water.nii.gz": 12345}, "host-1-a", "host", 1.25, "2024-01-01T00:00:00+00:00"
)


def read_journal(path: Path) -> Entries:
    return read_journals([path])


def test_outcomes_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
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
    with closing(Journal(path)) as journal:
        journal.append_outcome(DONE, ATTEMPT)
        journal.append_outcome(FAILED, Attempt())
    path.write_bytes(path.read_bytes()[: -1 - n_bytes_lost])
    assert set(read_journal(path)) == {"0000-0000"}
    later = tmp_path / "later.jsonl"
    with closing(Journal(later)) as journal:
        journal.append_outcome(FAILED, Attempt())
    assert set(read_journals([path, later])) == {"0000-0000", "0000-0001"}


def line_of(content: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(content), content)


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        line_of(b"{}"),
        line_of(b"[]"),
        line_of(b"7"),
        line_of(b'{"void":"file_missing"}'),
        line_of(b'{"dropped":7}'),
        line_of(b'{"scan":"0000-0001","status":"done"}'),
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_not_ours_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
        journal.append_outcome(DONE, ATTEMPT)
    path.write_bytes(line + path.read_bytes() + line)
    assert read_journal(path) == {"0000-0000": (DONE, ATTEMPT)}


def test_a_reason_of_another_version_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write_journal(path, [(DONE, ATTEMPT), (FAILED, Attempt())])
    _, failed = path.read_bytes().splitlines()
    path.write_bytes(line_of(failed[9:].replace(b"archive_broken", b"archive_cursed")))
    assert read_journal(path) == {}


def test_no_flipped_bit_alters_an_outcome(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write_journal(path, [(DONE, ATTEMPT), (FAILED, Attempt())])
    content, entries = path.read_bytes(), read_journal(path)
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert read_journal(path).items() <= entries.items()


def test_last_line_of_a_scan_counts(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    again = Outcome("0000-0001", "prepare_images", Status.DONE, "f2")
    with closing(Journal(path)) as journal:
        journal.append_outcome(FAILED, Attempt())
        journal.append_outcome(again, Attempt())
    assert read_journal(path)["0000-0001"][0] == again


def test_void_takes_back_earlier_failures_of_that_reason_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
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
    with closing(Journal(second)) as late:
        late.append_outcome(done, Attempt())
    with closing(Journal(first)) as early:
        early.append_outcome(DONE, ATTEMPT)
        early.append_outcome(FAILED, Attempt())
    none = tmp_path / "none.jsonl"
    entries = {"0000-0000": (DONE, ATTEMPT), "0000-0001": (done, Attempt())}
    assert read_journals([first, none, second]) == entries
    assert read_journals([second, first])["0000-0001"] == (FAILED, Attempt())


def test_taking_back_reaches_into_earlier_journals_only(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for path in (paths[0], paths[2]):
        with closing(Journal(path)) as journal:
            journal.append_outcome(DONE, ATTEMPT)
            journal.append_outcome(FAILED, Attempt())
    with closing(Journal(paths[1])) as journal:
        journal.append_void("prepare_images", Reason.ARCHIVE_BROKEN)
        journal.append_dropped(["0000-0000", "0000-0099"])
    assert read_journals(paths[:2]) == {}
    assert set(read_journals(paths)) == {"0000-0000", "0000-0001"}


def test_a_journal_written_at_once_has_one_line_per_entry(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
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
