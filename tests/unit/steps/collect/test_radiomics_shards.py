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
from organome.domain.errors import SetupError
from organome.io.tables.ledgers import LEDGER
from organome.io.tables.parquet import read_table, write_table
from organome.steps.collect import radiomics_shards
from organome.steps.collect.cluster_tasks import on_cluster
from organome.steps.collect.collect_tables import _write_tables, run

DELIVERIES = (
    [scan_of("001"), scan_of("003"), scan_of("009")],
    [scan_of("005"), scan_of("010")],
    [scan_of("001", "3"), scan_of("001", protocol="ct"), scan_of("002")],
)


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    listed = cohort(tmp_path / "m", DELIVERIES)
    write_radiomics_shards(tmp_path / "m", tmp_path / "r")
    return listed


def radiomics(tables: Path) -> list[dict[str, Any]]:
    parts = sorted((tables / "radiomics").glob("part-*.parquet"))
    rows: list[dict[str, Any]] = pa.concat_tables(map(read_table, parts)).to_pylist()
    return rows


def bytes_of(tables: Path) -> dict[str, bytes]:
    files = (path for path in tables.rglob("*") if path.is_file())
    return {str(path.relative_to(tables)): path.read_bytes() for path in files}


def test_rows_are_those_of_the_organ_table_once_for_each_image(
    tmp_path: Path, measured: Path
) -> None:
    summary = run(measured=measured, output=tmp_path / "t", radiomics=tmp_path / "r")
    rows = radiomics(tmp_path / "t")
    assert len(rows) == summary.n_radiomics_rows == 8 * 40 * 2
    organs = read_table(tmp_path / "t" / "organs" / "part-0000.parquet").to_pylist()
    for contrast in ("fat_fraction", "water"):
        of_contrast = [row for row in rows if row["contrast"] == contrast]
        for name in ("scan", "participant", "label", "organ", "na_reason"):
            assert [row[name] for row in of_contrast] == [row[name] for row in organs]
        assert [row[STEADY] for row in of_contrast] == [row["volume_ml"] for row in organs]


def test_dictionary_tells_of_the_features(tmp_path: Path, measured: Path) -> None:
    run(measured=measured, output=tmp_path / "with", radiomics=tmp_path / "r")
    run(measured=measured, output=tmp_path / "without")
    told = [
        json.loads((tmp_path / name / "dictionary.json").read_text())["tables"]
        for name in ("with", "without")
    ]
    assert set(told[0]) - set(told[1]) == {"radiomics"}
    columns = {column["name"]: column for column in told[0]["radiomics"]["columns"]}
    assert "IBSI Q4LE" in columns[STEADY]["meaning"]
    assert "mean over directions" in columns[NOISY]["meaning"]
    assert not (tmp_path / "without" / "radiomics").exists()


def test_files_hold_the_scans_of_the_other_tables(tmp_path: Path, measured: Path) -> None:
    run(measured=measured, output=tmp_path / "t", radiomics=tmp_path / "r", scans_per_file=2)
    parts = sorted((tmp_path / "t" / "scans").iterdir())
    assert len(parts) > 2
    for part in parts:
        beside = read_table(tmp_path / "t" / "radiomics" / part.name)
        scans = read_table(part).column("scan").to_pylist()
        assert list(dict.fromkeys(beside.column("scan").to_pylist())) == scans


def test_few_rows_are_in_memory_at_a_time(
    tmp_path: Path, measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radiomics_shards, "ROW_GROUP_ROWS", 3 * 80)
    run(measured=measured, output=tmp_path / "t", radiomics=tmp_path / "r")
    written = pq.ParquetFile(tmp_path / "t" / "radiomics" / "part-0000.parquet")
    sizes = [written.metadata.row_group(n).num_rows for n in range(written.num_row_groups)]
    assert sizes == [240, 240, 160]


def test_bytes_are_the_same_by_threads_and_by_dask_workers(
    tmp_path: Path, measured: Path, dask_workers: SpecCluster
) -> None:
    run(measured=measured, output=tmp_path / "one", radiomics=tmp_path / "r", scans_per_file=2)
    run(
        measured=measured,
        output=tmp_path / "many",
        radiomics=tmp_path / "r",
        scans_per_file=2,
        n_workers=3,
    )
    folders = [Path(line) for line in measured.read_text().splitlines()]
    with on_cluster(dask_workers, n_jobs=2, patience_s=60) as compute:
        _write_tables(folders, tmp_path / "r", 2, tmp_path / "dask", compute)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "many") == bytes_of(tmp_path / "dask")


def broken(rows: pa.Table, how: str) -> pa.Table:
    match how:
        case "a row is missing":
            return rows.slice(1)
        case "a row is there twice":
            return pa.concat_tables([rows, rows.slice(0, 1)])
        case "other settings":
            place = rows.schema.get_field_index("settings_digest")
            return rows.set_column(place, rows.schema.field(place), [["other"] * len(rows)])
        case "mixed settings":
            place = rows.schema.get_field_index("settings_digest")
            digests = ["other", *rows.column("settings_digest").to_pylist()[1:]]
            return rows.set_column(place, rows.schema.field(place), [digests])
        case _:
            return rows.drop_columns([NOISY])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a row is missing", "does not hold a row for each"),
        ("a row is there twice", "does not hold a row for each"),
        ("other settings", "other settings than in shard 0000"),
        ("mixed settings", "mixes settings"),
        ("a feature is missing", "other settings than in shard 0000"),
    ],
)
def test_shards_that_are_not_whole_or_do_not_match_stop_it(
    tmp_path: Path, measured: Path, how: str, said: str
) -> None:
    path = tmp_path / "r" / "0001" / "radiomics.parquet"
    write_table(path, broken(read_table(path), how))
    with pytest.raises(SetupError, match=f"shard 0001: .*{said}"):
        run(measured=measured, output=tmp_path / "t", radiomics=tmp_path / "r")
    assert not (tmp_path / "t").exists()


def test_shard_that_was_not_measured_stops_it(tmp_path: Path, measured: Path) -> None:
    (tmp_path / "r" / "0002" / LEDGER).unlink()
    with pytest.raises(SetupError, match=r"shard 0002: .*missing"):
        run(measured=measured, output=tmp_path / "t", radiomics=tmp_path / "r")
