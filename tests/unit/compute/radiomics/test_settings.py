"""Every setting that is done natively, against pyradiomics with the very same parameters."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.places import SHARED_DATA
from doubles.pyradiomics import differences, reference_features
from organome.compute.radiomics.extraction import extract_features
from organome.domain.outcomes import FeatureReason
from organome.domain.radiomics_parameters import read_parameters

DATA = SHARED_DATA / "pyradiomics"
IMAGES = {
    "brain1": ("brain1_image.nrrd", "brain1_label.nrrd"),
    "breast1": ("breast1_image.nrrd", "breast1_label.nrrd"),
    "lung1": ("lung1_image_crop8.nrrd", "lung1_label_crop8.nrrd"),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "normalised": {"normalize": True, "normalizeScale": 100, "binWidth": 5, "voxelArrayShift": 300},
    "outliers": {"normalize": True, "normalizeScale": 100, "removeOutliers": 3, "binWidth": 5},
    "resampled": {"resampledPixelSpacing": [2, 2, 2], "interpolator": "sitkBSpline"},
    "in-plane resampled": {"resampledPixelSpacing": [3, 3, 0], "interpolator": "sitkLinear"},
    "absolute range": {"resegmentRange": [-100, 700]},
    "sigma range": {"resegmentRange": [-1, 1.5], "resegmentMode": "sigma"},
    "relative range": {
        "resegmentRange": [0.2, 0.8],
        "resegmentMode": "relative",
        "resegmentShape": True,
    },
    "all together": {
        "normalize": True,
        "normalizeScale": 100,
        "resampledPixelSpacing": [2, 2, 2],
        "interpolator": "sitkBSpline",
        "resegmentRange": [-3, 3],
        "resegmentMode": "sigma",
        "binWidth": 5,
        "voxelArrayShift": 300,
    },
}


def small_pair(seed: int = 0) -> tuple[sitk.Image, sitk.Image]:
    chance = np.random.default_rng(seed)
    z, y, x = np.mgrid[:13, :18, :21]
    voxels_zyx = (chance.normal(200, 40, z.shape) + 8 * x).astype(np.int16)
    labels_zyx = (((z - 6) ** 2 + (y - 8) ** 2 + (x - 9) ** 2) < 30).astype(np.uint8)
    labels_zyx[2:11, 1:4, 15:20] = 5
    pair = sitk.GetImageFromArray(voxels_zyx), sitk.GetImageFromArray(labels_zyx)
    for each in pair:
        each.SetSpacing((2.0, 2.0, 3.0))
        each.SetOrigin((10.0, -3.5, 7.25))
    return pair


def check(pair: tuple[sitk.Image, sitk.Image], parameters: dict[str, Any]) -> None:
    image, labelmap = pair
    ours = extract_features(image, labelmap, read_parameters(parameters, source="test"))
    labels = np.setdiff1d(np.unique(sitk.GetArrayViewFromImage(labelmap)), [0]).tolist()
    assert list(ours) == labels
    for label in labels:
        reference = reference_features(image, labelmap, label, parameters)
        if isinstance(reference, str):
            assert ours[label].reason is not None, reference
            continue
        assert differences(reference, ours[label].values) == []


@pytest.mark.skipif(
    not DATA.is_dir(), reason="the images of pyradiomics are not beside this repository"
)
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", IMAGES)
def test_images_of_pyradiomics_with_its_settings(case: str, setting: str) -> None:
    image, labelmap = (sitk.ReadImage(str(DATA / name)) for name in IMAGES[case])
    check((image, sitk.Cast(labelmap, sitk.sitkUInt8)), {"setting": SETTINGS[setting]})


@pytest.mark.parametrize("setting", SETTINGS)
def test_small_image_with_its_settings(setting: str) -> None:
    check(small_pair(), {"setting": SETTINGS[setting]})


@pytest.mark.parametrize(
    "types",
    [
        {"Original": {}, "LoG": {"sigma": [2.0, 3]}},
        {"Wavelet": {}},
        {"Original": {}, "Wavelet": {"wavelet": "haar", "level": 2, "start_level": 1}},
    ],
    ids=["log", "wavelet", "two levels"],
)
@pytest.mark.parametrize("flat", [False, True], ids=["3d", "2d"])
def test_filtered_images_are_those_of_pyradiomics(types: dict[str, Any], flat: bool) -> None:
    check(small_pair(), {"setting": {"binWidth": 15, "force2D": flat}, "imageType": types})


def test_names_of_the_settings_are_the_names_of_the_values() -> None:
    settings = read_parameters(
        {"imageType": {"Original": {}, "LoG": {"sigma": [2.0]}, "Wavelet": {"level": 2}}},
        source="test",
    )
    found = extract_features(*small_pair(), settings)
    assert list(found[1].values) == list(settings.feature_names())
    assert len(found[1].values) == 107 + 93 * (1 + 7 + 8)


def test_chosen_classes_are_those_of_pyradiomics() -> None:
    check(small_pair(), {"featureClass": {"firstorder": None, "glrlm": None}})
    check(small_pair(), {"featureClass": {"shape": None}, "setting": {"binWidth": 10}})


def test_resegmentation_that_leaves_nothing_says_so() -> None:
    settings = read_parameters({"setting": {"resegmentRange": [30000]}}, source="test")
    found = extract_features(*small_pair(), settings)
    assert {of_label.reason for of_label in found.values()} == {FeatureReason.RESEGMENTED_AWAY}
    assert found[1].n_voxels == 0


def test_label_that_no_voxel_of_the_new_grid_holds_says_so() -> None:
    image, labelmap = small_pair()
    labelmap[12, 0, 1] = 9
    settings = read_parameters({"setting": {"resampledPixelSpacing": [6, 6, 9]}}, source="test")
    assert extract_features(image, labelmap, settings)[9].reason in (
        FeatureReason.RESAMPLED_AWAY,
        FeatureReason.SINGLE_VOXEL,
    )


def test_normalising_within_the_body_does_not_depend_on_the_air_around() -> None:
    image, labelmap = small_pair()
    padded = [sitk.ConstantPad(each, (9, 9, 9), (9, 9, 9), 0) for each in (image, labelmap)]
    parameters = {
        "setting": {"normalize": True, "normalizeScale": 100, "binWidth": 5},
        "organome": {"normalizeOver": "body"},
    }
    settings = read_parameters(parameters, source="test")
    tight, wide = extract_features(image, labelmap, settings), extract_features(*padded, settings)
    assert differences(tight[1].values, wide[1].values) == []


def test_normalising_within_the_body_does_not_depend_on_the_type_of_the_voxels() -> None:
    image, labelmap = small_pair()
    parameters = {
        "setting": {"normalize": True, "normalizeScale": 100, "binWidth": 5},
        "organome": {"normalizeOver": "body"},
    }
    settings = read_parameters(parameters, source="test")
    integers = extract_features(image, labelmap, settings)
    floats = extract_features(sitk.Cast(image, sitk.sitkFloat64), labelmap, settings)
    assert differences(integers[1].values, floats[1].values) == []


@pytest.mark.parametrize(
    "setting",
    [{}, {"removeOutliers": 1}, {"resegmentRange": [-1, 1.5], "resegmentMode": "sigma"}],
    ids=["plain", "outliers", "resegmented"],
)
def test_normalising_labelled_voxels_alone_gives_the_very_same_numbers(
    setting: dict[str, Any],
) -> None:
    image, labelmap = small_pair()
    changes = {"normalize": True, "normalizeScale": 100, "binWidth": 5, **setting}
    parameters = {"setting": changes, "organome": {"normalizeOver": "body"}}
    settings = read_parameters(parameters, source="test")
    voxels = sitk.GetArrayViewFromImage(image)
    body = voxels[voxels >= 0.1 * np.percentile(voxels, 99.9)].astype(np.float64)
    normalized = (sitk.Cast(image, sitk.sitkFloat64) - body.mean()) / body.std()
    if "removeOutliers" in setting:
        normalized = sitk.Clamp(normalized, sitk.sitkFloat64, -1, 1)
    before = replace(settings, preparation=replace(settings.preparation, normalize=False))
    whole = extract_features(normalized * 100, labelmap, before)
    assert differences(whole[1].values, extract_features(image, labelmap, settings)[1].values) == []
