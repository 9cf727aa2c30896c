from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from doubles.features import measure_features
from doubles.pyradiomics import differences, reference_features
from organome.compute.geometry.arrays import Voxels
from organome.domain.outcomes import FeatureReason
from organome.domain.radiomics_settings import TextureSettings

BINNINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"bin_width": 25}, {"binWidth": 25}),
    ({"bin_width": 5}, {"binWidth": 5}),
    ({"bin_count": 32}, {"binCount": 32}),
    ({"bin_count": 3, "gldm_a": 1}, {"binCount": 3, "gldm_a": 1}),
    ({"bin_width": 6.3, "force_2d": True}, {"binWidth": 6.3, "force2D": True}),
]
REFUSALS = {
    FeatureReason.SINGLE_VOXEL: ("1 segmented voxel",),
    FeatureReason.TOO_FEW_DIMENSIONS: ("too few dimensions", "angle count"),
}


@st.composite
def regions(draw: st.DrawFn) -> tuple[Voxels, Voxels]:
    """Draw regions of one voxel, lines, planes, scattered and solid ones, of few or many values."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7))
    share = draw(st.sampled_from([0.03, 0.1, 0.3, 0.6, 0.9, 1.0]))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels_zyx = (chance.random(shape) < share).astype(np.uint8)
    if draw(st.booleans()):
        labels_zyx *= chance.integers(1, 4, shape).astype(np.uint8)
    labels_zyx.reshape(-1)[0] = max(1, labels_zyx.reshape(-1)[0])
    for axis in draw(st.sets(st.integers(0, 2), max_size=2)):
        flat = [slice(None)] * 3
        flat[axis] = slice(1, None)
        labels_zyx[tuple(flat)] = 0
    kind = draw(st.sampled_from([np.int16, np.int32, np.float32, np.float64]))
    spread = draw(st.sampled_from([0, 1, 8, 60, 400]))
    voxels_zyx = chance.normal(draw(st.sampled_from([-300, 0, 150])), spread, shape).astype(kind)
    return labels_zyx, voxels_zyx


def check(labels_zyx: Voxels, voxels_zyx: Voxels, binning: int, n_dimensions: int) -> None:
    image, labelmap = sitk.GetImageFromArray(voxels_zyx), sitk.GetImageFromArray(labels_zyx)
    for each in (image, labelmap):
        each.SetSpacing((1.5, 2.25, 4.0))
    ours_settings, their_settings = BINNINGS[binning]
    found = measure_features(
        image,
        labelmap,
        TextureSettings(minimum_roi_dimensions=n_dimensions, **ours_settings),
    )
    assert list(found) == np.setdiff1d(np.unique(labels_zyx), [0]).tolist()
    for label, ours in found.items():
        assert ours.n_voxels == np.count_nonzero(labels_zyx == label)
        if np.all(labels_zyx == label):
            continue  # pyradiomics takes an image without background for one without labels
        reference = reference_features(
            image, labelmap, label, minimumROIDimensions=n_dimensions, **their_settings
        )
        if isinstance(reference, str):
            assert ours.values == {}
            assert ours.reason is not None
            assert any(words in reference for words in REFUSALS[ours.reason])
            continue
        assert differences(reference, ours.values) == []
        undefined = any(np.isnan(value) for value in reference.values())
        assert ours.reason is (FeatureReason.UNDEFINED if undefined else None)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(regions(), st.integers(0, len(BINNINGS) - 1), st.integers(1, 3))
def test_random_regions_have_the_numbers_of_pyradiomics(
    pair: tuple[Voxels, Voxels], binning: int, n_dimensions: int
) -> None:
    check(*pair, binning, n_dimensions)


@pytest.mark.fuzz
@settings(deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@given(regions(), st.integers(0, len(BINNINGS) - 1), st.integers(1, 3))
def test_a_thousand_random_regions_have_the_numbers_of_pyradiomics(
    pair: tuple[Voxels, Voxels], binning: int, n_dimensions: int
) -> None:
    check(*pair, binning, n_dimensions)
