"""Intensities that are scaled before features are measured.

Source: public threads, named at each test.
"""

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.features import measure_features
from organome.domain.radiomics_settings import TextureSettings

SIZE_ZYX = (10, 12, 14)
# Of intensities, whatever their unit; the rest of first order has that of the image.
INVARIANT_FIRST_ORDER = {"Entropy", "Uniformity", "Skewness", "Kurtosis"}


def _pair() -> tuple[np.ndarray, sitk.Image]:
    chance = np.random.default_rng(0)
    voxels_zyx = chance.gamma(3.0, 40.0, SIZE_ZYX)
    labels_zyx = np.zeros(SIZE_ZYX, np.uint8)
    labels_zyx[2:8, 2:10, 3:12] = 1
    return voxels_zyx, sitk.GetImageFromArray(labels_zyx)


@pytest.mark.odd_input(
    "N-11",
    make="one image as it is, z-scored, and shifted; binCount 64, and binWidth 25",
    source="pyradiomics 511",
    outcome="with a number of bins, shape, texture and what has no unit are the same; with a width "
    "of bins, only shape, skewness and kurtosis",
)
@pytest.mark.parametrize(("slope", "shift"), [(1 / 69.3, -1.7), (0.01, 0), (3.0, 500.0)])
def test_which_features_survive_a_change_of_scale(slope: float, shift: float) -> None:
    voxels_zyx, labelmap = _pair()
    images = [sitk.GetImageFromArray(one) for one in (voxels_zyx, voxels_zyx * slope + shift)]
    for texture in (TextureSettings(bin_count=64), TextureSettings(bin_width=25)):
        ours, scaled = (measure_features(one, labelmap, texture)[1].values for one in images)
        same = {
            name.removeprefix("original_")
            for name, value in ours.items()
            if np.isclose(value, scaled[name], rtol=1e-6, equal_nan=True)
        }
        every = {name.removeprefix("original_") for name in ours}
        shape = {name for name in every if name.startswith("shape_")}
        assert shape <= same
        first_order = {name.partition("_")[2] for name in same if name.startswith("firstorder_")}
        textures = {name for name in every - shape if not name.startswith("firstorder_")}
        if texture.bin_count:
            assert textures <= same
            assert first_order == INVARIANT_FIRST_ORDER
        else:
            assert len(textures & same) < len(textures) / 2
            assert first_order == {"Skewness", "Kurtosis"}
