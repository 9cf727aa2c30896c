import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.labelmaps.overlap import organ_differences, organ_volumes_ml
from organome.domain.canaries import OrganDifference


def labelmap(*rows: tuple[int, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(np.array([rows], np.uint8))
    image.SetSpacing((10.0, 20.0, 30.0))  # 6 mL a voxel
    return image


def test_volumes_are_those_of_the_voxels() -> None:
    assert organ_volumes_ml(labelmap((0, 1, 1), (5, 5, 5))) == pytest.approx(
        {"spleen": 12.0, "liver": 18.0}
    )


def test_every_organ_of_either_is_compared() -> None:
    reference, given = labelmap((1, 1, 0), (5, 5, 4)), labelmap((1, 0, 0), (5, 5, 2))
    assert organ_differences(reference, given) == (
        OrganDifference("spleen", pytest.approx(2 / 3), 12.0, 6.0),
        OrganDifference("right_kidney", 0.0, 0.0, 6.0),
        OrganDifference("gallbladder", 0.0, 6.0, 0.0),
        OrganDifference("liver", 1.0, 12.0, 12.0),
    )
