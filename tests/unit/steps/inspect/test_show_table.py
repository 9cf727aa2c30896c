"""Rows of a table as plain text."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from organome.domain.errors import SetupError
from organome.steps.inspect import show_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = pa.table({"scan": ["a", "b", "c"], "instance": ["2", "3", "2"], "ml": [1.0, None, 3.5]})
    pq.write_table(rows, tmp_path / "part-0.parquet")
    return tmp_path


def test_conditions_all_hold_and_null_is_a_dash(table: Path) -> None:
    text = show_table.run(table=table, where=["instance=3"])
    assert [line.split() for line in text.splitlines()] == [
        ["scan", "instance", "ml"],
        ["b", "3", "-"],
    ]


def test_rows_are_limited(table: Path) -> None:
    assert len(show_table.run(table=table, n_rows=2).splitlines()) == 1 + 2


@pytest.mark.parametrize("wrong", [{"columns": ["volume"]}, {"where": ["volume=1"]}])
def test_unknown_column_is_named(table: Path, wrong: dict[str, list[str]]) -> None:
    with pytest.raises(SetupError, match="no column volume"):
        show_table.run(table=table, **wrong)  # type: ignore[arg-type]


def test_missing_table_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such table"):
        show_table.run(table=tmp_path / "visits")
