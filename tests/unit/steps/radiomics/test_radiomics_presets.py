"""What the presets promise of the images that they are for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.places import REPOSITORY
from organome.domain.errors import SetupError
from organome.domain.radiomics_settings import Engine
from organome.steps.radiomics.plans import Plan, read_plans

PRESETS = REPOSITORY / "config" / "radiomics"
SPACING_XYZ_MM = (2.0, 2.0, 4.5)


def plan(preset: str) -> Plan:
    return read_plans([f"water={PRESETS / preset}.yaml"], Engine.NATIVE)[0]


def tissue() -> tuple[Any, Any]:
    """Draw a body in air, with one organ whose texture differs between axes."""
    chance = np.random.default_rng(5)
    voxels_zyx = np.zeros((14, 24, 26))
    voxels_zyx[2:12, 3:21, 3:23] = chance.normal(600, 60, (10, 18, 20))
    labels_zyx = np.zeros(voxels_zyx.shape, np.uint8)
    labels_zyx[4:10, 6:17, 7:18] = 1
    voxels_zyx[labels_zyx == 1] += 10.0 * np.arange(6).repeat(121)
    return voxels_zyx.astype(np.int32), labels_zyx


def features(
    preset: str, voxels_zyx: Any, labels_zyx: Any, spacing_xyz_mm: Any = SPACING_XYZ_MM
) -> dict[str, float]:
    image, labelmap = (sitk.GetImageFromArray(each) for each in (voxels_zyx, labels_zyx))
    for each in (image, labelmap):
        each.SetSpacing(spacing_xyz_mm)
    region = plan(preset).region_features(image, labelmap)[1]
    assert region.reason is None
    return dict(region.values)


@pytest.mark.parametrize("preset", ["ct", "dixon", "mr", "ibsi"])
def test_every_preset_gives_every_feature_a_number(preset: str) -> None:
    voxels_zyx, labels_zyx = tissue()
    scale = 10 if preset == "dixon" else 1  # percent
    found = features(preset, voxels_zyx // scale, labels_zyx)
    assert len(found) == (107 + 210 if preset == "ibsi" else 107)
    assert all(np.isfinite(value) for value in found.values())


def test_mr_does_not_depend_on_the_unit_of_the_scanner() -> None:
    voxels_zyx, labels_zyx = tissue()
    once, thrice = (features("mr", factor * voxels_zyx, labels_zyx) for factor in (1, 3))
    assert thrice == pytest.approx(once, rel=1e-6)


def test_mr_does_not_depend_on_how_much_air_is_around() -> None:
    voxels_zyx, labels_zyx = tissue()
    wide = [np.pad(each, 6) for each in (voxels_zyx, labels_zyx)]
    assert features("mr", *wide) == pytest.approx(features("mr", voxels_zyx, labels_zyx), rel=1e-6)


@pytest.mark.parametrize("preset", ["mr", "dixon"])
def test_textures_are_of_the_plane_however_the_image_is_stored(preset: str) -> None:
    voxels_zyx, labels_zyx = tissue()
    axial = features(preset, voxels_zyx // 10, labels_zyx)
    x_mm, y_mm, z_mm = SPACING_XYZ_MM
    turned = features(
        preset,
        np.ascontiguousarray((voxels_zyx // 10).transpose(1, 0, 2)),
        np.ascontiguousarray(labels_zyx.transpose(1, 0, 2)),
        (x_mm, z_mm, y_mm),
    )
    textures = [name for name in axial if "_gl" in name or "ngtdm" in name]
    assert len(textures) == 75
    for name in textures:
        assert turned[name] == pytest.approx(axial[name], rel=1e-6), name


def test_ibsi_is_measured_on_cubes_of_2_mm() -> None:
    voxels_zyx, labels_zyx = tissue()
    found = features("ibsi", voxels_zyx, labels_zyx)
    volume_mm3 = np.prod(SPACING_XYZ_MM) * labels_zyx.sum()
    assert found["original_shape_VoxelVolume"] % 8 == 0
    assert found["original_shape_VoxelVolume"] == pytest.approx(volume_mm3, rel=0.1)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("featureClass: {glcm: [Homogeneity1, Contrast]}", "featureClass.glcm: Homogeneity1"),
        ("imageType: {Original: {}, Gradient: {resegmentRange: [1]}}", "resegmentRange"),
    ],
)
def test_what_pyradiomics_leaves_out_is_an_error(content: str, named: str, tmp_path: Path) -> None:
    pytest.importorskip("radiomics", reason="pyradiomics is not installed (make setup)")
    (tmp_path / "settings.yaml").write_text(content)
    with pytest.raises(SetupError, match=f"settings.yaml: .*{named}"):
        read_plans([f"water={tmp_path}/settings.yaml"], Engine.PYRADIOMICS)
