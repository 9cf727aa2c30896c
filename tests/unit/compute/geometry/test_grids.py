import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from organome.compute.geometry.grids import array_faces_xyz, orientation_code, share_grid, voxel_ml
from organome.domain.geometry import Face

NAMED = {
    "L": (Face.RIGHT, Face.LEFT),
    "R": (Face.LEFT, Face.RIGHT),
    "P": (Face.ANTERIOR, Face.POSTERIOR),
    "A": (Face.POSTERIOR, Face.ANTERIOR),
    "S": (Face.INFERIOR, Face.SUPERIOR),
    "I": (Face.SUPERIOR, Face.INFERIOR),
}


@pytest.mark.parametrize("code", ["LPS", "RAS", "RAI", "PIR", "SLP", "ASL", "IPR"])
def test_faces_follow_the_orientation(code: str) -> None:
    direction = sitk.DICOMOrientImageFilter.GetDirectionCosinesFromOrientation(code)
    # The letter names the side towards which the index grows.
    assert array_faces_xyz(direction) == tuple(NAMED[letter] for letter in code)


@given(st.tuples(*[st.floats(-0.4, 0.4)] * 3))
def test_oblique_axes_go_to_the_nearest_side(angles_rad: tuple[float, float, float]) -> None:
    rotation = sitk.Euler3DTransform((0.0, 0.0, 0.0), *angles_rad).GetMatrix()
    assert array_faces_xyz(rotation) == (NAMED["L"], NAMED["P"], NAMED["S"])


@given(st.tuples(*[st.floats(-np.pi, np.pi)] * 3))
def test_each_side_is_named_once_however_oblique(angles_rad: tuple[float, float, float]) -> None:
    rotation = sitk.Euler3DTransform((0.0, 0.0, 0.0), *angles_rad).GetMatrix()
    assert sorted(face for pair in array_faces_xyz(rotation) for face in pair) == sorted(Face)


def grid(
    size: tuple[int, int, int] = (40, 30, 20),
    origin_mm: tuple[float, float, float] = (-60.0, 10.0, 5.0),
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 3.0),
    tilt_rad: float = 0.0,
) -> sitk.Image:
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetOrigin(origin_mm)
    image.SetSpacing(spacing_mm)
    image.SetDirection(sitk.Euler3DTransform((0.0, 0.0, 0.0), tilt_rad, 0.0, 0.0).GetMatrix())
    return image


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        (grid(), True),
        (grid(origin_mm=(-60.0001, 10.0, 5.0)), True),
        (grid(spacing_mm=(2.000001, 2.0, 3.0)), True),
        (grid(tilt_rad=1e-5), True),
        (grid(size=(40, 30, 21)), False),
        (grid(origin_mm=(-61.0, 10.0, 5.0)), False),
        (grid(spacing_mm=(2.02, 2.0, 3.0)), False),
        (grid(tilt_rad=0.02), False),
        (grid(tilt_rad=np.pi), False),
    ],
)
def test_grids_agree_to_a_tenth_of_a_voxel(other: sitk.Image, shared: bool) -> None:
    assert share_grid(grid(), other) is shared
    assert share_grid(other, grid()) is shared


@pytest.mark.parametrize("code", ["LPS", "RAS", "LIP", "PSR"])
def test_code_is_that_of_the_stored_axes(code: str) -> None:
    image = sitk.DICOMOrient(sitk.Image(4, 5, 6, sitk.sitkUInt8), code)
    assert orientation_code(image) == code


def test_a_voxel_of_a_cubic_centimetre_holds_a_millilitre() -> None:
    image = sitk.Image(2, 2, 2, sitk.sitkUInt8)
    image.SetSpacing((5.0, 20.0, 10.0))
    assert voxel_ml(image) == 1.0
