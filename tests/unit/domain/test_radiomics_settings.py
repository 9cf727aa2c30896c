from typing import Any

import pytest
import yaml

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.domain.features import FeatureClass
from organome.domain.radiomics_settings import (
    NormalizeOver,
    RadiomicsSettings,
    read_parameters,
)

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
    assert all(len(preset(path.stem).feature_names()) == 107 for path in PRESETS.glob("*.yaml"))


def test_nothing_said_is_the_default_of_pyradiomics() -> None:
    settings = read_parameters({}, source="test")
    assert settings == RadiomicsSettings()
    assert settings.classes == tuple(FeatureClass)


@pytest.mark.parametrize(
    "parameters",
    [
        {"setting": {"distances": [1, 2]}},
        {"setting": {"weightingNorm": "euclidean"}},
        {"setting": {"symmetricalGLCM": False}},
        {"setting": {"binWidht": 25}},
        {"imageType": {"Square": {}}},
        {"imageType": {"LoG": {"sigma": [1], "binWidth": 5}}},
        {"featureClass": {"shape2D": None}},
        {"featureClass": {"glcm": ["Contrast"]}},
        {"voxelSetting": {"kernelRadius": 2}},
    ],
    ids=lambda parameters: str(next(iter(parameters.values()))),
)
def test_what_is_not_native_is_refused_by_name(parameters: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=r"settings.yaml: .* engine pyradiomics"):
        read_parameters(parameters, source="settings.yaml")


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
