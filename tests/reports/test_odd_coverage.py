"""Organs that are not found: outside the view, removed or missed, or nobody can say.

Source: a biobank's question; fields of view of abdominal and whole-body protocols.
"""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.labelmaps.volumes import measure_organs
from organome.domain.coverage import _LEVELS
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.outcomes import Outcome, Status
from organome.domain.rows import organ_rows
from organome.domain.scans import Scan
from organome.domain.volume_bounds import volume_bounds_ml
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import stitched_grid
from organome.phantoms.rendering.render import truth_labelmap
from organome.steps.measure.measure_volumes import organ_facts

SCAN = Scan("0000-0000", "demo", "01", "2", "0", "dixon", ())
LABELLED = Outcome("0000-0000", "segment_organs", Status.DONE, "l", facts={"contrast": "water"})


@cache
def phantom() -> sitk.Image:
    return truth_labelmap(draw_body(3, spacing_xyz_mm=(8.0, 8.0, 6.0)), stitched_grid(reduce=4))


def reasons_of(labelmap: sitk.Image, *removed: str) -> dict[str, str | None]:
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    labels_zyx[np.isin(labels_zyx, [ORGAN_BY_NAME[name].label for name in removed])] = 0
    left = sitk.GetImageFromArray(labels_zyx)
    left.CopyInformation(labelmap)
    facts: Any = json.loads(json.dumps({"organs": organ_facts(measure_organs(left))}))
    outcome = Outcome(SCAN.scan, "measure_volumes", Status.DONE, "m", facts=facts)
    return {row["organ"]: row["na_reason"] for row in organ_rows(SCAN, outcome, (LABELLED,))}


@pytest.mark.odd_input(
    "V-133",
    make="a whole body of which an organ was removed, or missed by the model",
    source="own; a gallbladder is missing in one of ten elderly people",
    outcome="`removed_or_missed`: the organs above and below it are whole",
)
@pytest.mark.parametrize(
    "name", ["gallbladder", "left_kidney", "spleen", "right_adrenal_gland", "urinary_bladder"]
)
def test_an_organ_that_should_be_in_view_was_removed_or_missed(name: str) -> None:
    assert reasons_of(phantom(), name)[name] == "removed_or_missed"


@pytest.mark.odd_input(
    "V-134",
    make="a scan of the chest, of the abdomen, of the pelvis; an organ is missing there",
    source="own; UK Biobank's pancreas and liver scans, diagnostic CT",
    outcome="`outside_view` beyond an organ that is cut, `truncated` at the end, else `not_found`",
)
@pytest.mark.parametrize(
    ("slices", "outside"),
    [
        (np.s_[230:], ("urinary_bladder", "left_femur", "sacrum")),
        (np.s_[190:270], ("urinary_bladder", "left_femur")),
        (np.s_[:170], ("liver", "left_lung", "spleen", "gallbladder")),
    ],
)
def test_an_organ_beyond_the_scan_is_outside_its_view(
    slices: slice, outside: tuple[str, ...]
) -> None:
    reasons = reasons_of(phantom()[:, :, slices])
    assert {name: reasons[name] for name in outside} == dict.fromkeys(outside, "outside_view")
    assert "truncated" in reasons.values()


def test_where_the_scan_ends_beside_an_organ_nobody_can_say() -> None:
    part = phantom()[:, :, 190:270]
    assert reasons_of(part, "gallbladder")["gallbladder"] in ("removed_or_missed", "not_found")
    narrow = phantom()[40:72, :, :]
    assert reasons_of(narrow, "gallbladder")["gallbladder"] == "not_found"


def test_nothing_is_said_of_an_empty_labelmap() -> None:
    empty = phantom() * 0
    assert set(reasons_of(empty).values()) == {"not_found"}


def test_levels_are_those_of_known_organs() -> None:
    kinds = {name.removeprefix("left_").removeprefix("right_") for name in ORGAN_BY_NAME}
    assert set(_LEVELS) <= kinds | {"quadratus_lumborum"}
    assert all(volume_bounds_ml(kind)[0] > 0 for kind in _LEVELS)
    assert all(top < bottom for top, bottom in _LEVELS.values())
