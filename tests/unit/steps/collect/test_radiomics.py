"""Radiomics in the tables of a cohort: checked, in the order of the others, bytes of the rows."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import SpecCluster

from doubles.measured import cohort, scan_of
from doubles.radiomics import NOISY, STEADY, write_radiomics_shards
from organome.io.tables.parquet import read_table
from organome.steps.collect import parts
from organome.steps.collect.collect_tables import _write_tables, run
from organome.steps.collect.found import Notes
from organome.steps.collect.shards import Published
from organome.steps.collect.workers import on_cluster

DELIVERIES = (
    [scan_of("001"), scan_of("003"), scan_of("009")],
    [scan_of("005"), scan_of("010")],
    [scan_of("001", "3"), scan_of("001", protocol="ct"), scan_of("002")],
)


@pytest.fixture
def measured(tmp_path: Path) -> dict[str, Path]:
    made = cohort(tmp_path / "m", DELIVERIES)
    write_radiomics_shards(made["results"])
    return made


def radiomics(tables: Path) -> list[dict[str, Any]]:
    files = sorted((tables / "radiomics").glob("part-*.parquet"))
    rows: list[dict[str, Any]] = pa.concat_tables(map(read_table, files)).to_pylist()
    return rows


def bytes_of(tables: Path) -> dict[str, bytes]:
    files = (path for path in tables.rglob("*") if path.is_file())
    return {str(path.relative_to(tables)): path.read_bytes() for path in files}


def test_rows_are_those_of_the_organ_table_once_for_each_image(
    tmp_path: Path, measured: dict[str, Path]
) -> None:
    summary = run(**measured, output=tmp_path / "t", radiomics=True)
    rows = radiomics(tmp_path / "t")
    assert len(rows) == summary.n_radiomics_rows == 8 * 40 * 2
    organs = read_table(tmp_path / "t" / "organs" / "part-0000.parquet").to_pylist()
    for contrast in ("fat_fraction", "water"):
        of_contrast = [row for row in rows if row["contrast"] == contrast]
        for name in ("scan", "participant", "label", "organ", "na_reason"):
            assert [row[name] for row in of_contrast] == [row[name] for row in organs]
        assert [row[STEADY] for row in of_contrast] == [row["volume_ml"] for row in organs]


def test_bin_width_too_large_for_most_organs_is_said(
    tmp_path: Path, measured: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    run(**measured, output=tmp_path / "t", radiomics=True, scans_per_file=2)
    (said,) = [record.getMessage() for record in caplog.records if "grey" in record.getMessage()]
    n_organs = sum(row["n_grey_levels"] is not None for row in radiomics(tmp_path / "t")) // 2
    assert said.startswith(f"radiomics of water: {n_organs} of {n_organs} organs have fewer than 8")


def test_dictionary_describes_the_features(tmp_path: Path, measured: dict[str, Path]) -> None:
    run(**measured, output=tmp_path / "with", radiomics=True)
    run(**measured, output=tmp_path / "without")
    tables = [
        json.loads((tmp_path / name / "dictionary.json").read_text())["tables"]
        for name in ("with", "without")
    ]
    assert set(tables[0]) - set(tables[1]) == {"radiomics"}
    columns = {column["name"]: column for column in tables[0]["radiomics"]["columns"]}
    assert "IBSI Q4LE" in columns[STEADY]["meaning"]
    assert "mean over directions" in columns[NOISY]["meaning"]
    assert not (tmp_path / "without" / "radiomics").exists()


def test_files_hold_the_scans_of_the_other_tables(
    tmp_path: Path, measured: dict[str, Path]
) -> None:
    run(**measured, output=tmp_path / "t", radiomics=True, scans_per_file=2)
    files = sorted((tmp_path / "t" / "scans").iterdir())
    assert len(files) > 2
    for part in files:
        beside = read_table(tmp_path / "t" / "radiomics" / part.name)
        scans = read_table(part).column("scan").to_pylist()
        assert list(dict.fromkeys(beside.column("scan").to_pylist())) == scans


def test_few_rows_are_in_memory_at_a_time(
    tmp_path: Path, measured: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROW_GROUP_ROWS", 3 * 80)
    run(**measured, output=tmp_path / "t", radiomics=True)
    written = pq.ParquetFile(tmp_path / "t" / "radiomics" / "part-0000.parquet")
    sizes = [written.metadata.row_group(n).num_rows for n in range(written.num_row_groups)]
    assert sizes == [240, 240, 160]


def test_bytes_are_the_same_by_threads_and_by_dask_workers(
    tmp_path: Path, measured: dict[str, Path], dask_workers: SpecCluster
) -> None:
    run(**measured, output=tmp_path / "one", radiomics=True, scans_per_file=2)
    run(
        **measured,
        output=tmp_path / "many",
        radiomics=True,
        scans_per_file=2,
        n_workers=3,
    )
    published, shards = Published(**measured), ["0000", "0001", "0002"]
    with on_cluster(dask_workers, n_jobs=2, patience_s=60) as compute:
        dask, _, _ = _write_tables(
            *(published, shards, True, 2, tmp_path / "dask", tmp_path / "new", compute),
            mixed_models=False,
            notes=Notes(None),
        )
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "many") == bytes_of(dask)
