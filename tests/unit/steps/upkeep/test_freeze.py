"""Releases of tables: whole, checked, described, and never changed but by who withdraws."""

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rocrate.rocrate import ROCrate

from doubles.measured import cohort, scan_of
from organome.domain.errors import SetupError
from organome.io.runs import open_run
from organome.io.tables.parquet import write_table
from organome.steps.collect.collect_tables import run as collect_tables
from organome.steps.upkeep.freeze import releases, run
from organome.steps.upkeep.methods import run as methods
from organome.steps.upkeep.withdraw import run as withdraw

CONFIG = "cohort: {name: demo, kind: folder, root: ../cohort.tsv}\nsegment: {source: labelmaps}\n"
FIRST = [scan_of(f"{700000 + 10 * number}") for number in range(3)] + [scan_of("700009")]
LATER = [scan_of("700000", "3")]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Freeze a cohort of four scans."""
    folder = tmp_path_factory.mktemp("frozen") / "run"
    collect(folder, [FIRST])
    (folder / "config.yaml").write_text(CONFIG)
    run(folder, "2026-01")
    return folder


@pytest.fixture
def folder(frozen: Path, tmp_path: Path) -> Path:
    shutil.copytree(frozen, tmp_path / "run")
    return tmp_path / "run"


def collect(folder: Path, deliveries: list[list[object]]) -> None:
    places = cohort(folder, deliveries)  # type: ignore[arg-type]
    collect_tables(**places, output=folder / "results/tables")


def sums_hold(release: Path) -> bool:
    """Check all checksums, and that no file is without one."""
    lines = (release / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = {str(one.relative_to(release)): one for one in release.rglob("*") if one.is_file()}
    del files["SHA256SUMS"]
    found = {name: hashlib.sha256(one.read_bytes()).hexdigest() for name, one in files.items()}
    return found == sums


def test_a_release_has_the_tables_and_the_sums_of_all_its_files(frozen: Path) -> None:
    release = frozen / "releases" / "2026-01"
    assert sums_hold(release)
    for path in (frozen / "results/tables").rglob("*.*"):
        assert (release / path.relative_to(frozen / "results")).read_bytes() == path.read_bytes()
    inputs = (release / "inputs.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in inputs[1:]] == [
        f"0000-000{place}" for place in range(4)
    ]
    assert "first release" in (release / "changes.md").read_text()


def test_the_crate_can_be_read_and_names_every_file(frozen: Path) -> None:
    release = frozen / "releases" / "2026-01"
    crate = ROCrate(release)
    described = {one.id for one in crate.data_entities}
    files = {str(one.relative_to(release)) for one in release.rglob("*") if one.is_file()}
    assert files - described == {"ro-crate-metadata.json", "SHA256SUMS"}
    assert crate.name == "Organ tables, release 2026-01"
    assert crate.get("#collection")["instrument"][0]["name"] == "Organome"


def test_the_methods_paragraph_has_the_counts_of_the_run(frozen: Path) -> None:
    text = methods(frozen)
    for said in (
        "in 4 listed scans (dixon) of 4 participants at 4 visits of demo.",
        "Stations of a scan were stitched to one image.",
        "3 scans (75.0 %) went through all steps. The others did not: station_missing 1.",
        "0 of 120 organs of these scans; no volume for the others (not_found 117, "
        "implausibly_large 3).",
        "- The Organome developers.",
    ):
        assert said in text
    assert "7000" not in text
    release = frozen / "releases" / "2026-01"
    assert (release / "methods.md").read_text() == text


def test_a_release_is_not_written_twice_nor_without_whole_tables(folder: Path) -> None:
    with pytest.raises(SetupError, match="a release does not change"):
        run(folder, "2026-01")
    with pytest.raises(SetupError, match="named by letters"):
        run(folder, "../x")
    (folder / "results/measure_volumes/0000/ledger.parquet").unlink()
    places = {"scans": folder / "scans", "results": folder / "results"}
    collect_tables(**places, output=folder / "results/tables")
    with pytest.raises(SetupError, match="shards are left"):
        run(folder, "2026-02")
    assert not run(folder, "2026-02", partial=True).complete


def test_changes_say_what_came_went_and_became_another_number(folder: Path) -> None:
    collect(folder, [FIRST, LATER])
    part = folder / "results/tables/organs/part-0000.parquet"
    rows = pq.read_table(part)
    livers = [row for row in rows.to_pylist() if row["organ"] == "liver" and row["n_voxels"]]
    before = folder / "releases/2026-01/tables/organs/part-0000.parquet"
    for path, volume_ml in ((before, 1000.0), (part, 1100.0)):
        changed = pq.read_table(path).to_pylist()
        for row in changed:
            if row["scan"] == livers[0]["scan"] and row["organ"] == "liver":
                row["volume_ml"] = volume_ml
        write_table(path, rows.from_pylist(changed, schema=rows.schema))
    release = run(folder, "2026-02")
    assert release.before == "2026-01"
    text = (folder / "releases/2026-02/changes.md").read_text()
    assert "1 scan came" in text
    assert "1 of 160 organ rows with another volume (1 organ):" in text
    assert "liver: 1 rows, on average +10.00 %" in text
    assert "went" not in text
    assert "7000" not in text
    assert [one.name for one in releases(open_run(folder))] == ["2026-01", "2026-02"]


def test_who_withdraws_leaves_the_releases_which_say_so(folder: Path, tmp_path: Path) -> None:
    names = tmp_path / "list.csv"
    names.write_text("700010\n")
    done = withdraw(folder, list=names)
    release = folder / "releases" / "2026-01"
    assert sums_hold(release)
    assert json.loads((release / "release.json").read_text())["amended"] == [done.date]
    assert pq.read_table(release / "tables/scans")["participant"].to_pylist() == [
        "700000",
        "700009",
        "700020",
    ]
    assert "0000-0001" not in (release / "inputs.tsv").read_text()
