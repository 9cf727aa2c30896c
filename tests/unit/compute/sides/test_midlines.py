import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.geometry.grids import Grid
from organome.compute.sides.pieces import (
    MAX_SLOPE,
    Leftness,
    Midline,
    fit_midline,
    midline_between,
    places_of_labels_xyz_mm,
)


def column(*, at_mm: float, slope: float, height_mm: float) -> np.ndarray:
    """Places along an axis of the body, and a little about it."""
    z_mm = np.repeat(np.linspace(0, height_mm, 50), 2)
    x_mm = at_mm + slope * z_mm + np.tile([-8.0, 8.0], 50)
    return np.stack([x_mm, np.zeros_like(z_mm), z_mm], axis=1)


def test_the_midline_follows_a_body_that_lies_askew() -> None:
    found = fit_midline(column(at_mm=12.0, slope=-0.1, height_mm=400.0))
    assert found.at_mm == pytest.approx(12.0, abs=0.5)
    assert found.slope == pytest.approx(-0.1, abs=1e-3)


def test_a_short_piece_says_where_but_not_how_askew() -> None:
    found = fit_midline(column(at_mm=5.0, slope=0.2, height_mm=40.0))
    assert found.slope == 0.0
    assert found.at_mm == pytest.approx(5.0 + 0.2 * 20.0)


def test_no_body_lies_as_askew_as_a_crooked_spine_can_look() -> None:
    assert fit_midline(column(at_mm=0.0, slope=0.9, height_mm=400.0)).slope == MAX_SLOPE


def test_between_pairs_crossed_ones_do_no_harm() -> None:
    left, right = np.array([60.0, 0.0, 0.0]), np.array([-40.0, 0.0, 0.0])
    assert midline_between([(left, right), (right, left)]) == Midline(10.0, 0.0)
    assert midline_between([]) is None


@pytest.mark.parametrize("code", ["LPS", "RAI", "SAR", "PIL"])
def test_leftness_is_that_of_places_however_stored(code: str) -> None:
    image = sitk.Image((4, 5, 6), sitk.sitkUInt8)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((-7.0, 11.0, 13.0))
    image = sitk.DICOMOrient(image, code)
    grid, midline = Grid.of(image), Midline(3.0, 0.1)
    leftness = Leftness.on(grid, midline)
    size_zyx = image.GetSize()[::-1]
    indices_zyx = np.array(list(np.ndindex(size_zyx)))
    places = np.array(
        [image.TransformIndexToPhysicalPoint([int(i) for i in one[::-1]]) for one in indices_zyx]
    )
    np.testing.assert_allclose(grid.places_xyz_mm(indices_zyx), places, atol=1e-9)
    expected_mm = places[:, 0] - 3.0 - 0.1 * places[:, 2]
    np.testing.assert_allclose(leftness.at(indices_zyx), expected_mm, atol=1e-9)
    whole = np.array([[[0, size - 1] for size in size_zyx]])
    np.testing.assert_allclose(
        leftness.reach_mm(whole), [[expected_mm.min(), expected_mm.max()]], atol=1e-9
    )


def test_places_of_labels_that_are_not_there_are_none() -> None:
    labels = np.zeros((2, 2, 2), np.uint8)
    labels[1, 0, 1] = 3
    grid = Grid.of(sitk.GetImageFromArray(labels))
    assert places_of_labels_xyz_mm(labels, [1, 7], grid).shape == (0, 3)
    assert places_of_labels_xyz_mm(labels, [1, 3], grid).tolist() == [[1.0, 0.0, 1.0]]
    assert places_of_labels_xyz_mm(labels, [], grid).shape == (0, 3)
