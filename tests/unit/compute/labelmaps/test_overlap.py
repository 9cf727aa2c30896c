import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.labelmaps.overlap import count_confusion, dice_by_organ, swapped_share_by_pair
from organome.domain.organs import ORGAN_BY_NAME

LIVER = ORGAN_BY_NAME["liver"].label
LEFT, RIGHT = ORGAN_BY_NAME["left_lung"].label, ORGAN_BY_NAME["right_lung"].label


def labelmap(values: list[int]) -> sitk.Image:
    return sitk.GetImageFromArray(np.array(values, np.uint8).reshape(1, 1, -1))


def test_dice_of_known_overlap() -> None:
    confusion = count_confusion(
        labelmap([LIVER] * 4 + [0] * 4), labelmap([0, 0] + [LIVER] * 3 + [0] * 3)
    )
    assert dice_by_organ(confusion) == {"liver": pytest.approx(2 * 2 / (4 + 3))}


def test_a_missed_organ_scores_zero_and_an_added_one_does_not_count() -> None:
    confusion = count_confusion(labelmap([LIVER, 0, 0]), labelmap([0, LEFT, 0]))
    assert dice_by_organ(confusion) == {"liver": 0.0}


def test_swapped_sides_are_found() -> None:
    confusion = count_confusion(
        labelmap([LEFT, LEFT, RIGHT, RIGHT]), labelmap([LEFT, RIGHT, RIGHT, RIGHT])
    )
    assert swapped_share_by_pair(confusion) == {"left_lung": pytest.approx(0.25)}


def test_truth_on_another_grid_is_brought_onto_that_of_the_labelmap() -> None:
    truth = sitk.GetImageFromArray(np.full((4, 4, 4), LIVER, np.uint8))
    coarse = sitk.GetImageFromArray(np.full((2, 2, 2), LIVER, np.uint8))
    coarse.SetSpacing((2.0, 2.0, 2.0))
    coarse.SetOrigin((0.4, 0.4, 0.4))
    confusion = count_confusion(truth, coarse)
    assert confusion[LIVER, LIVER] == confusion.sum() == 8
