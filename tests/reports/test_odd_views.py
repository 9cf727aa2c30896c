"""Organs that are cut, and what was seen of them: by main pieces and by stations.

Source: readings of our own code; fields of view of UK Biobank's six stations, whose rows differ.
"""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.geometry.arrays import Voxels
from organome.compute.labelmaps.view import View, find_seen
from organome.compute.labelmaps.volumes import OrganMeasure, measure_organs, organ_ends
from organome.compute.stitching.stitch import stitch
from organome.domain.errors import ScanError
from organome.domain.geometry import Face
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

LIVER = 5
SPACING_XYZ_MM = (2.0, 3.0, 5.0)


def image_of(voxels_zyx: Voxels, origin_mm: tuple[float, float, float] = (0, 0, 0)) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(SPACING_XYZ_MM)
    image.SetOrigin(origin_mm)
    return image


def liver_of(
    *boxes: Any, size_zyx: tuple[int, int, int] = (60, 60, 60), **seen: Any
) -> OrganMeasure:
    labels_zyx = np.zeros(size_zyx, np.uint8)
    for box in boxes:
        labels_zyx[box] = LIVER
    return measure_organs(image_of(labels_zyx), **seen)[LIVER]


BODY = np.s_[10:42, 14:46, 12:43]  # 31,744 voxels


@pytest.mark.odd_input(
    "C-3",
    make="a liver of 32,000 voxels, and stray voxels of it in a corner of the image",
    source="own",
    outcome="not truncated: the main piece decides; `n_pieces`, `largest_piece_share` say the rest",
)
@pytest.mark.parametrize("stray", [np.s_[0, 0, 0], np.s_[-1, 30, 30], np.s_[:5, :5, :5]])
def test_stray_voxels_at_a_face_do_not_cost_a_liver(stray: Any) -> None:
    liver = liver_of(BODY, stray)
    assert liver.touches == ()
    assert liver.face_distance_mm == 12 * 2.0
    assert (liver.n_pieces, liver.largest_piece_share < 1) == (2, True)


@pytest.mark.odd_input(
    "V-1",
    make="an organ in several large pieces (vertebrae, a liver less a slice), one at a face",
    source="own",
    outcome="`truncated`: a piece of a twentieth of the largest is a part of the organ",
)
def test_an_organ_of_several_pieces_is_cut_where_one_of_them_is() -> None:
    vertebrae = [np.s_[z : z + 4, 20:40, 20:40] for z in range(0, 60, 5)]
    assert liver_of(*vertebrae).touches == (Face.INFERIOR,)
    assert liver_of(np.s_[:20, 20:40, 20:40], np.s_[21:50, 20:40, 20:40]).touches != ()


@pytest.mark.odd_input(
    "C-4",
    make="an organ that ends one voxel before the face",
    source="own",
    outcome="not truncated, and `face_distance_mm` says how near it is",
)
@pytest.mark.parametrize(
    ("box", "distance_mm"),
    [
        (np.s_[1:30, 20:40, 20:40], 5.0),
        (np.s_[20:30, 20:59, 20:40], 3.0),
        (np.s_[20:30, 20:40, 1:40], 2.0),
        (np.s_[20:30, 20:40, :40], 0.0),
    ],
)
def test_how_near_the_face_is(box: Any, distance_mm: float) -> None:
    liver = liver_of(box)
    assert liver.face_distance_mm == distance_mm
    assert bool(liver.touches) == (distance_mm == 0)


# x, y, z: a wide station above a narrow one
STATIONS = [[[0, 60], [0, 60], [30, 60]], [[0, 60], [5, 55], [0, 30]]]


@pytest.mark.odd_input(
    "C-5",
    make="stations of 60 and 50 rows, an organ at the face of the narrow one, or at the step",
    source="own; fields of view of UK Biobank",
    outcome="`truncated`, with the face: what the stations saw decides, not the faces of the image",
)
@pytest.mark.parametrize(
    ("box", "faces"),
    [
        (np.s_[5:25, 5:30, 20:40], (Face.ANTERIOR,)),
        (np.s_[5:25, 30:55, 20:40], (Face.POSTERIOR,)),
        (np.s_[30:50, 1:4, 20:40], (Face.INFERIOR,)),  # above what the narrow one did not see
        (np.s_[10:50, 5:30, 20:40], (Face.ANTERIOR,)),
        (np.s_[10:50, 6:30, 20:40], ()),
        (np.s_[31:50, 1:30, 20:40], ()),
        (np.s_[5:25, 1:4, 20:40], tuple(Face)),  # where nobody saw anything
    ],
)
def test_what_the_stations_saw_decides(box: Any, faces: tuple[Face, ...]) -> None:
    labels_zyx = np.zeros((60, 60, 60), np.uint8)
    labels_zyx[box] = LIVER
    labelmap = image_of(labels_zyx)
    liver = measure_organs(labelmap, seen_xyz=STATIONS)[LIVER]
    assert liver.touches == faces
    assert (liver.face_distance_mm == 0) == bool(faces)
    assert organ_ends(labelmap, STATIONS)[LIVER].touches == faces


def test_a_view_counts_as_one_who_goes_from_voxel_to_voxel() -> None:
    chance = np.random.default_rng(0)
    for _ in range(30):
        size = chance.integers(2, 9, 3)
        boxes = [
            [sorted(chance.choice(n + 1, 2, replace=False).tolist()) for n in size]
            for _ in range(3)
        ]
        seen_zyx = np.zeros(size[::-1], bool)
        for x, y, z in boxes:
            seen_zyx[slice(*z), slice(*y), slice(*x)] = True
        mask_zyx = (chance.random(size[::-1]) < 0.1) & seen_zyx
        if not mask_zyx.any():
            continue
        outside_zyx = np.pad(~seen_zyx, 1, constant_values=True)
        naive = np.full((3, 2), 99)
        for index in np.argwhere(mask_zyx) + 1:
            for axis in range(3):
                for end, step in enumerate((-1, 1)):
                    place, n = index.copy(), -1
                    while not outside_zyx[tuple(place)]:
                        place[axis] += step
                        n += 1
                    naive[axis, end] = min(naive[axis, end], n)
        found = View.of(size.tolist(), boxes).gaps_zyx(mask_zyx, (0, 0, 0))
        np.testing.assert_array_equal(found, naive)


def station_of(
    size_xyz: tuple[int, int, int], origin_mm: tuple[float, float, float]
) -> dict[Contrast, sitk.Image]:
    voxels_zyx = 100 + np.random.default_rng(size_xyz).random(size_xyz[::-1], np.float32)
    return {Contrast.WATER: image_of(voxels_zyx, origin_mm)}


@pytest.mark.odd_input(
    "C-6",
    make="the upper station shifted by 30 mm in plane",
    source="own",
    outcome="the grid is the union of what was seen; what no station saw is known voxel by voxel",
)
@pytest.mark.parametrize("shift_mm", [30.0, -30.0, 29.0])
def test_a_shifted_station_keeps_all_that_it_saw(shift_mm: float) -> None:
    stations = [station_of((40, 30, 20), (0, shift_mm, 75)), station_of((40, 30, 20), (0, 0, 0))]
    reference = stitch(stations)
    image = reference.images[Contrast.WATER]
    assert image.GetSize() == (40, 40, 35)
    voxels_zyx = sitk.GetArrayFromImage(image)
    seen_zyx = np.zeros(voxels_zyx.shape, bool)
    for x, y, z in reference.seen_xyz:
        seen_zyx[slice(*z), slice(*y), slice(*x)] = True
    np.testing.assert_array_equal(seen_zyx, voxels_zyx > 50)
    for shuffled in permutations(stations):
        again = stitch(shuffled)
        assert again.seen_xyz == reference.seen_xyz
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(again.images[Contrast.WATER]), voxels_zyx
        )


def test_stations_that_are_beside_each_other_are_not_stitched() -> None:
    stations = [station_of((40, 30, 20), (0, 0, 75)), station_of((40, 30, 20), (90, 0, 0))]
    with pytest.raises(ScanError) as caught:
        stitch(stations)
    assert caught.value.reason is Reason.STATIONS_APART


def padded_image(*cuts: Any, fill: float = 0.0) -> sitk.Image:
    """Noise around a body, in an image of which parts were filled up."""
    chance = np.random.default_rng(2)
    voxels_zyx = chance.rayleigh(4.0, (60, 60, 60)) + fill + 1
    voxels_zyx[:, 10:50, 10:50] += 100
    for cut in cuts:
        voxels_zyx[cut] = fill
    return image_of(voxels_zyx.astype(np.float32))


@pytest.mark.odd_input(
    "V-3",
    make="an image padded to a common size, or stitched elsewhere of stations of two widths",
    source="own; padded and stitched images of TPTBox and of nnU-Net's users",
    outcome="`truncated` where the organ ends with what was seen, not with the image",
)
@pytest.mark.parametrize("orientation", ["LPS", "LSP", "PIR"])
@pytest.mark.parametrize("fill", [0.0, -1024.0])
def test_an_organ_is_cut_where_padding_begins(orientation: str, fill: float) -> None:
    labels_zyx = np.zeros((60, 60, 60), np.uint8)
    labels_zyx[30:50, 20:40, 20:40] = LIVER
    labels_zyx[10:25, 5:30, 20:40] = 1
    labels_zyx[10:45, 45:48, 20:40] = 2
    images = [
        padded_image(np.s_[50:], fill=fill),
        padded_image(np.s_[:28, :5], np.s_[:28, 55:], fill=fill),
        padded_image(np.s_[50:], np.s_[:28, :5], np.s_[:28, 55:], fill=fill),
    ]
    labelmap = sitk.DICOMOrient(image_of(labels_zyx), orientation)
    cut = [
        {label for label, one in organ_ends(labelmap, seen).items() if one.touches}
        for seen in (find_seen(sitk.DICOMOrient(image, orientation)).boxes_xyz for image in images)
    ]
    assert cut == [{LIVER}, {1}, {LIVER, 1}]


@pytest.mark.odd_input(
    "V-182",
    make="padding that is not the least value: a CT padded with 0 or 3000, MRI with 0 and voxels "
    "below it, with 1000; at one face, at all, beside a narrow station",
    source="own; converters and resampling that pad with 0",
    outcome="`truncated` where the organ ends with what was seen, as where padding is darkest",
)
@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize(
    ("low", "fill"), [(-1024.0, 0.0), (-1024.0, 3000.0), (-3.0, 0.0), (5.0, 1000.0)]
)
def test_padding_that_is_not_the_least_value(kind: type, low: float, fill: float) -> None:
    labels_zyx = np.zeros((60, 60, 60), np.uint8)
    labels_zyx[30:50, 20:40, 20:40] = LIVER
    labels_zyx[10:25, 5:30, 20:40] = 1
    labels_zyx[10:45, 45:48, 20:40] = 2
    inner = np.s_[5:50], np.s_[5:55], np.s_[5:55]
    around = np.ones((60, 60, 60), bool)
    around[inner] = False
    above, beside = (np.s_[50:],), (np.s_[:28, :5], np.s_[:28, 55:])
    found = []
    for cuts in (above, beside, above + beside, (around,)):
        voxels_zyx = sitk.GetArrayFromImage(padded_image(fill=low))
        for cut in cuts:
            voxels_zyx[cut] = fill
        seen = find_seen(image_of(voxels_zyx.astype(kind))).boxes_xyz
        ends = organ_ends(image_of(labels_zyx), seen)
        found.append({label for label, one in ends.items() if one.touches})
    assert found == [{LIVER}, {1}, {LIVER, 1}, {LIVER, 1}]


def round_image(
    centre_xy: tuple[float, float] = (44.5, 49.5),
    radius_mm: float = 80.0,
    fill: float = -1024.0,
    pixel_xy_mm: tuple[float, float] = (1.75, 1.75),
) -> tuple[sitk.Image, Any]:
    """A CT that was reconstructed in a circle; where that is, by voxel."""
    z, y, x = np.indices((12, 112, 90))
    x_mm, y_mm = pixel_xy_mm
    off_mm = np.hypot(x_mm * (x - centre_xy[0]), y_mm * (y - centre_xy[1]))
    body = np.hypot((x - 44) / 30, (y - 50) / 25) < 1
    chance = np.random.default_rng(3)
    voxels_zyx = np.where(body, 40, -1000) + chance.normal(0, 20, z.shape)
    voxels_zyx = np.where(off_mm < radius_mm, voxels_zyx.clip(-1024), fill)
    image = sitk.GetImageFromArray(voxels_zyx.astype(np.int16))
    image.SetSpacing((x_mm, y_mm, 5.0))
    return image, off_mm < radius_mm


@pytest.mark.odd_input(
    "V-183",
    make="a CT reconstructed in a circle, its corners filled up with -1024, 0 or 3000; the circle "
    "is cut by the image, or beside its middle; an organ that ends on the circle, or before",
    source="own; the reconstruction circle of CT",
    outcome="`truncated` where the organ ends on the circle; `face_distance_mm` is to the circle",
)
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LSP", "PIR"])
@pytest.mark.parametrize("fill", [-1024.0, 0.0, 3000.0])
@pytest.mark.parametrize(
    ("centre_xy", "radius_mm"), [((44.5, 49.5), 80.0), ((44.5, 55.5), 100.0), ((48.0, 52.0), 77.0)]
)
@pytest.mark.parametrize("pixel_xy_mm", [(1.75, 1.75), (2.0, 1.5)])
def test_an_organ_is_cut_at_a_round_field_of_view(
    orientation: str,
    fill: float,
    centre_xy: tuple[float, float],
    radius_mm: float,
    pixel_xy_mm: tuple[float, float],
) -> None:
    image, seen_zyx = round_image(centre_xy, radius_mm, fill, pixel_xy_mm)
    y, x = 18, int(centre_xy[0]) + 5
    while seen_zyx[0, y, x]:
        x += 1
    labels_zyx = np.zeros(seen_zyx.shape, np.uint8)
    labels_zyx[3:6, y : y + 12, x - 12 : x] = LIVER  # up to the first voxel that was filled up
    labels_zyx[3:6, 50:60, 40:50] = 1  # within
    labels_zyx[7:10, y : y + 12, x - 18 : x - 4] = 2  # four voxels before
    labelmap = sitk.GetImageFromArray(labels_zyx)
    labelmap.CopyInformation(image)
    field = find_seen(sitk.DICOMOrient(image, orientation)).round_xyz
    assert field is not None
    assert [len(one) for one in field if one is not None] == [2, 2]
    ends = organ_ends(sitk.DICOMOrient(labelmap, orientation), None, field)
    assert ends[LIVER].touches[0] in (Face.LEFT, Face.ANTERIOR)
    assert ends[LIVER].face_distance_mm == 0
    assert (ends[1].touches, ends[2].touches) == ((), ())
    assert 1.5 <= ends[2].face_distance_mm <= 4 * 2.0
    assert ends[1].face_distance_mm >= 10
    assert organ_ends(labelmap)[LIVER].touches == ()


@pytest.mark.odd_input(
    "V-184",
    make="a CT reconstructed in a circle, slices at one end or both, or columns, padded with 0, "
    "with 3000, or with what its corners hold",
    source="own; converters and resampling that pad with 0",
    outcome="`truncated` where the organ ends with what was seen, and on the circle",
)
@pytest.mark.parametrize("corners", [-1024.0, 0.0])
@pytest.mark.parametrize("fill", [-1024, 0, 3000])
@pytest.mark.parametrize(
    ("cuts", "box"),
    [
        ((np.s_[9:],), [[0, 90], [0, 112], [0, 9]]),
        ((np.s_[:2], np.s_[9:]), [[0, 90], [0, 112], [2, 9]]),
        ((np.s_[9:], np.s_[:, :4]), [[0, 90], [4, 112], [0, 9]]),
    ],
)
def test_slices_padded_beside_a_round_field_of_view(
    corners: float, fill: int, cuts: Any, box: list[list[int]]
) -> None:
    image, _ = round_image((44.5, 53.5), 84.0, corners)
    whole = find_seen(image)
    assert whole.boxes_xyz is None
    voxels_zyx = sitk.GetArrayFromImage(image)
    for cut in cuts:
        voxels_zyx[cut] = fill
    padded = sitk.GetImageFromArray(voxels_zyx)
    padded.CopyInformation(image)
    seen = find_seen(padded)
    if fill == corners:  # columns beside the circle, of its own value: the circle says it
        box = [box[0], [0, 112], box[2]]
    assert seen.boxes_xyz == [box]
    assert seen.round_xyz is not None
    assert whole.round_xyz is not None
    assert seen.round_xyz[2] is whole.round_xyz[2] is None
    for found, expected in zip(seen.round_xyz[:2], whole.round_xyz[:2], strict=True):
        assert found == pytest.approx(expected, abs=0.2)


def test_distances_to_a_rim_are_those_of_one_who_goes_from_voxel_to_voxel() -> None:
    chance = np.random.default_rng(1)
    field = [[14.3, 12.2], None, [17.0, 15.5]]
    z, _, x = np.indices((34, 6, 29))
    seen_zyx = np.hypot((x - 14.3) / 12.2, (z - 17.0) / 15.5) <= 1
    outside_zyx = np.pad(~seen_zyx, 1, constant_values=True)
    for _ in range(20):
        mask_zyx = (chance.random(seen_zyx.shape) < 0.003) & seen_zyx
        mask_zyx &= np.hypot((x - 14.3) / 12.2, (z - 17.0) / 15.5) < chance.uniform(0.3, 1)
        if not mask_zyx.any():
            continue
        naive = {0: [99, 99], 2: [99, 99]}
        for index in np.argwhere(mask_zyx) + 1:
            for axis, of_axis in naive.items():
                for end, step in enumerate((-1, 1)):
                    place, n = index.copy(), -1
                    while not outside_zyx[tuple(place)]:
                        place[axis] += step
                        n += 1
                    of_axis[end] = min(of_axis[end], n)
        found = View.of((29, 6, 34), None, field).gaps_zyx(mask_zyx, (0, 0, 0))
        assert {axis: found[axis].tolist() for axis in naive} == naive


def test_what_is_not_a_round_field_of_view() -> None:
    _, y, x = np.indices((20, 90, 90))
    chance = np.random.default_rng(0)
    noise = chance.normal(40, 20, x.shape)
    bodies = [((y - 45) / 30) ** 2 + ((x - 45) / 40) ** 2 < 1]  # a trunk
    bodies.append((np.abs(y - 45) < 40) & (np.abs(x - 45) < 40))  # a box of padding
    bodies.append(np.maximum(*(((y - 45) / 18) ** 2 + ((x - c) / 18) ** 2 < 1 for c in (24, 66))))
    images = [image_of(np.where(one, noise, -1024.0)) for one in bodies]
    images += [image_of(noise), image_of(np.zeros(x.shape)), padded_image(np.s_[50:])]
    for image in images:
        image.SetSpacing((2.0, 2.0, 5.0))
    assert [find_seen(image).round_xyz for image in images] == [None] * 6


@pytest.mark.parametrize(("n_slices", "slice_mm"), [(20, 5.0), (40, 1.6)])
def test_the_sides_of_a_body_in_air_of_one_value_are_no_circle(
    n_slices: int, slice_mm: float
) -> None:
    _, y, x = np.indices((n_slices, 256, 256))
    body = np.hypot((x - 128) / 124, (y - 128) / 80) < 1
    voxels_zyx = np.where(body, np.random.default_rng(0).normal(300, 20, x.shape), 0)
    image = sitk.GetImageFromArray(voxels_zyx.astype(np.int16))
    image.SetSpacing((1.6, 1.6, slice_mm))
    assert find_seen(image).round_xyz is None


def test_air_of_one_value_is_not_padding() -> None:
    _, y, x = np.indices((60, 60, 60))
    is_body = ((y - 30) / 20) ** 2 + ((x - 30) / 28) ** 2 < 1
    body = np.random.default_rng(0).normal(40, 20, is_body.shape).clip(-1000)
    for air in (-1024, 0, 70):
        clipped = np.where(is_body, body, air).astype(np.int16)
        assert find_seen(image_of(clipped)).boxes_xyz is None


def test_what_is_bright_in_nothing_is_not_padded() -> None:
    empty = np.zeros((60, 60, 60), np.float32)
    cube, ball = empty.copy(), empty.copy()
    cube[20:40, 20:40, 20:40] = 100
    ball[np.sum((np.indices(ball.shape) - 30) ** 2, axis=0) < 400] = 100
    images = [image_of(one) for one in (empty, cube, ball, empty + 300)]
    assert [find_seen(image).boxes_xyz for image in (*images, padded_image())] == [None] * 5


@pytest.mark.odd_input(
    "V-5",
    make="stations of unequal slices: 3 mm, 4.5 mm and 3 mm half a slice apart",
    source="own; UK Biobank's slices are of 3, 3.5, 4 and 4.5 mm",
    outcome="`resampled` in the rows of organs at these heights: their texture is smoother",
)
@pytest.mark.parametrize(
    ("lower", "resampled"),
    [((5.0, 0.0), False), ((5.0, 2.5), True), ((7.5, 0.0), True)],
)
def test_where_slices_were_interpolated(lower: tuple[float, float], resampled: bool) -> None:
    slice_mm, shift_mm = lower
    stations = [station_of((40, 30, 20), (0, 0, 75)), station_of((40, 30, 20), (0, 0, shift_mm))]
    stations[1][Contrast.WATER].SetSpacing((*SPACING_XYZ_MM[:2], slice_mm))
    stitched = stitch(stations)
    heights = [low_mm for low_mm, _ in stitched.resampled_spans_mm]
    assert bool(heights) == resampled
