from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.dixon.swaps import judge_slabs, overall_fat_water, spans_mm
from organome.compute.stitching.stitch import stitch
from organome.domain.contrasts import FatWater
from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.bodies.people import Sex
from organome.phantoms.rendering.fields_of_view import station_grids, stitched_grid
from organome.phantoms.rendering.render import render_dixon

Dixon = dict[Contrast, sitk.Image]
COARSE_BODY_MM = (3.0, 3.0, 4.0)
REDUCE = 2
PEOPLE: list[tuple[int, Sex]] = [(11, "female"), (12, "male")]


@cache
def stations_of(seed: int, sex: Sex) -> tuple[Dixon, ...]:
    body = draw_body(seed, sex=sex, spacing_xyz_mm=COARSE_BODY_MM)
    chance = np.random.default_rng(seed)
    return tuple(render_dixon(body, grid, chance) for grid in station_grids(reduce=REDUCE))


def exchanged(images: Dixon) -> Dixon:
    return {**images, Contrast.FAT: images[Contrast.WATER], Contrast.WATER: images[Contrast.FAT]}


def judged(images: Dixon) -> FatWater:
    return overall_fat_water(judge_slabs(images[Contrast.FAT], images[Contrast.WATER]))


@pytest.mark.parametrize(("seed", "sex"), PEOPLE)
def test_every_station_is_told_from_its_exchange(seed: int, sex: Sex) -> None:
    for station in stations_of(seed, sex):
        assert judged(station) is FatWater.SOUND
        assert judged(exchanged(station)) is FatWater.SWAPPED


@pytest.mark.parametrize(("seed", "sex"), PEOPLE)
@pytest.mark.parametrize("number", [0, 2, 5])
def test_one_exchanged_station_is_found_where_it_is(seed: int, sex: Sex, number: int) -> None:
    stations = list(stations_of(seed, sex))
    stations[number] = exchanged(stations[number])
    stitched = stitch(stations)
    slabs = judge_slabs(stitched.images[Contrast.FAT], stitched.images[Contrast.WATER])
    assert overall_fat_water(slabs) is FatWater.SWAPPED
    ((bottom_mm, top_mm),) = spans_mm(slabs, FatWater.SWAPPED)
    low_mm, high_mm = stitched.spans_mm[number]
    assert low_mm - 60 < bottom_mm < top_mm < high_mm + 60
    others = [slab for slab in slabs if slab.top_mm < low_mm or slab.bottom_mm > high_mm]
    assert {slab.fat_water for slab in others if slab.has_body} == {FatWater.SOUND}


def test_one_exchanged_leg_is_found() -> None:
    legs = stations_of(*PEOPLE[0])[-1]
    fat, water = (sitk.GetArrayFromImage(legs[one]) for one in (Contrast.FAT, Contrast.WATER))
    middle = fat.shape[2] // 2
    fat[..., :middle], water[..., :middle] = water[..., :middle].copy(), fat[..., :middle].copy()
    images = {Contrast.FAT: like(fat, legs), Contrast.WATER: like(water, legs)}
    assert judged(images) is FatWater.SWAPPED


def like(voxels_zyx: np.ndarray, images: Dixon) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.CopyInformation(images[Contrast.FAT])
    return image


def test_an_exchange_turns_the_sign_of_the_evidence() -> None:
    station = stations_of(*PEOPLE[1])[3]
    fat, water = station[Contrast.FAT], station[Contrast.WATER]
    for here, there in zip(judge_slabs(fat, water), judge_slabs(water, fat), strict=True):
        assert here.evidence is not None
        assert there.evidence is not None
        assert here.evidence > 0.4
        assert there.evidence < -0.4


def test_storage_order_and_scale_change_nothing() -> None:
    station = stations_of(*PEOPLE[0])[1]
    fat, water = station[Contrast.FAT], station[Contrast.WATER]
    turned = [sitk.DICOMOrient(one, "SAR") for one in (fat, water)]
    scaled = [sitk.Cast(one, sitk.sitkFloat32) * 0.01 for one in (fat, water)]
    expected = [slab.evidence for slab in judge_slabs(fat, water)]
    for images in (turned, scaled):
        assert [slab.evidence for slab in judge_slabs(*images)] == pytest.approx(expected)


def empty(size_xyz: tuple[int, int, int], value: int = 0) -> sitk.Image:
    image = sitk.Image(size_xyz, sitk.sitkInt16) + value
    image.SetSpacing((2.0, 2.0, 3.0))
    return image


@pytest.mark.parametrize("image", [empty((40, 40, 20)), empty((40, 40, 20), 7), empty((1, 1, 1))])
def test_without_a_body_nothing_is_said(image: sitk.Image) -> None:
    assert overall_fat_water(judge_slabs(image, image)) is FatWater.UNKNOWN
    assert spans_mm(judge_slabs(image, image), FatWater.SWAPPED) == []


def test_a_few_slices_are_too_little_to_judge() -> None:
    station = stations_of(*PEOPLE[0])[0]
    fat, water = station[Contrast.FAT][:, :, :1], station[Contrast.WATER][:, :, :1]
    few = [sitk.RegionOfInterest(one, [30, 30, 1], [0, 0, 0]) for one in (fat, water)]
    assert overall_fat_water(judge_slabs(*few)) is FatWater.UNKNOWN


def test_a_whole_scan_in_one_piece_is_judged_too() -> None:
    body = draw_body(13, sex="female", spacing_xyz_mm=COARSE_BODY_MM)
    whole = render_dixon(body, stitched_grid(reduce=REDUCE), np.random.default_rng(0))
    assert judged(whole) is FatWater.SOUND
    assert judged(exchanged(whole)) is FatWater.SWAPPED
