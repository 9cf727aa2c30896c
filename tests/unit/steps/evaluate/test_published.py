"""The figures of the paper, as its file has them, add up to what the paper prints."""

import numpy as np
import pytest
import yaml

from doubles.places import REPOSITORY
from organome.compute.metrics.summaries import macro_mean
from organome.domain.evaluations import AMOS22_ORGANS, PROFILES
from organome.domain.organs import ORGANS
from organome.domain.schemes import SCHEMES
from organome.io.files.strict_yaml import StrictLoader
from organome.steps.evaluate.published import Published, is_same_dataset


@pytest.fixture(scope="module")
def paper() -> Published:
    return Published.read(REPOSITORY / "config/published/mrsegmentator_2024.yaml")


def mean_of(paper: Published, dataset: str, modality: str, organs: set[str]) -> list[float | None]:
    """Take macro means of Dice and HD95 as those of a run are taken: classes are one scan here."""
    printed = paper.find("classes", dataset, modality=modality)["organs"]
    assert organs <= set(printed)
    values = np.array([printed[organ] for organ in organs], np.float64)
    return [macro_mean(values[None, :, metric]) for metric in (0, 1)]


@pytest.mark.parametrize(
    ("dataset", "modality", "organs", "dice", "hd95_mm"),
    [
        ("nako", "mri", {organ.name for organ in ORGANS}, 0.852, 6.544),
        (
            "amos22",
            "mri",
            {organ.name for organ in AMOS22_ORGANS},
            0.792,
            8.289,
        ),
        (
            "amos22",
            "ct",
            {organ.name for organ in AMOS22_ORGANS},
            0.844,
            7.858,
        ),
        (
            "nako",
            "mri",
            {organ.name for organ in AMOS22_ORGANS},
            0.813,
            4.752,
        ),
    ],
)
def test_means_of_table_a1(
    paper: Published, dataset: str, modality: str, organs: set[str], dice: float, hd95_mm: float
) -> None:
    found = mean_of(paper, dataset, modality, organs)
    assert found[0] == pytest.approx(dice, abs=5e-4)
    assert found[1] == pytest.approx(hd95_mm, abs=5e-4)


def test_amos22_has_13_organs_under_both_profiles() -> None:
    for profile in PROFILES.values():
        organs = profile.organs(SCHEMES["amos22"], SCHEMES["mrsegmentator"])
        assert len(organs) == 13
        whole = profile.organs(SCHEMES["mrsegmentator"], SCHEMES["mrsegmentator"])
        assert len(whole) == 40


def test_three_contrasts_of_nako_average_to_what_is_printed_of_all(paper: Published) -> None:
    """HD95: the contrasts give 6.55 as printed, the classes of Table A1 give 6.54."""
    of_contrasts = [
        paper.find("sets", "nako", contrast=one, organs="all", modality="mri")["hd95_mm"]
        for one in ("opposed_phase", "water", "fat")
    ]
    assert sum(of_contrasts) / 3 == pytest.approx(6.547, abs=5e-4)


def test_a_dataset_is_the_papers_by_the_beginning_of_its_name() -> None:
    assert is_same_dataset("NAKO-2024", "nako")
    assert not is_same_dataset("nakoda", "nako")


@pytest.mark.parametrize("ours", ["inhouse", "in-house", "In_House", "inhouse-2020"])
def test_case_and_dashes_do_not_count_in_the_name_of_a_dataset(ours: str) -> None:
    assert is_same_dataset(ours, "in_house")
    assert not is_same_dataset("in", "in_house")
    assert not is_same_dataset("inhouses", "in_house")


def test_every_dataset_of_the_shipped_training_finds_its_figures(paper: Published) -> None:
    path = REPOSITORY / "config/train/mrsegmentator.yaml"
    shipped = yaml.load(path.read_text(encoding="utf-8"), StrictLoader)
    names = [one["name"] for one in shipped["datasets"]]
    for section in ("sets", "composition"):
        known = {entry["dataset"] for entry in paper.entries[section]}
        assert all(any(is_same_dataset(name, one) for one in known) for name in names)
        assert all(any(is_same_dataset(name, one) for name in names) for one in known)
