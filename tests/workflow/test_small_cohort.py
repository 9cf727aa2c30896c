"""A small cohort with labelmaps through the real workflow."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doubles.cohorts import BIN, Run, TinyCohort
from doubles.places import REPOSITORY
from organome.domain.schemes import MRSEGMENTATOR
from organome.io.tables.pictures import pictures_path
from organome.io.tables.schemes import scheme_content
from organome.steps.cluster.recompute import run as recompute
from organome.steps.upkeep.switch import run as switch
from organome.steps.upkeep.try_version import run as try_version
from organome.steps.upkeep.withdraw import run as withdraw

STEPS = ("prepare_images", "segment_organs", "measure_volumes")
COLLECT = [("check_quality", None), ("collect_tables", None), ("write_report", None)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a cohort of 5 in two shards, run; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished")
    TinyCohort(folder / "cohort").add(5)
    Run(folder / "run", shard_size=3).whole()
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the same cohort elsewhere, labelmaps packed, images not kept, and pictures drawn."""
    folder = tmp_path_factory.mktemp("elsewhere")
    TinyCohort(folder / "cohort").add(5)
    packed(Run(folder / "run", shard_size=3, more="keep_images: false\n", pictures=True)).whole()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)  # with the times of all files
    return copy


def run_in(folder: Path) -> Run:
    run = Run.__new__(Run)
    run.folder = folder / "run"
    return run


def packed(run: Run) -> Run:
    """Ask for labelmaps in one archive."""
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("device: cpu", "device: cpu, pack: true"))
    return run


def jobs_of(shard: str) -> list[tuple[str, str | None]]:
    return [(step, shard) for step in STEPS]


def test_every_listed_scan_has_forty_organ_rows(folder: Path) -> None:
    tables = folder / "run" / "results" / "tables"
    assert pq.read_table(tables / "scans").num_rows == 5
    organs = pq.read_table(tables / "organs")
    assert organs.num_rows == 5 * 40
    assert set(organs.group_by("scan").aggregate([([], "count_all")])["count_all"].to_pylist()) == {
        40
    }


def test_who_withdrew_stays_away_and_costs_one_collection(folder: Path, tmp_path: Path) -> None:
    run, names = run_in(folder), tmp_path / "list.csv"
    before = pq.read_table(folder / "run/results/tables/organs").to_pylist()
    names.write_text("p004\np005\n")  # all of the second shard
    assert withdraw(run.folder, list=names).n_scans == 2
    result = run.whole()  # listed again, with their images still delivered
    assert result.jobs == COLLECT
    after = pq.read_table(folder / "run/results/tables/organs").to_pylist()
    assert after == [row for row in before if row["participant"] not in ("p004", "p005")]


@pytest.mark.slow
def test_a_shard_of_which_everybody_withdrew_can_be_done_again(
    folder: Path, tmp_path: Path
) -> None:
    run, names = run_in(folder), tmp_path / "list.csv"
    names.write_text("p004\np005\n")
    withdraw(run.folder, list=names)
    forced = run.snakemake("--forceall")
    assert forced.returncode == 0, forced.output
    assert pq.read_table(folder / "run/results/tables/scans").num_rows == 3


def test_a_scan_that_is_recomputed_is_the_same_but_for_what_somebody_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    run = run_in(folder).folder
    labelmap = run / "results/segment_organs/0000/0000-0001_labels.nii.gz"
    labelmap.write_bytes(labelmap.read_bytes() + b"\0")
    done = recompute("0000-0001", run, check=True)
    assert (done.n_rows, done.n_files, done.holds) == (41, 2, False)
    assert done.differences == ("segment_organs: 0000-0001_labels.nii.gz has other bytes",)
    assert not list((run / "work" / "recompute").iterdir())


@pytest.mark.slow
def test_a_version_is_made_beside_and_switched_to_without_a_job(folder: Path) -> None:
    run, before = run_in(folder), run_in(folder).tables()
    try_version(run.folder, "repaired", set=["segment.repair_sides=true"])
    version = Run.__new__(Run)
    version.folder = run.folder / "versions" / "repaired"
    done = version.whole()
    assert ("prepare_images", "0000") not in done.jobs
    assert ("segment_organs", "0000") in done.jobs
    after = version.tables()
    switch(run.folder, "repaired")
    assert (run.tables(), "repair_sides: true" in (run.folder / "config.yaml").read_text()) == (
        after,
        True,
    )
    assert run.whole().jobs == []
    switch(run.folder, "before", old_name="repaired")
    assert run.tables() == before
    assert run.whole().jobs == []


def test_a_second_run_does_nothing(folder: Path) -> None:
    result = run_in(folder).whole()
    assert result.jobs == []
    assert "Nothing to be done" in result.output


def test_a_new_participant_runs_one_new_shard_and_the_collection(folder: Path) -> None:
    shutil.rmtree(folder / "cohort")
    TinyCohort(folder / "cohort").add(6)
    result = run_in(folder).whole()
    assert result.jobs == sorted([*jobs_of("0002"), *COLLECT])
    tables = folder / "run" / "results" / "tables"
    assert pq.read_table(tables / "scans").num_rows == 6
    assert run_in(folder).rest().jobs == []


def test_deleted_labelmaps_of_a_shard_rerun_that_shard_only(folder: Path) -> None:
    run = run_in(folder)
    before = run.tables()
    shutil.rmtree(folder / "run" / "results" / "segment_organs" / "0001")
    result = run.rest()
    assert result.jobs == sorted(
        [("segment_organs", "0001"), ("measure_volumes", "0001"), *COLLECT]
    )
    assert run.tables() == before
    assert run.rest().jobs == []


def test_a_changed_setting_reruns_what_depends_on_it(folder: Path) -> None:
    run = run_in(folder)
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("mrsegmentator", "totalsegmentator_mr"))
    result = run.snakemake("--dry-run")
    assert {rule for rule, _ in result.jobs} == {
        "segment_organs",
        "measure_volumes",
        "collect_tables",
        "check_quality",
        "write_report",
    }


def test_packed_labelmaps_give_the_same_tables(finished: Path, elsewhere: Path) -> None:
    run = run_in(elsewhere)
    for shard in ("0000", "0001"):
        names = {path.name for path in (run.folder / "results/segment_organs" / shard).iterdir()}
        assert "labelmaps.zip" in names
        assert not [name for name in names if name.endswith(".nii.gz")]
    assert run.tables() == run_in(finished).tables()
    assert run.rest().jobs == []


def test_packing_from_now_on_starts_nothing_again(folder: Path) -> None:
    assert packed(run_in(folder)).rest().jobs == []


def test_a_changed_scheme_file_makes_the_labelmaps_again(folder: Path) -> None:
    run = run_in(folder)
    content = scheme_content(MRSEGMENTATOR) | {"structures": ["liver", "spleen"], "notes": {}}
    for told in content["classes"].values():
        told["becomes"] = told["class"] if told["class"] in ("liver", "spleen") else None
    scheme = run.folder / "two.json"
    scheme.write_text(json.dumps(content))
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("mrsegmentator", scheme.name))
    run.rest()
    organs = pq.read_table(run.folder / "results" / "tables" / "organs")
    assert organs.num_rows == 5 * 2
    assert set(organs["organ"].to_pylist()) == {"liver", "spleen"}
    assert run.rest().jobs == []
    content["classes"]["1"]["becomes"] = None
    scheme.write_text(json.dumps(content))
    assert {rule for rule, _ in run.snakemake("--dry-run").jobs} == {
        "segment_organs",
        "measure_volumes",
        "collect_tables",
        "check_quality",
        "write_report",
    }


def test_tables_are_the_same_bytes_on_another_day_in_another_folder(
    finished: Path, elsewhere: Path
) -> None:
    assert run_in(elsewhere).tables() == run_in(finished).tables()


@pytest.mark.parametrize("seed", [1])
def test_killed_three_times_gives_the_same_tables(
    finished: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    other = tmp_path / "other"
    TinyCohort(other / "cohort").add(5)
    run = Run(other / "run", shard_size=3)
    assert run.snakemake("list_scans").returncode == 0
    for _ in range(3):
        process = run.start("--nolock")  # a lock that is left is another test's
        time.sleep(chance.uniform(2.0, 5.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    result = run.snakemake()
    assert result.returncode == 0, result.output
    assert run.tables() == run_in(finished).tables()


def test_broken_scans_have_forty_rows_with_a_reason(tmp_path: Path) -> None:
    cohort = TinyCohort(tmp_path / "cohort")
    cohort.add(4)
    images = tmp_path / "cohort" / "images"
    (images / "001.nii.gz").write_bytes((images / "001.nii.gz").read_bytes()[:-40])
    (images / "002.nii.gz").unlink()
    (images / "003_labels.nii.gz").unlink()
    run = Run(tmp_path / "run", shard_size=10)
    run.whole()
    tables = run.folder / "results" / "tables"
    scans = {row["participant"]: row for row in pq.read_table(tables / "scans").to_pylist()}
    assert [scans[f"p00{number}"]["reason"] for number in (1, 2, 3, 4)] == [
        "file_broken",
        "file_missing",
        "labelmap_missing",
        None,
    ]
    assert scans["p003"]["failed_step"] == "segment_organs"
    organs = pq.read_table(tables / "organs").to_pylist()
    assert len(organs) == 4 * 40
    for row in organs:
        assert row["volume_ml"] != 0
        if row["participant"] != "p004":
            assert row["na_reason"] == scans[row["participant"]]["reason"]
            assert row["volume_ml"] is None


def test_deleted_images_are_made_again_only_when_needed(elsewhere: Path, tmp_path: Path) -> None:
    run = run_in(shutil.copytree(elsewhere, tmp_path / "copy"))
    assert not list(run.folder.glob("results/prepare_images/*"))
    assert run.whole().jobs == []
    before = run.tables()
    shutil.rmtree(run.folder / "results" / "measure_volumes" / "0001")
    result = run.rest()
    assert ("prepare_images", "0001") in result.jobs
    assert not [job for job in result.jobs if job[1] == "0000"]
    assert run.tables() == before


def test_pictures_are_drawn_before_the_images_go(elsewhere: Path) -> None:
    run = run_in(elsewhere)
    assert not list(run.folder.glob("results/prepare_images/*"))
    drawn = [
        row
        for shard in ("0000", "0001")
        for row in pq.read_table(pictures_path(run.folder / "results", shard)).to_pylist()
    ]
    assert {row["participant"] for row in drawn} == {f"p00{n}" for n in range(1, 6)}
    assert {row["picture"] for row in drawn} == {"planes", "coronal"}
    for row in drawn:
        assert row["participant"] not in row["alt_text"]
        assert row["participant"].encode() not in row["webp"]


def test_no_configuration_and_no_shards_are_said_in_words(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", shard_size=2)
    assert "list the scans first" in run.snakemake().output
    (run.folder / "config.yaml").unlink()
    assert "--configfile" in run.snakemake().output


def test_nothing_of_a_participant_stands_in_the_logs(folder: Path) -> None:
    logs = [path.read_text() for path in (folder / "run" / "logs").rglob("*.log")]
    assert len(logs) == 2 * len(STEPS) + len(["listing", "collection", "quality", "report"])
    assert not [log for log in logs if "p001" in log or "001.nii.gz" in log]


def test_no_path_of_the_repository_stands_in_the_tables(folder: Path) -> None:
    for content in run_in(folder).tables().values():
        assert str(folder).encode() not in content
        assert str(REPOSITORY).encode() not in content
