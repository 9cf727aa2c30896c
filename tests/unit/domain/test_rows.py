import json
from dataclasses import replace

import pytest

from organome.compute.labelmaps.volumes import Intensities, OrganMeasure
from organome.domain.columns import Table
from organome.domain.geometry import Face
from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.domain.outcomes import Outcome, Reason, Status
from organome.domain.rows import organ_rows, scan_row
from organome.domain.scans import Scan
from organome.domain.tables import ORGAN_ROWS, SCANS
from organome.io.tables.parquet import rows_to_arrow
from organome.steps.measure.measure_volumes import organ_facts

SCAN = Scan(
    scan="0003-0017",
    cohort="ukb",
    participant="0012345",
    instance="2",
    array="0",
    protocol="dixon",
    sources=(),
)
PREPARED = Outcome(
    scan=SCAN.scan,
    step="prepare_images",
    status=Status.DONE,
    fingerprint="p",
    facts={
        "contrasts": ["fat", "water"],
        "size_xyz": [224, 174, 370],
        "spacing_xyz_mm": [2.25, 2.5, 3.0],
        "orientation": "LPS",
        "n_stations": 6,
        "flags": [],
        "scanner_model": "Aera",
        "field_strength_t": 1.5,
        "seam_gains": [1.0],
    },
)
LABELLED = Outcome(
    scan=SCAN.scan,
    step="segment_organs",
    status=Status.DONE,
    fingerprint="l",
    facts={
        "contrast": "water",
        "source": "model",
        "scheme": "amos22",
        "model_name": "phantom",
        "model_digest": "d1",
    },
)
WHOLE = OrganMeasure(
    n_voxels=1000,
    volume_observed_ml=1527.0,
    touches=(),
    face_distance_mm=8.0,
    centroid_xyz_mm=(1.0, 2.0, 3.0),
    n_pieces=2,
    largest_piece_share=0.75,
    heights_mm=(-50.0, 60.0),
    intensities=Intensities(mean=1.0, sd=2.0, median=3.0, p10=4.0, p90=5.0),
    fat_fraction_mean=0.25,
)
CUT = OrganMeasure(
    n_voxels=500,
    volume_observed_ml=13.5,
    touches=(Face.LEFT, Face.SUPERIOR),
    face_distance_mm=0.0,
    centroid_xyz_mm=(1.0, 2.0, 3.0),
    n_pieces=1,
    largest_piece_share=1.0,
    heights_mm=(-50.0, 60.0),
)


def measured_outcome() -> Outcome:
    measures = {ORGAN_BY_NAME["liver"].label: WHOLE, ORGAN_BY_NAME["spleen"].label: CUT}
    facts = json.loads(json.dumps({"organs": organ_facts(measures)}))  # as the journal keeps them
    return Outcome(
        scan=SCAN.scan,
        step="measure_volumes",
        status=Status.DONE,
        fingerprint="m",
        facts=facts,
    )


def failed_outcome() -> Outcome:
    return Outcome(
        scan=SCAN.scan,
        step="prepare_images",
        status=Status.FAILED,
        fingerprint="f",
        reason=Reason.STATION_MISSING,
        fact="5 of 6 stations",
    )


def rows_of_measured_scan() -> dict[str, dict[str, object]]:
    rows = organ_rows(SCAN, measured_outcome(), (PREPARED, LABELLED))
    return {row["organ"]: row for row in rows}


def test_whole_organ_has_its_volume() -> None:
    row = rows_of_measured_scan()["liver"]
    assert (row["volume_ml"], row["volume_observed_ml"], row["na_reason"]) == (1527.0, 1527.0, None)
    assert row["truncated"] is False
    assert not any(row[f"touches_{face}"] for face in Face)
    assert [row[f"intensity_{name}"] for name in ("mean", "sd", "median", "p10", "p90")] == [
        *(1.0, 2.0, 3.0, 4.0, 5.0)
    ]
    assert [row[f"centroid_{axis}_mm"] for axis in "xyz"] == [1.0, 2.0, 3.0]
    assert (row["fat_fraction_mean"], row["n_pieces"]) == (0.25, 2)


def test_cut_organ_keeps_what_is_in_view_but_has_no_volume() -> None:
    row = rows_of_measured_scan()["spleen"]
    assert (row["volume_ml"], row["volume_observed_ml"]) == (None, 13.5)
    assert (row["na_reason"], row["truncated"]) == ("truncated", True)
    assert {face for face in Face if row[f"touches_{face}"]} == {Face.LEFT, Face.SUPERIOR}


def test_organ_that_was_not_found_is_told_from_one_that_was_not_looked_for() -> None:
    rows = rows_of_measured_scan()
    assert (rows["pancreas"]["na_reason"], rows["pancreas"]["n_voxels"]) == ("not_found", 0)
    assert rows["heart"]["na_reason"] == "not_in_scheme"
    assert rows["heart"].get("n_voxels") is None


@pytest.mark.parametrize("outcome", [measured_outcome(), failed_outcome()], ids=["done", "failed"])
def test_every_scan_has_40_rows_in_order_of_label(outcome: Outcome) -> None:
    rows = list(organ_rows(SCAN, outcome, (PREPARED, LABELLED)))
    assert [(row["label"], row["organ"]) for row in rows] == [
        (organ.label, organ.name) for organ in ORGANS
    ]


@pytest.mark.parametrize("outcome", [measured_outcome(), failed_outcome()], ids=["done", "failed"])
def test_no_missing_volume_is_0_and_each_has_a_reason(outcome: Outcome) -> None:
    for row in organ_rows(SCAN, outcome, (PREPARED, LABELLED)):
        assert row.get("volume_ml") != 0
        assert (row.get("volume_ml") is None) == (row["na_reason"] is not None)


def test_organs_of_a_failed_scan_hold_its_reason_and_no_number() -> None:
    rows = list(organ_rows(SCAN, failed_outcome(), (failed_outcome(), failed_outcome())))
    made = rows_to_arrow(ORGAN_ROWS, rows).to_pylist()
    numbers = [column.name for column in ORGAN_ROWS.columns if column.type in ("double", "int64")]
    assert {row["na_reason"] for row in made} == {"station_missing"}
    assert not any(row[name] is not None for row in made for name in (*numbers, "truncated"))


def test_row_of_a_measured_scan_holds_what_the_steps_found_out() -> None:
    row = scan_row(SCAN, measured_outcome(), (PREPARED, LABELLED))
    expected = {
        "participant": "0012345",
        "status": "done",
        "reason": None,
        "failed_step": None,
        "contrasts": "fat;water",
        "flags": "",
        "size_z": 370,
        "spacing_y_mm": 2.5,
        "scanner_model": "Aera",
        "manufacturer": None,
        "contrast": "water",
        "label_source": "model",
        "model_digest": "d1",
    }
    assert {name: row[name] for name in expected} == expected


def with_facts(outcome: Outcome, **facts: object) -> Outcome:
    return replace(outcome, facts={**outcome.facts, **json.loads(json.dumps(facts))})


def test_agreement_and_sides_stand_in_the_rows_of_their_organs_only() -> None:
    labelled = with_facts(
        LABELLED,
        agreement={
            "liver": {"contrast_dice": 0.9, "contrast_volume_sd_ml": 3.0, "fold_dice": 0.8},
            "pancreas": {"contrast_dice": 0.0, "contrast_volume_sd_ml": 1.0},
        },
        sides={
            "left_kidney": {"finding": None, "moved_ml": 0.0},
            "right_kidney": {"finding": "pieces_across", "moved_ml": 1.5},
            "liver": {"finding": None},
            "left_lung": {"moved_ml": 2.0},
        },
    )
    before = (PREPARED, labelled)
    rows = rows_to_arrow(ORGAN_ROWS, list(organ_rows(SCAN, measured_outcome(), before))).to_pylist()
    told = {
        row["organ"]: [row[name] for name in ("contrast_dice", "fold_dice", "fold_volume_sd_ml")]
        for row in rows
    }
    assert told.pop("liver") == [0.9, 0.8, None]
    assert told.pop("pancreas") == [0.0, None, None]  # not found, and the contrasts disagree on it
    assert {value for values in told.values() for value in values} == {None}
    sides = {
        row["organ"]: [row[f"side_{name}"] for name in ("suspect", "finding", "moved_ml")]
        for row in rows
    }
    assert sides.pop("left_kidney") == [False, None, 0.0]
    assert sides.pop("right_kidney") == [True, "pieces_across", 1.5]
    assert sides.pop("liver") == [False, None, None]
    assert sides.pop("left_lung") == [None, None, 2.0]
    assert {value for values in sides.values() for value in values} == {None}


def test_row_tells_which_contrasts_were_labelled_and_why() -> None:
    labelled = with_facts(
        LABELLED,
        contrast_choice="preferred_swapped",
        consensus_contrasts=["opposed_phase", "in_phase"],
        contrasts_left_out=["water:swapped"],
    )
    swapped = with_facts(
        PREPARED, fat_water="swapped", swapped_spans_mm=[[-120.0, 80.25], [300.0, 400.0]]
    )
    row = scan_row(SCAN, measured_outcome(), (swapped, labelled))
    assert (row["fat_water"], row["swapped_spans_mm"]) == ("swapped", "-120:80.25;300:400")
    assert row["contrast_choice"] == "preferred_swapped"
    assert row["consensus_contrasts"] == "opposed_phase;in_phase"
    assert row["contrasts_left_out"] == "water:swapped"


def test_without_a_vote_or_a_swap_nothing_is_said_of_them() -> None:
    row = scan_row(
        SCAN,
        measured_outcome(),
        (with_facts(PREPARED, fat_water="sound", swapped_spans_mm=[]), LABELLED),
    )
    assert (row["fat_water"], row["swapped_spans_mm"]) == ("sound", None)
    assert (row["consensus_contrasts"], row["contrasts_left_out"]) == (None, None)
    assert scan_row(SCAN, measured_outcome(), (PREPARED, LABELLED))["fat_water"] is None


def test_row_of_a_failed_scan_names_the_step_that_failed() -> None:
    row = scan_row(SCAN, failed_outcome(), (failed_outcome(), failed_outcome()))
    assert (row["status"], row["reason"]) == ("failed", "station_missing")
    assert (row["failed_step"], row["fact"]) == ("prepare_images", "5 of 6 stations")
    assert row["contrast"] is None


@pytest.mark.parametrize("table", [SCANS, ORGAN_ROWS], ids=lambda table: table.name)
def test_rows_fit_their_table(table: Table) -> None:
    for outcome in (measured_outcome(), failed_outcome()):
        before = (PREPARED, LABELLED)
        rows = [scan_row(SCAN, outcome, before)]
        if table is ORGAN_ROWS:
            rows = list(organ_rows(SCAN, outcome, before))
        assert rows_to_arrow(table, rows).num_rows == len(rows)
