import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from organome import __version__
from organome.domain.columns import Column, ColumnType, Table
from organome.domain.tables import COHORT_TABLES
from organome.io.tables.parquet import (
    arrow_schema,
    count_rows,
    read_table,
    rows_to_arrow,
    write_dictionary,
    write_table,
)

SMALL = Table(
    name="small",
    row="One row per scan.",
    key=("scan",),
    columns=(
        Column("scan", ColumnType.STRING, "Key of the scan.", nullable=False),
        Column("volume_ml", ColumnType.FLOAT64, "Volume.", "mL"),
        Column("truncated", ColumnType.BOOL, "Cut."),
    ),
)
ROWS = [{"scan": f"0000-{place:04d}", "volume_ml": place / 3} for place in range(7)]


@pytest.mark.parametrize("table", COHORT_TABLES, ids=lambda table: table.name)
def test_schema_carries_unit_and_meaning_of_every_column(table: Table, tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", rows_to_arrow(table, []))
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.names == [column.name for column in table.all_columns]
    for column in table.all_columns:
        field = schema.field(column.name)
        assert field.metadata[b"unit"].decode() == (column.unit or "")
        assert field.metadata[b"meaning"].decode() == column.meaning
        assert str(field.type) == column.type
        assert field.nullable is column.nullable
        assert json.loads(field.metadata.get(b"levels", b"[]")) == list(column.levels)
        assert field.metadata.get(b"missing", b"").decode() == (column.missing or "")
    assert schema.metadata[b"organome.table"].decode() == table.name
    assert schema.metadata[b"organome.schema_version"] == b"2"
    assert schema.metadata[b"organome.version"].decode() == __version__


def test_equal_rows_give_equal_bytes_however_they_are_chunked(tmp_path: Path) -> None:
    whole = rows_to_arrow(SMALL, ROWS)
    chunked = pa.concat_tables([rows_to_arrow(SMALL, ROWS[:3]), rows_to_arrow(SMALL, ROWS[3:])])
    write_table(tmp_path / "whole.parquet", whole)
    write_table(tmp_path / "chunked.parquet", chunked)
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "chunked.parquet").read_bytes()


def test_absent_value_is_null_and_never_0() -> None:
    assert rows_to_arrow(SMALL, [{"scan": "0000-0000"}]).to_pylist() == [
        {"scan": "0000-0000", "volume_ml": None, "truncated": None}
    ]


def test_null_in_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="column scan may not be null"):
        rows_to_arrow(SMALL, [{"volume_ml": 1.0}])


def test_value_without_a_column_is_refused() -> None:
    with pytest.raises(KeyError, match="no column host"):
        rows_to_arrow(SMALL, [{"scan": "0000-0000", "host": "node7"}])


def test_rows_of_some_scans_are_read(tmp_path: Path) -> None:
    path = tmp_path / "instance=2" / "t.parquet"  # no folder name becomes a column
    write_table(path, rows_to_arrow(SMALL, ROWS))
    wanted = ["0000-0005", "0000-0001"]
    read = read_table(path, columns=["scan"], scans=wanted)
    assert read.to_pylist() == [{"scan": "0000-0001"}, {"scan": "0000-0005"}]
    assert count_rows(path) == 7
    assert read_table(path).schema.equals(arrow_schema(SMALL), check_metadata=True)


def test_dictionary_describes_every_column(tmp_path: Path) -> None:
    write_dictionary(tmp_path / "dictionary.json", COHORT_TABLES)
    dictionary = json.loads((tmp_path / "dictionary.json").read_text())
    assert list(dictionary["tables"]) == ["scans", "organs", "visits"]
    for table in COHORT_TABLES:
        described = dictionary["tables"][table.name]
        assert described["key"] == list(table.key)
        assert [column["name"] for column in described["columns"]] == [
            column.name for column in table.all_columns
        ]
    (volume,) = (
        column
        for column in dictionary["tables"]["organs"]["columns"]
        if column["name"] == "volume_ml"
    )
    assert (volume["unit"], volume["nullable"], volume["type"]) == ("mL", True, "double")
