import json
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from organome.domain.errors import SetupError
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.domain.scans import Scan
from organome.domain.tables import SCANS
from organome.io.runs import open_run
from organome.io.tables.ledgers import write_ledger
from organome.io.tables.parquet import rows_to_arrow, write_table
from organome.io.tables.scan_lists import write_shard
from organome.shards.journal import Journal
from organome.shards.lease import Lease
from organome.steps.inspect.status import CohortStatus, StepStatus, read_status, run

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
    with closing(Journal(path)) as lines:
        for outcome in decided:
            lines.append_outcome(outcome, Attempt())


def status_of(folder: Path) -> CohortStatus:
    return read_status(open_run(folder), now=datetime(2026, 1, 1, 12, tzinfo=UTC))


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


def test_a_damaged_ledger_is_said_and_its_scans_are_counted_by_the_journal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    list_shard(tmp_path, 0, 2)
    decided = ((PREPARE, None), (PREPARE, Reason.FILE_MISSING))
    publish(tmp_path, PREPARE, 0, *decided)
    journal(tmp_path / "results" / PREPARE / "0000" / "journal.jsonl", outcomes(0, *decided))
    whole = status_of(tmp_path)
    ledger = tmp_path / "results" / PREPARE / "0000" / "ledger.parquet"
    content = ledger.read_bytes()
    flipped = content[:20] + bytes([content[20] ^ 255]) + content[21:]
    for damaged in (b"", content[:-9], flipped):
        ledger.write_bytes(damaged)
        assert status_of(tmp_path).steps == whole.steps
        assert f"{ledger}: cannot be read" in caplog.text
        caplog.clear()
        assert ledger.exists()  # to look at a run changes nothing


@pytest.mark.parametrize("name", ["scans/0000.parquet", "results/tables/scans/part-0000.parquet"])
def test_a_damaged_table_is_named(tmp_path: Path, name: str) -> None:
    list_shard(tmp_path, 0, 2)
    write_table(tmp_path / "results/tables/scans/part-0000.parquet", rows_to_arrow(SCANS, []))
    (tmp_path / name).write_bytes(b"PAR1 and no more")
    with pytest.raises(SetupError, match=f"{name}: cannot be read"):
        status_of(tmp_path)


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
    text = str(status_of(tmp_path))
    assert text.splitlines() == [
        "3 scans listed in 1 shard",
        "",
        "step                   done    failed  failed before   running      left  s/scan  peak GB",
        "prepare_images            0         3              0         0         0       -        -",
        "segment_organs            0         0              0         0         3       -        -",
        "measure_volumes           0         0              0         0         3       -        -",
        "",
        "no scan in the tables",
        "",
        "failed in             scans reason",
        "prepare_images            2 station_missing",
        "prepare_images            1 archive_empty",
    ]


def test_no_participant_is_printed(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 2)
    publish(tmp_path, PREPARE, 0, (PREPARE, None), (PREPARE, Reason.NOT_3D))
    assert "pseudonym" not in str(status_of(tmp_path))
    assert "what was found" not in str(status_of(tmp_path))


def test_a_folder_that_is_not_a_run_folder_has_no_status(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such run folder"):
        status_of(tmp_path / "none")
    with pytest.raises(SetupError, match=r"not a run folder: no config\.yaml in it"):
        status_of(tmp_path)


def test_a_run_that_was_not_begun_has_a_status(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    assert str(status_of(tmp_path)).startswith("0 scans listed in 0 shards; `organome run`")


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


CONFIG = "cohort: {name: c, kind: ukb, root: .}\nsegment: {source: labelmaps}\n"


def test_a_step_that_is_no_longer_wanted_is_not_waited_for(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 1)
    publish(tmp_path, "measure_radiomics", 0, ("measure_radiomics", None))
    list_shard(tmp_path, 1, 1)
    for shard in (0, 1):
        publish(tmp_path, MEASURE, shard, (MEASURE, None))
    assert not status_of(tmp_path).is_over
    (tmp_path / "config.yaml").write_text(CONFIG + "pictures: {enabled: false}\n")
    assert status_of(tmp_path).is_over


def test_a_step_that_is_wanted_is_left_before_it_is_begun(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 1)
    publish(tmp_path, MEASURE, 0, (MEASURE, None))
    (tmp_path / "config.yaml").write_text(CONFIG)
    status = status_of(tmp_path)
    assert (status.steps[-1].step, status.steps[-1].n_left) == ("draw_pictures", 1)
    assert not status.is_over


def test_radiomics_are_told_of_once_they_were_begun(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 2)
    assert [step.step for step in status_of(tmp_path).steps] == [PREPARE, SEGMENT, MEASURE]
    decided = (("measure_radiomics", None), (SEGMENT, Reason.LABEL_UNKNOWN))
    publish(tmp_path, "measure_radiomics", 0, *decided)
    *_, measured, radiomics = status_of(tmp_path).steps
    assert (measured.n_done, measured.n_left) == (0, 2)
    assert (radiomics.n_done, radiomics.n_failed_before, radiomics.n_left) == (1, 1, 0)


def finished(outcomes: Sequence[Outcome], at: str) -> dict[str, Attempt]:
    return {one.scan: Attempt(finished_at=at) for one in outcomes}


def test_rate_and_time_to_go_come_from_the_last_hour(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 3)
    list_shard(tmp_path, 1, 30)
    decided = outcomes(0, *[(PREPARE, None)] * 3)
    path = tmp_path / "results" / PREPARE / "0000" / "ledger.parquet"
    write_ledger(path, decided, finished(decided, "2026-01-01T11:30:00+00:00"))
    status = status_of(tmp_path)
    assert status.steps[0].per_hour == pytest.approx(6)
    assert status.steps[0].to_go_h == pytest.approx(5)
    assert "about 5 hours to go: prepare_images does 6 scans an hour" in str(status)
    write_ledger(path, decided, finished(decided, "2026-01-01T10:30:00+00:00"))
    assert status_of(tmp_path).steps[0].per_hour is None
    assert "to go" not in str(status_of(tmp_path))


def test_json_holds_what_the_text_does(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 2)
    publish(tmp_path, PREPARE, 0, (PREPARE, None), (PREPARE, Reason.NOT_3D))
    text = run(tmp_path, json=True)
    assert isinstance(text, str)
    content = json.loads(text)
    assert (content["n_listed"], content["is_over"]) == (2, False)
    assert content["steps"][0]["n_failed_by_reason"] == {"not_3d": 1}


def test_watching_ends_when_nothing_is_left(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 1)
    seen: list[str] = []

    def go_on(text: str) -> None:
        seen.append(text)
        for step in (PREPARE, SEGMENT, MEASURE):
            publish(tmp_path, step, 0, (PREPARE, Reason.NOT_3D))

    status = run(tmp_path, watch=True, every_s=0.01, on_status=go_on)
    assert isinstance(status, CohortStatus)
    assert status.is_over
    assert len(seen) == 1


def test_the_status_of_a_run_with_a_phantom_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "cohort: {name: c, kind: ukb, root: .}\nsegment: {model: phantom}\n"
    )
    assert "trained on phantoms, its labels of people mean nothing" in str(status_of(tmp_path))


def test_shards_failed_scans_memory_and_seconds_are_shown_on_request(tmp_path: Path) -> None:
    list_shard(tmp_path, 0, 2)
    list_shard(tmp_path, 1, 3)
    decided = outcomes(0, (PREPARE, None), (PREPARE, Reason.NOT_3D))
    path = tmp_path / "results" / PREPARE / "0000" / "ledger.parquet"
    write_ledger(path, decided, {"0000-0000": Attempt(elapsed_s=2.5)})
    benchmark = tmp_path / "logs" / "benchmarks" / PREPARE / "0000.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\tmax_rss\n3.0\t1907.35\n")
    with Lease.take(tmp_path / "work" / PREPARE / "0001"):
        shown = run(tmp_path, shards=True, failed=True)
        content = json.loads(str(run(tmp_path, json=True)))
    assert isinstance(shown, CohortStatus)
    assert shown.steps[0].n_running == 3
    assert (shown.steps[0].median_s, shown.steps[0].peak_gb) == (2.5, pytest.approx(2.0))
    first, *_, second, _, _ = shown.shards
    assert (first.state, first.n_done, first.n_failed, first.n_left) == ("published", 1, 1, 0)
    assert (second.shard, second.state, second.n_left) == ("0001", "running", 3)
    text = str(shown)
    assert "0000    prepare_images    published       1       1      0     2.5     2.00" in text
    assert "0000-0001   prepare_images    not_3d" in text
    assert "pseudonym" not in text
    assert content["failed"] == [{"scan": "0000-0001", "step": PREPARE, "reason": "not_3d"}]
    assert len(content["shards"]) == 6
