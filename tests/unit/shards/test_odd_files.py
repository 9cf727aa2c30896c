"""One file never stops a shard, and the name of a participant never leaves its file."""

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from doubles.odd_files_step import PARTICIPANT, OddFiles
from doubles.steps import make_scans
from organome.domain.errors import MachineFault, SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.shards.run import run_shard

MIB = 2**20
WHERE = ["looking", "reading"]


class Shard:
    """Folders of one shard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, kinds: Mapping[str, str], *, where: str = "reading", n_scans: int = 4, n: int = 2
    ) -> tuple[Outcome, ...]:
        step = OddFiles(kinds, where=where)
        return run_shard(
            step,
            scans=make_scans(n_scans),
            upstream=None,
            output=self.folder / "results" / "0000",
            work=self.folder / "work" / "0000",
            workers=[step] * n,
            # What the tests before have left in this process counts, too.
            memory_bytes=psutil.Process().memory_info().rss + 1200 * MIB,
        )

    def names_the_participant(self) -> list[Path]:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return [path for path in files if PARTICIPANT.encode() in path.read_bytes()]


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


@pytest.mark.parametrize("where", WHERE)
def test_an_odd_file_is_a_row_and_its_name_stays_at_home(
    shard: Shard, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    outcomes = shard.run({"0000-0001": "EACCES", "0000-0002": "bug"}, where=where)
    reasons = [None, Reason.FILE_UNREADABLE, Reason.UNEXPECTED_ERROR, None]
    assert [one.reason for one in outcomes] == reasons
    assert outcomes[2].fact == "KeyError"
    assert "scan=0000-0002 unexpected error" in caplog.text
    assert PARTICIPANT not in caplog.text
    assert shard.names_the_participant() == []


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ["ESTALE", "EIO"])
def test_a_fault_at_a_delivered_file_names_the_scan_and_blames_no_node(
    shard: Shard, caplog: pytest.LogCaptureFixture, where: str, kind: str
) -> None:
    with pytest.raises(MachineFault, match=rf"scan 0000-0001: .*\({kind}\)") as caught:
        shard.run({"0000-0001": kind}, where=where)
    assert not caught.value.is_local
    assert PARTICIPANT not in "".join([str(caught.value), *caught.value.__notes__, caplog.text])
    assert shard.names_the_participant() == []
    assert [one.status for one in shard.run({})] == [Status.DONE] * 4


def test_more_than_a_few_unexpected_errors_are_a_bug_and_done_again(shard: Shard) -> None:
    bugs = {scan.scan: "bug" for scan in make_scans(20)[10:14]}
    with pytest.raises(SetupError, match="4 of 20 scans failed with unexpected_error"):
        shard.run(bugs, n_scans=20, n=1)
    outcomes = shard.run({}, n_scans=20, n=1)
    assert [one.status for one in outcomes] == [Status.DONE] * 20


def test_a_scan_that_takes_more_memory_than_the_job_has_is_a_row(shard: Shard) -> None:
    outcomes = shard.run({"0000-0001": "takes memory"})
    assert [one.reason for one in outcomes] == [None, Reason.OUT_OF_MEMORY, None, None]
