from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from organome.compute.geometry.arrays import Voxels
from organome.compute.labelmaps.volumes import OrganMeasure, measure_organs
from organome.domain.errors import ScanError
from organome.domain.geometry import Face
from organome.domain.outcomes import Reason
from organome.domain.volume_bounds import MAIN_PIECE_SHARE

ORIENTATIONS = [
    "".join(letters) for axes in permutations(("LR", "PA", "SI")) for letters in product(*axes)
]
SPACING_XYZ_MM = (1.5, 2.25, 4.0)
ORIGIN_XYZ_MM = (-31.5, 12.25, 400.0)
# By the body, for an LPS array (z, y, x).
FACES_ZYX = (
    (Face.INFERIOR, Face.SUPERIOR),
    (Face.ANTERIOR, Face.POSTERIOR),
    (Face.RIGHT, Face.LEFT),
)


def lps_image(voxels_zyx: Voxels) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(SPACING_XYZ_MM)
    image.SetOrigin(ORIGIN_XYZ_MM)
    return image


def naive_measure(labels_zyx: Voxels, voxels_zyx: Voxels, label: int) -> dict[str, Any]:
    """Measure one organ the slow and plain way, on an LPS array."""
    mask_zyx = labels_zyx == label
    values = voxels_zyx[mask_zyx].astype(float)
    index_xyz = np.argwhere(mask_zyx)[:, ::-1]
    pieces = [len(piece) for piece in naive_pieces(mask_zyx)]
    main = [
        index
        for piece in naive_pieces(mask_zyx)
        if len(piece) >= MAIN_PIECE_SHARE * max(pieces)
        for index in piece
    ]
    gaps = {
        face: min(index[axis] if end == 0 else size - 1 - index[axis] for index in main)
        for axis, (faces, size) in enumerate(zip(FACES_ZYX, mask_zyx.shape, strict=True))
        for end, face in enumerate(faces)
    }
    spacing_mm = dict(zip(FACES_ZYX, SPACING_XYZ_MM[::-1], strict=True))
    touches = {face for face, gap in gaps.items() if gap == 0}
    return {
        "n_voxels": len(values),
        "volume_observed_ml": len(values) * 1.5 * 2.25 * 4.0 / 1000,
        "touches": tuple(face for face in Face if face in touches),
        "face_distance_mm": min(
            gaps[face] * spacing_mm[faces] for faces in FACES_ZYX for face in faces
        ),
        "centroid_xyz_mm": (index_xyz * SPACING_XYZ_MM + ORIGIN_XYZ_MM).mean(axis=0),
        "n_pieces": len(pieces),
        "largest_piece_share": max(pieces) / len(values),
        "intensities": (
            values.mean(),
            values.std(),
            np.median(values),
            np.quantile(values, 0.1),
            np.quantile(values, 0.9),
        ),
    }


def naive_pieces(mask_zyx: Voxels) -> list[list[tuple[int, int, int]]]:
    """Pieces of a mask by flooding from voxel to voxel."""
    left = {(z, y, x) for z, y, x in np.argwhere(mask_zyx).tolist()}
    pieces = []
    while left:
        front, piece = [left.pop()], []
        while front:
            z, y, x = front.pop()
            piece.append((z, y, x))
            for step in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)):
                neighbour = (z + step[0], y + step[1], x + step[2])
                if neighbour in left:
                    left.remove(neighbour)
                    front.append(neighbour)
        pieces.append(piece)
    return pieces


def assert_same(measure: OrganMeasure, naive: dict[str, Any]) -> None:
    assert measure.n_voxels == naive["n_voxels"]
    assert measure.volume_observed_ml == pytest.approx(naive["volume_observed_ml"], rel=1e-14)
    assert measure.touches == naive["touches"]
    assert measure.face_distance_mm == naive["face_distance_mm"]
    assert measure.centroid_xyz_mm == pytest.approx(tuple(naive["centroid_xyz_mm"]), abs=1e-9)
    assert measure.n_pieces == naive["n_pieces"]
    assert measure.largest_piece_share == naive["largest_piece_share"]
    found = measure.intensities
    assert found is not None
    assert (found.mean, found.sd, found.median, found.p10, found.p90) == pytest.approx(
        naive["intensities"], rel=1e-12, abs=1e-9
    )


@st.composite
def labelled_images(draw: st.DrawFn) -> tuple[Voxels, Voxels]:
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6))
    labels = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    labels_zyx = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, *labels])))
    voxels_zyx = draw(hnp.arrays(np.int16, shape, elements=st.integers(-32768, 32767)))
    return labels_zyx, voxels_zyx


@settings(deadline=None)
@given(labelled_images(), st.sampled_from(ORIENTATIONS))
def test_measures_are_those_of_the_naive_way_in_any_orientation(
    pair: tuple[Voxels, Voxels], orientation: str
) -> None:
    labels_zyx, voxels_zyx = pair
    measures = measure_organs(
        sitk.DICOMOrient(lps_image(labels_zyx), orientation),
        sitk.DICOMOrient(lps_image(voxels_zyx), orientation),
    )
    assert list(measures) == [label for label in range(1, 41) if (labels_zyx == label).any()]
    for label, measure in measures.items():
        assert_same(measure, naive_measure(labels_zyx, voxels_zyx, label))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_touched_faces_follow_the_body_and_not_the_array(orientation: str) -> None:
    labels_zyx = np.zeros((5, 6, 7), np.uint8)
    centre = (slice(2, 3), slice(2, 4), slice(3, 5))
    for label, (axis, end, _) in enumerate(named_ends(), start=1):
        box = list(centre)
        box[axis] = slice(0, 1) if end == 0 else slice(-1, None)
        labels_zyx[tuple(box)] = label
    labels_zyx[centre] = 40
    measures = measure_organs(sitk.DICOMOrient(lps_image(labels_zyx), orientation))
    for label, (_, _, face) in enumerate(named_ends(), start=1):
        assert measures[label].touches == (face,)
        assert measures[label].volume_observed_ml > 0
    assert measures[40].touches == ()


def named_ends() -> list[tuple[int, int, Face]]:
    return [
        (axis, end, face)
        for axis, faces in enumerate(FACES_ZYX)
        for end, face in zip((0, -1), faces, strict=True)
    ]


def test_touched_faces_of_an_oblique_grid_are_the_nearest_ones() -> None:
    labels_zyx = np.zeros((5, 6, 7), np.uint8)
    labels_zyx[-1, 3, 3] = 1
    labelmap = lps_image(labels_zyx)
    labelmap.SetDirection(sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.4, -0.3, 0.2).GetMatrix())
    measure = measure_organs(labelmap)[1]
    assert measure.touches == (Face.SUPERIOR,)
    assert measure.centroid_xyz_mm == pytest.approx(
        labelmap.TransformIndexToPhysicalPoint((3, 3, 4))
    )


def test_mean_of_16_bit_intensities_is_exact() -> None:
    n_voxels = 1_000_003
    voxels_zyx = np.full((1, 1, n_voxels), 32767, np.int16)
    voxels_zyx[..., 0] = -32768
    labelmap = sitk.GetImageFromArray(np.ones_like(voxels_zyx, dtype=np.uint8))
    found = measure_organs(labelmap, sitk.GetImageFromArray(voxels_zyx))[1].intensities
    assert found is not None
    assert found.mean == (32767 * (n_voxels - 1) - 32768) / n_voxels


def test_intensities_are_not_cut_to_integers() -> None:
    voxels_zyx = np.array([[[0.25, 0.5, 0.75]]], np.float32)
    labelmap = sitk.GetImageFromArray(np.ones_like(voxels_zyx, dtype=np.uint8))
    found = measure_organs(labelmap, sitk.GetImageFromArray(voxels_zyx))[1].intensities
    assert found is not None
    assert (found.mean, found.median) == (0.5, 0.5)


def test_fat_fraction_leaves_out_voxels_without_signal() -> None:
    labelmap = sitk.GetImageFromArray(np.array([[[1, 1, 1, 2, 0]]], np.uint8))
    fat = sitk.GetImageFromArray(np.array([[[100, 200, 1, 2, 800]]], np.int16))
    water = sitk.GetImageFromArray(np.array([[[300, 200, 9, 3, 200]]], np.int16))
    measures = measure_organs(labelmap, fat=fat, water=water)
    assert measures[1].fat_fraction_mean == pytest.approx((0.25 + 0.5) / 2)
    assert measures[2].fat_fraction_mean is None


def test_without_images_intensities_and_fat_fraction_are_missing() -> None:
    labelmap = sitk.GetImageFromArray(np.ones((2, 2, 2), np.uint8))
    measure = measure_organs(labelmap, fat=labelmap)[1]
    assert measure.intensities is None
    assert measure.fat_fraction_mean is None


def test_empty_labelmap_has_no_organ() -> None:
    assert measure_organs(sitk.Image([4, 4, 4], sitk.sitkUInt8)) == {}


def test_image_on_another_grid_fails_the_scan() -> None:
    labelmap = lps_image(np.ones((4, 4, 4), np.uint8))
    image = lps_image(np.ones((4, 4, 4), np.int16))
    image.SetOrigin((0.0, 0.0, 0.0))
    with pytest.raises(ScanError) as caught:
        measure_organs(labelmap, image)
    assert caught.value.reason is Reason.LABELMAP_OFF_GRID


@pytest.mark.parametrize("value", [41, 255, -1])
def test_value_beyond_the_organs_fails_the_scan(value: int) -> None:
    labelmap = sitk.GetImageFromArray(np.full((2, 2, 2), value, np.int16))
    with pytest.raises(ScanError) as caught:
        measure_organs(labelmap)
    assert caught.value.reason is Reason.LABEL_UNKNOWN
