"""Boxes of what is labelled: most of an image is not, and need not be gone through again."""

from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

BoxZyx: TypeAlias = tuple[slice, ...]


def labelled_box(labels_zyx: NDArray[Any]) -> BoxZyx | None:
    """Find the box of all labels above 0; None where there is none."""
    plane_yx = labels_zyx.max(axis=0)
    lines = (labels_zyx.max(axis=(1, 2)), plane_yx.max(axis=1), plane_yx.max(axis=0))
    places = [np.flatnonzero(line > 0) for line in lines]
    if not places[0].size:
        return None
    return tuple(slice(int(one[0]), int(one[-1]) + 1) for one in places)


def joint_box(boxes: Collection[BoxZyx]) -> BoxZyx | None:
    """Return the smallest box around some boxes; None around none."""
    if not boxes:
        return None
    return tuple(
        slice(min(one.start for one in extents), max(one.stop for one in extents))
        for extents in zip(*boxes, strict=True)
    )


def label_boxes(labels_zyx: NDArray[Any], max_label: int = 0) -> dict[int, BoxZyx]:
    """Find the box of each label.

    Args:
        labels_zyx: Integers, none below 0.
        max_label: Labels beyond are left out; 0: none is.

    Returns:
        By label, rising; a label that no voxel holds is not in it.
    """
    around = labelled_box(labels_zyx)
    if around is None:
        return {}
    found = scipy.ndimage.find_objects(labels_zyx[around], max_label)
    return {
        label: tuple(
            slice(part.start + whole.start, part.stop + whole.start)
            for part, whole in zip(box, around, strict=True)
        )
        for label, box in enumerate(found, start=1)
        if box is not None
    }
