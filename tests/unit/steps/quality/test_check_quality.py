"""A cohort of twelve visits made by hand; every number beside it was worked out on paper.

Livers are 1500 mL times exp(k / 10); of the women k is -2 -1 0 0 1 9, of the men -2 -1 0 1 2. In
both the median is 0 and the median absolute deviation 1, so z = k / 1.4826. Right kidneys have
100 mL and left ones what makes the asymmetry -4 -2 -2 0 0 0 0 2 2 4 4 40 per cent: the median is 0,
the median absolute deviation 2. Intensities of livers are 100 plus five times such numbers.
"""

import csv
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from math import exp, log
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scipy.stats import norm as normal

from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.domain.quality_tables import NORM_COEFFICIENTS, NORMS, QUALITY_TABLES
from organome.domain.tables import ORGAN_ROWS, SCANS, VISITS
from organome.io.tables.parquet import (
    arrow_schema,
    fact_of_file,
    read_table,
    rows_to_arrow,
    write_table,
)
from organome.steps.collect.flow import write_flow
from organome.steps.export.export import run as export
from organome.steps.quality import check_quality

MAD = 1.4826
# participant, instance, k of the liver, asymmetry of the kidneys, intensity of the liver
VISITS_BY_HAND = [
    ("f1", "2", 0, 0, 100),
    ("f1", "3", 1, 0, 100),
    ("f2", "2", -2, 0, 100),
    ("f2", "3", -1, 0, 300),
    ("f3", "2", 0, 2, 110),
    ("f3", "3", 2, -2, 90),
    ("f4", "2", 9, -2, 90),
    ("m1", "2", 0, 2, 110),
    ("m1", "3", 1, 4, 120),
    ("m2", "2", -2, 4, 120),
    ("m3", "2", -1, -4, 80),
    ("m4", "2", 2, 40, 100),
]
HEIGHTS_MM = {"liver": 0.0, "spleen": 10.0, "urinary_bladder": -300.0}
ODD_SCANS: dict[int, dict[str, Any]] = {
    2: {"fat_water": "swapped"},
    3: {"flags": "seam_gain_limited", "scanner_model": "Aera"},
    5: {"model_digest": "other"},
    8: {"flags": "stations_missing;extra_series", "n_stations": 5},
    9: {"sex": "female"},
    11: {"flags": "upside_down"},
}
ODD_ORGANS: dict[tuple[int, str], dict[str, Any]] = {
    (4, "left_kidney"): {"side_suspect": True, "side_finding": "crossed"},
    (4, "right_kidney"): {"side_suspect": True, "side_finding": "crossed"},
    (5, "spleen"): {"side_suspect": True, "side_finding": "other_side"},
    (6, "pancreas"): {
        **{"n_voxels": 3, "volume_observed_ml": 3.0, "truncated": False},
        "na_reason": "implausibly_small",
    },
    (7, "gallbladder"): {"n_voxels": 0, "na_reason": "removed_or_missed"},
    (8, "liver"): {"contrast_dice": 0.65},
    (9, "liver"): {"fold_dice": 0.3},
    (10, "urinary_bladder"): {"centroid_z_mm": 50.0},
    (0, "left_lung"): {"n_voxels": 9, "truncated": True, "na_reason": "truncated"},
}
PEOPLE = """\
participant\tinstance\tsex\tbirth_year\tbirth_month\tscan_date\theight_cm\tweight_kg\tcentre
f1\t2\tF\t1956\t\t2016-01-01\t160\t90\t11025
f1\t3\tF\t1956\t\t2019-01-01\t160\t90\t11025
f2\t\tfemale\t1956\t7\t\t170\tnot known\t11026
f3\t2\tfemale\t1940\t\t2016-07-02\t170\t57.6\t11026
f4\t2\tfemale\t1956\t\t2016-07-02\t170\t60\t11026
m1\t2\tmale\t1950\t\t2016-07-02\t180\t80\t11026
m2\t2\tmale\t1950\t\t2016-07-02\t180\t80\t11026
m3\t2\tmale\t1950\t\t2016-07-02\t180\t80\t11026
m4\t2\tmale\t1950\t\t2016-07-02\t180\t80\t11026
m1\t3\tmale\t1950\t\t2018-07-02\t180\t80\t11026
stranger\t2\tmale\t1950\t\t2016-07-02\t180\t80\t11026
"""
RATINGS = """\
scan\torgan\trating\trater\tnote\ttime
0000-0006\tliver\tpass\tone\tlarge but right\t2026-01-02T10:00:00Z
0000-0001\tspleen\tfail\tone\tnow I see it\t2026-01-02T10:00:00Z
0000-0001\tspleen\tpass\tone\t\t2026-01-01T10:00:00Z
0000-0002\tliver\tfail\tone\t\t
0000-0007\tliver\tfail\tone\t\t
0000-0004\tliver\tpass\tone\t\t
0000-0008\tliver\tpass\tone\t\t
0000-0005\tliver\tpass\tone\t\t
0000-0011\t\tpass\tone\tlies so\t
0009-0000\tliver\tfail\tone\tnobody's\t
"""
OTHER_RATER = "scan\torgan\trating\n0000-0005\tliver\tfail\n"
EXCLUDED = "participant\tscan\torgan\treason\nm2\t\t\tpregnant\n\t0000-0010\tspleen\tcyst\n"
# Worked out on paper, a line a visit: participant, instance; of liver, left kidney, both kidneys,
# spleen and bladder mL, mL per m2 of body surface, mL per m2 of height. Right kidneys are 100 mL.
# Surfaces are the root of height times weight over 3600: 2.0, 1.649242 (f3), 1.683251 (f4) m2.
INDICES_BY_HAND = """\
f1 2 1500      100      200      200 150 750      50       100      100      75       585.9375 39.0625  78.125   78.125   58.59375
f1 3 1657.7564 100      200      200 150 828.8782 50       100      100      75       647.5611 39.0625  78.125   78.125   58.59375
f2 2 1228.0961 100      200      200 150 -        -        -        -        -        424.9468 34.60208 69.20415 69.20415 51.90311
f2 3 1357.2561 100      200      200 150 -        -        -        -        -        469.6388 34.60208 69.20415 69.20415 51.90311
f3 2 1500      102.0202 202.0202 200 150 909.5086 61.85883 122.4927 121.2678 90.95086 519.0311 35.30111 69.90318 69.20415 51.90311
f3 3 1832.1041 98.0198  198.0198 200 150 -        -        -        -        -        -        -        -        -        -
f4 2 3689.4047 98.0198  198.0198 200 150 2191.833 58.23244 117.6413 118.8177 89.11328 1276.611 33.91689 68.51896 69.20415 51.90311
m1 2 1500      102.0202 202.0202 200 150 750      51.0101  101.0101 100      75       462.9630 31.48772 62.35191 61.7284  46.2963
m1 3 1657.7564 104.0816 204.0816 200 150 828.8782 52.04082 102.0408 100      75       511.6532 32.12396 62.98816 61.7284  46.2963
m2 2 1228.0961 104.0816 204.0816 200 150 614.0481 52.04082 102.0408 100      75       379.0420 32.12396 62.98816 61.7284  46.2963
m3 2 1357.2561 96.07843 196.0784 200 150 678.6281 48.03922 98.03922 100      75       418.9062 29.65384 60.51803 61.7284  46.2963
m4 2 1832.1041 150      250      200 150 916.0521 75       125      100      75       565.4642 46.2963  77.16049 61.7284  46.2963
"""  # noqa: E501 - a table
MEASURED = ("liver", "left_kidney", "both_kidney", "spleen", "urinary_bladder", "right_kidney")
Z_BY_HAND = {("f1", "2"): 0.6062462, ("f1", "3"): 1.6062462, ("f4", "2"): 9.0}  # livers
THRESHOLDS = Path(__file__).parents[4] / "config/quality/default.yaml"


def scan_key(place: int) -> str:
    return f"0000-{place:04d}"


def volumes_of(k: int, asymmetry: float) -> dict[str, float]:
    left = 100 * (200 + asymmetry) / (200 - asymmetry)
    return {
        **{"liver": 1500 * exp(k / 10), "left_kidney": left, "right_kidney": 100.0},
        **{"spleen": 200.0, "urinary_bladder": 150.0},
    }


def organ_row(
    place: int, key: Mapping[str, Any], name: str, volume: float | None
) -> dict[str, Any]:
    organ = next(one for one in ORGANS if one.name == name)
    row = {
        **key,
        **{"contrast": "water", "label": organ.label, "organ": name, "status": "done"},
        **{"region": organ.region.value, "side": organ.side.value},
    }
    if volume is None:
        row["na_reason"] = "not_found"
    else:
        row |= {
            **{"n_voxels": 100, "volume_ml": volume, "volume_observed_ml": volume},
            **{"truncated": False, "centroid_z_mm": HEIGHTS_MM.get(name)},
            "side_suspect": False if organ.partner_name else None,
        }
    return row | ODD_ORGANS.get((place, name), {})


def collected(folder: Path) -> Path:
    """Write what collect_tables would, in two parts."""
    rows: dict[str, list[list[dict[str, Any]]]] = {name: [[], []] for name in ("s", "o", "v")}
    for place, (participant, instance, k, asymmetry, intensity) in enumerate(VISITS_BY_HAND):
        part = int(place >= 7)
        visit = {"cohort": "hand", "participant": participant, "instance": instance}
        key = {**visit, "array": "0", "protocol": "dixon", "scan": scan_key(place)}
        scan = {
            **{**key, "status": "done", "contrast": "water", "fat_water": "sound"},
            **{"n_stations": 6, "label_source": "model", "model_digest": "d", "scheme": "s"},
            **{"manufacturer": "Siemens", "scanner_model": "Skyra", "field_strength_t": 1.5},
            **ODD_SCANS.get(place, {}),
        }
        rows["s"][part].append(scan)
        volumes = volumes_of(k, asymmetry)
        organs = [organ_row(place, key, one.name, volumes.get(one.name)) for one in ORGANS]
        next(row for row in organs if row["organ"] == "liver")["intensity_median"] = intensity
        rows["o"][part] += organs
        rows["v"][part].append(
            {
                **visit,
                **{"protocol": "dixon", "array": "0", "array_choice": "only", "scan": key["scan"]},
                **{"n_scans": 1, "n_scans_done": 1, "contrast": "water", "sex": scan.get("sex")},
                **{f"{row['organ']}_volume_ml": row.get("volume_ml") for row in organs},
                **{f"{row['organ']}_na_reason": row.get("na_reason") for row in organs},
            }
        )
    lost = {"cohort": "hand", "participant": "z1", "instance": "2", "protocol": "dixon"}
    key = {**lost, "array": "0", "scan": scan_key(12), "status": "failed"}
    rows["s"][1].append({**key, "reason": "station_missing"})
    for one in ORGANS:
        row = {**key, "label": one.label, "organ": one.name, "na_reason": "station_missing"}
        rows["o"][1].append({**row, "region": one.region.value, "side": one.side.value})
    choice = {"array": "0", "array_choice": "only", "n_scans": 1, "n_scans_done": 0}
    reasons = {f"{one.name}_na_reason": "station_missing" for one in ORGANS}
    rows["v"][1].append({**lost, **choice, **reasons})
    for table, name in ((SCANS, "s"), (ORGAN_ROWS, "o"), (VISITS, "v")):
        for part, of_part in enumerate(rows[name]):
            path = folder / table.name / f"part-{part:04d}.parquet"
            write_table(path, rows_to_arrow(table, of_part))
    return folder


def norms_by_hand(path: Path) -> Path:
    """Write a norm: livers of women, 1500 mL at 1.70 m, in proportion to height, sigma 0.1."""
    covariance = [0.0] * 64
    covariance[0] = 0.02**2  # of the constant: z is uncertain by 0.02 / 0.1
    row = {
        **{column.name: 0.0 for column in NORM_COEFFICIENTS},
        **{"structure": "liver", "sex": "female", "contrast": "water", "cohort": "other"},
        **{"n": 500, "n_left_out": 1, "age_low_years": 50.0, "age_high_years": 70.0},
        **{"height_low_m": 1.5, "height_high_m": 1.9},
        **{f"age_knot_{k}_years": 50.0 + 5 * k for k in range(1, 5)},
        **{"mu_intercept": log(1500), "mu_log_height": 1.0, "sigma_intercept": log(0.1)},
        "covariance": ";".join(map(str, covariance)),
    }
    write_table(path, rows_to_arrow(NORMS, [row]))
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("hand")
    texts = {"people.tsv": PEOPLE, "one.tsv": RATINGS, "two.tsv": OTHER_RATER, "out.tsv": EXCLUDED}
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "repeat.csv").write_text(
        "twice,organ,detectable_pct\nvisits,liver,50\nstations,liver,9\nrepeats,liver,5\n"
        "repeats,spleen,\n"
    )
    thresholds = folder / "quality.yaml"
    text = THRESHOLDS.read_text().replace("min_group: 20", "min_group: 5")
    thresholds.write_text(text.replace("bounds_ml: {}", "bounds_ml: {liver: [1000, 3600]}"))
    return {
        "tables": collected(folder / "tables"),
        "thresholds": thresholds,
        "participants": folder / "people.tsv",
        "ratings": [folder / "one.tsv", folder / "two.tsv"],
        "exclusions": [folder / "out.tsv"],
        "norms": norms_by_hand(folder / "norms.parquet"),
        "repeatability": folder / "repeat.csv",
    }


@pytest.fixture(scope="module")
def found(inputs: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    output = inputs["tables"].parent / "quality"
    check_quality.run(**inputs, output=output)
    return {one.name: rows_of(output, one) for one in QUALITY_TABLES}


def rows_of(output: Path, table: Table) -> list[dict[str, Any]]:
    parts = sorted((output / table.name).glob("*.parquet"))
    rows: list[dict[str, Any]] = pa.concat_tables(map(read_table, parts)).to_pylist()
    return rows


def test_organs_are_judged_by_rules_and_then_by_people(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    rows = found["organ_quality"]
    assert len(rows) == 13 * 40
    odd = {
        (int(row["scan"][-4:]), row["organ"]): (
            row["quality_by_rules"],
            row["quality"],
            row["rules"],
        )
        for row in rows
        if row["participant"] != "m2" and (row["rules"] or row["rating"])
    }
    assert odd == {
        (1, "spleen"): ("pass", "fail", None),
        (2, "liver"): ("pass", "fail", None),
        (3, "liver"): ("warn", "warn", "intensity_outlier"),
        (4, "left_kidney"): ("fail", "fail", "left_right_order"),
        (4, "right_kidney"): ("fail", "fail", "left_right_order"),
        (4, "liver"): ("pass", "pass", None),
        (5, "spleen"): ("warn", "warn", "side_suspect"),
        (5, "liver"): ("pass", "warn", None),  # two raters, two words
        (6, "liver"): ("fail", "pass", "volume_outlier;volume_implausible"),
        (6, "pancreas"): ("fail", "fail", "volume_implausible"),
        (7, "liver"): ("pass", "fail", None),
        (7, "gallbladder"): ("warn", "warn", "removed_or_missed"),
        (8, "liver"): ("warn", "pass", "contrasts_disagree"),
        (10, "liver"): ("warn", "warn", "head_foot_order"),
        (10, "spleen"): ("warn", "fail", "head_foot_order;excluded"),
        (10, "urinary_bladder"): ("warn", "warn", "head_foot_order"),
        (11, "left_kidney"): ("fail", "fail", "volume_outlier;asymmetry_outlier"),
        (11, "right_kidney"): ("fail", "fail", "asymmetry_outlier"),
    }
    excluded = [row for row in rows if row["participant"] == "m2"]
    assert {row["quality"] for row in excluded} == {"fail"}
    liver = next(row for row in excluded if row["organ"] == "liver")
    assert (liver["quality_by_rules"], liver["rules"]) == ("fail", "folds_disagree;excluded")
    assert {row["quality"] for row in rows if row["participant"] == "z1"} == {None}
    nothing = [row for row in rows if row["organ"] == "colon" and row["participant"] != "m2"]
    assert {row["quality"] for row in nothing} == {None}


def test_z_is_that_of_median_and_median_absolute_deviation(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    organs = {(row["scan"], row["organ"]): row for row in found["organ_quality"]}
    for place, (participant, instance, k, asymmetry, intensity) in enumerate(VISITS_BY_HAND):
        liver = organs[scan_key(place), "liver"]
        sex_is_known = (participant, instance) != ("f3", "3")
        assert liver["volume_z"] == (pytest.approx(k / MAD) if sex_is_known else None)
        assert liver["intensity_z"] == pytest.approx((intensity - 100) / (10 * MAD))
        assert liver["asymmetry_pct"] is None
        for side in ("left", "right"):
            kidney = organs[scan_key(place), f"{side}_kidney"]
            assert kidney["asymmetry_pct"] == pytest.approx(asymmetry)
            assert kidney["asymmetry_z"] == pytest.approx(asymmetry / (2 * MAD))
        assert organs[scan_key(place), "spleen"]["volume_z"] is None  # all are alike
    # Left kidneys of men: asymmetries 2 4 4 -4 40, whose logarithms are 2 atanh(a / 200).
    assert organs[scan_key(11), "left_kidney"]["volume_z"] == pytest.approx(
        (0.4054651 - 0.0400053) / (MAD * (0.0400053 - 0.0200007)), rel=1e-4
    )


def test_scans_are_judged_by_their_own_rules_and_by_their_organs(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    rows = {int(row["scan"][-4:]): row for row in found["quality"]}
    judged = {
        place: (row["quality_by_rules"], row["quality"], row["rules"], row["n_organs_fail"])
        for place, row in rows.items()
    }
    assert judged == {
        0: ("pass", "pass", None, 0),
        1: ("warn", "warn", "organs_fail", 1),
        2: ("warn", "warn", "organs_fail;fat_water_swapped", 1),
        3: ("warn", "warn", "seam_doubtful", 0),
        4: ("warn", "warn", "organs_fail", 2),
        5: ("pass", "pass", None, 0),
        6: ("warn", "warn", "organs_fail", 1),
        7: ("warn", "warn", "organs_fail", 1),
        8: ("warn", "warn", "stations_missing", 0),
        9: ("warn", "fail", "organs_fail;sex_differs;excluded", 40),
        10: ("pass", "pass", None, 1),
        11: ("fail", "pass", "organs_fail;body_turned", 2),
        12: (None, None, None, 0),
    }


def test_exclusions_are_what_fails_and_who_says_so(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    rows = found["exclusions"]
    assert [row["scan"] for row in rows] == sorted(row["scan"] for row in rows)
    left_out = {
        (int(row["scan"][-4:]), row["organ"]): (row["excluded"], row["rules"]) for row in rows
    }
    assert len(left_out) == len(rows)
    assert left_out == {
        (1, "spleen"): ("by_rating", None),
        (2, "liver"): ("by_rating", None),
        (4, "left_kidney"): ("by_rules", "left_right_order"),
        (4, "right_kidney"): ("by_rules", "left_right_order"),
        (6, "pancreas"): ("by_rules", "volume_implausible"),
        (7, "liver"): ("by_rating", None),
        (9, "all"): ("by_list", "organs_fail;sex_differs;excluded"),  # and none of its organs
        (10, "spleen"): ("by_list", "head_foot_order;excluded"),
        (11, "left_kidney"): ("by_rules", "volume_outlier;asymmetry_outlier"),
        (11, "right_kidney"): ("by_rules", "asymmetry_outlier"),
    }


def test_flow_counts_scans_by_what_became_of_them(inputs: dict[str, Any], tmp_path: Path) -> None:
    files = sorted((inputs["tables"] / "scans").iterdir())
    of_two_lists = [("a", "hand", "dixon", "2", 3, 2), ("b", "hand", "dixon", "2", 1, 1)]
    write_flow(tmp_path / "flow.parquet", files, of_two_lists)
    rows = read_table(tmp_path / "flow.parquet").to_pylist()
    names = ("instance", "status", "reason", "n_scans", "n_participants")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("2", "done", None, 8, 8),
        ("2", "failed", "station_missing", 1, 1),
        ("2", "withdrawn", None, 4, 3),
        ("3", "done", None, 4, 4),
    ]


def test_export_takes_quality_and_scores(
    inputs: dict[str, Any], found: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    wide = {
        "values": ["volume_ml", "z", "quality", "volume_z"],
        "scan_columns": ["quality", "scan_date", "bsa_m2"],
    }
    export(tables=inputs["tables"], output=tmp_path, organs=["liver"], **wide)
    with (tmp_path / "visits.csv").open() as file:
        rows = {(row["participant"], row["instance"]): row for row in csv.DictReader(file)}
    assert float(rows["f1", "2"]["liver_z"]) == pytest.approx(log(1.7 / 1.6) / 0.1)
    assert float(rows["f4", "2"]["liver_volume_z"]) == pytest.approx(9 / MAD)
    dates = {who: (row["scan_date"], row["bsa_m2"]) for who, row in rows.items()}
    assert (dates["f1", "3"], dates["z1", "2"]) == (("2019-01-01", "2"), ("", ""))
    judged = {who: (row["quality"], row["liver_quality"]) for who, row in rows.items()}
    assert judged["m2", "2"] == ("fail", "fail")
    assert judged["f2", "2"] == ("warn", "fail")
    assert judged["m4", "2"] == ("pass", "pass")
    assert judged["z1", "2"] == ("", "")
    codings = (tmp_path / "codings.csv").read_text()
    assert "Leave it out: a rule or a person says that it is wrong." in codings


def test_covariates_are_joined_on_participant_and_visit(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    rows = {(row["participant"], row["instance"]): row for row in found["covariates"]}
    assert len(rows) == 13
    first = rows["f1", "2"]
    assert (first["sex"], first["age_years"], first["height_m"]) == ("female", 59.5, 1.6)
    assert (first["weight_kg"], first["bsa_m2"], first["centre"]) == (90, 2.0, "11025")
    assert first["bmi_kg_per_m2"] == pytest.approx(35.15625)
    assert rows["f3", "2"]["age_years"] == pytest.approx(2016.5 - 1940.5, abs=0.01)
    # A row without an instance: height counts at both visits; age and weight would be of one.
    for instance in ("2", "3"):
        several = rows["f2", instance]
        assert (several["height_m"], several["weight_kg"], several["age_years"]) == (
            1.7,
            None,
            None,
        )
    assert rows["f3", "3"]["sex"] is None
    assert rows["m2", "2"]["sex"] == "male"  # the file, not the image
    assert {row["from_scans"] for row in rows.values()} == {None}


def test_volumes_are_indexed_and_scored_by_the_norm_of_another_cohort(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    rows = {
        (row["participant"], row["instance"], row["structure"]): row for row in found["indices"]
    }
    assert len(rows) == 13 * (40 + 12)
    first = rows["f1", "2", "liver"]
    assert first["volume_per_bsa_ml_per_m2"] == pytest.approx(750)
    assert first["volume_per_height2_ml_per_m2"] == pytest.approx(1500 / 2.56)
    z = log(1.7 / 1.6) / 0.1
    assert first["z"] == pytest.approx(z)
    assert first["centile_pct"] == pytest.approx(100 * normal.cdf(z))
    assert first["centile_low_pct"] == pytest.approx(100 * normal.cdf(z - 0.392), abs=1e-3)
    assert first["centile_high_pct"] == pytest.approx(100 * normal.cdf(z + 0.392), abs=1e-3)
    assert rows["f1", "3", "liver"]["z"] == pytest.approx(z + 1)
    reasons = {key[:2]: row["z_na_reason"] for key, row in rows.items() if key[2] == "liver"}
    assert reasons == {
        **dict.fromkeys([("f1", "2"), ("f1", "3"), ("f4", "2")], None),
        **dict.fromkeys([("f2", "2"), ("f2", "3")], "age_unknown"),
        ("f3", "2"): "outside_norm",  # 76 years
        ("f3", "3"): "sex_unknown",
        **dict.fromkeys([(f"m{n}", "2") for n in range(1, 5)], "no_norm"),
        **{("m1", "3"): "no_norm", ("z1", "2"): "no_volume"},
    }
    kidneys = rows["m4", "2", "both_kidney"]
    assert (kidneys["side"], kidneys["volume_ml"]) == ("both", pytest.approx(250))  # 150 + 100
    assert (kidneys["asymmetry_pct"], kidneys["quality"]) == (pytest.approx(40), "fail")
    assert kidneys["volume_per_bsa_ml_per_m2"] == pytest.approx(125)
    lungs = rows["f1", "2", "both_lung"]
    assert (lungs["volume_ml"], lungs["na_reason"]) == (None, "truncated")
    assert lungs["index_na_reason"] == "no_volume"
    assert rows["f2", "2", "liver"]["index_na_reason"] == "weight_unknown"
    assert rows["f2", "2", "liver"]["volume_per_height2_ml_per_m2"] == pytest.approx(
        1500 * exp(-0.2) / 2.89
    )
    assert rows["f3", "3", "liver"]["index_na_reason"] == "height_unknown"


def test_change_stands_where_nothing_but_the_body_changed(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    rows = {(row["participant"], row["structure"]): row for row in found["pairs"]}
    assert len(rows) == 4 * (40 + 12)
    liver = rows["f1", "liver"]
    years = 1096 / 365.2425
    assert liver["interval_years"] == pytest.approx(years)
    assert liver["change_ml"] == pytest.approx(1500 * (exp(0.1) - 1))
    assert liver["change_pct"] == pytest.approx(10.5170918)
    assert liver["change_pct_per_year"] == pytest.approx(10.5170918 / years)
    assert (liver["detectable_pct"], liver["is_detectable"]) == (5, True)  # 9.99 % of the mean
    assert rows["f1", "left_kidney"]["change_pct"] == 0
    assert rows["f1", "left_kidney"]["is_detectable"] is None
    assert rows["f1", "spleen"]["na_reason"] == "quality_fails"
    assert rows["f1", "left_lung"]["na_reason"] == "no_volume"
    refused = {
        who: (row["na_reason"], row["na_fact"])
        for (who, what), row in rows.items()
        if what == "liver"
    }
    assert refused == {
        "f1": (None, None),
        "f2": ("scanner_differs", "scanner_model: Skyra, Aera"),
        "f3": ("model_differs", "model_digest: d, other"),
        "m1": ("completeness_differs", "n_stations: 6, 5"),
    }
    assert all(row["change_ml"] is None for row in rows.values() if row["na_reason"])
    assert rows["f2", "liver"]["first_volume_ml"] == pytest.approx(1500 * exp(-0.2))
    assert rows["f2", "liver"]["interval_years"] is None


def about(*values: float | None) -> tuple[Any, ...]:
    return tuple(None if one is None else pytest.approx(one, rel=1e-6) for one in values)


def test_every_index_of_every_visit(found: dict[str, list[dict[str, Any]]]) -> None:
    by_hand = {}
    for line in INDICES_BY_HAND.splitlines():
        participant, instance, *cells = line.split()
        values = [None if cell == "-" else float(cell) for cell in cells]
        of_visit = [values[place : place + 5] for place in (0, 5, 10)]
        # Of the 100 mL of the right kidney: half of what 200 mL of spleen are.
        for per, of_right in zip(
            of_visit, (100.0, *(each[3] for each in of_visit[1:])), strict=True
        ):
            per.append(of_right and (of_right if per is of_visit[0] else of_right / 2))
        by_hand[participant, instance] = dict(
            zip(MEASURED, zip(*of_visit, strict=True), strict=True)
        )
    columns = ("volume_ml", "volume_per_bsa_ml_per_m2", "volume_per_height2_ml_per_m2")
    asymmetries = {visit[:2]: visit[3] for visit in VISITS_BY_HAND}
    for row in found["indices"]:
        visit, structure = (row["participant"], row["instance"]), row["structure"]
        expected = by_hand.get(visit, {}).get(structure, (None, None, None))
        assert tuple(row[name] for name in columns) == about(*expected)
        unknown = {"f2": "weight_unknown", "f3": "height_unknown"}.get(visit[0])
        why = "no_volume" if expected[0] is None else unknown if expected[1] is None else None
        assert row["index_na_reason"] == why
        pair = asymmetries.get(visit) if structure == "both_kidney" else None
        assert (row["asymmetry_pct"],) == about(pair)
        z = Z_BY_HAND.get(visit) if structure == "liver" else None
        assert (row["z"],) == about(z)
        assert (row["z_na_reason"] is None) == (z is not None)


def test_every_change_of_every_pair(found: dict[str, list[dict[str, Any]]]) -> None:
    refused = {"f2": "scanner_differs", "f3": "model_differs", "m1": "completeness_differs"}
    intervals = {"f1": 3.0007461, "m1": 1.9986721}  # 1096 and 730 days of 365.2425 a year
    volumes = {
        (visit[0], visit[1], name): float(cell)
        for line in INDICES_BY_HAND.splitlines()
        for visit in [line.split()]
        for name, cell in zip(MEASURED, [*visit[2:7], "100"], strict=True)
    }
    columns = ("change_ml", "change_pct", "change_pct_per_year", "detectable_pct", "is_detectable")
    for row in found["pairs"]:
        who, structure = row["participant"], row["structure"]
        assert (row["first_instance"], row["second_instance"]) == ("2", "3")
        assert (row["protocol"], row["contrast"]) == ("dixon", "water")
        for instance, which in (("2", "first"), ("3", "second")):
            expected = volumes.get((who, instance, structure))
            assert (row[f"{which}_volume_ml"],) == about(expected)
        assert (row["interval_years"],) == about(intervals.get(who))
        not_said = "no_volume" if row["first_volume_ml"] is None else None
        why = refused.get(who, "quality_fails" if structure == "spleen" else not_said)
        assert row["na_reason"] == why
        least = 5.0 if structure == "liver" else None
        change: tuple[Any, ...] = (None, None, None, least, None)
        if why is None:
            change = (0, 0, 0, None, None)
            if structure == "liver":
                change = (157.7564, 10.5170918, 3.5048256, 5.0, True)
        assert tuple(row[name] for name in columns) == about(*change)


def test_rates_and_roc_of_each_rule(found: dict[str, list[dict[str, Any]]]) -> None:
    rules = {(row["judged"], row["rule"]): row for row in found["rules"]}
    outlier = rules["organ", "volume_outlier"]
    # 11 livers and the left kidneys of 5 men have a z; a liver and a kidney are beyond 5.
    assert (outlier["n_checked"], outlier["n_warn"], outlier["n_fail"]) == (16, 0, 2)
    assert outlier["fired_pct"] == pytest.approx(200 / 16)
    # Livers rated fail have |z| 1.35 and 0, those rated pass 6.07, 0 and 0.67: 2.5 pairs of 6.
    assert (outlier["n_rated_fail"], outlier["n_rated_pass"]) == (2, 3)
    assert outlier["auc"] == pytest.approx(2.5 / 6)
    assert (outlier["sensitivity"], outlier["specificity"]) == (0, pytest.approx(2 / 3))
    assert 0 <= outlier["auc_low"] < outlier["auc"] < outlier["auc_high"] <= 1
    assert rules["organ", "contrasts_disagree"]["n_checked"] == 1
    assert rules["scan", "seam_doubtful"]["n_warn"] == 1
    assert rules["scan", "sex_differs"]["n_checked"] == 1
    curve = [
        (row["threshold"], row["sensitivity"], row["specificity"])
        for row in found["roc"]
        if row["rule"] == "volume_outlier"
    ]
    assert curve[0] == pytest.approx((9 / MAD, 0, 2 / 3))
    assert curve[-1] == pytest.approx((0, 1, 0))


@pytest.fixture(scope="module")
def again(
    inputs: dict[str, Any], found: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Run once more; return where, and what was logged."""
    output, log = tmp_path_factory.mktemp("again") / "quality", StringIO()
    handler, logger = logging.StreamHandler(log), logging.getLogger("organome")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    check_quality.run(**inputs, output=output)
    logger.removeHandler(handler)
    logger.setLevel(level)
    return output, log.getvalue()


def test_a_rerun_keeps_what_people_wrote_and_gives_the_same_bytes(
    inputs: dict[str, Any], again: tuple[Path, str]
) -> None:
    one, two = (path.read_text() for path in inputs["ratings"])
    assert (one, two) == (RATINGS, OTHER_RATER)
    first = inputs["tables"].parent / "quality"
    for path in sorted(first.rglob("*.*")):
        assert (again[0] / path.relative_to(first)).read_bytes() == path.read_bytes()


def test_without_people_files_nothing_is_guessed(inputs: dict[str, Any], tmp_path: Path) -> None:
    check_quality.run(
        tables=inputs["tables"], thresholds=inputs["thresholds"], output=tmp_path / "out"
    )
    table = {one.name: one for one in QUALITY_TABLES}
    assert rows_of(tmp_path / "out", table["norms"]) == []
    liver = [
        one for one in rows_of(tmp_path / "out", table["indices"]) if one["structure"] == "liver"
    ]
    assert {row["z"] for row in liver} == {None}
    people = {row["participant"]: row for row in rows_of(tmp_path / "out", table["covariates"])}
    assert (people["m2"]["sex"], people["m2"]["from_scans"]) == ("female", "sex")
    assert (people["m1"]["sex"], people["m1"]["from_scans"]) == (None, None)
    assert {row["z_na_reason"] for row in liver} == {"no_volume", "sex_unknown", "age_unknown"}


def test_no_name_of_a_participant_is_logged(again: tuple[Path, str]) -> None:
    _, text = again
    assert "people.tsv: column weight_kg: 1 values are not of its kind, null" in text
    assert "11 visits of 13 have a row; 2 visits have none; 1 of 9 participants" in text
    assert "1 ratings and 0 exclusions match no listed scan" in text
    assert not [name for name in ("f1", "m2", "stranger", "z1") if name in text]


@pytest.mark.parametrize("name", ["thresholds", "tables"])
def test_what_is_not_there_is_said(inputs: dict[str, Any], tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="nowhere"):
        check_quality.run(**{**inputs, name: tmp_path / "nowhere"}, output=tmp_path / "out")


def test_exclusions_that_match_no_scan_are_counted_without_a_name(
    inputs: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [
        "participant\tinstance\tscan",
        *("sub-m2\tses-2\t", "\t\t0000-0011"),  # these are there
        *("stranger\t\t", "f1\t9\t", "\t\t0009-0000", "f2\t\t0000-0000"),  # the last is of f1
    ]
    (tmp_path / "out.tsv").write_text("\n".join(lines) + "\n")
    check_quality.run(
        **{**inputs, "exclusions": [tmp_path / "out.tsv"]}, output=tmp_path / "quality"
    )
    assert "1 ratings and 4 exclusions match no listed scan" in caplog.text
    assert not [name for name in ("f1", "f2", "m2", "stranger") if name in caplog.text]
    table = next(one for one in QUALITY_TABLES if one.name == "exclusions")
    rows = rows_of(tmp_path / "quality", table)
    by_list = [row["participant"] for row in rows if row["excluded"] == "by_list"]
    assert by_list == ["m2", "m4"]


def test_tables_say_what_all_files_of_the_collection_say(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    first = (("complete", "true"), ("n_not_measured", "1"), ("models", "b"), ("inputs", "1f"))
    second = (("complete", "false"), ("n_not_measured", "2"), ("models", "a;b"))
    shutil.copytree(inputs["tables"], tmp_path / "tables")
    for part, facts in enumerate((first, second)):
        for table in (SCANS, ORGAN_ROWS, VISITS):
            path = tmp_path / "tables" / table.name / f"part-{part:04d}.parquet"
            described = arrow_schema(replace(table, facts=facts))
            write_table(path, read_table(path).cast(described))
    quality = tmp_path / "quality"
    check_quality.run(tables=tmp_path / "tables", thresholds=inputs["thresholds"], output=quality)
    dictionary = json.loads((quality / "dictionary.json").read_text())
    names = ("complete", "n_not_measured", "models", "inputs")
    assert [dictionary.get(name) for name in names] == [False, 3, "a;b", None]
    for path in quality.glob("*/*.parquet"):
        assert [fact_of_file(path, name) for name in names] == ["false", None, "a;b", None]


def test_export_takes_the_asymmetry_of_organs(
    inputs: dict[str, Any], found: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    flags: dict[str, Any] = {"organs": ["left_kidney", "liver"], "values": ["asymmetry_pct", "z"]}
    export(tables=inputs["tables"], output=tmp_path, **flags)
    with (tmp_path / "visits.csv").open() as file:
        rows = {(row["participant"], row["instance"]): row for row in csv.DictReader(file)}
    assert float(rows["m4", "2"]["left_kidney_asymmetry_pct"]) == pytest.approx(40)
    assert {row["liver_asymmetry_pct"] for row in rows.values()} == {""}
    assert float(rows["f4", "2"]["liver_z"]) == pytest.approx(9)


def test_export_refuses_an_instance_where_the_table_has_none(
    inputs: dict[str, Any], found: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match="norms has no column instance"):
        export(tables=inputs["tables"], output=tmp_path, table="norms", instance="2")
    written = export(tables=inputs["tables"], output=tmp_path, table="exclusions", instance="3")
    assert written.n_rows == 1  # a spleen that a person rated
