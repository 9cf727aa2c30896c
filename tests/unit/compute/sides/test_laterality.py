from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from doubles.places import SHARED_DATA
from organome.compute.labelmaps.consensus import count_votes, majority
from organome.compute.labelmaps.remapping import remap_labelmap
from organome.compute.sides.laterality import check_sides, repair_sides
from organome.domain.organs import (
    BODY_COMPOSITION,
    ORGAN_BY_NAME,
    ORGANS,
    PAIRS,
    Organ,
    SideFinding,
)
from organome.domain.schemes import scheme_by_name

REAL = SHARED_DATA / "real"
SIZE_ZYX = (30, 20, 60)
SPACING_XYZ_MM = (4.0, 4.0, 6.0)
MIDDLE = SIZE_ZYX[2] // 2
CODES = ["".join(code) for axes in permutations(("RL", "AP", "IS")) for code in product(*axes)]

Box = tuple[slice, slice, slice]
# Index x grows to the left of the body. Boxes to the left of the middle; partners are mirrored.
ON_THE_LEFT: dict[str, Box] = {
    "kidney": np.s_[18:24, 10:14, 42:48],
    "lung": np.s_[24:30, 4:16, 36:54],
    "femur": np.s_[0:8, 8:12, 48:52],
    "hip": np.s_[8:14, 8:14, 33:48],
    "gluteus_maximus": np.s_[6:12, 15:19, 30:46],  # touches its partner in the middle
}
TOUCHING = "gluteus_maximus"


def label(name: str) -> int:
    return ORGAN_BY_NAME[name].label


def mirrored(box: Box) -> Box:
    return box[0], box[1], slice(SIZE_ZYX[2] - box[2].stop, SIZE_ZYX[2] - box[2].start)


def sound_labels() -> np.ndarray:
    labels = np.zeros(SIZE_ZYX, np.uint8)
    labels[:, 12:15, MIDDLE - 1 : MIDDLE + 1] = label("spine")
    for name, box in ON_THE_LEFT.items():
        labels[box] = label(f"left_{name}")
        labels[mirrored(box)] = label(f"right_{name}")
    labels[16:18, 4:8, 8:26] = label("liver")
    labels[16:18, 4:8, 44:50] = label("spleen")
    return labels


def image_of(labels_zyx: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(labels_zyx)
    image.SetSpacing(SPACING_XYZ_MM)
    image.SetOrigin((-100.0, -50.0, -300.0))
    return image


def suspects(labels_zyx: np.ndarray, structures: tuple[Organ, ...] = ORGANS) -> dict[str, str]:
    found = check_sides(image_of(labels_zyx), structures)
    return {organ: finding.value for organ, finding in found.items() if finding}


def test_a_sound_labelmap_has_no_suspects_and_says_what_was_checked() -> None:
    found = check_sides(image_of(sound_labels()), ORGANS)
    assert set(found.values()) == {None}
    names = {f"{side}_{name}" for side in ("left", "right") for name in ON_THE_LEFT}
    assert set(found) == {*names, "liver", "spleen"}


@pytest.mark.parametrize("code", CODES)
def test_sides_are_kept_in_every_orientation(code: str) -> None:
    """Through mapping, voting, check and repair; nothing depends on how voxels are stored."""
    assert len(CODES) == len(set(CODES)) == 48
    sound = image_of(sound_labels())
    stored = sitk.DICOMOrient(sound, code)
    mapped = remap_labelmap(stored, scheme_by_name("mrsegmentator"))
    voters = [sitk.GetArrayFromImage(one) for one in (mapped, mapped, 0 * mapped)]
    elected = sitk.GetImageFromArray(majority(voters[0], count_votes(voters)))
    elected.CopyInformation(stored)
    assert set(check_sides(elected, ORGANS).values()) == {None}
    repaired, moved_ml = repair_sides(elected, ORGANS)
    assert set(moved_ml.values()) == {0.0}
    back = sitk.DICOMOrient(repaired, "LPS")
    assert np.array_equal(sitk.GetArrayFromImage(back), sound_labels())


@pytest.mark.parametrize("code", CODES)
def test_a_crossed_pair_is_found_and_repaired_in_every_orientation(code: str) -> None:
    labels = sound_labels()
    crossed = labels.copy()
    crossed[labels == label("left_kidney")] = label("right_kidney")
    crossed[labels == label("right_kidney")] = label("left_kidney")
    stored = sitk.DICOMOrient(image_of(crossed), code)
    found = check_sides(stored, ORGANS)
    assert {organ for organ, finding in found.items() if finding} == {
        "left_kidney",
        "right_kidney",
    }
    assert found["left_kidney"] is SideFinding.CROSSED
    repaired = sitk.DICOMOrient(repair_sides(stored, ORGANS)[0], "LPS")
    assert np.array_equal(sitk.GetArrayFromImage(repaired), labels)


def test_a_body_that_lies_askew_is_no_finding() -> None:
    tilt = np.deg2rad(8)
    image = image_of(sound_labels())
    image.SetDirection([np.cos(tilt), 0, np.sin(tilt), 0, 1, 0, -np.sin(tilt), 0, np.cos(tilt)])
    assert set(check_sides(image, ORGANS).values()) == {None}


@pytest.mark.parametrize("name", ["left_kidney", "right_lung", "left_femur"])
def test_an_organ_alone_on_the_wrong_side_is_found(name: str) -> None:
    labels = sound_labels()
    partner = ORGAN_BY_NAME[name].partner_name
    assert partner is not None
    labels[labels == label(name)] = 0
    labels[labels == label(partner)] = label(name)
    assert suspects(labels) == {name: "other_side"}


def test_an_island_of_the_other_side_is_found_and_given_back() -> None:
    labels = sound_labels()
    labels[18:20, 10:12, 20:22] = label("left_kidney")  # below the right one, a gap apart
    labels[18:24, 10:14, 12:18] = 0
    labels[21:24, 10:14, 12:18] = label("right_kidney")
    assert suspects(labels) == {"left_kidney": "pieces_across"}
    repaired, moved_ml = repair_sides(image_of(labels), ORGANS)
    assert moved_ml["left_kidney"] == pytest.approx(8 * 4 * 4 * 6 / 1000)
    assert moved_ml["right_kidney"] == 0.0
    array = sitk.GetArrayFromImage(repaired)
    assert (array[18:20, 10:12, 20:22] == label("right_kidney")).all()
    assert check_sides(repaired, ORGANS)["left_kidney"] is None


def test_an_island_that_touches_its_partner_is_found_and_left_alone() -> None:
    labels = sound_labels()
    labels[2:5, 8:12, 8:12] = label("left_femur")  # within the right femur
    assert suspects(labels) == {"left_femur": "pieces_across"}
    repaired, moved_ml = repair_sides(image_of(labels), ORGANS)
    assert not any(moved_ml.values())
    assert np.array_equal(sitk.GetArrayFromImage(repaired), labels)


def test_a_piece_that_reaches_over_the_middle_is_left_alone() -> None:
    labels = sound_labels()
    labels[28:30, 0:2, 8:34] = label("left_lung")  # most of it, but not all, on the right
    assert suspects(labels) == {}
    assert repair_sides(image_of(labels), ORGANS)[1]["left_lung"] == 0.0


def test_a_speck_makes_no_suspect() -> None:
    labels = sound_labels()
    labels[28, 2, 5] = label("left_lung")
    assert suspects(labels) == {}


def test_one_side_that_spreads_over_both_is_found_and_left_alone() -> None:
    labels = sound_labels()
    box = mirrored(ON_THE_LEFT[TOUCHING])
    labels[box][:, :, 6:] = label(f"left_{TOUCHING}")
    assert suspects(labels) == {f"left_{TOUCHING}": "reaches_across"}
    assert np.array_equal(sitk.GetArrayFromImage(repair_sides(image_of(labels), ORGANS)[0]), labels)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_a_touching_pair_never_becomes_one_side(seed: int, share: float) -> None:
    """A pair in one piece, with the sides dealt at random: what touches keeps its label."""
    left, right = label("left_gluteus_maximus"), label("right_gluteus_maximus")
    chance = np.random.default_rng(seed)
    labels = np.zeros(SIZE_ZYX, np.uint8)
    labels[:, 12:15, MIDDLE - 1 : MIDDLE + 1] = label("spine")
    block = labels[6:12, 16:19, 10:50]
    block[...] = np.where(chance.random(block.shape) < share, left, right)
    repaired, moved_ml = repair_sides(image_of(labels), ORGANS)
    assert np.array_equal(sitk.GetArrayFromImage(repaired), labels)
    assert not any(moved_ml.values())


def test_without_a_spine_the_pairs_tell_the_middle() -> None:
    labels = sound_labels()
    labels[labels == label("spine")] = 0
    crossed = labels.copy()
    crossed[labels == label("left_lung")] = label("right_lung")
    crossed[labels == label("right_lung")] = label("left_lung")
    assert suspects(labels) == {}
    assert suspects(crossed) == {"left_lung": "crossed", "right_lung": "crossed"}


def test_with_nothing_to_tell_the_middle_by_nothing_is_said() -> None:
    labels = np.zeros(SIZE_ZYX, np.uint8)
    labels[2:5, 2:5, 2:5] = label("left_kidney")
    assert check_sides(image_of(labels), ORGANS) == {}
    assert check_sides(image_of(0 * labels), ORGANS) == {}
    assert repair_sides(image_of(labels), ORGANS)[1] == {}


def test_a_mirrored_body_shows_in_liver_and_spleen() -> None:
    labels = sound_labels()
    labels[labels == label("liver")] = 0
    labels[labels == label("spleen")] = label("liver")
    assert suspects(labels) == {"liver": "other_side"}


def test_pairs_come_from_the_names_of_any_scheme() -> None:
    numbers = {one.name: one.label for one in BODY_COMPOSITION}
    labels = np.zeros(SIZE_ZYX, np.uint8)
    labels[5:15, 2:4, 34:44] = numbers["right_rectus_abdominis"]
    labels[5:15, 2:4, 16:26] = numbers["left_rectus_abdominis"]
    assert suspects(labels, BODY_COMPOSITION) == {
        "left_rectus_abdominis": "crossed",
        "right_rectus_abdominis": "crossed",
    }


@pytest.mark.parametrize(
    ("file", "scheme"),
    [
        ("example_seg.nii.gz", "totalsegmentator_ct"),
        ("example_seg_fast.nii.gz", "totalsegmentator_ct"),
        ("example_seg_mr.nii.gz", "totalsegmentator_mr"),
    ],
)
def test_real_labelmaps_have_no_suspects(file: str, scheme: str) -> None:
    if not (REAL / file).exists():
        pytest.skip("the real labelmaps are not beside this checkout")
    labelmap = remap_labelmap(sitk.ReadImage(str(REAL / file)), scheme_by_name(scheme))
    found = check_sides(labelmap, ORGANS)
    assert set(found.values()) == {None}
    assert {"left_kidney", "right_kidney", "liver", "spleen"} <= set(found)
    left, right = PAIRS[0]
    mirrored = sitk.GetImageFromArray(sitk.GetArrayFromImage(labelmap)[:, :, ::-1].copy())
    mirrored.CopyInformation(labelmap)
    assert check_sides(mirrored, ORGANS)[left.name] is SideFinding.CROSSED
    assert check_sides(mirrored, ORGANS)["liver"] is SideFinding.OTHER_SIDE
    assert right.name in found
