"""Numbers that stitching must keep, on phantoms whose truth is known in one piece."""

from functools import cache
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from organome.compute.geometry.arrays import Voxels
from organome.compute.labelmaps.volumes import measure_organs
from organome.compute.stitching.stitch import stitch
from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import Body, draw_body
from organome.phantoms.rendering.fields_of_view import station_grids
from organome.phantoms.rendering.render import SampledGrid, render_dixon, truth_labelmap

FAT, WATER, IN_PHASE = Contrast.FAT, Contrast.WATER, Contrast.IN_PHASE
FINE_MM = 1.5
# Slices of 1.5 mm from the head, and how many make one of the station: 3 mm and 4.5 mm.
CUTS = ((0, 140, 2), (116, 260, 3), (236, 380, 3), (356, 500, 2), (476, 620, 3), (596, 740, 2))


@cache
def person() -> Body:
    return draw_body(3, spacing_xyz_mm=(8.0, 8.0, 3.0))


@cache
def in_one_piece() -> sitk.Image:
    grid = SampledGrid((56, 44, 740), (9.0, 9.0, FINE_MM), (-247.5, -193.5, -700.0))
    return truth_labelmap(person(), grid)


def station_of(share_zyx: Voxels, first: int, last: int, n_joined: int) -> sitk.Image:
    """Average slices from the head, as a scanner of thicker ones does."""
    n = len(share_zyx)
    part = share_zyx[n - last : n - first]
    joined = part.reshape(len(part) // n_joined, n_joined, *part.shape[1:]).mean(axis=1)
    image = sitk.GetImageFromArray(joined.astype(np.float32))
    image.SetSpacing((9.0, 9.0, n_joined * FINE_MM))
    low_mm = -700.0 - FINE_MM / 2 + (n - last) * FINE_MM
    image.SetOrigin((-247.5, -193.5, low_mm + n_joined * FINE_MM / 2))
    return image


def crosses_a_seam(mask_zyx: Voxels) -> bool:
    n = len(mask_zyx)
    return any(
        mask_zyx[n - last : n - first].any()
        for (first, *_), (_, last, _) in zip(CUTS[1:], CUTS[:-1], strict=True)
    )


def test_volumes_across_seams_are_within_1_percent() -> None:
    """What is stitched of each organ holds as much of it as there is: 0.2 % at most are lost."""
    labels_zyx = sitk.GetArrayViewFromImage(in_one_piece())
    body_zyx = np.full(labels_zyx.shape, 500.0, np.float32)
    errors = {}
    for organ in ORGANS:
        share_zyx = (labels_zyx == organ.label).astype(np.float32)
        if not share_zyx[6:-6].any() or not crosses_a_seam(share_zyx):
            continue
        stations = [
            {IN_PHASE: station_of(body_zyx, *cut), WATER: station_of(1000 * share_zyx, *cut)}
            for cut in CUTS
        ]
        stitched = stitch(stations).images[WATER]
        voxel_ml = float(np.prod(stitched.GetSpacing())) / 1000
        found_ml = float(sitk.GetArrayViewFromImage(stitched).sum(dtype=float)) / 1000 * voxel_ml
        truth_ml = float(share_zyx.sum()) * 9.0 * 9.0 * FINE_MM / 1000
        errors[organ.name] = found_ml / truth_ml - 1
    assert len(errors) >= 20
    assert max(map(abs, errors.values())) < 0.01, errors


def with_gain_and_bias(image: sitk.Image, gain: float, number: int) -> sitk.Image:
    """Multiply by a step and by a field that differs by a third from one corner to the other."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.GetSize()[::-1]), indexing="ij")
    bias = np.exp(0.1 * np.sin(2 * x + number) + 0.1 * y - 0.05 * z * y)
    changed = sitk.GetImageFromArray(
        (sitk.GetArrayViewFromImage(image) * gain * bias).astype(np.float32)
    )
    changed.CopyInformation(image)
    return changed


def test_a_gain_step_and_a_bias_field_leave_fat_fractions() -> None:
    stations = [
        render_dixon(person(), grid, np.random.default_rng(number))
        for number, grid in enumerate(station_grids(reduce=4)[1:4])
    ]
    chosen = [{one: station[one] for one in (IN_PHASE, FAT, WATER)} for station in stations]
    changed = [
        {one: with_gain_and_bias(image, gain, number) for one, image in station.items()}
        for number, (station, gain) in enumerate(zip(chosen, (0.8, 1.4, 1.0), strict=True))
    ]
    fractions = []
    for these in (chosen, changed):
        images = stitch(these).images
        water = images[WATER]
        grid = SampledGrid(water.GetSize(), water.GetSpacing(), water.GetOrigin())
        labelmap = truth_labelmap(person(), grid)
        measures = measure_organs(labelmap, fat=images[FAT], water=water)
        fractions.append({label: one.fat_fraction_mean for label, one in measures.items()})
    before, after = fractions
    apart = {
        ORGANS[label - 1].name: abs(value - (after[label] or 0.0))
        for label, value in before.items()
        if value is not None and after[label] is not None
    }
    assert len(apart) > 25
    assert max(apart.values()) < 0.005, apart


CODES = [
    "".join(letters) for axes in permutations(("LR", "PA", "SI")) for letters in product(*axes)
]


@pytest.mark.parametrize("angles_rad", [(0.1, 0.0, 0.0), (-0.2, 0.15, 0.1), (0.35, -0.3, 0.2)])
def test_48_orientations_of_oblique_grids_give_the_same_volumes(
    angles_rad: tuple[float, float, float],
) -> None:
    whole = in_one_piece()[::2, ::2, 200:500:4]
    whole.SetDirection(sitk.Euler3DTransform((0.0, 0.0, 0.0), *angles_rad).GetMatrix())
    reference = measure_organs(whole)
    assert len(set(CODES)) == 48
    for code in CODES:
        found = measure_organs(sitk.DICOMOrient(whole, code))
        assert {label: one.volume_observed_ml for label, one in found.items()} == {
            label: pytest.approx(one.volume_observed_ml, rel=1e-12)
            for label, one in reference.items()
        }
        for label, one in found.items():
            assert one.touches == reference[label].touches
            assert one.heights_mm == pytest.approx(reference[label].heights_mm, abs=1e-6)
