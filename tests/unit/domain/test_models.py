from typing import Any

import pytest

from doubles.releases import scheme_dataset
from organome.domain.errors import SetupError
from organome.domain.models import check_labels, check_one_channel, model_classes
from organome.domain.schemes import BODY_COMPOSITION_SCHEME, MRSEGMENTATOR, SCHEMES, LabelScheme


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_model_with_the_classes_of_its_scheme_passes(scheme: LabelScheme) -> None:
    check_labels(scheme_dataset(scheme), scheme, model="m")


def test_case_spaces_and_hyphens_count_not() -> None:
    labels = {"background": 0} | {
        name.replace("_", " ").title(): label for label, name in MRSEGMENTATOR.classes.items()
    }
    check_labels({"labels": labels}, MRSEGMENTATOR, model="m")


def renamed(old: str, new: str) -> dict[str, Any]:
    labels = scheme_dataset(MRSEGMENTATOR)["labels"]
    return {"labels": {(new if name == old else name): label for name, label in labels.items()}}


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (scheme_dataset(BODY_COMPOSITION_SCHEME), "m has 10 classes, .* mrsegmentator has 40"),
        (renamed("liver", "lever"), "label 5 is lever, not liver"),
        ({"labels": {"background": 0, "a": 1}}, "m has 1 classes"),
        ({"labels": {}}, "names no labels"),
        ({}, "names no labels"),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "regions"),
        ({"labels": {"a": 1}, "regions_class_order": [1]}, "regions"),
    ],
)
def test_a_model_with_other_classes_is_refused(dataset: dict[str, Any], says: str) -> None:
    with pytest.raises(SetupError, match=says):
        check_labels(dataset, MRSEGMENTATOR, model="m")


def test_swapped_sides_are_found() -> None:
    labels = scheme_dataset(MRSEGMENTATOR)["labels"]
    labels["left_kidney"], labels["right_kidney"] = labels["right_kidney"], labels["left_kidney"]
    with pytest.raises(SetupError, match="label 2 is left_kidney, not right_kidney, 3 is right"):
        check_labels({"labels": labels}, MRSEGMENTATOR, model="m")


def test_what_is_to_be_ignored_is_no_class() -> None:
    dataset = {"labels": {"background": 0, "ignore": 3, "b": 2, "a": 1}}
    assert model_classes(dataset, model="m") == {1: "a", 2: "b"}


def test_a_model_of_several_images_is_refused() -> None:
    check_one_channel({"channel_names": {"0": "MR"}}, model="m")
    check_one_channel({"modality": {"0": "MR"}}, model="m")
    with pytest.raises(SetupError, match="takes 2 images"):
        check_one_channel({"channel_names": {"0": "fat", "1": "water"}}, model="m")
