from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from doubles.steps import CopyStep, make_scans
from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import Outcome, Reason, Status
from organome.io.tables.ledgers import LEDGER, read_ledger
from organome.io.tables.scan_lists import write_shard
from organome.shards.lease import Lease
from organome.shards.run import run_shard
from organome.steps.upkeep.retry import Step, run

PREPARE, SEGMENT, MEASURE = "prepare_images", "segment_organs", "measure_volumes"
SCANS = make_scans(6)
BROKEN, APART, MEMORY = Reason.FILE_BROKEN, Reason.LABEL_UNKNOWN, Reason.OUT_OF_MEMORY
FAULTS: Mapping[str, Mapping[str, Reason]] = {
    PREPARE: {"0000-0001": BROKEN, "0000-0002": BROKEN},
    SEGMENT: {"0000-0003": APART},
}


class Cohort:
    """A shard of six scans that goes through three steps which copy text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_shard(folder / "scans" / "0000.parquet", SCANS)

    def through(self, faults: Mapping[str, Mapping[str, Reason]]) -> dict[str, list[str]]:
        """Bring the shard through all steps whose ledger is gone; return what each step did."""
        called, before = {}, None
        for name in (PREPARE, SEGMENT, MEASURE):
            output = self.folder / "results" / name / "0000"
            step = CopyStep(
                faults={one: ScanError(why, "odd") for one, why in faults.get(name, {}).items()}
            )
            step.name = name
            if not (output / LEDGER).exists():
                work = self.folder / "work" / name / "0000"
                run_shard(step, scans=SCANS, upstream=before, output=output, work=work)
            called[name], before = step.called, read_ledger(output / LEDGER)
        return called

    def last(self) -> dict[str, Outcome]:
        return read_ledger(self.folder / "results" / MEASURE / "0000" / LEDGER)


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    made = Cohort(tmp_path)
    made.through(FAULTS)
    return made


@pytest.mark.parametrize(
    ("flags", "again"),
    [
        ({"reason": [BROKEN]}, {PREPARE: [1, 2], SEGMENT: [1, 2], MEASURE: [1, 2]}),
        ({"reason": [APART]}, {PREPARE: [], SEGMENT: [3], MEASURE: [3]}),
        ({"reason": [BROKEN], "participant": ["002"]}, {PREPARE: [2], SEGMENT: [2], MEASURE: [2]}),
        ({"scan": ["0000-0004"]}, {PREPARE: [4], SEGMENT: [4], MEASURE: [4]}),
        ({"scan": ["0000-0004"], "step": SEGMENT}, {PREPARE: [], SEGMENT: [4], MEASURE: [4]}),
        ({"reason": [BROKEN, APART], "step": SEGMENT}, {PREPARE: [], SEGMENT: [3], MEASURE: [3]}),
    ],
)
def test_what_is_chosen_is_done_again_and_nothing_else(
    cohort: Cohort, flags: dict[str, Sequence[str]], again: dict[Step, list[int]]
) -> None:
    run(cohort.folder, **flags)  # type: ignore[arg-type]
    done = cohort.through({})
    assert done == {step: [SCANS[place].scan for place in places] for step, places in again.items()}


def test_the_summary_counts_by_step_and_reason(cohort: Cohort) -> None:
    summary = run(cohort.folder, reason=[BROKEN, APART])
    assert summary.n_by == {(PREPARE, BROKEN): 2, (SEGMENT, APART): 1}
    assert "3 scans in 1 shard will be done again" in str(summary)
    cohort.through({})
    assert all(one.status is Status.DONE for one in cohort.last().values())


def test_a_reason_that_no_scan_has_changes_nothing(cohort: Cohort) -> None:
    assert run(cohort.folder, reason=[MEMORY]).n_shards == 0
    assert cohort.through({}) == {PREPARE: [], SEGMENT: [], MEASURE: []}


def test_what_is_not_listed_is_counted_and_not_named(cohort: Cohort) -> None:
    with pytest.raises(SetupError, match="--participant: 1 of 2 not listed") as refused:
        run(cohort.folder, participant=["001", "77777"])
    assert "77777" not in str(refused.value)
    with pytest.raises(SetupError, match="name what is to be done again"):
        run(cohort.folder)


def test_a_shard_that_is_worked_on_is_refused(cohort: Cohort) -> None:
    work = cohort.folder / "work" / SEGMENT / "0000"
    with Lease.take(work), pytest.raises(SetupError, match="segment_organs is at work"):
        run(cohort.folder, reason=[BROKEN])
