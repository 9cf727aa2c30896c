"""Numbers that look like volumes and are none, and volumes of stations that are scans of their own.

Source: readings of our own code.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.labelmaps.volumes import measure_organs
from organome.domain.organs import ORGANS
from organome.domain.outcomes import Outcome, Status
from organome.domain.rows import organ_rows
from organome.domain.scans import Scan
from organome.domain.volume_bounds import volume_bounds_ml
from organome.phantoms.bodies.people import draw_covariates, draw_target_volumes_ml
from organome.steps.collect.parts import OrganValue, visit_rows
from organome.steps.measure.measure_volumes import organ_facts

SCAN = Scan("0000-0000", "demo", "01", "2", "0", "dixon", ())
LABELLED = Outcome("0000-0000", "segment_organs", Status.DONE, "l", facts={"contrast": "water"})


def row_of(name: str, n_voxels: int, voxel_mm: float, **header: Any) -> dict[str, Any]:
    (organ,) = (one for one in ORGANS if one.name == name)
    labels_zyx = np.zeros((20, 20, 20), np.uint8)
    labels_zyx[1:-1, 1:-1, 1:-1].flat[:n_voxels] = organ.label
    labelmap = sitk.GetImageFromArray(labels_zyx)
    labelmap.SetSpacing((voxel_mm,) * 3)
    facts = json.loads(json.dumps({"organs": organ_facts(measure_organs(labelmap))}))
    outcome = Outcome(SCAN.scan, "measure_volumes", Status.DONE, "m", facts=facts)
    labelled = replace(LABELLED, facts={**LABELLED.facts, **header})
    return {row["organ"]: row for row in organ_rows(SCAN, outcome, (labelled,))}[name]


@pytest.mark.odd_input(
    "C-2",
    make="three stray voxels of liver and nothing else; a kidney of 20 mL; a bladder of 6 L",
    source="own; bounds from Geraghty 2004 and ICRP 89",
    outcome="no volume: `implausibly_small` or `implausibly_large`; `volume_observed_ml` keeps it",
)
@pytest.mark.parametrize(
    ("name", "n_voxels", "voxel_mm", "reason"),
    [
        ("liver", 3, 2.4, "implausibly_small"),
        ("liver", 1500, 10.0, None),
        ("left_kidney", 20, 10.0, "implausibly_small"),
        ("left_kidney", 150, 10.0, None),
        ("right_adrenal_gland", 3, 10.0, None),
        ("gallbladder", 3, 2.4, "implausibly_small"),
        ("urinary_bladder", 5800, 10.0, "implausibly_large"),
        ("spleen", 5800, 10.0, "implausibly_large"),
    ],
)
def test_a_speck_is_not_a_volume(
    name: str, n_voxels: int, voxel_mm: float, reason: str | None
) -> None:
    row = row_of(name, n_voxels, voxel_mm)
    observed_ml = pytest.approx(n_voxels * voxel_mm**3 / 1000)
    assert (row["n_voxels"], row["volume_observed_ml"]) == (n_voxels, observed_ml)
    assert (row["volume_ml"], row["na_reason"]) == (observed_ml if reason is None else None, reason)


@pytest.mark.odd_input(
    "V-138",
    make="a kidney of 15 mL, a liver of 150 mL, of an infant whose age is known",
    source="ICRP 89",
    outcome="volumes, with `age_years`; without it `implausibly_small`; a speck always",
)
@pytest.mark.parametrize(("name", "volume_ml"), [("left_kidney", 15), ("liver", 150)])
def test_a_child_of_known_age_has_the_organs_of_a_child(name: str, volume_ml: int) -> None:
    assert row_of(name, volume_ml, 10.0, age_years=0.5)["volume_ml"] == pytest.approx(volume_ml)
    for header in ({}, {"age_years": 40.0}, {"age_years": None}):
        assert row_of(name, volume_ml, 10.0, **header)["na_reason"] == "implausibly_small"
    assert row_of(name, 3, 2.4, age_years=0.5)["na_reason"] == "implausibly_small"


def test_phantoms_lie_well_within_the_bounds() -> None:
    chance = np.random.default_rng(0)
    for _ in range(200):
        for name, volume_ml in draw_target_volumes_ml(chance, draw_covariates(chance)).items():
            least_ml, greatest_ml = volume_bounds_ml(name)
            assert 1.3 * least_ml < volume_ml < greatest_ml / 1.3, name


SPECK = OrganValue(None, "implausibly_small", 0.03)
FLOOD = OrganValue(None, "implausibly_large", 9000.0)
CUT = OrganValue(None, "truncated", 900.0)


def whole(volume_ml: float) -> OrganValue:
    return OrganValue(volume_ml, None, volume_ml)


@pytest.mark.odd_input(
    "C-1",
    make="stations as scans: a speck of 0.03 mL, a cut organ, the whole organ of 1500 mL",
    source="own",
    outcome="1500 mL: the largest whole organ; none where another station shows more, cut",
)
@pytest.mark.parametrize(
    ("stations", "expected"),
    [
        ([SPECK, CUT, whole(1500.0)], (1500.0, None)),
        ([whole(0.03), CUT, whole(1500.0)], (1500.0, None)),
        ([whole(600.0), CUT], (None, "truncated")),
        ([SPECK, CUT], (None, "truncated")),
        ([SPECK, OrganValue(None, "not_found")], (None, "implausibly_small")),
        ([whole(700.0), FLOOD], (None, "implausibly_large")),
        ([OrganValue(None, "not_found"), SPECK], (None, "implausibly_small")),
    ],
)
def test_a_visit_takes_the_largest_whole_organ_of_its_stations(
    stations: list[OrganValue], expected: tuple[float | None, str | None]
) -> None:
    key = {"cohort": "c", "participant": "1", "instance": "2", "array": "0", "protocol": "dixon"}
    rows = [
        {**key, "scan": f"0000-{n:04d}", "station": n, "status": "done", "contrast": "water"}
        for n in range(len(stations))
    ]
    values = {row["scan"]: [one] * len(ORGANS) for row, one in zip(rows, stations, strict=True)}
    (visit,) = visit_rows(rows, values)
    assert (visit["liver_volume_ml"], visit["liver_na_reason"]) == expected
