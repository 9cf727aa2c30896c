from collections.abc import Sequence
from pathlib import Path

import pytest

from organome.domain.errors import SetupError
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.domain.tables import SCANS
from organome.io.tables.ledgers import write_ledger
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.scan_lists import write_shard
from organome.shards.journal import Journal
from organome.steps.inspect.status import CohortStatus, StepStatus, render_status, run

PREPARE, SEGMENT, MEASURE = "prepare_images", "segment_organs", "measure_volumes"


def list_shard(folder: Path, shard: int, n_scans: int) -> None:
    scans = [
        Scan(
            scan=f"{shard:04d}-{place:04d}",
            cohort="demo",
            participant=f"pseudonym{shard}{place}",
            instance="2",
            array="0",
            protocol="dixon",
            sources=(),
        )
        for place in range(n_scans)
    ]
    write_shard(folder / "scans" / f"{shard:04d}.parquet", scans)


def outcomes(shard: int, *decided: tuple[str, Reason | None]) -> list[Outcome]:
    return [
        Outcome(
            scan=f"{shard:04d}-{place:04d}",
            step=step,
            status=Status.DONE if reason is None else Status.FAILED,
            fingerprint="f",
            reason=reason,
            fact=reason and "what was found",
        )
        for place, (step, reason) in enumerate(decided)
    ]


def publish(folder: Path, step: str, shard: int, *decided: tuple[str, Reason | None]) -> None:
    path = folder / "results" / step / f"{shard:04d}" / "ledger.parquet"
    write_ledger(path, outcomes(shard, *decided))


def journal(path: Path, decided: Sequence[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Journal(path) as lines:
        for outcome in decided:
            lines.append_outcome(outcome, Attempt())


def status_of(folder: Path) -> CohortStatus:
    return run(folder)


def test_everything_listed_and_nothing_begun_is_left(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 3)
    list_shard(tmp_path, 1, 2)
    status = status_of(tmp_path)
    assert (status.n_shards, status.n_listed, status.n_in_tables) == (2, 5, None)
    assert status.steps == tuple(
        StepStatus(step, 0, 0, 0, 5, {}) for step in (PREPARE, SEGMENT, MEASURE)
    )


def test_failures_count_in_the_step_that_failed_and_by_reason(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 4)
    broken = (PREPARE, Reason.ARCHIVE_BROKEN)
    apart = (SEGMENT, Reason.LABEL_UNKNOWN)
    publish(tmp_path, PREPARE, 0, broken, broken, (PREPARE, None), (PREPARE, None))
    publish(tmp_path, SEGMENT, 0, broken, broken, apart, (SEGMENT, None))
    assert status_of(tmp_path).steps == (
        StepStatus(PREPARE, 2, 2, 0, 0, {Reason.ARCHIVE_BROKEN: 2}),
        StepStatus(SEGMENT, 1, 1, 2, 0, {Reason.LABEL_UNKNOWN: 1}),
        StepStatus(MEASURE, 0, 0, 0, 4, {}),
    )


def test_shard_under_way_is_read_from_its_journals(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 5)
    missing = (PREPARE, Reason.FILE_MISSING)
    work = tmp_path / "work" / PREPARE / "0000"
    folder = work / "files-000010-node0-7-b"
    path = folder / "journal-000002-node1-9-a.jsonl"
    journal(path, outcomes(0, missing, missing, missing))
    journal(folder / "journal-000010-node0-7-b.jsonl", outcomes(0, (PREPARE, None)))
    path.write_bytes(path.read_bytes() + b'{"scan": "0000-0003", "st')  # torn by a kill
    assert status_of(tmp_path).steps[0] == StepStatus(PREPARE, 1, 2, 0, 2, {Reason.FILE_MISSING: 2})


@pytest.mark.parametrize(
    "where",
    [
        "work/prepare_images/0000/files-000001-node1-9-a",
        "results/prepare_images/0000",
    ],
)
def test_shard_whose_ledger_is_to_be_written_still_counts(tmp_path: Path, where: str) -> None:
    list_shard(tmp_path, 0, 1)
    journal(tmp_path / where / "journal.jsonl", outcomes(0, (PREPARE, None)))
    assert status_of(tmp_path).steps[0].n_done == 1


def test_scans_in_the_tables_are_counted(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 3)
    row = {
        **dict.fromkeys(("cohort", "participant", "instance", "array", "protocol"), "1"),
        **{"scan": "0000-0000", "status": "done", "organome_version": "1"},
    }
    for part in range(2):
        path = tmp_path / "results" / "tables" / "scans" / f"part-{part:04d}.parquet"
        write_table(path, rows_to_arrow(SCANS, [row] * 2))
    assert status_of(tmp_path).n_in_tables == 4


def test_text_holds_the_numbers_and_the_reasons_but_no_scan(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 3)
    few, many = (PREPARE, Reason.ARCHIVE_EMPTY), (PREPARE, Reason.STATION_MISSING)
    publish(tmp_path, PREPARE, 0, many, few, many)
    text = render_status(status_of(tmp_path))
    assert text.splitlines() == [
        "3 scans listed in 1 shard",
        "",
        "step                  done    failed  failed before      left",
        "prepare_images           0         3              0         0",
        "segment_organs           0         0              0         3",
        "measure_volumes          0         0              0         3",
        "",
        "no scan in the tables",
        "",
        "failed in            scans reason",
        "prepare_images           2 station_missing",
        "prepare_images           1 archive_empty",
    ]


def test_no_participant_is_printed(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 2)
    publish(tmp_path, PREPARE, 0, (PREPARE, None), (PREPARE, Reason.NOT_3D))
    assert "pseudonym" not in render_status(status_of(tmp_path))
    assert "what was found" not in render_status(status_of(tmp_path))


def test_a_folder_that_is_no_run_folder_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such run folder"):
        status_of(tmp_path / "none")
    with pytest.raises(SetupError, match=r"not a run folder: no config\.yaml in it"):
        status_of(tmp_path)


def test_a_run_that_was_not_begun_has_a_status(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert render_status(status_of(tmp_path)).startswith("0 scans listed in 0 shards\n")


def test_prepared_images_that_were_not_kept_still_count_as_prepared(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 3)
    decided = [
        (SEGMENT, None),
        (PREPARE, Reason.ARCHIVE_EMPTY),
        (SEGMENT, Reason.LABEL_UNKNOWN),
    ]
    publish(tmp_path, SEGMENT, 0, *decided)
    prepared = status_of(tmp_path).steps[0]
    assert (prepared.n_done, prepared.n_failed, prepared.n_left) == (2, 1, 0)
    assert prepared.n_failed_by_reason == {Reason.ARCHIVE_EMPTY: 1}


def test_radiomics_are_told_of_once_they_were_begun(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 2)
    assert [step.step for step in run(tmp_path).steps] == [PREPARE, SEGMENT, MEASURE]
    decided = (("measure_radiomics", None), (SEGMENT, Reason.LABEL_UNKNOWN))
    publish(tmp_path, "measure_radiomics", 0, *decided)
    *_, measured, radiomics = run(tmp_path).steps
    assert (measured.n_done, measured.n_left) == (0, 2)
    assert (radiomics.n_done, radiomics.n_failed_before, radiomics.n_left) == (1, 1, 0)
