import json
from contextlib import closing
from pathlib import Path

import pytest

from doubles.measured import cohort, scan_of
from organome.domain.errors import SetupError
from organome.domain.outcomes import Attempt, Outcome, Reason, Status
from organome.domain.scans import Contrast, Source
from organome.shards.journal import Journal
from organome.steps.collect.collect_tables import run as collect_tables
from organome.steps.inspect.show import ScanHistory, run

PEOPLE = ("70001", "70009")
DONE = Outcome("0000-0000", "prepare_images", Status.DONE, "f" * 64)
FAILED = Outcome(
    "0000-0001", "prepare_images", Status.FAILED, "g", Reason.STATION_MISSING, "5 of 6 stations"
)
ATTEMPT = Attempt({"0000-0000_water.nii.gz": 12}, "a", "node7", 3.25, "2026-03-01T10:00:00+00:00")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    sources = (Source("/data/70001/water.nii.gz", Contrast.WATER), Source("/data/70001.zip"))
    places = cohort(folder, [[scan_of(one, sources=sources) for one in PEOPLE]])
    collect_tables(**places, output=folder / "results/tables")
    for step in ("prepare_images", "segment_organs"):
        with closing(Journal(folder / "results" / step / "0000" / "journal.jsonl")) as journal:
            journal.append_outcome(DONE, ATTEMPT)
            journal.append_outcome(FAILED, Attempt())
    log = folder / "logs" / "prepare_images" / "0000.log"
    log.parent.mkdir(parents=True)
    log.write_text("event=scan_done scan=0000-0000\nevent=scan_failed scan=0000-0001\n")
    return folder


def test_the_history_of_a_scan_that_went_through(folder: Path) -> None:
    text = str(run("0000-0000", folder))
    for line in (
        "scan 0000-0000",
        "listed: cohort demo, protocol dixon, instance 2, array 0, files: water 1, "
        "files: by their headers 1",
        "prepare_images: done",
        "  2026-03-01T10:00:00+00:00 on node7, 3.2 s",
        "  0000-0000_water.nii.gz, 12 bytes",
        "organs: 39 not_found, 1 implausibly_large",
        "log of prepare_images: event=scan_done scan=0000-0000",
    ):
        assert line in text.splitlines(), text


def test_the_history_of_a_scan_that_failed_says_where_and_why(folder: Path) -> None:
    history = run("0000-0001", folder)
    assert isinstance(history, ScanHistory)
    lines = str(history).splitlines()
    assert "prepare_images: failed, station_missing: 5 of 6 stations" in lines
    assert "segment_organs: failed (in prepare_images), station_missing: 5 of 6 stations" in lines
    assert history.organs == {"station_missing": 40}
    assert len(history.log) == 1


def test_nobody_is_named_in_text_or_json(folder: Path) -> None:
    content = run("0000-0000", folder, json=True)
    assert isinstance(content, str)
    assert json.loads(content)["steps"][0]["attempt"]["host"] == "node7"
    assert not any("7000" in text for text in (content, str(run("0000-0000", folder))))


@pytest.mark.parametrize(
    ("scan", "says"),
    [
        ("0000-0007", "0000-0007: not in the list of its shard"),
        ("0009-0000", "no such shard is listed"),
        ("70001", "a key is shard and place"),
    ],
)
def test_what_is_no_scan_is_refused_without_repeating_a_name(
    folder: Path, scan: str, says: str
) -> None:
    with pytest.raises(SetupError, match=says) as refused:
        run(scan, folder)
    assert "70001" not in str(refused.value).replace(str(folder), "")
