import numpy as np
import pytest

from organome.compute.geometry.boxes import label_boxes, labelled_box


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_those_of_the_voxels_themselves(seed: int) -> None:
    chance = np.random.default_rng(seed)
    labels_zyx = np.zeros((7, 9, 8), np.uint8)
    places = chance.integers(0, labels_zyx.shape, (9, 3))
    labels_zyx[tuple(places.T)] = chance.choice([1, 2, 5], 9)
    found = label_boxes(labels_zyx, 4)
    assert set(found) == set(np.unique(labels_zyx)) - {0, 5}
    for label, box in found.items():
        at = np.argwhere(labels_zyx == label)
        assert [(one.start, one.stop) for one in box] == list(
            zip(at.min(axis=0), at.max(axis=0) + 1, strict=True)
        )
    assert set(label_boxes(labels_zyx)) == set(np.unique(labels_zyx)) - {0}


def test_nothing_labelled_has_no_box() -> None:
    empty_zyx = np.zeros((3, 4, 5), np.uint8)
    assert labelled_box(empty_zyx) is None
    assert label_boxes(empty_zyx) == {}
