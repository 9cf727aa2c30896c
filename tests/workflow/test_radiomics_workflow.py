"""Radiomics of a small cohort through the real workflow."""

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from doubles.cohorts import Run, TinyCohort

PARAMETERS = "setting: {binWidth: 5}\n"
CONFIG = "radiomics: {contrasts: {ct: ct.yaml, water: mr}}\n"


def radiomics_jobs(*shards: str) -> list[tuple[str, str | None]]:
    jobs: list[tuple[str, str | None]] = [("measure_radiomics", shard) for shard in shards]
    once = ("check_quality", "collect_tables", "write_report")
    return sorted([*jobs, *((rule, None) for rule in once)])


def run_of(folder: Path) -> Run:
    cohort = TinyCohort(folder / "cohort")
    cohort.add(4)
    broken = folder / "cohort" / "images" / "002.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-40])
    run = Run(folder / "run", shard_size=3, more=CONFIG)
    (run.folder / "ct.yaml").write_text(PARAMETERS)
    run.whole()
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a cohort of 4, one of them broken, in two shards; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished")
    run_of(folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)  # with the times of all files
    run = Run.__new__(Run)
    run.folder = copy / "run"
    return run


def test_every_scan_has_a_row_for_each_image_and_organ(run: Run) -> None:
    tables = run.folder / "results" / "tables"
    rows = pq.read_table(tables / "radiomics").to_pylist()
    assert len({(row["scan"], row["contrast"], row["label"]) for row in rows}) == len(rows)
    assert len(rows) == 4 * 2 * 40
    liver = {(row["participant"], row["contrast"]): row for row in rows if row["label"] == 5}
    assert liver["p001", "ct"]["original_glcm_Contrast"] > 0
    assert liver["p001", "water"]["na_reason"] == "contrast_missing"
    assert liver["p002", "ct"]["na_reason"] == "file_broken"
    assert liver["p002", "ct"]["original_glcm_Contrast"] is None
    dictionary = json.loads((tables / "dictionary.json").read_text())["tables"]["radiomics"]
    said = {column["name"]: column["meaning"] for column in dictionary["columns"]}
    assert "IBSI ACUI" in said["original_glcm_Contrast"]


def test_a_second_run_does_nothing_nor_do_touched_settings(run: Run) -> None:
    (run.folder / "ct.yaml").touch()
    assert run.snakemake().jobs == []


def test_other_settings_measure_radiomics_again_and_nothing_else(run: Run) -> None:
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("water: mr", "fat: mr"))
    assert run.snakemake("--dry-run").jobs == radiomics_jobs("0000", "0001")
    config.write_text(config.read_text().replace("fat: mr", "water: mr"))
    (run.folder / "ct.yaml").write_text("setting: {binWidth: 3}\n")
    assert run.snakemake().jobs == radiomics_jobs("0000", "0001")


def test_deleted_radiomics_come_back_the_same(run: Run) -> None:
    before = run.tables()
    shutil.rmtree(run.folder / "results" / "measure_radiomics" / "0001")
    assert run.snakemake().jobs == radiomics_jobs("0001")
    assert run.tables() == before


def test_images_that_are_not_kept_wait_for_radiomics(run: Run) -> None:
    before = run.tables()
    with (run.folder / "config.yaml").open("a") as config:
        config.write("keep_images: false\n")
    for step in (run.folder / "results").iterdir():
        shutil.rmtree(step / "0001", ignore_errors=True)
    jobs = run.rest().jobs
    assert {("prepare_images", "0001"), ("measure_radiomics", "0001")} <= set(jobs)
    assert [job for job in jobs if job[1] == "0000"] == [("drop_images", "0000")]
    assert not list(run.folder.glob("results/prepare_images/*"))
    assert run.rest().jobs == []
    assert run.tables() == before


def test_settings_file_that_is_not_there_is_named(run: Run) -> None:
    config = run.folder / "config.yaml"
    config.write_text(config.read_text().replace("ct.yaml", "gone.yaml"))
    result = run.snakemake()
    assert result.returncode != 0
    assert "radiomics.contrasts.ct: gone.yaml is neither a preset nor a file" in result.output


def test_setting_that_is_not_known_stops_a_dry_run(run: Run) -> None:
    (run.folder / "misspelt.yaml").write_text("setting: {binwidth: 5}\n")
    config = run.folder / "config.yaml"
    config.write_text(re.sub(r"(gone|ct)\.yaml", "misspelt.yaml", config.read_text()))
    result = run.snakemake("--dry-run")
    assert result.returncode != 0
    assert "misspelt.yaml: setting.binwidth is not known to pyradiomics" in result.output
