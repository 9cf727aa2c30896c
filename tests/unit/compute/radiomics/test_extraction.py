from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.features import measure_features
from doubles.pyradiomics import differences, reference_features
from organome.compute.radiomics import extraction
from organome.compute.radiomics.extraction import Shapes, extract_features
from organome.domain.features import FeatureClass, feature_names
from organome.domain.outcomes import FeatureReason
from organome.domain.radiomics_settings import (
    NormalizeOver,
    Preparation,
    RadiomicsSettings,
    TextureSettings,
)
from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import station_grids
from organome.phantoms.rendering.render import render_dixon, truth_labelmap

SPACING_XYZ_MM = (1.5, 2.25, 4.0)

BINNINGS = [
    (TextureSettings(), {}),
    (TextureSettings(bin_width=5), {"binWidth": 5}),
    (TextureSettings(bin_count=32), {"binCount": 32}),
]


@pytest.fixture(scope="module")
def phantom() -> tuple[sitk.Image, sitk.Image]:
    body = draw_body(3, spacing_xyz_mm=(4.0, 4.0, 4.0))
    grid = station_grids(reduce=4)[2]
    images = render_dixon(body, grid, np.random.default_rng(3))
    return images[Contrast.WATER], truth_labelmap(body, grid)


@pytest.mark.parametrize("binning", BINNINGS, ids=["width 25", "width 5", "count 32"])
def test_all_labels_of_a_phantom_have_the_numbers_of_pyradiomics(
    phantom: tuple[sitk.Image, sitk.Image], binning: tuple[TextureSettings, dict[str, int]]
) -> None:
    image, labelmap = phantom
    found = measure_features(image, labelmap, binning[0])
    assert len(found) > 10
    for label, ours in found.items():
        reference = reference_features(image, labelmap, label, **binning[1])
        if isinstance(reference, str):
            assert ours.reason in (FeatureReason.SINGLE_VOXEL, FeatureReason.TOO_FEW_DIMENSIONS)
            continue
        assert list(ours.values) == list(feature_names())
        assert differences(reference, ours.values) == []


def test_float_image_has_the_numbers_of_pyradiomics(
    phantom: tuple[sitk.Image, sitk.Image],
) -> None:
    image, labelmap = sitk.Cast(phantom[0], sitk.sitkFloat32) / 7.3, phantom[1]
    for label, ours in measure_features(image, labelmap).items():
        reference = reference_features(image, labelmap, label)
        if isinstance(reference, str):
            assert ours.values == {}
            continue
        assert differences(reference, ours.values) == []


def test_levels_of_two_single_voxels_in_a_large_region_leave_mcc_right() -> None:
    # These two pair with each other alone in some direction: the epsilon in the divisors of
    # pyradiomics then counts most.
    chance = np.random.default_rng(0)
    voxels_zyx = chance.normal(0, 12, (60, 70, 80)).astype(np.int16)
    voxels_zyx[0, 0, 0], voxels_zyx[0, 0, 1] = 300, 340
    labels_zyx = np.ones_like(voxels_zyx, dtype=np.uint8)
    labels_zyx[-1] = labels_zyx[1, 0, 0] = labels_zyx[1, 0, 1] = 0
    image, labelmap = sitk.GetImageFromArray(voxels_zyx), sitk.GetImageFromArray(labels_zyx)
    found = measure_features(image, labelmap, TextureSettings(bin_width=5))[1].values
    reference = reference_features(image, labelmap, 1, binWidth=5)
    assert isinstance(reference, dict)
    assert found["original_glcm_MCC"] == pytest.approx(reference["original_glcm_MCC"], rel=1e-10)


def test_threads_get_the_same_numbers(phantom: tuple[sitk.Image, sitk.Image]) -> None:
    alone = measure_features(*phantom)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda _: measure_features(*phantom), range(4)))
    assert all(found == alone for found in together)


@pytest.mark.parametrize(
    "preparation",
    [
        Preparation(),
        Preparation(resegment_range=(50, 400)),
        Preparation(resampled_spacing_xyz_mm=(9.0, 9.0, 9.0), interpolator="sitkLinear"),
    ],
    ids=["plain", "resegmented", "resampled"],
)
def test_shapes_measured_with_another_image_are_the_very_same(
    phantom: tuple[sitk.Image, sitk.Image],
    preparation: Preparation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, labelmap = phantom
    other = sitk.Cast(image, sitk.sitkFloat32) * 2 + 7
    settings = RadiomicsSettings(preparation=preparation)
    alone = extract_features(other, labelmap, settings)
    shapes: Shapes = {}
    plain = RadiomicsSettings(classes=(FeatureClass.SHAPE,))
    extract_features(image, labelmap, plain, shapes=shapes)
    if preparation == Preparation():
        monkeypatch.setattr(extraction, "LabelledShapes", None)  # measured once
    assert extract_features(other, labelmap, settings, shapes=shapes) == alone
    wider = sitk.Image(labelmap)
    wider.SetSpacing((2.0, 2.0, 2.0))
    monkeypatch.undo()
    scaled = extract_features(wider, wider, plain, shapes=shapes)
    assert scaled == extract_features(wider, wider, plain)


def test_no_body_is_looked_for_where_only_shapes_are_asked(
    phantom: tuple[sitk.Image, sitk.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    normalized = Preparation(normalize=True, normalize_over=NormalizeOver.BODY)
    settings = RadiomicsSettings(preparation=normalized, classes=(FeatureClass.SHAPE,))
    plain = extract_features(*phantom, replace(settings, preparation=Preparation()))
    monkeypatch.setattr("organome.compute.radiomics.preparation.body_normalization", None)
    assert extract_features(*phantom, settings) == plain


def test_there_are_107_features_and_93_of_a_filtered_image() -> None:
    assert len(feature_names()) == 107
    assert len(feature_names("wavelet-LLH")) == 93


def test_empty_labelmap_has_no_region() -> None:
    empty = sitk.Image([4, 4, 4], sitk.sitkUInt8)
    assert measure_features(sitk.Cast(empty, sitk.sitkInt16), empty) == {}


def test_single_voxel_and_line_are_refused_by_name() -> None:
    labels_zyx = np.zeros((5, 5, 5), np.uint8)
    labels_zyx[0, 0, 0] = 3
    labels_zyx[2, :, 2] = 9
    labelmap = sitk.GetImageFromArray(labels_zyx)
    found = measure_features(sitk.Cast(labelmap, sitk.sitkInt16), labelmap)
    assert found[3].reason is FeatureReason.SINGLE_VOXEL
    assert found[9].reason is FeatureReason.TOO_FEW_DIMENSIONS
    assert (found[3].n_voxels, found[9].n_voxels) == (1, 5)
    assert found[3].values == found[9].values == {}


def test_region_that_is_too_small_is_refused() -> None:
    labels_zyx = np.zeros((5, 5, 5), np.uint8)
    labels_zyx[1:3, 1:3, 1:3] = 1
    labelmap = sitk.GetImageFromArray(labels_zyx)
    image = sitk.Cast(labelmap, sitk.sitkInt16)
    found = measure_features(image, labelmap, TextureSettings(minimum_roi_size=8))
    assert found[1].reason is FeatureReason.TOO_SMALL
    assert measure_features(image, labelmap, TextureSettings(minimum_roi_size=7))[1].values


def test_isolated_voxels_keep_what_is_defined_and_say_so() -> None:
    labels_zyx = np.zeros((9, 9, 9), np.uint8)
    labels_zyx[0, 0, 0] = labels_zyx[4, 6, 8] = labels_zyx[8, 3, 1] = 1
    labelmap = sitk.GetImageFromArray(labels_zyx)
    image = sitk.GetImageFromArray(np.arange(729, dtype=np.int16).reshape(9, 9, 9))
    found = measure_features(image, labelmap)[1]
    assert found.reason is FeatureReason.UNDEFINED
    assert np.isnan(found.values["original_glcm_Contrast"])
    assert found.values["original_ngtdm_Coarseness"] == 1e6
    assert found.values["original_firstorder_Mean"] == pytest.approx((0 + 386 + 676) / 3)


def test_too_many_grey_levels_leave_what_needs_none() -> None:
    image = sitk.GetImageFromArray(np.arange(125, dtype=np.int16).reshape(5, 5, 5) * 200)
    labelmap = sitk.Cast(image > -1, sitk.sitkUInt8)
    found = measure_features(image, labelmap, TextureSettings(bin_width=1))[1]
    assert found.reason is FeatureReason.TOO_MANY_LEVELS
    assert {name.split("_")[1] for name in found.values} == {"shape", "firstorder"}
    left_out = {"original_firstorder_Entropy", "original_firstorder_Uniformity"}
    assert left_out.isdisjoint(found.values)
    assert found.values["original_firstorder_Maximum"] == 124 * 200
    facts = found.intensities["original"]
    assert (facts.lowest, facts.highest, facts.n_levels) == (0, 24_800, 24_801)
    assert facts.p999 == pytest.approx(0.999 * 24_800)


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.float64])
def test_clip_keeps_a_hot_voxel_from_the_levels_and_from_nothing_else(kind: Any) -> None:
    sound_zyx = np.random.default_rng(5).integers(0, 200, (12, 12, 12)).astype(kind)
    hot_zyx = sound_zyx.copy()
    hot_zyx[4, 4, 4] = 30_000
    sound_zyx[4, 4, 4] = 199  # the greatest of the others
    labels = sitk.GetImageFromArray(np.ones((12, 12, 12), np.uint8))
    sound, hot = (sitk.GetImageFromArray(voxels_zyx) for voxels_zyx in (sound_zyx, hot_zyx))
    plain = TextureSettings(bin_width=5)
    assert measure_features(hot, labels, plain)[1].reason is FeatureReason.TOO_MANY_LEVELS
    found = measure_features(hot, labels, replace(plain, clip_percentiles=(0, 99.9)))[1]
    assert found.reason is None
    assert found.intensities["original"].n_levels == 40
    assert found.values["original_firstorder_Maximum"] == 30_000
    for name, value in measure_features(sound, labels, plain)[1].values.items():
        if "firstorder" not in name:
            assert found.values[name] == pytest.approx(value, rel=1e-12), name


def test_every_image_says_how_many_levels_occur() -> None:
    voxels_zyx = np.zeros((4, 4, 4), np.float32)
    voxels_zyx[1] = 0.7
    image, labels = sitk.GetImageFromArray(voxels_zyx), sitk.Image(4, 4, 4, sitk.sitkUInt8) + 1
    for width, n_levels in ((25, 1), (0.1, 2)):
        found = measure_features(image, labels, TextureSettings(bin_width=width))[1]
        assert found.intensities["original"].n_levels == n_levels


def test_levels_do_not_wrap_around_near_the_end_of_an_integer_type() -> None:
    values_zyx = np.arange(64, dtype=np.int64).reshape(4, 4, 4) * 3
    labelmap = sitk.GetImageFromArray(np.ones((4, 4, 4), np.uint8))
    found = [
        measure_features(sitk.GetImageFromArray(values_zyx.astype(kind)), labelmap)[1]
        for kind in (np.uint8, np.int16)
    ]
    shifted = sitk.GetImageFromArray((values_zyx + 32767 - 189).astype(np.int16))
    as_float = sitk.GetImageFromArray((values_zyx + 32767 - 189).astype(np.float64))
    assert found[0] == found[1]
    assert (
        differences(
            measure_features(as_float, labelmap)[1].values,
            measure_features(shifted, labelmap)[1].values,
        )
        == []
    )


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        measure_features(
            sitk.Image([4, 4, 4], sitk.sitkInt16), sitk.Image([4, 4, 5], sitk.sitkUInt8)
        )


def test_labels_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        measure_features(
            sitk.Image([4, 4, 4], sitk.sitkInt16), sitk.Image([4, 4, 4], sitk.sitkInt16)
        )
