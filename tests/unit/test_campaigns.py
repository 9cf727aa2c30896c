"""A campaign sees what it is there to see: planted here are the broken promises themselves."""

import random
from pathlib import Path

import pytest

from campaigns.cohorts import ListedCohort
from campaigns.damage import DAMAGES, TARGETS, damage_one, target_of
from campaigns.promises import broken_promises
from campaigns.runs import CampaignRun

PARTICIPANT = "p730291001"


@pytest.fixture
def run(tmp_path: Path) -> CampaignRun:
    """A run folder that is through, with what a run leaves."""
    folder = tmp_path / "run"
    files = {
        "results/tables/scans/part-0.parquet": b"scans",
        "results/prepare_images/0000/ledger.parquet": b"ledger",
        "results/prepare_images/0000/journal.jsonl": b"journal",
        "results/prepare_images/0000/0000-0000_ct.nii.gz": b"image",
        "work/prepare_images/0001/lease/000001": b"lease",
        "work/prepare_images/0001/journals/000001-a.jsonl": b"journal",
        "logs/prepare_images/0000.log": b"event=scan_done scan=0000-0000",
        "scans/0000.parquet": PARTICIPANT.encode(),
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    trace = tmp_path / "trace"
    trace.mkdir()
    (trace / "-_-_1.log").write_text("1.0 event=scan_done step=prepare_images scan=0000-0000\n")
    return CampaignRun(folder)


@pytest.fixture
def cohort(run: CampaignRun) -> ListedCohort:
    return ListedCohort(run.folder.parent, frozenset({PARTICIPANT}), run.tables())


def test_a_sound_run_breaks_no_promise(run: CampaignRun, cohort: ListedCohort) -> None:
    assert broken_promises(run, cohort, redone=False) == []


def test_other_tables_are_seen(run: CampaignRun, cohort: ListedCohort) -> None:
    (run.folder / "results/tables/scans/part-0.parquet").write_bytes(b"Scans")
    (broken,) = broken_promises(run, cohort, redone=True)
    assert broken == "tables differ: scans/part-0.parquet"


def test_a_scan_that_is_finished_twice_is_seen(run: CampaignRun, cohort: ListedCohort) -> None:
    again = run.folder.parent / "trace" / "-_-_2.log"
    again.write_text("2.0 event=scan_done step=prepare_images scan=0000-0000\n")
    assert broken_promises(run, cohort, redone=False) == [
        "finished twice: prepare_images 0000-0000"
    ]
    assert broken_promises(run, cohort, redone=True) == []


@pytest.mark.parametrize("name", ["logs/x.log", f"work/{PARTICIPANT}.txt", ".snakemake/log/x.log"])
def test_a_participant_in_a_log_is_seen(run: CampaignRun, cohort: ListedCohort, name: str) -> None:
    path = run.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if PARTICIPANT in name else f"cannot read {PARTICIPANT}")
    assert broken_promises(run, cohort, redone=True) == [f"participants named in {name}"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_meets_all_kinds_of_files_but_tables_and_keeps_their_times(
    run: CampaignRun, damage: str
) -> None:
    chance = random.Random(1)
    seen = set()
    for _ in range(100):
        before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files_of(run)}
        planted = damage_one(run.folder, damage=damage, chance=chance)
        if planted is None:
            break
        kind, name = planted
        assert target_of(name) == kind
        path = run.folder / name
        assert path.stat().st_mtime_ns == before[path][1]
        changed = [one for one in before if one.read_bytes() != before[one][0]]
        assert changed in ([], [path])  # what is blank already does not change
        seen.add(kind)
        path.write_bytes(before[path][0])
    assert seen == set(TARGETS)


def files_of(run: CampaignRun) -> list[Path]:
    return [path for path in run.folder.rglob("*") if path.is_file()]
