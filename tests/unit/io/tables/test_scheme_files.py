from copy import deepcopy
from typing import Any

import pytest

from organome.domain.errors import SetupError
from organome.domain.organs import ORGAN_BY_NAME, ORGANS, Region, Side
from organome.domain.scans import Modality
from organome.domain.schemes import SCHEMES, LabelScheme
from organome.io.tables.schemes import parse_scheme, scheme_content

THORAX: dict[str, Any] = {
    "name": "thorax",
    "modality": "ct",
    "classes": {
        2: {"class": "lung lower lobe left", "becomes": "left_lung"},
        1: {"class": "heart", "becomes": "heart"},
        3: {"class": "lung upper lobe left", "becomes": "left_lung"},
        4: {"class": "trachea", "becomes": "trachea"},
        7: {"class": "table", "becomes": None},
    },
    "structures": ["left_lung", "heart", {"name": "trachea", "region": "chest"}, "left_sleeve"],
    "notes": {"left_lung": "Sum of two lobes."},
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_what_is_written_is_read(scheme: LabelScheme) -> None:
    assert parse_scheme(scheme_content(scheme), source="f") == scheme


def test_structures_are_numbered_in_the_order_of_the_file() -> None:
    scheme = parse_scheme(THORAX, source="thorax.yaml")
    named = [(one.label, one.name, one.region, one.side) for one in scheme.structures]
    assert named == [
        (1, "left_lung", Region.CHEST, Side.LEFT),
        (2, "heart", Region.CHEST, Side.NONE),
        (3, "trachea", Region.CHEST, Side.NONE),
        (4, "left_sleeve", Region.OTHER, Side.LEFT),
    ]
    assert scheme.classes == {
        **{1: "heart", 2: "lung lower lobe left", 3: "lung upper lobe left"},
        **{4: "trachea", 7: "table"},
    }
    assert scheme.organ_labels == {1: 2, 2: 1, 3: 1, 4: 3}
    assert [scheme.covers(one) for one in scheme.structures] == [True, True, True, False]
    assert scheme.modality is Modality.CT
    assert scheme.notes == {"left_lung": "Sum of two lobes."}


def test_without_structures_the_40_organs_are_measured() -> None:
    scheme = parse_scheme(
        {"name": "n", "classes": {"5": {"class": "x", "becomes": "liver"}}}, source="f"
    )
    assert scheme.structures is ORGANS
    assert scheme.organ_labels == {5: ORGAN_BY_NAME["liver"].label}
    assert scheme.modality is None


def changed(**changes: Any) -> dict[str, Any]:
    return deepcopy(THORAX) | changes


def with_class(label: Any, named: Any) -> dict[str, Any]:
    return changed(classes={**THORAX["classes"], label: named})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "holds no mapping"),
        (changed(organs=[]), "unknown key 'organs'"),
        (changed(name="Thorax CT"), "name must be"),
        (changed(name=None), "name must be"),
        (changed(modality="pet"), "modality 'pet'; known: mri, ct"),
        (changed(classes={}), "classes must name"),
        (changed(structures="heart"), "structures must be a list"),
        (changed(structures=["heart", "heart"]), "heart is there twice"),
        (changed(structures=[{"name": "x", "colour": "red"}]), "neither a name"),
        (changed(structures=["../x"]), "its name must be"),
        (changed(structures=[{"name": "x", "region": "leg"}]), "region 'leg'; known: chest, "),
        (changed(structures=[f"s{n}" for n in range(128)]), "128 structures, 127 at most"),
        (changed(notes={"liver": "?"}), "note on 'liver'"),
        (with_class(0, {"class": "x", "becomes": None}), "class 0 .* background"),
        (with_class("two", {"class": "x", "becomes": None}), "class 'two' is not a label"),
        (with_class("4", {"class": "x", "becomes": None}), "class 4 is there twice"),
        (with_class(9, {"class": "x"}), "class 9 must be"),
        (with_class(9, "x"), "class 9 must be"),
        (with_class(9, {"class": "heart", "becomes": None}), "'heart' is not a name of its own"),
        (with_class(9, {"class": "x", "becomes": "liver"}), "'liver', which is not a structure"),
        (changed(classes={1: {"class": "x", "becomes": None}}), "no class becomes"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(content: Any, says: str) -> None:
    with pytest.raises(SetupError, match=f"thorax.yaml: .*{says}"):
        parse_scheme(content, source="thorax.yaml")
