from typing import Any

import pytest
import yaml

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.domain.features import FEATURES
from organome.domain.radiomics_parameters import read_parameters
from organome.domain.radiomics_settings import NormalizeOver, Processing, RadiomicsSettings

PRESETS = REPOSITORY / "config" / "radiomics"


def preset(name: str) -> RadiomicsSettings:
    path = PRESETS / f"{name}.yaml"
    return read_parameters(yaml.safe_load(path.read_text()), source=str(path))


def test_presets_are_native_and_hold_what_they_say() -> None:
    assert {path.stem for path in PRESETS.glob("*.yaml")} == {"ct", "mr", "dixon", "ibsi"}
    assert (preset("ct").texture.bin_width, preset("ct").texture.bin_count) == (25, None)
    assert preset("mr").texture.bin_count == 32
    assert preset("mr").preparation.normalize_over is NormalizeOver.BODY
    assert preset("mr").texture.force_2d
    assert preset("dixon").texture.force_2d
    assert (preset("dixon").texture.bin_width, preset("dixon").preparation.normalize) == (2, False)
    assert not preset("ct").texture.force_2d
    assert preset("ibsi").preparation.resampled_spacing_xyz_mm == (2, 2, 2)
    assert preset("ibsi").preparation.processing is Processing.IBSI
    n_features = {path.stem: len(preset(path.stem).feature_names()) for path in PRESETS.glob("*")}
    assert n_features == {"ct": 107, "mr": 107, "dixon": 107, "ibsi": 107 + 210}


def test_nothing_said_is_the_default_of_pyradiomics() -> None:
    settings = read_parameters({}, source="test")
    assert settings == RadiomicsSettings()
    assert settings.classes == tuple(FEATURES)


@pytest.mark.parametrize(
    "parameters",
    [
        {"setting": {"distances": [1, 2]}},
        {"setting": {"weightingNorm": "euclidean"}},
        {"setting": {"symmetricalGLCM": False}},
        {"imageType": {"Square": {}}},
        {"featureClass": {"glcm": ["Contrast"]}},
    ],
    ids=lambda parameters: str(next(iter(parameters.values()))),
)
def test_what_is_not_native_is_refused_by_name(parameters: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=r"settings.yaml: .* engine pyradiomics"):
        read_parameters(parameters, source="settings.yaml")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"setting": {"binWidht": 25}}, "setting.binWidht is not known .* binWidth"),
        ({"settings": {"binWidth": 25}}, "settings is not known .* setting"),
        ({"voxelSetting": {"kernelRadius": 2}}, "voxelSetting is for maps"),
        ({"featureClass": {"shape2D": None}}, "featureClass.shape2D does not exist"),
        ({"setting": {"binWidth": 0}}, "setting.binWidth is 0, must be a number above 0"),
        ({"setting": {"binWidth": float("nan")}}, "setting.binWidth is nan"),
        ({"setting": {"binWidth": None}}, "setting.binWidth is None"),
        ({"organome": {"processing": "IBSI"}}, "organome.processing is 'IBSI', must be one of"),
        ({"organome": {"ibsiFeatures": ["2.5D"]}}, "organome.ibsiFeatures is .* 2D, 2_5D, 3D"),
        ({"organome": {"ibsiFeatures": True}}, "organome.ibsiFeatures is True"),
        ({"organome": {"outlierSigma": 3}}, "organome.outlierSigma needs processing: ibsi"),
        (
            {"organome": {"ibsiAutocorrelation": True}},
            "ibsiAutocorrelation does nothing without ibsiFeatures",
        ),
        ({"organome": {"ivhBinWidth": 2.5}}, "ivhBinWidth does nothing without ibsiFeatures"),
        (
            {"organome": {"ibsiFeatures": ["3D"], "ivhBinWidth": 1, "ivhBinCount": 9}},
            "organome.ivhBinWidth contradicts ivhBinCount",
        ),
        (
            {"organome": {"ibsiFeatures": ["3D"]}, "imageType": {"LoG": {"sigma": [2.0]}}},
            "organome.ibsiFeatures needs imageType Original",
        ),
        (
            {"organome": {"processing": "ibsi"}, "setting": {"resegmentShape": True}},
            "setting.resegmentShape contradicts processing: ibsi",
        ),
        (
            {"organome": {"processing": "ibsi"}, "setting": {"resegmentMode": "sigma"}},
            "setting.resegmentMode must be absolute",
        ),
        (
            {"organome": {"processing": "ibsi"}, "setting": {"padDistance": 3}},
            "setting.padDistance does nothing",
        ),
        ({"setting": {"binCount": 32.5}}, "setting.binCount is 32.5"),
        ({"setting": {"binCount": True}}, "setting.binCount is True"),
        ({"setting": {"binCount": 1001}}, "setting.binCount is 1001, at most 1000"),
        ({"setting": {"force2D": "false"}}, "setting.force2D is 'false'"),
        ({"setting": {"force2Ddimension": 5}}, "setting.force2Ddimension is 5"),
        ({"setting": {"distances": 1}}, "setting.distances is 1"),
        ({"setting": {"resegmentRange": [1, 2, 3]}}, "setting.resegmentRange .* one or two"),
        ({"setting": {"resegmentMode": "foo"}}, "setting.resegmentMode is 'foo'"),
        ({"setting": {"interpolator": "foo"}}, "setting.interpolator is 'foo'"),
        ({"setting": {"interpolator": 3}}, "setting.interpolator is 3, must be one of"),
        ({"setting": {"resampledPixelSpacing": [1, 1, -1]}}, "resampledPixelSpacing is"),
        ({"setting": {"weightingNorm": "no_weighting_norm"}}, "setting.weightingNorm is"),
        ({"setting": {"sigma": [1]}}, "setting.sigma does nothing without imageType LoG"),
        ({"imageType": ["Original"]}, "imageType must have keys"),
        ({"imageType": {"LoG": None}}, "imageType.LoG needs sigma"),
        ({"imageType": {"Original": {"label": 2}}}, "imageType.Original.label does nothing"),
        ({"imageType": {"Original": {"binWidth": -5}}}, "imageType.Original.binWidth is -5"),
        ({"featureClass": {"glcm": "Contrast"}}, "featureClass.glcm must be a list"),
        ({"organome": {"inPlane": "no"}}, "organome.inPlane is 'no'"),
        ({"organome": {"normalizeOver": "body"}}, "normalizeOver does nothing without"),
        (
            {"organome": {"inPlane": True}, "setting": {"force2Ddimension": 1}},
            "setting.force2Ddimension contradicts",
        ),
    ],
    ids=str,
)
def test_what_would_be_passed_over_is_refused_by_name(
    parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(SetupError, match=f"^settings.yaml: .*{said}") as refusal:
        read_parameters(parameters, source="settings.yaml")
    assert "\n" not in str(refusal.value)


def test_an_image_has_its_own_levels() -> None:
    parameters = {
        "setting": {"binWidth": 10, "minimumROISize": 5},
        "imageType": {"Original": {"binWidth": 5}, "LoG": {"sigma": [1]}},
    }
    settings = read_parameters(parameters, source="test")
    assert settings.texture_of("original").bin_width == 5
    assert settings.texture_of("log-sigma-1-mm-3D").bin_width == 10
    assert settings.texture_of("original").minimum_roi_size == 5


def test_spacing_of_two_numbers_is_refused() -> None:
    with pytest.raises(SetupError, match="three numbers"):
        read_parameters({"setting": {"resampledPixelSpacing": [1, 1]}}, source="test")


def test_one_axis_can_be_left_alone_by_resampling() -> None:
    parameters = {"setting": {"resampledPixelSpacing": [1, 1, 0]}}
    assert read_parameters(parameters, source="t").preparation.resampled_spacing_xyz_mm == (1, 1, 0)


def test_plane_is_that_of_the_thinnest_voxels() -> None:
    settings = preset("mr")
    axes = [
        settings.on_grid(spacing).texture.force_2d_dimension
        for spacing in ((1, 1, 4.5), (1, 4.5, 1), (4.5, 1, 1), (1, 1, 1))
    ]
    assert axes == [0, 1, 2, 0]
    assert preset("ct").on_grid((1, 4.5, 1)) == preset("ct")
