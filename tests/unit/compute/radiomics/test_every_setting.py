"""Every key of pyradiomics' schema: honoured, refused by name, or listed as without effect."""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doubles.places import REPOSITORY
from doubles.pyradiomics import differences, reference_features
from organome.compute.radiomics.extraction import extract_features
from organome.domain.errors import SetupError
from organome.domain.outcomes import FeatureReason
from organome.domain.radiomics_parameters import read_parameters
from organome.domain.radiomics_settings import Engine
from organome.io.tables.radiomics_parameters import read_settings

radiomics = pytest.importorskip("radiomics", reason="pyradiomics is not installed (make setup)")
SCHEMA = yaml.safe_load(Path(radiomics.getParameterValidationFiles()[0]).read_text())["mapping"]
SAMPLES: dict[str, Any] = {
    "minimumROIDimensions": 3,
    "minimumROISize": 30,
    "geometryTolerance": 1e-4,
    "correctMask": True,
    "additionalInfo": True,
    "label": 7,
    "label_channel": 1,
    "binWidth": 5,
    "binCount": 9,
    "normalize": True,
    "normalizeScale": 50,
    "removeOutliers": 1.5,
    "resampledPixelSpacing": [2, 2, 2],
    "interpolator": "sitkLinear",
    "padDistance": 2,
    "distances": [1, 2],
    "force2D": True,
    "force2Ddimension": 1,
    "resegmentRange": [80, 150],
    "resegmentMode": "sigma",
    "resegmentShape": True,
    "preCrop": True,
    "sigma": [2.0],
    "start_level": 1,
    "level": 2,
    "wavelet": "haar",
    "gradientUseSpacing": False,
    "lbp2DRadius": 2,
    "lbp2DSamples": 5,
    "lbp2DMethod": "ror",
    "lbp3DLevels": 1,
    "lbp3DIcosphereRadius": 2,
    "lbp3DIcosphereSubdivision": 2,
    "voxelArrayShift": 300,
    "symmetricalGLCM": False,
    "weightingNorm": "euclidean",
    "gldm_a": 2,
}
# What a setting needs beside it to do something.
BESIDE: dict[str, dict[str, Any]] = {
    "normalizeScale": {"normalize": True},
    "removeOutliers": {"normalize": True, "normalizeScale": 100},
    "normalize": {"binWidth": 0.3},
    "interpolator": {"resampledPixelSpacing": [2, 2, 2]},
    "padDistance": {"resampledPixelSpacing": [2, 2, 2]},
    "force2Ddimension": {"force2D": True},
    "resegmentMode": {"resegmentRange": [-1, 1.2]},
    "resegmentShape": {"resegmentRange": [80, 150]},
}
NOT_NATIVE = {"distances", "symmetricalGLCM", "weightingNorm"}
OF_FILTERS = {"sigma": "LoG", "start_level": "Wavelet", "level": "Wavelet", "wavelet": "Wavelet"}
OF_OTHER_FILTERS = {name for name in SAMPLES if name.startswith(("lbp", "gradient"))}
OF_EVERY_IMAGE = {
    *("binWidth", "binCount", "voxelArrayShift", "gldm_a", "force2D", "force2Ddimension"),
    *NOT_NATIVE,
}
WITHOUT_EFFECT = {
    *("label", "label_channel", "additionalInfo", "geometryTolerance", "correctMask", "preCrop"),
}


def pair(seed: int = 0, size_zyx: tuple[int, int, int] = (9, 11, 12)) -> Any:
    chance = np.random.default_rng(seed)
    voxels_zyx = chance.normal(110, 30, size_zyx).astype(np.int16)
    labels_zyx = np.zeros(size_zyx, np.uint8)
    labels_zyx[1:6, 2:8, 1:7] = chance.random((5, 6, 6)) < 0.9
    labels_zyx[6:8, 9, 9:11] = 2
    made = sitk.GetImageFromArray(voxels_zyx), sitk.GetImageFromArray(labels_zyx)
    for each in made:
        each.SetSpacing((1.5, 1.5, 3.0))
    return made


def features_of(parameters: dict[str, Any]) -> dict[str, float]:
    read = read_parameters(parameters, source="test")
    return dict(extract_features(*pair(), read)[1].values)


def check(parameters: dict[str, Any], image: Any, labelmap: Any) -> None:
    """Compare all labels; what pyradiomics refuses has a reason and no number."""
    read = read_parameters(parameters, source="test")
    for label, ours in extract_features(image, labelmap, read).items():
        reference = reference_features(image, labelmap, label, parameters)
        if isinstance(reference, str):
            assert ours.reason is not None, reference
            assert ours.values == {}
        elif (
            ours.reason == FeatureReason.TOO_MANY_LEVELS
        ):  # textures of so many are not worked out here
            shared = {name: reference[name] for name in ours.values}
            assert differences(shared, ours.values) == []
        else:
            assert differences(reference, ours.values) == []


def test_no_key_of_the_schema_is_missed() -> None:
    assert set(SCHEMA) == {"setting", "voxelSetting", "featureClass", "imageType"}
    assert set(SCHEMA["setting"]["mapping"]) == set(SAMPLES)


@pytest.mark.parametrize("key", SCHEMA["setting"]["mapping"])
def test_setting_is_honoured_or_refused_or_listed(key: str) -> None:
    parameters: dict[str, Any] = {"setting": {**BESIDE.get(key, {}), key: SAMPLES[key]}}
    if key in NOT_NATIVE | OF_OTHER_FILTERS | set(OF_FILTERS):
        with pytest.raises(SetupError, match=rf"test: setting\.{key}\b"):
            read_parameters(parameters, source="test")
        if key not in OF_FILTERS:
            return
        types = {of_type: {} for of_type in {"LoG", "Wavelet"} & {OF_FILTERS[key]}}
        parameters["imageType"] = types
    check(parameters, *pair())
    without = {**parameters, "setting": BESIDE.get(key, {})}
    if key in WITHOUT_EFFECT:
        assert f"`{key}`" in _listed()
    elif key not in {*OF_FILTERS, "padDistance", "minimumROISize", "minimumROIDimensions"}:
        assert features_of(parameters) != features_of(without)


@pytest.mark.parametrize("of_type", ["Original", "LoG", "Wavelet"])
@pytest.mark.parametrize("key", SCHEMA["setting"]["mapping"])
def test_setting_of_an_image_is_honoured_or_refused(key: str, of_type: str) -> None:
    custom = {"sigma": [1.0]} if of_type == "LoG" else {}
    parameters = {"imageType": {of_type: {**custom, key: SAMPLES[key]}}}
    if key == "force2Ddimension":
        parameters["imageType"][of_type]["force2D"] = True
    if key in OF_EVERY_IMAGE - NOT_NATIVE or OF_FILTERS.get(key) == of_type:
        if of_type == "Original" or OF_FILTERS.get(key) == of_type or key == "force2D":
            check({**parameters, "featureClass": {"firstorder": None, "gldm": None}}, *pair())
        else:
            read_parameters(parameters, source="test")
        return
    with pytest.raises(SetupError, match=rf"test: imageType\.{of_type}\.{key}\b"):
        read_parameters(parameters, source="test")


def test_width_of_an_image_is_that_of_pyradiomics() -> None:
    inner = features_of({"imageType": {"Original": {"binWidth": 5}}})
    assert inner == features_of({"setting": {"binWidth": 5}})
    assert inner != features_of({})


@pytest.mark.parametrize("key", SCHEMA["voxelSetting"]["mapping"])
def test_settings_of_maps_are_refused(key: str) -> None:
    with pytest.raises(SetupError, match="test: voxelSetting"):
        read_parameters({"voxelSetting": {key: 1}}, source="test")


@pytest.mark.parametrize("of_type", radiomics.getImageTypes())
def test_image_type_is_honoured_or_refused(of_type: str) -> None:
    parameters = {
        "imageType": {of_type: {"sigma": [2.0]} if of_type == "LoG" else {}},
        "featureClass": {"firstorder": None},
    }
    if of_type in ("Original", "LoG", "Wavelet"):
        check(parameters, *pair())
        return
    with pytest.raises(SetupError, match=rf"test: imageType\.{of_type} is not done natively"):
        read_parameters(parameters, source="test")


@pytest.mark.parametrize("of_class", radiomics.getFeatureClasses())
def test_feature_class_is_honoured_or_refused(of_class: str) -> None:
    if of_class != "shape2D":
        check({"featureClass": {of_class: None}}, *pair())
        return
    with pytest.raises(SetupError, match=r"test: featureClass\.shape2D"):
        read_parameters({"featureClass": {of_class: None}}, source="test")


def _listed() -> str:
    page = (REPOSITORY / "docs" / "radiomics.md").read_text()
    return page.split("## Settings without effect")[1].split("\n## ")[0]


REFUSED = sorted(NOT_NATIVE | OF_OTHER_FILTERS | set(OF_FILTERS))
HONOURED = sorted(set(SAMPLES) - set(REFUSED))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "binWidth": st.floats(3, 60),
    "binCount": st.one_of(st.none(), st.integers(1, 60)),
    "voxelArrayShift": st.integers(-200, 400),
    "gldm_a": st.integers(0, 4),
    "force2D": st.booleans(),
    "force2Ddimension": st.integers(0, 2),
    "minimumROIDimensions": st.integers(1, 3),
    "minimumROISize": st.one_of(st.none(), st.integers(1, 40)),
    "normalizeScale": st.floats(10, 300),
    "removeOutliers": st.floats(0.5, 3),
    "resampledPixelSpacing": st.lists(st.floats(1.1, 2.9), min_size=3, max_size=3),
    "interpolator": st.sampled_from(
        ["sitkNearestNeighbor", "sitkLinear", "sitkBSpline", "sitkGaussian"]
    ),
    "resegmentRange": st.lists(st.floats(40, 180), min_size=1, max_size=2, unique=True),
    "resegmentMode": st.sampled_from(["absolute", "sigma"]),
}
PATIENT = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
STRANGE = st.sampled_from([None, "foo", "false", -5, 0, 32.5, 5, True, float("nan"), [], [1], {}])


@st.composite
def parameters_of_all_kinds(draw: st.DrawFn) -> dict[str, Any]:
    """Draw settings, honoured and other; filters and resampling together differ on purpose."""

    def of(names: set[str]) -> dict[str, Any]:
        beside = {other: value for name in names for other, value in BESIDE.get(name, {}).items()}
        kinds = {name: VALUES.get(name, st.just(SAMPLES[name])) for name in sorted(names)}
        return {**beside, **{name: draw(kind) for name, kind in kinds.items()}}

    setting = of(draw(st.sets(st.sampled_from(HONOURED), max_size=5)))
    if draw(st.integers(0, 5)) == 0:
        setting[draw(st.sampled_from(REFUSED))] = draw(STRANGE)
    if draw(st.integers(0, 5)) == 0:
        setting[draw(st.sampled_from(HONOURED))] = draw(STRANGE)
    types: dict[str, Any] = {}
    for of_type in draw(st.sets(st.sampled_from(["Original", "LoG", "Wavelet"]), min_size=1)):
        own = draw(st.sets(st.sampled_from(sorted(OF_EVERY_IMAGE - NOT_NATIVE)), max_size=2))
        types[of_type] = of(own) | ({"sigma": [1.0, 2]} if of_type == "LoG" else {})
    if "resampledPixelSpacing" in setting:
        types = {"Original": types.get("Original", {})}
    classes = draw(st.sets(st.sampled_from(["shape", "firstorder", "glcm", "gldm", "glszm"])))
    return {"setting": setting, "imageType": types, "featureClass": dict.fromkeys(classes)}


@st.composite
def pairs(draw: st.DrawFn) -> Any:
    """Draw one scattered or solid region in noise of floats."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size_zyx = tuple(draw(st.integers(5, 9)) for _ in range(3))
    labels_zyx = (chance.random(size_zyx) < draw(st.sampled_from([0.1, 0.5, 0.9]))).astype(np.uint8)
    labels_zyx[0, 0] = 0  # pyradiomics takes an image without background for one without labels
    labels_zyx[1:3, 1:3, 1:3] = 1
    made = [sitk.GetImageFromArray(chance.normal(110, 30, size_zyx))]
    made.append(sitk.GetImageFromArray(labels_zyx))
    for each in made:
        each.SetSpacing((1.5, 2.0, 3.1))
    return made


def check_or_refused(parameters: dict[str, Any], image: Any, labelmap: Any) -> None:
    parameters = {name: part for name, part in parameters.items() if part}
    try:
        with NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(parameters, file)
            file.flush()
            read_settings(Path(file.name), Engine.NATIVE)
    except SetupError as error:
        keys = [*parameters.get("setting", {}), *parameters["imageType"], "featureClass"]
        assert any(key in str(error) for key in keys)
        return
    check(parameters, image, labelmap)


@settings(
    deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(parameters_of_all_kinds(), pairs())
def test_random_settings_are_honoured_or_refused(parameters: dict[str, Any], made: Any) -> None:
    check_or_refused(parameters, *made)


@pytest.mark.fuzz
@settings(PATIENT, max_examples=300)
@given(parameters_of_all_kinds(), pairs())
def test_300_random_settings_are_honoured_or_refused(parameters: dict[str, Any], made: Any) -> None:
    check_or_refused(parameters, *made)
