"""A shard that was published and is asked for again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from doubles.steps import CopyStep, make_scans
from organome.domain.errors import MachineFault, ScanError, SetupError
from organome.domain.outcomes import JsonValue, Outcome, Reason
from organome.domain.scans import Scan
from organome.io.files.published import ask_again
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.shards.run import run_shard

BROKEN = ScanError(Reason.FILE_BROKEN, "second series: 3 bytes missing")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results" / "0000"


def run(step: Any, output: Path, n_scans: int = 4, **more: Any) -> tuple[Outcome, ...]:
    work = output.parents[1] / "work" / "0000"
    return run_shard(
        step, scans=make_scans(n_scans), upstream=None, output=output, work=work, **more
    )


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """File by file: which one it is, when it was written, what stands in it."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
    }


class Reader(CopyStep):
    """Looks from within for what others read; fails if ever it is not there."""

    def __init__(self, output: Path, **more: Any) -> None:
        super().__init__(**more)
        self._published = output / "0000-0000_first.txt"

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        assert self._published.is_file()
        return super().input_identity(scan, upstream)

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        assert self._published.is_file()
        super().finish(outcomes, folder)


def test_output_that_holds_is_not_touched(output: Path) -> None:
    first = run(CopyStep(faults={"0000-0001": BROKEN}), output)
    before = state(output)
    again = Reader(output)
    assert run(again, output) == first
    assert again.called == []
    assert state(output) == before
    assert not (output.parents[1] / "work" / "0000").exists()


@pytest.mark.parametrize("name", ["ledger.parquet", "summary.txt"])
def test_only_what_is_missing_is_written_again_as_it_was(output: Path, name: str) -> None:
    run(CopyStep(), output)
    before = state(output)
    (output / name).unlink()
    run(Reader(output), output)
    after = state(output)
    assert after[name][2] == before[name][2]
    del before[name], after[name]
    assert after == before


def test_table_that_another_release_writes_differently_is_replaced(output: Path) -> None:
    run(CopyStep(), output)
    before = (output / "summary.txt").read_bytes()
    (output / "summary.txt").write_text("another release")
    run(Reader(output), output)
    assert (output / "summary.txt").read_bytes() == before


def test_scan_that_is_not_listed_any_more_leaves_the_output_as_it_stands(output: Path) -> None:
    run(CopyStep(), output)
    again = Reader(output)
    run(again, output, n_scans=3)
    assert again.called == []
    assert not [path for path in output.iterdir() if path.name.startswith("0000-0003")]
    assert set(read_ledger(output / "ledger.parquet")) == {s.scan for s in make_scans(3)}
    assert "0000-0003" not in (output / "journal.jsonl").read_text()


def test_output_that_holds_in_part_keeps_that_part(output: Path) -> None:
    run(CopyStep(), output)
    kept = state(output)["0000-0000_first.txt"]
    again = CopyStep(identities={"0000-0002": "delivered again"})
    run(again, output)
    assert again.called == ["0000-0002"]
    assert state(output)["0000-0000_first.txt"] == kept


def test_file_that_is_gone_is_made_again(output: Path) -> None:
    run(CopyStep(), output)
    (output / "0000-0002_first.txt").unlink()
    again = CopyStep()
    run(again, output)
    assert again.called == ["0000-0002"]


def test_failures_that_a_stricter_share_forbids_are_done_again(output: Path) -> None:
    faults = {f"0000-{number:04d}": BROKEN for number in range(5)}
    run(CopyStep(faults=faults), output, n_scans=12)
    with pytest.raises(SetupError, match="5 of 12"):
        run(CopyStep(), output, n_scans=12, max_same_reason_share=0.4)
    again = CopyStep()
    run(again, output, n_scans=12, max_same_reason_share=0.4)
    assert again.called == sorted(faults)


class NextStep(CopyStep):
    """The step after: needs what was published of each scan."""

    name = "next_step"

    def __init__(self, before: Path) -> None:
        super().__init__()
        self._before = before

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        path = self._before / f"{scan.scan}_second.bin"
        if b"\0" in path.read_bytes():
            raise ask_again(path)
        return super().run_scan(scan, upstream, place)


def test_a_published_file_that_was_damaged_costs_its_own_scan_in_its_own_step(
    output: Path, tmp_path: Path
) -> None:
    def run_next() -> tuple[list[str], Sequence[Outcome]]:
        step, upstream = NextStep(output), read_ledger(output / LEDGER)
        places = {"output": tmp_path / "next" / "0000", "work": tmp_path / "work_next" / "0000"}
        return step.called, run_shard(step, scans=make_scans(4), upstream=upstream, **places)

    first = run(CopyStep(), output)
    damaged = output / "0000-0002_second.bin"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-9] + bytes(9))  # of equal size, as a power cut leaves it
    with pytest.raises(MachineFault, match=r"0000-0002_second\.bin: was damaged"):
        run_next()
    assert not (output / LEDGER).exists()  # so that the workflow asks for the shard again
    again = CopyStep()
    assert run(again, output) == first
    assert again.called == ["0000-0002"]
    assert damaged.read_bytes() == whole
    called, outcomes = run_next()
    assert called == ["0000-0002", "0000-0003"]
    assert {outcome.reason for outcome in outcomes} == {None}
