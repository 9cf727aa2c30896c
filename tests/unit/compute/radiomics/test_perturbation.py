import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from organome.compute.radiomics.perturbation import grown, noise_sd, noisy, shifted, shrunk


def image_of(voxels_zyx: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing((2.0, 2.0, 4.5))
    return image


def labels_zyx() -> np.ndarray:
    made = np.zeros((8, 9, 10), np.uint8)
    made[2:6, 2:6, 2:6] = 3
    made[2:6, 2:6, 6:8] = 7  # beside it
    return made


def test_grown_labels_take_background_over_a_face_and_nothing_of_each_other() -> None:
    before = labels_zyx()
    after = sitk.GetArrayFromImage(grown(image_of(before)))
    np.testing.assert_array_equal(after[before > 0], before[before > 0])
    np.testing.assert_array_equal(after > 0, ndimage.binary_dilation(before > 0))
    assert (after[4, 4, 1], after[4, 4, 8], after[1, 1, 1]) == (3, 7, 0)


def test_shrunk_labels_lose_what_touches_anything_else_but_not_the_image_s_end() -> None:
    before = labels_zyx()
    before[:, :3, :3] = 1  # reaches four faces of the image
    after = sitk.GetArrayFromImage(shrunk(image_of(before)))
    for label in (1, 3, 7):
        expected = ndimage.binary_erosion(before == label, border_value=1)
        np.testing.assert_array_equal(after == label, expected)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_moved_image_shows_what_lies_a_quarter_of_a_voxel_away(kind: type) -> None:
    z, y, x = np.indices((12, 13, 14))
    ramp = (40 * x + 80 * y + 120 * z).astype(kind)
    image = image_of(ramp)
    image.SetOrigin((5, -7, 9))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    moved = shifted(image, (0.25, 0.25, -0.25))
    assert moved.GetPixelID() == image.GetPixelID()
    assert moved.GetOrigin() == image.GetOrigin()
    middle = (slice(4, -4),) * 3
    away = (sitk.GetArrayFromImage(moved).astype(float) - ramp)[middle]
    np.testing.assert_allclose(away, 10 + 20 - 30, atol=1.5)


def test_noise_is_found_whatever_the_tissue_and_added_as_strongly() -> None:
    chance = np.random.default_rng(3)
    size_zyx = (10, 60, 60)
    tissue = 500 + 200 * np.sin(np.linspace(0, 6, 60))[None, None, :] * np.ones(size_zyx)
    labels = image_of(np.ones(size_zyx, np.uint8))
    clean = image_of(tissue)
    image = image_of(tissue + chance.normal(0, 12, size_zyx))
    assert noise_sd(clean, labels) < 1
    assert noise_sd(image, labels) == pytest.approx(12, rel=0.05)
    after = noisy(image, labels, seed=1)
    added = sitk.GetArrayFromImage(after) - sitk.GetArrayFromImage(image)
    assert added.std() == pytest.approx(12, rel=0.05)
    again = sitk.GetArrayFromImage(noisy(image, labels, seed=1))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after), again)
    assert noise_sd(image, image_of(np.zeros(size_zyx, np.uint8))) == 0
