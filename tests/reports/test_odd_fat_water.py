"""Fat and water: dark organs, bright rims, and images whose names are exchanged at some heights.

Source: readings of our own code; iron overload darkens livers in every large cohort.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.dixon.fat_fraction import are_magnitudes
from organome.compute.dixon.swaps import (
    Slab,
    judge_evidence,
    judge_slabs,
    overall_fat_water,
    spans_mm,
)
from organome.compute.geometry.arrays import Voxels
from organome.compute.labelmaps.volumes import OrganMeasure, measure_organs
from organome.compute.stitching.stitch import stitch
from organome.domain.contrasts import FatWater
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.outcomes import Outcome, Status
from organome.domain.radiomics_settings import Engine
from organome.domain.rows import organ_rows, scan_row
from organome.domain.scans import Contrast, Scan, Source
from organome.domain.schemes import MRSEGMENTATOR
from organome.io.labelled import LabelledShard
from organome.io.tables.scan_lists import write_shard
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import station_grids
from organome.phantoms.rendering.render import render_dixon
from organome.steps.measure.measure_volumes import organ_facts
from organome.steps.prepare import prepare_images
from organome.steps.radiomics.measure_radiomics import measured_rows
from organome.steps.radiomics.plans import read_plans

LIVER = ORGAN_BY_NAME["liver"].label
Pair = tuple[sitk.Image, sitk.Image]
SWAPPED, SOUND, UNKNOWN = FatWater.SWAPPED, FatWater.SOUND, FatWater.UNKNOWN


def image_of(voxels_zyx: Voxels, spacing_mm: tuple[float, ...] = (4.0, 4.0, 10.0)) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing(spacing_mm)
    return image


def dark_liver(noise: float, *, air: bool = True) -> OrganMeasure:
    """A liver with 30 % of the body's signal and a fat fraction of 0.10, beside a bright rim."""
    chance = np.random.default_rng(3)
    body, liver, rim = (np.zeros((20, 60, 60), bool) for _ in range(3))
    body[:, 8:-8, 8:-8] = True
    rim[:, 8:11, 8:-8] = True
    liver[4:16, 20:40, 15:35] = True
    if not air:
        body[:] = True
    fat, water = np.where(body, 20.0, 0), np.where(body, 180.0, 0)
    fat[rim], water[rim] = 1500.0, 30.0
    fat[liver], water[liver] = 6.0, 54.0
    noisy = [
        np.hypot(one + chance.normal(0, noise, one.shape), chance.normal(0, noise, one.shape))
        for one in (fat, water)
    ]
    fat_image, water_image = (image_of(one.astype(np.float32)) for one in noisy)
    labelmap = image_of((liver * LIVER).astype(np.uint8))
    return measure_organs(labelmap, fat=fat_image, water=water_image)[LIVER]


@pytest.mark.odd_input(
    "C-9",
    make="an iron-loaded liver with 30 % of the body's signal, beside fat that a coil makes bright",
    source="own",
    outcome="its fat fraction: the floor is that of the noise; `fat_fraction_share` counts voxels",
)
@pytest.mark.parametrize(("noise", "air"), [(0.0, True), (1.0, True), (2.0, True), (1.0, False)])
def test_a_dark_liver_keeps_its_fat_fraction(noise: float, air: bool) -> None:
    liver = dark_liver(noise, air=air)
    assert liver.fat_fraction_mean == pytest.approx(0.10, abs=0.01)
    assert liver.fat_fraction_share == pytest.approx(1.0, abs=0.01)


def test_air_has_no_fat_fraction() -> None:
    chance = np.random.default_rng(5)
    shape = (20, 60, 60)
    images = []
    for signal in (50.0, 150.0):
        voxels = np.hypot(chance.normal(0, 2, shape), chance.normal(0, 2, shape))
        voxels[:, 20:40, 20:40] += signal
        images.append(image_of(voxels.astype(np.float32)))
    labels = np.zeros(shape, np.uint8)
    labels[5:10, 2:10, 2:10] = LIVER
    lung = measure_organs(image_of(labels), fat=images[0], water=images[1])[LIVER]
    assert lung.fat_fraction_share is not None
    assert lung.fat_fraction_share < 0.02


HEIGHTS = {"liver": (100.0, 250.0), "left_femur": (-300.0, -20.0), "heart": (240.0, 340.0)}


def rows_of(**facts: Any) -> dict[str, dict[str, Any]]:
    measures = {
        ORGAN_BY_NAME[name].label: OrganMeasure(
            n_voxels=9000,
            volume_observed_ml=700.0,
            touches=(),
            face_distance_mm=8.0,
            centroid_xyz_mm=(0.0, 0.0, 0.0),
            n_pieces=1,
            largest_piece_share=1.0,
            heights_mm=heights_mm,
            fat_fraction_mean=0.1,
            fat_fraction_share=0.99,
        )
        for name, heights_mm in HEIGHTS.items()
    }
    scan = Scan("0000-0000", "demo", "01", "2", "0", "dixon", ())
    found = json.loads(json.dumps({"organs": organ_facts(measures)}))
    measured = Outcome(scan.scan, "measure_volumes", Status.DONE, "m", facts=found)
    prepared = Outcome(scan.scan, "prepare_images", Status.DONE, "p", facts=facts)
    rows = {row["organ"]: row for row in organ_rows(scan, measured, (prepared,))}
    return {**rows, "scan": scan_row(scan, measured, (prepared,))}


@pytest.mark.odd_input(
    "C-10",
    make="one leg exchanged, the trunk sound",
    source="own",
    outcome="only organs at these heights lose their fat fraction; `fat_water` says which",
)
def test_a_swapped_leg_costs_the_organs_of_the_legs_only() -> None:
    rows = rows_of(fat_water="swapped", swapped_spans_mm=[[-450.0, -100.0]], unjudged_spans_mm=[])
    assert (rows["liver"]["fat_fraction_mean"], rows["liver"]["fat_water"]) == (0.1, "sound")
    assert (rows["left_femur"]["fat_fraction_mean"], rows["left_femur"]["fat_water"]) == (
        *(None, "swapped"),
    )
    assert rows["left_femur"]["fat_fraction_share"] == 0.99
    rows = rows_of(resampled_spans_mm=[[240.0, 400.0]])
    assert [rows[name]["resampled"] for name in HEIGHTS] == [True, False, True]


@pytest.mark.parametrize(
    ("fat_water", "swapped", "liver"),
    [("unknown", [], (0.1, "unknown")), ("swapped", [[-450.0, -300.0]], (None, "unknown"))],
)
def test_heights_that_nobody_can_judge_are_named(
    fat_water: str, swapped: list[list[float]], liver: tuple[float | None, str]
) -> None:
    facts = {"swapped_spans_mm": swapped, "unjudged_spans_mm": [[50.0, 150.0]]}
    rows = rows_of(fat_water=fat_water, **facts)
    assert (rows["liver"]["fat_fraction_mean"], rows["liver"]["fat_water"]) == liver
    assert (rows["heart"]["fat_fraction_mean"], rows["heart"]["fat_water"]) == (0.1, "sound")
    assert rows["scan"]["unjudged_spans_mm"] == "50:150"


def person(fat_mm: float, *, n_slices: int = 20, mm: float = 2.0) -> Pair:
    """A trunk of muscle around a third of fat, under a layer of subcutaneous fat."""
    chance = np.random.default_rng(7)
    y, x = (np.arange(-260, 260, mm)[:, None], np.arange(-300, 300, mm)[None, :])
    inner = np.hypot(x / 140, y / 95) <= 1
    outer = np.hypot(x / (140 + fat_mm), y / (95 + fat_mm)) <= 1
    fatty = chance.random((n_slices, *outer.shape)) < 0.3
    is_fat = np.where(inner, fatty, outer)
    noise = chance.normal(0, 2, (2, *fatty.shape))
    fat = np.abs(np.where(is_fat, 190, 10) * outer + noise[0])
    water = np.abs(np.where(is_fat, 10, 140) * outer + noise[1])
    fat_image, water_image = (
        image_of(one.astype(np.float32), (mm, mm, 10.0)) for one in (fat, water)
    )
    return fat_image, water_image


@pytest.mark.odd_input(
    "C-11",
    make="fat and water exchanged in a body with 60 to 110 mm of subcutaneous fat",
    source="own",
    outcome="`fat_water_swapped`: the odds of shell and core are compared, not their difference",
)
@pytest.mark.parametrize("fat_mm", [6.0, 20.0, 60.0, 85.0, 110.0])
def test_an_exchange_is_found_under_thick_fat(fat_mm: float) -> None:
    fat, water = person(fat_mm)
    assert overall_fat_water(judge_slabs(fat, water)) is SOUND
    slabs = judge_slabs(water, fat)
    assert {slab.fat_water for slab in slabs} == {SWAPPED}


def test_a_scan_is_not_sound_because_of_another_height() -> None:
    slabs = [
        Slab(0, 100, 0.9, SOUND),
        Slab(100, 200, 0.05, UNKNOWN),
        Slab(200, 300, None, UNKNOWN, has_body=False),
    ]
    assert overall_fat_water(slabs) is UNKNOWN
    assert overall_fat_water(slabs[::2]) is SOUND
    assert spans_mm(slabs, UNKNOWN) == [(100, 200)]
    assert overall_fat_water([*slabs, Slab(300, 400, -0.9, SWAPPED)]) is SWAPPED


@pytest.mark.odd_input(
    "V-170",
    make="legs of a body with a mass index of 16 kg/m2, hardly any fat under the skin",
    source="own",
    outcome="`fat_water: unknown` there; weak evidence of an exchange counts beside strong only",
)
def test_weak_evidence_of_an_exchange_counts_beside_strong_evidence_only() -> None:
    assert judge_evidence([-0.56, 0.14, 0.39]) == [UNKNOWN, UNKNOWN, SOUND]
    assert judge_evidence([-0.46, -0.8, -0.89]) == [SWAPPED] * 3
    assert judge_evidence([-0.3, None, -0.9, -0.1]) == [UNKNOWN, UNKNOWN, SWAPPED, UNKNOWN]
    assert judge_evidence([None, None, 0.3, -0.7]) == [UNKNOWN, UNKNOWN, SOUND, SWAPPED]
    assert judge_evidence([]) == []


def test_legs_of_one_who_lies_askew_are_judged_apart() -> None:
    y, x = (np.arange(-60, 60)[:, None] * 3.0, np.arange(-100, 100)[None, :] * 3.0)
    fat, water = (np.zeros((12, *np.broadcast_shapes(x.shape, y.shape))) for _ in range(2))
    for centre_mm, radius_mm, exchanged in ((-160, 100, False), (30, 60, True)):
        depth_mm = radius_mm - np.hypot(x - centre_mm, y)
        shell, core = (depth_mm > 0) & (depth_mm < 15), depth_mm >= 15
        fat += 100.0 * (core if exchanged else shell)
        water += 100.0 * (shell if exchanged else core)
    images = [image_of(one.astype(np.float32), (3.0, 3.0, 10.0)) for one in (fat, water)]
    assert overall_fat_water(judge_slabs(*images)) is SWAPPED
    assert overall_fat_water(judge_slabs(*images[::-1])) is SWAPPED


@pytest.mark.odd_input(
    "V-2",
    make="stations of one body with a gain step of 1.4 between them and a coil's bias",
    source="own",
    outcome="fat/(fat+water) within 0.5 points of the truth, volumes within 1 %",
)
def test_gain_and_bias_leave_the_fat_fraction_as_it_is() -> None:
    stations = []
    for low_mm, gain in ((0.0, 1.0), (80.0, 1.4), (160.0, 0.8)):
        z = low_mm + np.arange(40) * 3.0
        y, x = np.arange(-32, 32) * 5.0, np.arange(-40, 40) * 5.0
        zyx = np.meshgrid(z, y, x, indexing="ij")
        body = np.hypot(zyx[2] / 160, zyx[1] / 120) < 1
        organ = np.hypot(np.hypot(zyx[2] / 90, zyx[1] / 70), (zyx[0] - 140) / 110) < 1
        bias = np.exp(-0.004 * zyx[1] + 0.002 * (zyx[0] - low_mm)) * gain
        share = np.where(organ, 0.12, 0.4)
        voxels = {Contrast.FAT: share, Contrast.WATER: 1 - share, Contrast.IN_PHASE: 1 + 0 * share}
        station = {}
        for contrast, of_voxel in voxels.items():
            image = sitk.GetImageFromArray((of_voxel * body * bias * 500).astype(np.float32))
            image.SetSpacing((5.0, 5.0, 3.0))
            image.SetOrigin((-200.0, -160.0, low_mm))
            station[contrast] = image
        stations.append(station)
    images = stitch(stations).images
    x_mm, y_mm, z_mm = (
        images[Contrast.FAT].GetOrigin()[axis]
        + images[Contrast.FAT].GetSpacing()[axis] * np.arange(images[Contrast.FAT].GetSize()[axis])
        for axis in range(3)
    )
    radius = np.hypot(x_mm[None, None] / 90, y_mm[None, :, None] / 70)
    whole = np.hypot(radius, (z_mm[:, None, None] - 140) / 110) < 1
    labelmap = sitk.GetImageFromArray((whole * LIVER).astype(np.uint8))
    labelmap.CopyInformation(images[Contrast.FAT])
    liver = measure_organs(labelmap, fat=images[Contrast.FAT], water=images[Contrast.WATER])[LIVER]
    assert liver.fat_fraction_mean == pytest.approx(0.12, abs=0.005)
    assert liver.volume_observed_ml == pytest.approx(4 / 3 * np.pi * 90 * 70 * 110 / 1000, rel=0.01)


def prepared(folder: Path, images: Pair, **options: bool) -> tuple[dict[str, Any], list[float]]:
    """Prepare fat and water in one piece; return the facts and the means of both images."""
    folder.mkdir()
    sources = []
    for contrast, image in zip((Contrast.FAT, Contrast.WATER), images, strict=True):
        path = folder / f"{contrast}.nii"
        sitk.WriteImage(image, str(path))
        sources.append(Source(str(path), contrast))
    scan = Scan("0000-0000", "demo", "01", "2", "0", "dixon", tuple(sources))
    write_shard(folder / "scans" / "0000.parquet", [scan])
    output = folder / "results" / "0000"
    (outcome,) = prepare_images.run(
        shard=folder / "scans" / "0000.parquet",
        output=output,
        work=folder / "work",
        kind="folder",
        **options,
    )
    assert outcome.status is Status.DONE
    paths = [output / f"0000-0000_{name}.nii.gz" for name in ("fat", "water")]
    means = [float(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).mean()) for path in paths]
    return dict(outcome.facts), means


@pytest.mark.odd_input(
    "V-4",
    make="fat and water of a whole station exchanged, with `prepare.correct_swaps` and without",
    source="own",
    outcome="on request put right, flag `swap_corrected`, `corrected_spans_mm`; else flagged only",
)
def test_a_whole_exchange_is_put_right_on_request_only(tmp_path: Path) -> None:
    fat, water = person(30.0, mm=4.0)
    sound, as_delivered = prepared(tmp_path / "sound", (fat, water), correct_swaps=True)
    assert (sound["flags"], sound["corrected_spans_mm"]) == ([], [])
    facts, exchanged = prepared(tmp_path / "flagged", (water, fat))
    assert exchanged == as_delivered[::-1]
    assert (facts["fat_water"], facts["flags"]) == ("swapped", ["fat_water_swapped"])
    facts, corrected = prepared(tmp_path / "corrected", (water, fat), correct_swaps=True)
    assert corrected == as_delivered
    assert (facts["fat_water"], facts["flags"]) == ("sound", ["swap_corrected"])
    assert (facts["swapped_spans_mm"], facts["corrected_spans_mm"]) == ([], [[-5.0, 195.0]])


def rendered(number: int) -> Pair:
    body = draw_body(number, spacing_xyz_mm=(8.0, 8.0, 6.0))
    grid = station_grids(reduce=4)[number]
    images = render_dixon(body, grid, np.random.default_rng(number))
    return images[Contrast.FAT], images[Contrast.WATER]


@pytest.mark.odd_input(
    "V-135",
    make="fat and water stored with an offset, or signed (phase-sensitive, subtracted)",
    source="own",
    outcome="flag `fat_water_implausible`, and no fat fraction; overshoot of splines is none",
)
def test_fat_and_water_that_are_not_magnitudes_have_no_fat_fraction() -> None:
    fat, water = (sitk.Cast(one, sitk.sitkFloat32) for one in rendered(2))
    assert are_magnitudes(fat, water)
    assert not are_magnitudes(fat + 1024, water + 1024)
    assert not are_magnitudes(fat, water - fat)
    assert not are_magnitudes(fat - 100, water - 100)
    step = image_of(np.kron(np.eye(6), np.ones((4, 4)))[None].repeat(8, 0).astype(np.float32))
    size = [2 * n for n in step.GetSize()]
    spacing = [mm / 2 for mm in step.GetSpacing()]
    spline = sitk.Resample(
        step * 500, size, sitk.Transform(), sitk.sitkBSpline3, (0.0, 0.0, 0.0), spacing
    )
    assert sitk.GetArrayViewFromImage(spline).min() < 0
    shard = LabelledShard(Path(), Path(), {}, {}, MRSEGMENTATOR)
    scan = Scan("0000-0000", "demo", "01", "2", "0", "dixon", ())
    for flags, there in (([], True), (["fat_water_implausible"], False)):
        facts = {"contrasts": ["fat", "water"], "flags": flags}
        prepared = {scan.scan: Outcome(scan.scan, "prepare", Status.DONE, "p", facts=facts)}
        assert replace(shard, prepared=prepared).has_fat_fraction(scan) is there


@pytest.mark.parametrize("number", range(6))
def test_no_station_of_a_phantom_counts_as_implausible(number: int) -> None:
    assert are_magnitudes(*rendered(number))


@pytest.mark.odd_input(
    "V-136",
    make="a grid tilted by 11 degrees and more, fat and water exchanged at some heights",
    source="own; oblique slices of the liver and the pelvis",
    outcome="organs and spans are compared along the body axis of the image",
)
@pytest.mark.parametrize("angle_rad", [0.0, 0.2, -0.5])
@pytest.mark.parametrize("orientation", ["LPS", "RAI", "SLP"])
def test_heights_on_a_tilted_grid_are_in_one_frame(angle_rad: float, orientation: str) -> None:
    labels = np.zeros((40, 50, 60), np.uint8)
    labels[10:20, 5:45, 5:55] = LIVER
    labelmap = image_of(labels)
    tilt = sitk.Euler3DTransform((0.0, 0.0, 0.0), angle_rad, 0.0, 0.0)
    labelmap.SetDirection(tilt.GetMatrix())
    labelmap.SetOrigin((-30.0, 80.0, 400.0))
    slabs = judge_slabs(labelmap, labelmap)
    turned = sitk.DICOMOrient(labelmap, orientation)
    heights_mm = measure_organs(turned)[LIVER].heights_mm
    assert len(slabs) == 4
    assert heights_mm == pytest.approx((slabs[1].bottom_mm, slabs[1].top_mm))
    stations = [{Contrast.WATER: labelmap[:, :, low:high]} for low, high in ((16, 40), (0, 24))]
    low_mm, high_mm = stitch(stations).spans_mm[1]
    assert (low_mm, high_mm) == pytest.approx((slabs[0].bottom_mm, slabs[0].bottom_mm + 240))


class Exchanged(LabelledShard):
    """A shard of noise whose lower half is exchanged."""

    def read_image(self, scan: Scan, contrast: str) -> sitk.Image:
        voxels = np.random.default_rng(len(contrast)).normal(400, 80, (20, 30, 30))
        return image_of(voxels.astype(np.float32))

    def read_labelmap(self, scan: Scan) -> sitk.Image:
        labels = np.zeros((20, 30, 30), np.uint8)
        labels[2:8, 3:20, 3:20] = ORGAN_BY_NAME["left_femur"].label
        labels[12:18, 3:20, 3:20] = LIVER
        return image_of(labels)


@pytest.mark.odd_input(
    "V-137",
    make="radiomics of fat, water and fat fraction of a scan in which one leg is exchanged",
    source="own",
    outcome="only organs at these heights lose them: `fat_water_swapped`",
)
@pytest.mark.parametrize("contrast", ["fat_fraction", "fat", "water", "in_phase"])
def test_radiomics_of_fat_and_water_spare_sound_heights(tmp_path: Path, contrast: str) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("setting: {binWidth: 20}\nfeatureClass: {firstorder: []}\n")
    (plan,) = read_plans([f"{contrast}={parameters}"], Engine.NATIVE)
    scan = Scan("0000-0000", "demo", "01", "2", "0", "dixon", ())
    facts = {
        "contrasts": ["in_phase", "fat", "water"],
        "fat_water": "swapped",
        "swapped_spans_mm": [[-5.0, 100.0]],
    }
    prepared = Outcome(scan.scan, "prepare", Status.DONE, "p", facts=facts)
    labelled = replace(prepared, facts={"contrast": "water"})
    shard = Exchanged(Path(), Path(), {scan.scan: prepared}, {scan.scan: labelled}, MRSEGMENTATOR)
    rows = {row["organ"]: row for row in measured_rows(scan, shard, [plan])}
    assert rows["liver"]["na_reason"] is None
    low, high = (40, 60) if contrast == "fat_fraction" else (360, 440)
    assert low < rows["liver"]["original_firstorder_Mean"] < high
    is_exchanged = contrast != "in_phase"
    assert rows["left_femur"]["na_reason"] == ("fat_water_swapped" if is_exchanged else None)
    assert ("original_firstorder_Mean" in rows["left_femur"]) is not is_exchanged
