"""Parameter files of radiomics, as both engines read them: one line that names what is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from organome.domain.errors import SetupError
from organome.domain.radiomics_settings import Engine
from organome.io.tables.radiomics_parameters import read_settings

radiomics = pytest.importorskip("radiomics", reason="pyradiomics is not installed (make setup)")
SCHEMA = yaml.safe_load(Path(radiomics.getParameterValidationFiles()[0]).read_text())["mapping"]
STRANGE = ("foo", -5, 1.5, [-1.0], float("nan"))


def refusal(content: Any, folder: Path, engine: Engine) -> str | None:
    path = folder / "settings.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    try:
        read_settings(path, engine)
    except SetupError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return str(error).removeprefix(f"{path}: ")
    return None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("setting: {binwidth: 5}", "setting.binwidth"),
        ("settings: {binWidth: 5}", "settings"),
        ("voxelSetting: {kernelRadius: 2}", "voxelSetting"),
        ("setting: {interpolator: foo}", "setting.interpolator"),
        ("setting: {resegmentRange: [1, 2, 3]}", "setting.resegmentRange"),
        ("setting: {resampledPixelSpacing: [1, 1]}", "setting.resampledPixelSpacing"),
        ("setting: {binWidth: }", "setting.binWidth"),
        ("imageType: [Original]", "imageType"),
        ("imageType: {Wavelet: {wavelet: foo}}", "Wavelet"),
        ("imageType: {Wavelet: {wavelet: mexh}}", "Wavelet"),
        ("setting: {wavelet: mexh}\nimageType: {Wavelet: }", "Wavelet"),
        ("imageType: {Orignal: {}}", "imageType.Orignal"),
        ("imageType: {Original: {normalize: true}}", "imageType.Original.normalize"),
        ("featureClass: {glcm: [Foo]}", "glcm"),
        ("featureClass: {foo: }", "foo"),
    ],
)
@pytest.mark.parametrize("engine", Engine)
def test_both_engines_refuse_by_name(
    content: str, named: str, engine: Engine, tmp_path: Path
) -> None:
    assert named in (refusal(content, tmp_path, engine) or "accepted")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("imageType: {LBP2D: {lbp2DRadius: 0}}", "lbp2DRadius"),
        ("imageType: {LBP2D: {lbp2DRadius: .nan}}", "lbp2DRadius"),
        ("imageType: {Gradient: {gradientUseSpacing: 5}}", "gradientUseSpacing"),
        ("organome: {inPlane: true}", "organome"),
    ],
)
def test_pyradiomics_is_checked_by_its_own_schema(content: str, named: str, tmp_path: Path) -> None:
    assert named in (refusal(content, tmp_path, Engine.PYRADIOMICS) or "accepted")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "setting:",
        "setting: {distances: [1, 2], weightingNorm: euclidean}",
        "imageType: {Square: , Gradient: {gradientUseSpacing: false}}",
        "setting: {lbp2DSamples: 5}\nimageType: {LBP2D: }",
        "featureClass: {glcm: [Contrast]}",
    ],
)
def test_what_pyradiomics_does_is_let_through(content: str, tmp_path: Path) -> None:
    assert refusal(content, tmp_path, Engine.PYRADIOMICS) is None


@pytest.mark.parametrize("key", SCHEMA["setting"]["mapping"])
def test_native_engine_accepts_nothing_that_the_schema_refuses(key: str, tmp_path: Path) -> None:
    types = {"LoG": {"sigma": [1.0]}, "Wavelet": {}, "Original": {}}
    for value in STRANGE:
        content = {"setting": {key: value}, "imageType": types}
        by_schema = refusal(content, tmp_path, Engine.PYRADIOMICS)
        assert by_schema is None or refusal(content, tmp_path, Engine.NATIVE) is not None
