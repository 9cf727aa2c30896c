import json

import pytest

from doubles.places import SHARED_DATA
from doubles.schemes import merged
from organome.domain.errors import SetupError
from organome.domain.organs import BODY_COMPOSITION, ORGAN_BY_NAME, ORGANS, Region, pairs_of
from organome.domain.scans import Contrast
from organome.domain.schemes import (
    AMOS22,
    BODY_COMPOSITION_SCHEME,
    MRSEGMENTATOR,
    SCHEMES,
    TOTALSEGMENTATOR_CT,
    TOTALSEGMENTATOR_MR,
    VIBESEGMENTATOR,
    LabelScheme,
    scheme_by_name,
)

LABEL_MAPS = SHARED_DATA / "label_maps.json"


@pytest.mark.parametrize(
    ("scheme", "n_classes", "n_organs"),
    [
        (MRSEGMENTATOR, 40, 40),
        (TOTALSEGMENTATOR_CT, 117, 40),
        (TOTALSEGMENTATOR_MR, 50, 40),
        (AMOS22, 15, 13),
        (VIBESEGMENTATOR, 72, 38),
    ],
    ids=lambda value: value.name if isinstance(value, LabelScheme) else str(value),
)
def test_scheme_knows_every_class_of_its_tool(
    scheme: LabelScheme, n_classes: int, n_organs: int
) -> None:
    assert list(scheme.classes) == list(range(1, n_classes + 1))
    assert len(set(scheme.classes.values())) == n_classes
    assert set(scheme.organ_labels) <= set(scheme.classes)
    assert sum(scheme.covers(organ) for organ in ORGANS) == n_organs


@pytest.mark.parametrize(
    ("scheme", "published"),
    [
        (TOTALSEGMENTATOR_CT, "total_to_mrseg"),
        (TOTALSEGMENTATOR_MR, "total_mr_to_mrseg"),
        (AMOS22, "amos_to_mrseg"),
    ],
    ids=lambda value: value.name if isinstance(value, LabelScheme) else str(value),
)
def test_scheme_agrees_with_the_compiled_label_lists(scheme: LabelScheme, published: str) -> None:
    if not LABEL_MAPS.exists():
        pytest.skip("the shared test data are not beside the repository")
    expected = {
        int(source): label
        for source, label in json.loads(LABEL_MAPS.read_text())[published].items()
    }
    assert {source: scheme.organ_labels.get(source, 0) for source in scheme.classes} == expected


def test_vibesegmentator_numbers_its_classes_as_published() -> None:
    published = {  # every fifth of its table, and the ends of each run
        **{1: "spleen", 5: "liver", 9: "adrenal_gland_left", 10: "lung_upper_lobe_left"},
        **{14: "lung_lower_lobe_right", 15: "esophagus", 18: "intestine", 19: "duodenum"},
        **{20: "unused", 21: "urinary_bladder", 23: "sacrum", 24: "heart", 25: "aorta"},
        **{28: "subclavian_artery_right", 30: "common_carotid_artery_right"},
        **{32: "brachiocephalic_vein_left", 34: "atrial_appendage_left"},
        **{36: "inferior_vena_cava", 37: "portal_vein_and_splenic_vein"},
        **{38: "iliac_artery_left", 41: "iliac_vena_right", 42: "humerus_left"},
        **{47: "clavicula_right", 48: "femur_left", 51: "hip_right", 52: "spinal_cord"},
        **{53: "gluteus_maximus_left", 58: "gluteus_minimus_right", 59: "autochthon_left"},
        **{62: "iliopsoas_right", 63: "sternum", 64: "costal_cartilages", 66: "muscle"},
        **{65: "subcutaneous_fat", 67: "inner_fat", 68: "IVD", 69: "vertebra_body"},
        **{70: "vertebra_posterior_elements", 71: "spinal_channel", 72: "bone_other"},
    }
    assert {label: VIBESEGMENTATOR.classes[label] for label in published} == published


def test_organs_are_those_of_the_compiled_label_list() -> None:
    if not LABEL_MAPS.exists():
        pytest.skip("the shared test data are not beside the repository")
    expected = json.loads(LABEL_MAPS.read_text())["mrseg"]
    assert {str(organ.label): organ.name for organ in ORGANS} == {
        label: name for label, name in expected.items() if label != "0"
    }


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_no_class_changes_its_side(scheme: LabelScheme) -> None:
    for source, label in scheme.organ_labels.items():
        words = scheme.classes[source].split("_")
        for side in ("left", "right"):
            structure = scheme.structures[label - 1]
            assert (side in words) == (structure.side == side), scheme.classes[source]


@pytest.mark.parametrize(
    ("scheme", "source", "organ"),
    [
        (TOTALSEGMENTATOR_CT, "vertebrae_S1", "spine"),
        (TOTALSEGMENTATOR_CT, "vertebrae_C1", "spine"),
        (TOTALSEGMENTATOR_CT, "lung_middle_lobe_right", "right_lung"),
        (TOTALSEGMENTATOR_CT, "kidney_cyst_left", None),
        (TOTALSEGMENTATOR_CT, "atrial_appendage_left", None),
        (TOTALSEGMENTATOR_MR, "vertebrae", "spine"),
        (TOTALSEGMENTATOR_MR, "intervertebral_discs", None),
        (TOTALSEGMENTATOR_MR, "autochthon_left", "left_autochthonous_muscle"),
        (VIBESEGMENTATOR, "vertebra_body", "spine"),
        (VIBESEGMENTATOR, "vertebra_posterior_elements", None),
        (VIBESEGMENTATOR, "intestine", None),
        (VIBESEGMENTATOR, "lung_middle_lobe_right", "right_lung"),
        (AMOS22, "postcava", "inferior_vena_cava"),
        (AMOS22, "bladder", None),
        (AMOS22, "prostate_or_uterus", None),
    ],
)
def test_classes_that_are_easily_mistaken(
    scheme: LabelScheme, source: str, organ: str | None
) -> None:
    label = next(label for label, name in scheme.classes.items() if name == source)
    assert scheme.organ_labels.get(label) == (organ and ORGAN_BY_NAME[organ].label)


def test_only_lobes_and_vertebrae_are_merged() -> None:
    found = {scheme.name: set(merged(scheme)) for scheme in SCHEMES.values() if merged(scheme)}
    assert found == {
        "totalsegmentator_ct": {"left_lung", "right_lung", "spine"},
        "vibesegmentator": {"left_lung", "right_lung"},
    }
    assert len(merged(TOTALSEGMENTATOR_CT)["spine"]) == 25
    assert merged(TOTALSEGMENTATOR_CT)["left_lung"] == [
        "lung_upper_lobe_left",
        "lung_lower_lobe_left",
    ]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_notes_are_about_organs(scheme: LabelScheme) -> None:
    assert set(scheme.notes) <= {structure.name for structure in scheme.structures}


def test_scheme_is_found_by_name_or_named_as_unknown() -> None:
    assert scheme_by_name("amos22") is AMOS22
    with pytest.raises(SetupError, match=r"'amos23' is unknown: one of mrsegmentator, "):
        scheme_by_name("amos23")


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_structures_are_numbered_in_order_and_every_class_becomes_one_of_them(
    scheme: LabelScheme,
) -> None:
    labels = [structure.label for structure in scheme.structures]
    assert labels == list(range(1, len(labels) + 1))
    assert set(scheme.organ_labels.values()) <= set(labels)


def test_body_composition_has_the_ten_structures_of_its_label_table() -> None:
    assert BODY_COMPOSITION_SCHEME.classes == {
        1: "subcutaneous_fat",
        2: "visceral_fat",
        3: "left_rectus_abdominis",
        4: "right_rectus_abdominis",
        5: "left_oblique_muscle",
        6: "right_oblique_muscle",
        7: "left_quadratus_lumborum",
        8: "right_quadratus_lumborum",
        9: "abdominal_subcutaneous_fat",
        10: "gluteofemoral_fat",
    }
    assert BODY_COMPOSITION_SCHEME.structures == BODY_COMPOSITION
    assert [one.name for one in BODY_COMPOSITION if one.region is Region.ADIPOSE_TISSUE] == [
        *("subcutaneous_fat", "visceral_fat", "abdominal_subcutaneous_fat", "gluteofemoral_fat")
    ]
    assert [(left.label, right.label) for left, right in pairs_of(BODY_COMPOSITION)] == [
        *((3, 4), (5, 6), (7, 8))
    ]
    assert not {one.name for one in BODY_COMPOSITION} & set(ORGAN_BY_NAME)


def test_body_composition_is_for_mri_only() -> None:
    suits = [contrast for contrast in Contrast if BODY_COMPOSITION_SCHEME.suits(contrast)]
    assert suits == [contrast for contrast in Contrast if contrast is not Contrast.CT]
    assert all(MRSEGMENTATOR.suits(contrast) for contrast in Contrast)
