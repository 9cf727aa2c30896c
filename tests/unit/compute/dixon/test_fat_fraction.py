import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.dixon.fat_fraction import fat_fraction


def image_of(values: object, dtype: object = np.int16) -> sitk.Image:
    return sitk.GetImageFromArray(np.array(values, dtype).reshape(1, 1, -1))  # type: ignore[call-overload]


def test_fraction_is_fat_over_fat_and_water() -> None:
    fraction_zyx = fat_fraction(image_of([100, 300, 0, 400]), image_of([300, 100, 400, 0]))
    assert fraction_zyx.ravel().tolist() == [0.25, 0.75, 0.0, 1.0]


def test_voxels_without_signal_have_no_fraction() -> None:
    chance = np.random.default_rng(0)
    fat, water = chance.rayleigh(3.0, (2, 1000))
    fat[500:], water[500:] = fat[500:] + 100, water[500:] + 300
    fraction_zyx = fat_fraction(image_of(fat, np.float32), image_of(water, np.float32))
    has_none = np.isnan(fraction_zyx.ravel())
    assert has_none[:500].mean() > 0.99
    assert has_none[500:].mean() < 0.01


def test_where_air_was_set_to_0_any_signal_counts() -> None:
    fraction_zyx = fat_fraction(image_of([0, 500, 4, 0, 0]), image_of([0, 500, 6, 0, 0]))
    assert np.isnan(fraction_zyx.ravel()).tolist() == [True, False, False, True, True]


def test_negative_overshoot_stays_within_0_and_1() -> None:
    fraction_zyx = fat_fraction(image_of([-20, 400], np.float32), image_of([400, -20], np.float32))
    assert fraction_zyx.ravel().tolist() == [0.0, 1.0]


def test_sum_of_large_integers_does_not_wrap() -> None:
    fraction_zyx = fat_fraction(image_of([30000, 30000]), image_of([30000, 10000]))
    assert fraction_zyx.ravel().tolist() == [0.5, 0.75]


def test_one_hot_voxel_does_not_mask_out_the_body() -> None:
    fat, water = np.full(5000, 100, np.int16), np.full(5000, 300, np.int16)
    water[0] = 32767
    fraction_zyx = fat_fraction(image_of(fat), image_of(water))
    assert fraction_zyx.ravel()[1:].tolist() == pytest.approx([0.25] * 4999)


def test_image_without_any_signal_has_no_fraction() -> None:
    assert np.isnan(fat_fraction(image_of([0, 0]), image_of([0, 0]))).all()
