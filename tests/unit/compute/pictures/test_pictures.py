"""Pictures cannot lie: what is planted is measured in the decoded picture, in millimetres."""

from collections.abc import Sequence
from io import BytesIO
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.color import deltaE_ciede2000, rgb2lab

from organome.compute.pictures.drawing import LINE_PX, STRIP_PX, Picture
from organome.compute.pictures.encoding import encode_webps
from organome.compute.pictures.legend import draw_legend, half_blocks
from organome.compute.pictures.overview import draw_overview
from organome.compute.pictures.planes import Body, window_of
from organome.compute.pictures.planes_picture import draw_planes
from organome.domain.organ_codes import colour_of, is_dashed
from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.domain.pictures import MAX_SCAN_BYTES

SPACING_XYZ_MM = (2.0, 2.5, 5.0)
SIZE_ZYX = (40, 64, 90)  # 200 x 160 x 180 mm
# A cube of 60 mm, off the middle in each direction.
CUBE_ZYX = (slice(6, 18), slice(28, 52), slice(45, 75))
LIVER, RIGHT, LEFT = (
    ORGAN_BY_NAME[name].label for name in ("liver", "right_kidney", "left_kidney")
)
TOLERANCE_PX = 5  # 3.5 mm: WebP smears colours by a pixel or two


def image_of(voxels_zyx: Any, spacing_xyz_mm: Sequence[float] = SPACING_XYZ_MM) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(spacing_xyz_mm)
    return image


def cube(dtype: Any, inside: int, outside: int = 0) -> NDArray[Any]:
    voxels_zyx = np.full(SIZE_ZYX, outside, dtype)
    voxels_zyx[CUBE_ZYX] = inside
    return voxels_zyx


IMAGE = image_of(cube(np.int16, 900, 100))
LABELS_ZYX = cube(np.uint8, LIVER)


def decoded(picture: Picture) -> NDArray[np.int16]:
    """Return the picture as a reader of the file sees it."""
    (file,) = encode_webps([picture], MAX_SCAN_BYTES)
    return np.asarray(Image.open(BytesIO(file)).convert("RGB"), np.int16)


def boxes_px(mask: NDArray[np.bool_], *, n: int) -> list[tuple[float, float, float, float]]:
    """Return left, right, top and bottom of the n largest things of a mask, from left to right."""
    parts, _ = ndimage.label(ndimage.binary_dilation(mask, iterations=4))
    found = ndimage.find_objects(parts)
    found.sort(key=lambda one: -(one[0].stop - one[0].start) * (one[1].stop - one[1].start))
    boxes = [
        (columns.start + 4, columns.stop - 4, rows.start + 4, rows.stop - 4)
        for rows, columns in found[:n]
    ]
    return sorted(boxes)


def outlines(rgb: NDArray[np.int16], *, n: int = 3) -> list[tuple[float, float, float, float]]:
    """Find contours by their colour: nothing else in a picture has one."""
    return boxes_px(np.ptp(rgb, axis=2) > 25, n=n)


def things(rgb: NDArray[np.int16], *, n: int = 3) -> list[tuple[float, float, float, float]]:
    """Find what is bright in the image itself."""
    return boxes_px((rgb.min(axis=2) > 120) & (np.ptp(rgb, axis=2) < 30), n=n)


def planes_of(labels_zyx: Any, image: sitk.Image = IMAGE) -> tuple[list[Any], list[Any], float]:
    labelmap = sitk.GetImageFromArray(labels_zyx)
    labelmap.CopyInformation(image)
    picture = draw_planes(Body.of(image, labelmap), ORGANS, "water")
    rgb = decoded(picture)
    return outlines(rgb), things(rgb), picture.mm_per_px


def test_contours_lie_on_what_they_outline_with_equal_sides_for_a_cube() -> None:
    contours, seen, mm_per_px = planes_of(LABELS_ZYX)
    for contour, thing in zip(contours, seen, strict=True):
        centres = [np.reshape(one, (2, 2)).mean(axis=1) for one in (contour, thing)]
        assert centres[0] == pytest.approx(centres[1], abs=1.5)
        left, right, top, bottom = contour
        sides_px = (right - left - LINE_PX, bottom - top - LINE_PX)
        assert sides_px == pytest.approx([60 / mm_per_px] * 2, abs=TOLERANCE_PX)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_between_image_and_labelmap_is_seen_in_its_length(axis: int) -> None:
    n_voxels = -4
    shifted_mm = n_voxels * SPACING_XYZ_MM[::-1][axis]
    contours, seen, mm_per_px = planes_of(np.roll(LABELS_ZYX, n_voxels, axis))
    # Where planes of the labels still cut the cube: across and down of axial, coronal, sagittal.
    towards = {0: ((1, 1, -1), (2, 1, -1)), 1: ((0, 1, 1), (2, 0, 1)), 2: ((0, 0, 1), (1, 0, 1))}
    for plane, direction, sign in towards[axis]:
        contour, thing = (np.reshape(one[plane], (2, 2)).mean(axis=1) for one in (contours, seen))
        expected_px = sign * shifted_mm / mm_per_px
        assert contour[direction] - thing[direction] == pytest.approx(expected_px, abs=TOLERANCE_PX)


def test_a_flip_of_the_labelmap_is_seen_on_the_other_side() -> None:
    labels_zyx = LABELS_ZYX[:, :, ::-1]
    labelmap = image_of(np.ascontiguousarray(labels_zyx))
    picture = draw_overview(Body.of(IMAGE, labelmap), ORGANS, "water", {})
    rgb = decoded(picture)[STRIP_PX:-STRIP_PX]
    ((left, right, *_),) = outlines(rgb, n=1)
    # The cube reaches from 90 to 150 of 180 mm, seen from the right of the body.
    assert left * picture.mm_per_px == pytest.approx(180 - 150, abs=3)
    assert right * picture.mm_per_px == pytest.approx(180 - 90, abs=3)


def test_a_wrong_spacing_makes_the_cube_a_slab() -> None:
    wrong = image_of(sitk.GetArrayFromImage(IMAGE), (2.0, 2.5, 2.5))
    contours, _, _ = planes_of(LABELS_ZYX, wrong)
    for left, right, top, bottom in contours[1:]:
        assert (bottom - top) / (right - left) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("orientation", ["RAS", "PIR", "SLA"])
def test_however_an_image_is_stored_it_looks_the_same(orientation: str) -> None:
    pictures = []
    for code in ("LPS", orientation):
        image, labelmap = (sitk.DICOMOrient(one, code) for one in (IMAGE, image_of(LABELS_ZYX)))
        seen = [[[0, n] for n in image.GetSize()]]
        body = Body.of(image, labelmap, seen)
        facts = {"swapped_spans_mm": [[20.0, 60.0]]}
        pictures.append(
            [
                np.asarray(one.image)
                for one in (
                    draw_planes(body, ORGANS, "water", ORGAN_BY_NAME["liver"]),
                    draw_overview(body, ORGANS, "water", facts),
                )
            ]
        )
    for as_stored, expected in zip(*pictures, strict=True):
        np.testing.assert_array_equal(as_stored, expected)


def test_left_of_the_body_is_right_of_the_picture_and_the_head_is_up() -> None:
    picture = draw_overview(Body.of(IMAGE, image_of(LABELS_ZYX)), ORGANS, "water", {})
    rgb = decoded(picture)[STRIP_PX:-STRIP_PX]
    ((left, right, top, bottom),) = outlines(rgb, n=1)
    px = np.array([left, right, top, bottom]) * picture.mm_per_px
    assert px == pytest.approx([90, 150, 200 - 90, 200 - 30], abs=3)


def test_a_swapped_pair_changes_which_outline_is_dashed() -> None:
    shares = []
    for first, second in ((RIGHT, LEFT), (LEFT, RIGHT)):
        labels_zyx = np.zeros(SIZE_ZYX, np.uint8)
        labels_zyx[10:30, 20:44, 10:34] = first  # on the right of the body
        labels_zyx[10:30, 20:44, 56:80] = second
        picture = draw_overview(Body.of(IMAGE, image_of(labels_zyx)), ORGANS, "water", {})
        coloured = np.ptp(decoded(picture), axis=2) > 50
        middle = coloured.shape[1] // 2
        shares.append(coloured[:, :middle].sum() / coloured[:, middle:].sum())
    assert shares[0] > 1.3  # drawn through, and drawn in dashes
    assert shares[1] < 0.95  # the other way round, in a darker shade


def test_heights_of_seams_and_of_exchanged_fat_and_water_are_those_of_the_facts() -> None:
    image = image_of(cube(np.int16, 900))
    image.SetOrigin((0.0, 0.0, -100.0))
    labelmap = image_of(LABELS_ZYX)
    labelmap.SetOrigin(image.GetOrigin())
    facts = {
        "station_spans_mm": [[10.0, 100.0], [-102.5, 30.0]],  # the seam: 20 mm
        "swapped_spans_mm": [[-60.0, -20.0]],
    }
    seen = [[[0, 90], [0, 64], [0, 30]]]  # the upper 50 mm were not
    body = Body.of(image, labelmap, seen)
    picture = draw_overview(body, ORGANS, "fat", facts)
    rgb = np.asarray(picture.image, np.int16)
    plane = rgb[STRIP_PX : STRIP_PX + int(200 / picture.mm_per_px)]
    top_mm = -100 - 2.5 + 200
    width_px = int(180 / picture.mm_per_px)
    white = (plane[:, :width_px] == 255).all(axis=2).sum(axis=1)
    assert white.argmax() * picture.mm_per_px == pytest.approx(top_mm - 20, abs=2)
    orange = np.flatnonzero((plane == (230, 159, 0)).all(axis=2).any(axis=1)) * picture.mm_per_px
    assert (orange[0], orange[-1]) == pytest.approx((top_mm + 20, top_mm + 60), abs=2)
    hatched = np.flatnonzero((plane[:, :width_px] == 110).all(axis=2).sum(axis=1) > 20)
    assert hatched[-1] * picture.mm_per_px == pytest.approx(50, abs=2)
    assert "Marked: seam of two stations, not seen, fat and water exchanged." in picture.alt_text


def test_pictures_of_noise_fit_and_hold_nothing_but_the_picture() -> None:
    chance = np.random.default_rng(3)
    voxels_zyx = chance.integers(0, 1000, (160, 120, 160)).astype(np.int16)
    labels_zyx = np.zeros(voxels_zyx.shape, np.uint8)
    labels_zyx[20:140, 20:100, 20:140] = LIVER
    image, labelmap = (image_of(one, (3.0, 3.0, 3.0)) for one in (voxels_zyx, labels_zyx))
    image.SetMetaData("PatientName", "SECRET")
    body = Body.of(image, labelmap)
    liver = ORGAN_BY_NAME["liver"]
    drawn = [
        draw_planes(body, ORGANS, "water"),
        draw_overview(body, ORGANS, "water", {}),
        *(draw_planes(body, ORGANS, "water", liver) for _ in range(2)),
    ]
    files = encode_webps(drawn, MAX_SCAN_BYTES)
    assert sum(map(len, files)) <= MAX_SCAN_BYTES
    assert len(files) >= 2  # noise is worse than any body
    for file in files:
        assert (file[:4], file[8:16]) == (b"RIFF", b"WEBPVP8 ")  # one chunk: the picture
        assert b"SECRET" not in file
        assert not Image.open(BytesIO(file)).getexif()


@pytest.mark.parametrize(("contrast", "expected"), [("ct", (-160.0, 240.0)), ("water", (0, 995))])
def test_ct_has_the_window_of_soft_tissue_and_other_images_their_own(
    contrast: str, expected: tuple[float, float]
) -> None:
    assert window_of(np.arange(1001.0), contrast) == pytest.approx(expected, abs=11)


def test_an_image_smaller_than_its_words_and_without_labels_is_drawn() -> None:
    small = image_of(np.ones((3, 4, 5), np.int16), (1.0, 1.0, 1.0))
    empty = image_of(np.zeros((3, 4, 5), np.uint8), (1.0, 1.0, 1.0))
    body = Body.of(small, empty)
    for picture in (draw_planes(body, ORGANS, "t1"), draw_overview(body, ORGANS, "t1", {})):
        assert picture.image.width >= 150
        assert "0 organs" in picture.alt_text


# --- palette -------------------------------------------------------------------------------------

# How colours look without one kind of cone: linear RGB, Machado, Oliveira and Fernandes 2009.
VISIONS = {
    "all": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],  # noqa: E501
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],  # noqa: E501
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],  # noqa: E501
}  # fmt: skip


def as_seen(colour: Sequence[int], vision: str) -> NDArray[np.float64]:
    srgb = np.asarray(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(VISIONS[vision]) @ linear, 0, 1)
    seen = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(seen))


@pytest.mark.parametrize("vision", VISIONS)
def test_organs_of_a_region_differ_for_everybody(vision: str) -> None:
    seen = {one.name: as_seen(colour_of(one), vision) for one in ORGANS}
    for one, other in combinations(ORGANS, 2):
        apart = float(deltaE_ciede2000(seen[one.name], seen[other.name]))
        if one.partner_name == other.name:
            assert is_dashed(one) != is_dashed(other)
        elif one.region is other.region:
            assert apart > 6, (one.name, other.name)


def test_the_legend_names_every_organ_once_and_text_pictures_end_their_colours() -> None:
    legend = np.asarray(draw_legend(ORGANS), np.int16)
    n_rows = legend.shape[0] // STRIP_PX
    assert n_rows * 4 >= len(ORGANS) + 5
    shown = {tuple(pixel) for pixel in legend.reshape(-1, 3)}
    assert {colour_of(one) for one in ORGANS} <= shown
    text = half_blocks(Image.new("RGB", (20, 10), (1, 2, 3)), 10)
    assert text.count("\u2580") == 10 * 2
    assert all(line.endswith("\x1b[0m") for line in text.splitlines())
