"""Exchanged fat and water images of a Dixon scan.

The separation of fat from water has two solutions at each voxel; where it grows along the wrong
one, a station, or one leg of it, comes out with the names exchanged. Under the skin lies fat, and
deep inside there is less of it in everybody, lean or obese. So the body is compared with itself:
the odds of a voxel of the shell under the skin to be fat-bright, to the odds deep inside. An
exchange inverts both odds: Yule's Q of the two turns its sign and keeps its size, whatever the
coil, the scaling and the body fat.

Source: the idea of comparing a shell with the core of the body is common in Dixon quality control;
Q is Yule 1900; the cells and margins are our own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy
import SimpleITK as sitk

from organome.compute.dixon.fat_fraction import has_signal
from organome.compute.geometry.arrays import Floats, Mask, Singles
from organome.compute.geometry.grids import Grid
from organome.domain.contrasts import FatWater

SLAB_MM: Final = 100.0  # half a station: wherever it lies, one slab at least is wholly inside
SLICE_STEP_MM: Final = 9.0  # slices in between say the same
PIXEL_MM: Final = 4.5  # finer ones are passed over: the shell is wider
SHELL_MM: Final = (2.0, 10.0)  # below the skin, within what even lean people have
CORE_MM: Final = 25.0
CORE_SHARE: Final = 0.25  # of the greatest depth, where that is more: 60 mm of fat are no core
FLOOR_SHARE: Final = 0.1  # of the signal's range; below it lie air, lungs, gas and noise
RANGE_PERCENTILE: Final = 99.9
MIN_CELL_ML: Final = 30.0  # of shell and of core
MIN_PART_MM2: Final = 500.0  # of a slice, so that specks of noise are no legs
MIN_ODDS_SHARE: Final = 0.02  # and as much from 1: what is fat all over says nothing
ONE_SIDED_SHARE: Final = 0.2  # of a part; less beyond the middle makes it no part of that side
LEAST_EVIDENCE: Final = 0.2  # phantoms of BMI 18 and more have 0.3 nearly everywhere
SWAP_EVIDENCE: Final = 0.65  # somewhere in a row of slabs: sound legs of BMI 16 can have -0.56


@dataclass(frozen=True, slots=True)
class Slab:
    """A part of the body between two heights.

    Attributes:
        bottom_mm: Lower end along the body axis of the image.
        top_mm: Upper end.
        evidence: Yule's Q of fat-bright voxels in shell and core, of the half of the body (left,
            right) where it is smaller; -1 to 1. None where there is too little body.
        fat_water: Whether the names hold here.
        has_body: Whether there is any body to judge.
    """

    bottom_mm: float
    top_mm: float
    evidence: float | None
    fat_water: FatWater
    has_body: bool = True


def judge_slabs(fat: sitk.Image, water: sitk.Image) -> tuple[Slab, ...]:
    """Judge the names of fat and water images at each height of the body.

    Args:
        fat: Image that is called fat.
        water: Image that is called water, on the same grid; any orientation.

    Returns:
        Slabs of about 100 mm from foot to head. Left and right are judged apart, since a single leg
        can be exchanged; the worse of the two is that of the slab.
    """
    oriented = [sitk.DICOMOrient(image, "LPS") for image in (fat, water)]
    n_slices, height_mm = oriented[0].GetDepth(), oriented[0].GetSpacing()[2]
    n_slabs = max(1, round(n_slices * height_mm / SLAB_MM))
    step = max(1, round(SLICE_STEP_MM / height_mm))
    picked = range(step // 2, n_slices, step) if n_slices > step else range(n_slices)
    strides_xy = [max(1, int(PIXEL_MM / one)) for one in oriented[0].GetSpacing()[:2]]
    spacing_xy_mm = [n * one for n, one in zip(strides_xy, oriented[0].GetSpacing(), strict=False)]
    fat_zyx, water_zyx = (_slices(image, picked, strides_xy) for image in oriented)
    floor = FLOOR_SHARE * float(np.percentile(fat_zyx + water_zyx, RANGE_PERCENTILE))
    counts = np.zeros((n_slabs, 2, 2, 2))  # slab, side, shell or core, all or fat-bright
    for index, fat_yx, water_yx in zip(picked, fat_zyx, water_zyx, strict=True):
        slab = index * n_slabs // n_slices
        counts[slab] += _count_slice(fat_yx, water_yx, floor, spacing_xy_mm)
    voxel_ml = step * height_mm * float(np.prod(spacing_xy_mm)) / 1000.0
    grid = Grid.of(oriented[0])
    ends_mm = [grid.height_mm(n_slices * slab / n_slabs - 0.5) for slab in range(n_slabs + 1)]
    evidence = [_evidence(count, voxel_ml) for count in counts]
    has_body = (counts[..., 0].sum(axis=1) * voxel_ml >= MIN_CELL_ML).all(axis=1).tolist()
    found = zip(pairwise(ends_mm), evidence, judge_evidence(evidence), has_body, strict=True)
    return tuple(Slab(*ends, *rest) for ends, *rest in found)


def judge_evidence(evidence: Sequence[float | None]) -> list[FatWater]:
    """Judge slabs of one image by their evidence, from foot to head; None where there is none.

    Weak evidence of an exchange counts where it adjoins strong evidence: what is exchanged is
    exchanged up to its end, and a lean body in good order has weak evidence only.
    """
    found: list[FatWater] = []
    for weak, run in groupby(evidence, key=_weakly):
        values = list(run)
        is_swap = any(one is not None and one <= -SWAP_EVIDENCE for one in values)
        kept = is_swap or weak is FatWater.SOUND
        found += [weak if kept else FatWater.UNKNOWN] * len(values)
    return found


def _weakly(evidence: float | None) -> FatWater:
    if evidence is None or abs(evidence) < LEAST_EVIDENCE:
        return FatWater.UNKNOWN
    return FatWater.SOUND if evidence > 0 else FatWater.SWAPPED


def overall_fat_water(slabs: Sequence[Slab]) -> FatWater:
    """Sum up: one swapped slab makes a swapped scan; a sound one is sound wherever it has body."""
    found = {slab.fat_water for slab in slabs if slab.has_body}
    if FatWater.SWAPPED in found:
        return FatWater.SWAPPED
    return FatWater.SOUND if found == {FatWater.SOUND} else FatWater.UNKNOWN


def is_whole_swap(slabs: Sequence[Slab]) -> bool:
    """Return whether an image is exchanged at every height that has body."""
    return {slab.fat_water for slab in slabs if slab.has_body} == {FatWater.SWAPPED}


def spans_mm(slabs: Sequence[Slab], which: FatWater) -> list[tuple[float, float]]:
    """Return the heights of such slabs, from foot to head, joined up; slabs without body left out.

    Where stations overlap a height can be judged twice, and stand in the spans of both.
    """
    spans: list[tuple[float, float]] = []
    for slab in sorted(slabs, key=lambda one: one.bottom_mm):
        if slab.fat_water is not which or not slab.has_body:
            continue
        if spans and slab.bottom_mm <= spans[-1][1] + 1e-3:
            spans[-1] = (spans[-1][0], max(spans[-1][1], slab.top_mm))
        else:
            spans.append((slab.bottom_mm, slab.top_mm))
    return spans


def _slices(image: sitk.Image, picked: range, strides_xy: Sequence[int]) -> Singles:
    n_x, n_y = strides_xy
    taken = slice(picked.start, picked.stop, picked.step)
    voxels_zyx = sitk.GetArrayViewFromImage(image)[taken, ::n_y, ::n_x]
    signal_zyx: Singles = np.maximum(voxels_zyx, 0).astype(np.float32)  # splines overshoot below 0
    return signal_zyx


def _count_slice(
    fat_yx: Singles, water_yx: Singles, floor: float, spacing_xy_mm: Sequence[float]
) -> Floats:
    """Count voxels by side, depth and brightness; shape (2, 2, 2)."""
    signal_yx = fat_yx + water_yx
    is_tissue = has_signal(signal_yx, floor)
    body = scipy.ndimage.binary_fill_holes(is_tissue)
    counts = np.zeros((2, 2, 2))
    if not body.any() or body.all():  # without air there is no skin
        return counts
    # Beyond the edge of the image there is no air: where the body is cut, there is no skin.
    depth_mm = scipy.ndimage.distance_transform_edt(body, sampling=spacing_xy_mm[::-1])
    is_fat = fat_yx > water_yx
    shell = is_tissue & (depth_mm > SHELL_MM[0]) & (depth_mm <= SHELL_MM[1])
    parts, _ = scipy.ndimage.label(body)
    for part, half in _halves(parts, spacing_xy_mm):
        deepest_mm = float(depth_mm[part].max())
        core = is_tissue & (depth_mm > max(CORE_MM, CORE_SHARE * deepest_mm))
        for place, mask in enumerate((shell, core)):
            for side, of_side in enumerate(half):
                cell = mask & of_side
                counts[side, place] += [cell.sum(), (cell & is_fat).sum()]
    return counts


def _halves(
    parts: npt.NDArray[Any], spacing_xy_mm: Sequence[float]
) -> Iterator[tuple[Mask, tuple[Mask, Mask]]]:
    """Split each connected part of a slice at the middle of the body, unless it lies on one side.

    Yields:
        The part, and what of it counts as either half: legs that stand apart are never cut through.
    """
    n_columns = parts.shape[1]
    in_body = parts > 0
    middle = float(np.average(np.arange(n_columns), weights=in_body.sum(axis=0)))
    is_first = np.broadcast_to(np.arange(n_columns) < middle, parts.shape)
    for number, n_voxels in enumerate(np.bincount(parts.ravel())[1:], start=1):
        if n_voxels * float(np.prod(spacing_xy_mm)) < MIN_PART_MM2:
            continue
        part = parts == number
        first_share = float((part & is_first).sum()) / n_voxels
        if min(first_share, 1 - first_share) < ONE_SIDED_SHARE:
            of_first = np.full(parts.shape, first_share > 0.5)
            yield part, (part & of_first, part & ~of_first)
        else:
            yield part, (part & is_first, part & ~is_first)


def _evidence(counts: npt.NDArray[Any], voxel_ml: float) -> float | None:
    """Take the lesser of what both halves say, of those that have enough of shell and core."""
    judged = [half for half in counts if (half[:, 0] * voxel_ml >= MIN_CELL_ML).all()]
    return min(map(_yules_q, judged)) if judged else None


def _yules_q(half: npt.NDArray[Any]) -> float:
    shares = np.clip(half[:, 1] / half[:, 0], MIN_ODDS_SHARE, 1 - MIN_ODDS_SHARE)
    shell, core = (shares / (1 - shares)).tolist()
    return float((shell - core) / (shell + core))
