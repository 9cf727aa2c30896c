from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.pyradiomics import differences
from organome.compute.radiomics.extraction import extract_features
from organome.compute.radiomics.pyradiomics_engine import extract_by_pyradiomics
from organome.domain.errors import SetupError
from organome.domain.outcomes import FeatureReason
from organome.domain.radiomics_parameters import read_parameters

pytest.importorskip("radiomics", reason="pyradiomics is not installed (make setup)")


@pytest.fixture(scope="module")
def pair() -> tuple[sitk.Image, sitk.Image]:
    chance = np.random.default_rng(5)
    voxels_zyx = chance.normal(100, 30, (9, 12, 14)).astype(np.int16)
    labels_zyx = np.zeros(voxels_zyx.shape, np.uint8)
    labels_zyx[1:6, 2:8, 0:6] = 2
    labels_zyx[3:9, 6:12, 8:13] = 4
    labels_zyx[0, 0, 13] = 6
    return sitk.GetImageFromArray(voxels_zyx), sitk.GetImageFromArray(labels_zyx)


@pytest.mark.parametrize(
    "parameters",
    [
        {"setting": {"binWidth": 10}},
        {"setting": {"normalize": True, "normalizeScale": 100, "binWidth": 5}},
        {"imageType": {"Original": {}, "Wavelet": {}}, "featureClass": {"firstorder": None}},
    ],
    ids=["cropped", "normalised", "filtered"],
)
def test_both_engines_agree(
    pair: tuple[sitk.Image, sitk.Image], parameters: dict[str, Any]
) -> None:
    ours = extract_features(*pair, read_parameters(parameters, source="test"))
    theirs = extract_by_pyradiomics(*pair, parameters)
    assert list(ours) == list(theirs) == [2, 4, 6]
    for label, found in theirs.items():
        assert (found.n_voxels, found.reason) == (ours[label].n_voxels, ours[label].reason)
        assert differences(found.values, ours[label].values) == []
    assert theirs[6].reason is FeatureReason.SINGLE_VOXEL


def test_settings_that_are_not_native_are_done(pair: tuple[sitk.Image, sitk.Image]) -> None:
    parameters = {"setting": {"distances": [1, 2]}, "imageType": {"Square": {}}}
    with pytest.raises(SetupError, match="engine pyradiomics"):
        read_parameters(parameters, source="test")
    found = extract_by_pyradiomics(*pair, parameters)
    assert found[2].values["square_glcm_Contrast"] > 0


def test_settings_of_ours_are_refused(pair: tuple[sitk.Image, sitk.Image]) -> None:
    with pytest.raises(SetupError, match="organome"):
        extract_by_pyradiomics(*pair, {"organome": {"normalizeOver": "body"}})
