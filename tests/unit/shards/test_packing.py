"""Files of scans in one archive: the same results, resumed and published like files one by one."""

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doubles.steps import CopyStep, make_scans
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.io.files.packs import packed_sizes, read_packed, write_pack
from organome.io.files.published import DamagedFile
from organome.io.tables.ledgers import REPRODUCIBLE_COLUMNS
from organome.shards.packing import Packing
from organome.shards.run import run_shard
from organome.shards.work_folder import CollectedFiles

ARCHIVE = "files.zip"
BAD = ScanError(Reason.FILE_BROKEN, "broken on purpose")
N_SCANS = 4


class Shard:
    """A shard of four, the second of which is bad."""

    def __init__(self, folder: Path) -> None:
        self.output, self.work = folder / "results" / "0000", folder / "work" / "0000"

    def run(
        self,
        *,
        packed: bool,
        identities: Mapping[str, str] | None = None,
        faults: Mapping[str, Exception] | None = None,
    ) -> list[str]:
        """Run and name the scans that were done."""
        step = CopyStep(faults={"0000-0001": BAD} | dict(faults or {}), identities=identities)
        run_shard(
            step,
            scans=make_scans(N_SCANS),
            upstream=None,
            output=self.output,
            work=self.work,
            packing=Packing(ARCHIVE, wanted=packed),
        )
        assert not self.work.exists()
        return step.called

    def names(self) -> set[str]:
        return {path.name for path in self.output.iterdir()}

    def files(self) -> dict[str, bytes]:
        """Content of all files of scans, packed or not."""
        archive = self.output / ARCHIVE
        packed = {name: read_packed(archive, name) or b"" for name in packed_sizes(archive)}
        loose = {one.name: one.read_bytes() for one in self.output.glob("0000-*")}
        assert not set(packed) & set(loose)
        return packed | loose

    def ledger(self) -> object:
        return pq.read_table(self.output / "ledger.parquet", columns=list(REPRODUCIBLE_COLUMNS))


@pytest.fixture
def loose(tmp_path: Path) -> Shard:
    shard = Shard(tmp_path / "loose")
    shard.run(packed=False)
    return shard


@pytest.fixture
def packed(tmp_path: Path) -> Shard:
    shard = Shard(tmp_path / "packed")
    shard.run(packed=True)
    return shard


def test_all_files_of_all_scans_are_one_file(packed: Shard, loose: Shard) -> None:
    assert packed.names() == {ARCHIVE, "ledger.parquet", "journal.jsonl", "summary.txt"}
    assert list(packed_sizes(packed.output / ARCHIVE)) == sorted(loose.files())
    assert packed.files() == loose.files() != {}
    assert packed.ledger() == loose.ledger()


def test_a_second_run_does_and_changes_nothing(packed: Shard) -> None:
    before = {one.name: (one.stat().st_ino, one.stat().st_mtime_ns) for one in _all(packed)}
    assert packed.run(packed=True) == []
    after = {one.name: (one.stat().st_ino, one.stat().st_mtime_ns) for one in _all(packed)}
    assert after == before


def _all(shard: Shard) -> list[Path]:
    return sorted(shard.output.iterdir())


def test_one_form_becomes_the_other_without_a_scan_being_done(packed: Shard, loose: Shard) -> None:
    bytes_of = {one.name: one.read_bytes() for one in _all(packed)}
    assert packed.run(packed=False) == []
    assert packed.names() == loose.names()
    assert packed.files() == loose.files()
    assert packed.run(packed=True) == []
    assert (packed.output / ARCHIVE).read_bytes() == bytes_of[ARCHIVE]
    assert packed.names() == set(bytes_of)


@pytest.mark.parametrize("then_packed", [False, True])
def test_only_what_was_delivered_again_is_done_again(
    packed: Shard, loose: Shard, then_packed: bool
) -> None:
    assert packed.run(packed=then_packed, identities={"0000-0002": "later"}) == ["0000-0002"]
    assert packed.files() == loose.files()
    loose.run(packed=False, identities={"0000-0002": "later"})
    assert packed.ledger() == loose.ledger()


def test_what_failed_at_last_is_in_the_archive_no_more(packed: Shard) -> None:
    changed = {"0000-0002": "later"}
    assert packed.run(packed=True, identities=changed, faults={"0000-0002": BAD}) == ["0000-0002"]
    assert {name[:9] for name in packed.files()} == {"0000-0000", "0000-0003"}


def test_without_any_file_there_is_no_archive(tmp_path: Path) -> None:
    shard = Shard(tmp_path)
    shard.run(packed=True, faults={f"0000-{place:04d}": BAD for place in range(N_SCANS)})
    assert ARCHIVE not in shard.names()


def test_a_lost_or_broken_archive_is_made_again(packed: Shard, loose: Shard) -> None:
    archive = packed.output / ARCHIVE
    whole = archive.read_bytes()
    for spoil in (archive.unlink, lambda: os.truncate(archive, len(whole) // 2)):
        spoil()
        assert packed.run(packed=True) == ["0000-0000", "0000-0002", "0000-0003"]
        assert archive.read_bytes() == whole


class TestCollectedFiles:
    """A file of a scan that is through, read for the tables of the shard."""

    @pytest.fixture
    def collected(self, tmp_path: Path) -> CollectedFiles:
        members = [(f"0000-000{place}_rows", b"%d" % place) for place in range(3)]
        write_pack(tmp_path / "output" / ARCHIVE, members)
        return CollectedFiles(tmp_path / "work", tmp_path / "output", ARCHIVE)

    def test_it_is_read_from_the_pack_and_a_newer_one_beside_it_counts_more(
        self, collected: CollectedFiles
    ) -> None:
        assert collected.read("0000-0001_rows", bytes) == b"1"
        (collected.output / "0000-0001_rows").write_bytes(b"newer")
        assert collected.read("0000-0001_rows", bytes) == b"newer"

    def test_what_is_damaged_goes_and_the_rest_of_its_pack_stays(
        self, collected: CollectedFiles
    ) -> None:
        pack = collected.output / ARCHIVE
        content = pack.read_bytes()
        at = content.index(b"0000-0001_rows") + len(b"0000-0001_rows")
        pack.write_bytes(content[:at] + b"x" + content[at + 1 :])
        with pytest.raises(DamagedFile, match="was damaged"):
            collected.read("0000-0001_rows", bytes)
        assert list(packed_sizes(pack)) == ["0000-0000_rows", "0000-0002_rows"]
        with pytest.raises(DamagedFile, match="gone"):
            collected.read("0000-0001_rows", bytes)

    def test_one_that_was_damaged_before_it_was_packed_goes_too(
        self, collected: CollectedFiles
    ) -> None:
        with pytest.raises(DamagedFile):
            collected.read("0000-0002_rows", lambda content: int(content + b"?"))
        assert list(packed_sizes(collected.output / ARCHIVE)) == [
            "0000-0000_rows",
            "0000-0001_rows",
        ]
