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
    text = show_table.run(table, where=["instance=3"])
    assert [line.split() for line in text.splitlines()] == [
        ["scan", "instance", "ml"],
        ["b", "3", "-"],
    ]


def test_rows_are_limited(table: Path) -> None:
    assert len(show_table.run(table, n_rows=2).splitlines()) == 1 + 2


@pytest.mark.parametrize("wrong", [{"columns": ["volume"]}, {"where": ["volume=1"]}])
def test_unknown_column_is_named(table: Path, wrong: dict[str, list[str]]) -> None:
    with pytest.raises(SetupError, match="no column volume"):
        show_table.run(table, **wrong)  # type: ignore[arg-type]


def test_missing_table_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such table"):
        show_table.run(tmp_path / "visits")


@pytest.mark.parametrize(
    ("where", "scans"),
    [
        ("ml>1", ["c"]),
        ("ml>=1", ["a", "c"]),
        ("ml<3.5", ["a"]),
        ("ml!=1", ["c"]),
        ("ml=null", ["b"]),
        ("ml!=null", ["a", "c"]),
        ("scan!=a", ["b", "c"]),
    ],
)
def test_conditions_compare(table: Path, where: str, scans: list[str]) -> None:
    lines = show_table.run(table, columns=["scan"], where=[where]).splitlines()
    assert lines[1:] == scans


@pytest.mark.parametrize("where", ["organ", "ml>many", "ml<null", "=3"])
def test_what_is_not_a_condition_is_said_in_one_line(table: Path, where: str) -> None:
    with pytest.raises(SetupError, match=f"--where {where}: ") as error:
        show_table.run(table, where=[where])
    assert "\n" not in str(error.value)


def test_wide_rows_are_printed_a_column_a_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"column_{n}": [n] for n in range(40)}), tmp_path / "wide.parquet")
    lines = show_table.run(tmp_path / "wide.parquet").splitlines()
    assert lines[39].split() == ["column_39", "39"]


def test_a_folder_of_tables_names_them(tmp_path: Path) -> None:
    (tmp_path / "organs").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "organs" / "part-0.parquet")
    with pytest.raises(SetupError, match="name one of organs"):
        show_table.run(tmp_path)


def test_tables_of_a_phantom_model_say_so_first(table: Path) -> None:
    path = table / "part-0.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.replace_schema_metadata({"organome.phantom_model": "true"}), path)
    first, empty, *_ = show_table.run(table).splitlines()
    assert "trained on phantoms" in first
    assert empty == ""
