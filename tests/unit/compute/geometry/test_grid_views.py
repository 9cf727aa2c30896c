import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.geometry.grids import Grid

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "SI"))
    for letters in itertools.product(*axes)
]


def image_in(orientation: str) -> sitk.Image:
    """An image stored in an orientation, whose voxel values say where they are in LPS order."""
    values = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(6, 5, 4)
    lps = sitk.GetImageFromArray(values)
    lps.SetSpacing((1.5, 2.0, 3.0))
    lps.SetOrigin((-7.0, 11.0, 5.0))
    return sitk.DICOMOrient(lps, orientation)


def tilted(image: sitk.Image) -> sitk.Image:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.2, -0.1, 0.3)
    matrix = np.array(turn.GetMatrix()).reshape(3, 3)
    image.SetDirection((matrix @ np.array(image.GetDirection()).reshape(3, 3)).ravel().tolist())
    return image


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("is_tilted", [False, True])
def test_voxels_are_seen_in_lps_and_labels_come_back_in_place(
    orientation: str, is_tilted: bool
) -> None:
    image = image_in(orientation)
    if is_tilted:
        image = tilted(image)
    grid = Grid.of(image)
    view_zyx = grid.to_lps(sitk.GetArrayViewFromImage(image))
    oriented = sitk.DICOMOrient(image, "LPS")
    assert np.array_equal(view_zyx, sitk.GetArrayFromImage(oriented))
    assert grid.lps_spacing_zyx_mm == pytest.approx(oriented.GetSpacing()[::-1], abs=1e-12)
    labelmap = grid.labelmap(view_zyx)
    assert labelmap.GetPixelID() == sitk.sitkUInt8
    assert labelmap.GetSize() == image.GetSize()
    assert labelmap.GetDirection() == image.GetDirection()
    assert labelmap.GetOrigin() == image.GetOrigin()
    assert labelmap.GetSpacing() == image.GetSpacing()
    assert np.array_equal(sitk.GetArrayFromImage(labelmap), sitk.GetArrayFromImage(image))
