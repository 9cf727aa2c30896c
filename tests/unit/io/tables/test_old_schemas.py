"""Tables of old schema versions in ``tests/archive`` open for ever; nothing there is changed."""

import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from doubles.places import REPOSITORY
from organome.domain.radiomics_tables import feature_columns, radiomics_table
from organome.domain.tables import ORGAN_ROWS, SCANS, VISITS
from organome.io.tables.parquet import arrow_schema, described_table, fit_rows, read_table
from organome.steps.collect.collect_tables import run

ARCHIVE = REPOSITORY / "tests" / "archive"
VERSIONS = sorted(path.name for path in ARCHIVE.iterdir())
TABLES = {"scans": SCANS, "organs": ORGAN_ROWS, "visits": VISITS}


@pytest.mark.parametrize("version", VERSIONS)
def test_published_tables_open_with_the_columns_of_today(version: str) -> None:
    folder = ARCHIVE / version / "tables"
    features = feature_columns(pq.read_schema(folder / "radiomics" / "part-0000.parquet").names)
    for name, table in (TABLES | {"radiomics": radiomics_table(features)}).items():
        old = read_table(folder / name / "part-0000.parquet")
        described = described_table(old.schema)
        assert dict(described.facts)["schema_version"] == version.removeprefix("schema_")
        assert described.name == name
        assert [column.unit for column in described.columns if column.name == "volume_ml"] in (
            [],
            ["mL"],
        )
        fitted = fit_rows(old, table)
        assert fitted.schema.equals(arrow_schema(table))
        assert fitted.column("participant").to_pylist() == old.column("participant").to_pylist()
    livers = pd.read_parquet(folder / "visits")["liver_volume_ml"]
    assert livers.round(1).tolist()[:2] == [1001.7, 1001.8]


@pytest.mark.parametrize("version", VERSIONS)
def test_shards_that_an_old_release_measured_are_collected(version: str, tmp_path: Path) -> None:
    shutil.copytree(ARCHIVE / version, tmp_path, dirs_exist_ok=True)
    summary = run(
        scans=tmp_path / "scans",
        results=tmp_path / "results",
        output=tmp_path / "new",
        radiomics=True,
    )
    assert summary.complete
    for name in ("scans", "organs", "visits", "radiomics"):
        new, old = (
            read_table(folder / name / "part-0000.parquet")
            for folder in (tmp_path / "new", ARCHIVE / version / "tables")
        )
        assert new.select(old.column_names).to_pylist() == old.to_pylist()
