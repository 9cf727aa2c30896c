from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.metrics.label_metrics import (
    LabelMetrics,
    centreline_dice,
    compare_labelmaps,
    resample_nearest,
)
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.presence import Presence

UKB_MM = (2.232, 2.232, 4.5)
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
SIX = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))


def labelmap(labels_zyx: Any, spacing_mm: Sequence[float] = UKB_MM) -> sitk.Image:
    image = sitk.GetImageFromArray(np.asarray(labels_zyx, np.uint8))
    image.SetSpacing(spacing_mm)
    image.SetOrigin((-20.0, 5.0, 100.0))
    return image


def compare(
    predicted: Any, reference: Any, spacing_mm: Sequence[float] = UKB_MM, tolerance_mm: float = 3.0
) -> LabelMetrics:
    (found,) = compare_labelmaps(
        labelmap(predicted, spacing_mm),
        labelmap(reference, spacing_mm),
        [1],
        tolerance_mm=tolerance_mm,
        centreline_labels=[1],
    )
    return found


def ellipsoid(half_zyx: tuple[int, int, int] = (8, 12, 11)) -> NDArray[np.uint8]:
    z, y, x = np.ogrid[:30, :60, :80]
    c, b, a = half_zyx
    inside = ((z - 15) / c) ** 2 + ((y - 30) / b) ** 2 + ((x - 30) / a) ** 2 <= 1
    return inside.astype(np.uint8)


def brute_force(
    predicted: NDArray[Any], reference: NDArray[Any], spacing_mm: Sequence[float], tolerance: float
) -> tuple[float, float]:
    """HD95 and surface Dice from all distances between all border voxels, voxel by voxel."""
    places = []
    for mask in (predicted, reference):
        voxels = {tuple(index) for index in np.argwhere(mask).tolist()}
        edge = [v for v in voxels if any(tuple(np.add(v, step)) not in voxels for step in SIX)]
        places.append(np.array(sorted(edge)) * np.array(spacing_mm[::-1]))
    apart = np.sqrt(np.square(places[0][:, None] - places[1][None]).sum(axis=-1))
    nearest = [np.sort(apart.min(axis=axis)) for axis in (1, 0)]
    ends = []
    for each in nearest:
        place = 0.95 * (len(each) - 1)
        low = int(place)
        high = min(low + 1, len(each) - 1)
        ends.append(each[low] + (place - low) * (each[high] - each[low]))
    within = sum(int((each <= tolerance).sum()) for each in nearest)
    return max(ends), within / sum(len(each) for each in nearest)


def test_a_shift_of_a_voxel_and_a_slice() -> None:
    """The border is nowhere further away than it was moved, and 5 % of it are that far."""
    reference = ellipsoid((8, 20, 20))
    found = compare(np.roll(reference, (1, 1), axis=(0, 2)), reference)
    assert found.hd95_mm == pytest.approx(np.hypot(2.232, 4.5), abs=0.002)  # 5.02 mm


def test_a_leak_to_one_side_counts_in_full() -> None:
    """A bar of 7.6 % of the volume reaches 28 voxels out of an ellipsoid.

    Percentiles of both directions together make 38 mm of it, which hides it.
    """
    reference = ellipsoid()
    leaking = reference.copy()
    leaking[14:16, 27:33, 30 : 30 + 11 + 28] = 1
    assert leaking.sum() / reference.sum() == pytest.approx(1.076, abs=5e-4)
    found = compare(leaking, reference)
    assert found.hd95_mm == pytest.approx(2.232 * np.hypot(22, 1), abs=1e-9)  # 49.15 mm
    assert compare(reference, leaking).hd95_mm == found.hd95_mm


def test_random_pairs_are_those_of_brute_force() -> None:
    chance = np.random.default_rng(11)
    for _ in range(40):
        spacing_mm = chance.uniform(0.5, 5.0, 3).tolist()
        tolerance = float(chance.uniform(0.5, 5.0))
        shape = chance.integers(1, 9, 3)
        share = chance.uniform(0.05, 0.9)
        pair = chance.random((2, *shape)) < share
        pair[:, 0, 0, 0] = True
        found = compare(*pair, spacing_mm, tolerance)
        expected = brute_force(*pair, spacing_mm, tolerance)
        assert (found.hd95_mm, found.surface_dice) == pytest.approx(expected, abs=1e-9)
        overlap = 2 * (pair[0] & pair[1]).sum() / pair.sum()
        assert found.dice == pytest.approx(overlap)


def test_labels_are_measured_each_in_its_own_box() -> None:
    chance = np.random.default_rng(5)
    reference, predicted = chance.integers(0, 5, (2, 7, 8, 9))
    predicted[predicted == 4] = 3
    predicted[0, 0, 0] = 4  # far from most of its reference
    found = compare_labelmaps(
        labelmap(predicted), labelmap(reference), [4, 1, 3], tolerance_mm={1: 2.0, 3: 4.5, 4: 9.0}
    )
    assert [one.label for one in found] == [4, 1, 3]
    for one, tolerance in zip(found, (9.0, 2.0, 4.5), strict=True):
        pair = predicted == one.label, reference == one.label
        expected = brute_force(*pair, UKB_MM, tolerance)
        assert (one.hd95_mm, one.surface_dice) == pytest.approx(expected, abs=1e-9)
        assert one.centreline_dice is None


def test_volumes_are_of_the_voxels() -> None:
    reference = np.ones((2, 5, 10))
    found = compare(reference[:1], reference[:1], (10.0, 4.0, 5.0))
    assert (found.n_voxels_reference, found.n_voxels_predicted) == (50, 50)
    assert found.volume_predicted_ml == pytest.approx(10.0)
    assert (found.dice, found.hd95_mm, found.surface_dice) == (1.0, 0.0, 1.0)


def test_a_structure_that_one_lacks_has_no_distance_and_no_overlap() -> None:
    something, nothing = np.ones((3, 3, 3)), np.zeros((3, 3, 3))
    missed, added = compare(nothing, something), compare(something, nothing)
    for found, presence in ((missed, Presence.MISSED), (added, Presence.FALSELY_ADDED)):
        assert found.presence is presence
        assert (found.dice, found.surface_dice, found.centreline_dice) == (0.0, 0.0, 0.0)
        assert found.hd95_mm is None
    assert (missed.n_voxels_reference, missed.n_voxels_predicted) == (27, 0)


def test_a_structure_that_both_lack_has_no_metric_at_all() -> None:
    found = compare(np.zeros((3, 3, 3)), np.zeros((3, 3, 3)))
    assert found.presence is Presence.BOTH_ABSENT
    assert found.volume_predicted_ml == found.volume_reference_ml == 0.0
    metrics = (found.dice, found.hd95_mm, found.surface_dice, found.centreline_dice)
    assert metrics == (None, None, None, None)


def test_single_voxels_are_as_far_apart_as_their_centres() -> None:
    predicted, reference = np.zeros((2, 4, 5, 6))
    predicted[3, 4, 5] = reference[0, 0, 0] = 1
    found = compare(predicted, reference)
    assert found.hd95_mm == pytest.approx(np.linalg.norm(np.multiply((5, 4, 3), UKB_MM)))
    assert (found.dice, found.surface_dice) == (0.0, 0.0)


def test_the_edge_of_the_image_is_part_of_the_border() -> None:
    """A full image against one that lacks a face: only that face's border is a voxel away."""
    predicted, reference = np.ones((2, 5, 5, 5))
    predicted[:, :, 0] = 0
    found = compare(predicted, reference, (2.0, 2.0, 2.0), tolerance_mm=1.0)
    # border of the reference: 125 - 27, of which 25 are not predicted; predicted: 100 - 18, of
    # which the new face's 9 inner voxels lie inside of the reference
    assert found.surface_dice == pytest.approx((98 - 25 + 82 - 9) / (98 + 82))
    assert found.hd95_mm == pytest.approx(2.0)


def test_a_distance_of_exactly_the_tolerance_lies_within() -> None:
    predicted, reference = np.zeros((2, 1, 1, 9))
    predicted[..., 4] = reference[..., 1] = 1
    spacing = 2.232142857
    assert compare(predicted, reference, (spacing, 1.0, 1.0), 3 * spacing).surface_dice == 1.0
    assert compare(predicted, reference, (spacing, 1.0, 1.0), 6.69).surface_dice == 0.0


def test_directions_of_axes_change_nothing() -> None:
    pair = [labelmap(ellipsoid()), labelmap(np.roll(ellipsoid(), 3, axis=1))]
    upright = compare_labelmaps(*pair, [1], tolerance_mm=2.0)
    for direction in (OBLIQUE, (-1.0, 0, 0, 0, 0, 1.0, 0, 1.0, 0)):
        for image in pair:
            image.SetDirection(direction)
        assert compare_labelmaps(*pair, [1], tolerance_mm=2.0) == upright


@pytest.mark.parametrize(
    ("changed", "fact"),
    [
        (labelmap(np.ones((3, 3, 4))), "differ in size: 4 x 3 x 3 and 3 x 3 x 3"),
        (labelmap(np.ones((3, 3, 3)), (2.0, 2.0, 3.0)), "differ in spacing: 2 x 2 x 3 and 2.232"),
        (None, "differ in direction"),
    ],
)
def test_grids_that_differ_are_refused(changed: sitk.Image | None, fact: str) -> None:
    reference = labelmap(np.ones((3, 3, 3)))
    if changed is None:
        changed = labelmap(np.ones((3, 3, 3)))
        changed.SetDirection(OBLIQUE)
    with pytest.raises(ScanError, match=fact) as error:
        compare_labelmaps(changed, reference, [1], tolerance_mm=1.0)
    assert error.value.reason is Reason.LABELMAP_OFF_GRID


def test_centreline_dice_of_tubes() -> None:
    """Of a tube of 30 slices, 10 are missed: sensitivity 2/3, precision 1; not its ends alone."""
    tube = np.zeros((40, 11, 11), np.bool_)
    tube[5:35, 3:8, 3:8] = True
    cut = tube.copy()
    cut[25:] = False
    assert centreline_dice(tube, tube) == 1.0
    assert centreline_dice(cut, tube) == pytest.approx(2 * (2 / 3) / (1 + 2 / 3), abs=0.06)
    thinner = np.zeros_like(tube)
    thinner[5:35, 5, 5] = True
    assert centreline_dice(thinner, tube) == 1.0  # Dice would be 0.08
    assert centreline_dice(np.roll(tube, 6, axis=1)[:, :, :5], tube[:, :, :5]) == 0.0


def test_nearest_resampling_takes_the_voxel_at_that_place() -> None:
    image = labelmap(np.arange(4 * 5 * 6).reshape(4, 5, 6), (2.232, 2.232, 4.5))
    image.SetDirection(OBLIQUE)
    resampled = resample_nearest(image, (1.5, 1.5, 3.0))
    # 5 * 2.232 / 1.5 + 1 = 8.44, 4 * 2.232 / 1.5 + 1 = 6.95, 3 * 4.5 / 3 + 1 = 5.5
    assert resampled.GetSize() == (8, 7, 6)
    assert resampled.GetSpacing() == (1.5, 1.5, 3.0)
    assert resampled.GetOrigin() == image.GetOrigin()
    assert resampled.GetDirection() == image.GetDirection()
    expected = np.zeros((6, 7, 8), int)
    for z, y, x in np.ndindex(expected.shape):
        at = [round(z * 3 / 4.5 - 1e-9), round(y * 1.5 / 2.232), round(x * 1.5 / 2.232)]
        at = np.minimum(at, (3, 4, 5)).tolist()
        expected[z, y, x] = image[at[2], at[1], at[0]]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(resampled), expected)


@pytest.mark.parametrize("width", range(1, 9))
@pytest.mark.parametrize("length", [1, 2, 5, 20])
def test_blocks_of_any_width_have_a_centreline(width: int, length: int) -> None:
    """Thinning takes blocks of an even width away entirely: 4 x 4 x 20 had no clDice."""
    block = np.zeros((length + 6, 40, 14), bool)
    block[3 : 3 + length, 3 : 3 + width, 3 : 3 + width] = True
    assert centreline_dice(block, block) == 1.0
    assert centreline_dice(np.roll(block, 20, axis=1), block) == 0.0


def test_a_bad_prediction_lowers_centreline_dice_and_does_not_leave_the_mean() -> None:
    reference = np.zeros((50, 30, 20), bool)
    reference[5:45, 5:10, 5:10] = True
    speck, outside = np.zeros_like(reference), np.zeros_like(reference)
    speck[20:22, 6:8, 6:8] = True
    outside[10:30, 20:22, 14:16] = True
    assert 0 < centreline_dice(speck, reference) < 0.15
    assert centreline_dice(outside, reference) == 0.0
    # As long as 20 of its voxels, not as heavy as all 80.
    both = centreline_dice(reference | outside, reference)
    assert both == pytest.approx(2 * (38 / 58) / (1 + 38 / 58), abs=0.03)
