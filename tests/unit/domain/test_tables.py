import pytest

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.organs import BODY_COMPOSITION, ORGANS
from organome.domain.outcomes import OrganReason, Reason
from organome.domain.published_tables import PUBLISHED_TABLES
from organome.domain.tables import (
    COHORT_TABLES,
    HEADERS,
    ORGAN_ROWS,
    SCANS,
    VISITS,
    with_structures,
)

TABLES = (*PUBLISHED_TABLES, HEADERS)
UNIT_OF_SUFFIX = {"_ml": "mL", "_mm": "mm", "_kg": "kg", "_m": "m", "_t": "T"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_column_names_are_unique(table: Table) -> None:
    names = [column.name for column in table.all_columns]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_key_is_never_null(table: Table) -> None:
    columns = {column.name: column for column in table.all_columns}
    assert not any(columns[name].nullable for name in table.key)


@pytest.mark.parametrize(
    "column",
    {column.name: column for table in TABLES for column in table.all_columns}.values(),
    ids=lambda column: column.name,
)
def test_quantity_is_named_by_its_unit(column: Column) -> None:
    for suffix, unit in UNIT_OF_SUFFIX.items():
        if column.name.endswith(suffix):
            assert column.unit == unit
            return
    assert not column.name.startswith("n_") or column.unit is not None


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_explains_a_null_and_what_sorts_are_columns(table: Table) -> None:
    columns = {column.name: column for column in table.all_columns}
    assert {column.missing for column in columns.values() if column.missing} <= {*columns}
    assert {*table.sorted_by} <= {*columns}
    assert all(columns[column.missing].levels for column in columns.values() if column.missing)


@pytest.mark.parametrize("meaning", ["", "Volume"])
def test_a_column_without_a_meaning_is_refused(meaning: str) -> None:
    with pytest.raises(ValueError, match="column volume_ml: the meaning is not a sentence"):
        Column("volume_ml", ColumnType.FLOAT64, meaning)


def test_visits_hold_volume_and_reason_of_each_organ_in_order_of_label() -> None:
    names = [column.name for column in VISITS.all_columns]
    expected = [f"{organ.name}_{value}" for organ in ORGANS for value in ("volume_ml", "na_reason")]
    assert names[-80:] == expected
    assert not any("<" in column.name + column.meaning for column in VISITS.all_columns)


def test_reason_of_a_missing_volume_can_be_any_reason() -> None:
    columns = {column.name: column for column in ORGAN_ROWS.columns}
    assert set(columns["na_reason"].levels) == {*OrganReason, *Reason}
    assert not {*OrganReason} & {*Reason}


def test_nothing_that_varies_between_runs_is_a_column() -> None:
    names = {column.name for table in TABLES for column in table.all_columns}
    assert not names & {"host", "attempt", "elapsed_s", "finished_at", "fingerprint"}


def test_scan_and_organ_rows_start_with_the_same_key_columns() -> None:
    n_shared = 7
    assert SCANS.columns[:n_shared] == ORGAN_ROWS.columns[:n_shared]


def test_tables_of_the_40_organs_are_the_tables_themselves() -> None:
    assert [with_structures(table, ORGANS) for table in COHORT_TABLES] == list(COHORT_TABLES)
    assert all(with_structures(table, ORGANS) is table for table in COHORT_TABLES)


def test_tables_follow_the_structures_of_a_run() -> None:
    organs = with_structures(ORGAN_ROWS, BODY_COMPOSITION)
    columns = {column.name: column for column in organs.columns}
    assert "always 10 rows per scan" in organs.row
    assert "1 to 10" in columns["label"].meaning
    assert columns["organ"].levels == tuple(one.name for one in BODY_COMPOSITION)
    assert columns["region"].levels == ("musculoskeletal", "adipose_tissue")
    assert list(columns) == [column.name for column in ORGAN_ROWS.columns]
    names = [column.name for column in with_structures(VISITS, BODY_COMPOSITION).all_columns]
    assert names[-20:] == [
        f"{one.name}_{value}" for one in BODY_COMPOSITION for value in ("volume_ml", "na_reason")
    ]
    assert not any("liver" in name for name in names)
