"""A labelmap as its file has it becomes one of the organs on the grid of its image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.labelmaps.delivered import merge_to_organs
from organome.domain.errors import ScanError
from organome.domain.schemes import MRSEGMENTATOR


@dataclass(frozen=True)
class Stored:
    image: sitk.Image
    value_step: float = 0.0
    names: Mapping[int, str] = field(default_factory=dict)
    is_part: bool = False
    place_error_mm: float = 0.0


def labels(values: list[float], kind: type = np.uint8, origin_mm: float = 0.0) -> sitk.Image:
    """A row of voxels of 1 mm along x, two thick."""
    made = sitk.GetImageFromArray(np.broadcast_to(np.array(values, kind), (2, 2, len(values))))
    made.SetOrigin((origin_mm, 0.0, 0.0))
    return made


def row(image: sitk.Image) -> list[int]:
    return sitk.GetArrayFromImage(image)[0, 0].tolist()


def test_names_win_over_values_and_scaled_values_are_rounded() -> None:
    stored = Stored(labels([0, 1.0004, 2], np.float32), names={1: "liver", 2: "spleen"})
    # By the paper's numbers the liver is 5, the spleen 1.
    assert row(merge_to_organs(stored, MRSEGMENTATOR, None)) == [0, 5, 1]


def test_a_part_is_put_where_it_lies_and_only_where_the_format_has_parts() -> None:
    image = labels([7, 7, 7, 7], np.float32)
    stored = Stored(labels([5, 1], origin_mm=1.0), is_part=True)
    found = merge_to_organs(stored, MRSEGMENTATOR, image)
    assert (row(found), found.GetSize()) == ([0, 5, 1, 0], image.GetSize())
    with pytest.raises(ScanError):
        merge_to_organs(Stored(stored.image), MRSEGMENTATOR, image)
