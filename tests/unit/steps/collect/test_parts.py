from typing import Any

import pytest

from organome.domain.organs import ORGANS
from organome.domain.tables import VISITS
from organome.io.tables.parquet import rows_to_arrow
from organome.steps.collect.parts import OrganValue, visit_rows


def scan(key: str, **values: Any) -> dict[str, Any]:
    return {
        "scan": key,
        "cohort": "ukb",
        "participant": "01",
        "instance": "2",
        "array": "0",
        "protocol": "dixon",
        "station": None,
        "status": "done",
        "contrast": "water",
    } | values


def all_organs(value: OrganValue) -> list[OrganValue]:
    return [value] * len(ORGANS)


FAILED = OrganValue(None, "archive_broken")
NOT_FOUND = OrganValue(None, "not_found")
TRUNCATED = OrganValue(None, "truncated", 900.0)


def whole(volume_ml: float) -> OrganValue:
    return OrganValue(volume_ml, None, volume_ml)


def liver_of(scans: list[dict[str, Any]], *values: OrganValue) -> tuple[object, object]:
    organ_values = {
        one["scan"]: all_organs(value) for one, value in zip(scans, values, strict=True)
    }
    (row,) = visit_rows(scans, organ_values)
    return row["liver_volume_ml"], row["liver_na_reason"]


def test_one_row_per_participant_and_instance() -> None:
    scans = [
        scan("0000-0000", participant="01"),
        scan("0004-0000", participant="01", array="1"),
        scan("0009-0000", participant="01", instance="3"),
        scan("0000-0001", participant="1"),
    ]
    rows = list(visit_rows(scans, {one["scan"]: all_organs(whole(1.0)) for one in scans}))
    assert [(row["participant"], row["instance"], row["n_scans"]) for row in rows] == [
        *(("01", "2", 2), ("01", "3", 1), ("1", "2", 1))
    ]
    assert rows_to_arrow(VISITS, rows).num_rows == 3


def test_each_protocol_is_a_row_with_the_values_of_its_latest_array() -> None:
    scans = [
        scan("0000-0000", array="0", protocol="ct", status="failed"),
        scan("0000-0001", array="0", protocol="dixon"),
        scan("0000-0002", array="1", protocol="dixon"),
    ]
    values = {
        "0000-0000": all_organs(FAILED),
        "0000-0001": all_organs(whole(7.0)),
        "0000-0002": all_organs(NOT_FOUND),
    }
    ct, row = visit_rows(scans, values)
    assert (ct["protocol"], ct["n_scans"], ct["n_scans_done"]) == ("ct", 1, 0)
    assert (ct["liver_volume_ml"], ct["liver_na_reason"]) == FAILED[:2]
    assert (row["n_scans"], row["n_scans_done"]) == (2, 2)
    assert (row["protocol"], row["array"], row["scan"]) == ("dixon", "1", "0000-0002")
    assert (row["liver_volume_ml"], row["liver_na_reason"]) == NOT_FOUND[:2]


@pytest.mark.parametrize(
    ("status", "array", "choice"),
    [("done", "10", "latest"), ("failed", "2", "latest_measured")],
)
@pytest.mark.odd_input(
    "C-13",
    make="repeats of a visit: `array` 2 and 10, the last measured or not",
    source="own; UK Biobank's array index",
    outcome="the latest that was measured, by number; column `array_choice`",
)
def test_of_repeats_the_latest_that_was_measured(status: str, array: str, choice: str) -> None:
    scans = [
        scan("0000-0000", array="10", status=status),
        scan("0000-0001", array="2"),
        scan("0000-0002", array="1"),
    ]
    (row,) = visit_rows(scans, {one["scan"]: all_organs(whole(1.0)) for one in scans})
    assert (row["array"], row["array_choice"]) == (array, choice)
    (row,) = visit_rows(scans[1:2], {"0000-0001": all_organs(whole(1.0))})
    assert row["array_choice"] == "only"


def test_visit_without_a_measured_scan_says_why() -> None:
    scans = [scan("0000-0000", status="failed", contrast=None)]
    (row,) = visit_rows(scans, {"0000-0000": all_organs(FAILED)})
    assert row["n_scans_done"] == 0
    assert {row[f"{organ.name}_na_reason"] for organ in ORGANS} == {"archive_broken"}
    assert not any(row[f"{organ.name}_volume_ml"] for organ in ORGANS)


def test_organ_is_from_the_station_that_holds_most_of_it() -> None:
    stations = [scan(f"0000-{n:04d}", station=n) for n in (1, 2, 3)]
    assert liver_of(stations, TRUNCATED, whole(1390.0), whole(1400.0)) == (1400.0, None)
    assert liver_of(stations, NOT_FOUND, TRUNCATED, NOT_FOUND) == TRUNCATED[:2]
    assert liver_of(stations, NOT_FOUND, NOT_FOUND, NOT_FOUND) == NOT_FOUND[:2]


def test_organ_may_lie_in_a_station_that_failed() -> None:
    stations = [scan("0000-0001", station=1), scan("0000-0002", station=2, status="failed")]
    assert liver_of(stations, NOT_FOUND, FAILED) == FAILED[:2]
    assert liver_of(stations, TRUNCATED, FAILED) == TRUNCATED[:2]
    assert liver_of(stations, whole(1400.0), FAILED) == (1400.0, None)


def test_row_from_several_stations_names_no_single_scan() -> None:
    stations = [scan("0000-0001", station=1, status="failed"), scan("0000-0002", station=2)]
    organ_values = {one["scan"]: all_organs(whole(1.0)) for one in stations}
    (row,) = visit_rows(stations, organ_values)
    assert row["scan"] is None
    assert row["contrast"] == "water"
