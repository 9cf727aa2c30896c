"""Intensities turned around, by numbers worked by hand."""

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.exposure import equalize_hist

from organome.compute.inference.transforms import transform_image
from organome.domain.inference import Transform


def image_of(*values: float) -> sitk.Image:
    image = sitk.GetImageFromArray(np.array(values, np.float32).reshape(1, 1, -1))
    image.SetSpacing((2.0, 3.0, 4.0))
    image.SetOrigin((5.0, 6.0, 7.0))
    return image


def changed(transform: Transform, *values: float) -> list[float]:
    return sitk.GetArrayFromImage(transform_image(image_of(*values), transform)).ravel().tolist()


def test_inversion_by_hand() -> None:
    # Clipped: -5 -> 0 and 4000 -> 3000. Highest 3000, lowest 0; what comes to 2970 or more was air.
    given = (-5, 0, 29, 30, 31, 1000, 2999, 4000)
    assert changed(Transform.INVERTED, *given) == [0, 0, 0, 0, 2969, 2000, 1, 0]


def test_inversion_of_a_range_that_begins_above_zero() -> None:
    # highest 300, lowest 100: y = 400 - x, and y >= 200 * 0.99 + 100 = 298 becomes 0.
    assert changed(Transform.INVERTED, 100, 102, 103, 250, 300) == [0, 0, 297, 150, 100]


def test_a_hot_voxel_moves_everything_but_not_robustly() -> None:
    body = [0.0] * 1000 + [40.0] * 500 + [100.0] * 499
    with_hot = changed(Transform.INVERTED, *body, 2900.0)
    assert with_hot[1000] == 2860  # 2900 - 40: all but air is nearly as bright as air was
    robust = changed(Transform.INVERTED_ROBUST, *body, 2900.0)
    # 99.9 % of 2000 values: place 1997.001 in order, which is 100.
    assert (robust[0], robust[1000], robust[1500], robust[-1]) == (0, 60, 0, 0)


def test_equalisation_is_that_of_scikit_image_in_the_range_of_the_ranks() -> None:
    values = np.arange(100.0) ** 2
    found = changed(Transform.EQUALISED, *values)
    assert np.allclose(found, 1000 * equalize_hist(values, nbins=1024), atol=1e-3)
    assert max(found) == 1000
    assert np.all(np.diff(found) >= 0)


@pytest.mark.parametrize("transform", Transform)
def test_the_grid_stays_and_the_image_too(transform: Transform) -> None:
    image = image_of(1, 2, 3)
    made = transform_image(image, transform)
    assert sitk.GetArrayFromImage(image).ravel().tolist() == [1, 2, 3]
    assert (made.GetSpacing(), made.GetOrigin()) == (image.GetSpacing(), image.GetOrigin())
    assert made.GetPixelID() == sitk.sitkFloat32
