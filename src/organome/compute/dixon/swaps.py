"""Exchanged fat and water images of a Dixon scan: found, never repaired.

The separation of fat from water has two solutions at each voxel; where it grows along the wrong
one, a station, or one leg of it, comes out with the names exchanged. Under the skin lies fat, and
deep inside there is less of it in everybody, lean or obese. So the body is compared with itself:
fat-bright voxels of the shell under the skin less those of the core. An exchange turns the sign of
that number and leaves its size, whatever the coil, the scaling and the body fat.

Source: the idea of comparing a shell with the core of the body is common in Dixon quality control;
the measure, its cells and its margins are our own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from organome.compute.geometry.arrays import Floats, Singles
from organome.domain.contrasts import FatWater

SLAB_MM: Final = 100.0  # half a station: wherever it lies, one slab at least is wholly inside
SLICE_STEP_MM: Final = 9.0  # slices in between say the same
SHELL_MM: Final = (2.0, 10.0)  # below the skin, within what even lean people have
CORE_MM: Final = 25.0
FLOOR_SHARE: Final = 0.1  # of the signal's range; below it lie air, lungs, gas and noise
RANGE_PERCENTILE: Final = 99.9
MIN_CELL_ML: Final = 30.0  # of shell and of core
MARGIN: Final = 0.2  # 35 phantoms of both sexes, BMI 21 to 31, have at least 0.33 in each slab

_SOME_SIGNAL: Final = 1e-6  # where all is air, no voxel is body


@dataclass(frozen=True, slots=True)
class Slab:
    """A part of the body between two heights.

    Attributes:
        bottom_mm: Lower end in scanner space.
        top_mm: Upper end.
        evidence: Share of fat-bright voxels in the shell less that in the core, of the half of the
            body (left, right) where it is smaller; -1 to 1. None where there is too little body.
    """

    bottom_mm: float
    top_mm: float
    evidence: float | None

    @property
    def fat_water(self) -> FatWater:
        """Whether the names hold here."""
        if self.evidence is None or abs(self.evidence) < MARGIN:
            return FatWater.UNKNOWN
        return FatWater.SOUND if self.evidence > 0 else FatWater.SWAPPED


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
    fat_zyx, water_zyx = (_slices(image, picked) for image in oriented)
    floor = FLOOR_SHARE * float(np.percentile(fat_zyx + water_zyx, RANGE_PERCENTILE))
    counts = np.zeros((n_slabs, 2, 2, 2))  # slab, side, shell or core, all or fat-bright
    for index, fat_yx, water_yx in zip(picked, fat_zyx, water_zyx, strict=True):
        slab = index * n_slabs // n_slices
        counts[slab] += _count_slice(fat_yx, water_yx, floor, oriented[0].GetSpacing()[:2])
    voxel_ml = step * float(np.prod(oriented[0].GetSpacing())) / 1000.0
    ends_mm = [_height_mm(oriented[0], n_slices * slab / n_slabs) for slab in range(n_slabs + 1)]
    return tuple(
        Slab(ends_mm[slab], ends_mm[slab + 1], _evidence(counts[slab], voxel_ml))
        for slab in range(n_slabs)
    )


def overall_fat_water(slabs: Sequence[Slab]) -> FatWater:
    """Sum up: one swapped slab makes a swapped scan, one sound slab a judged one."""
    found = {slab.fat_water for slab in slabs}
    for fat_water in (FatWater.SWAPPED, FatWater.SOUND):
        if fat_water in found:
            return fat_water
    return FatWater.UNKNOWN


def swapped_spans_mm(slabs: Sequence[Slab]) -> list[tuple[float, float]]:
    """Return the heights between which the names are exchanged, from foot to head, joined up."""
    spans: list[tuple[float, float]] = []
    for slab in sorted(slabs, key=lambda one: one.bottom_mm):
        if slab.fat_water is not FatWater.SWAPPED:
            continue
        if spans and slab.bottom_mm <= spans[-1][1] + 1e-3:
            spans[-1] = (spans[-1][0], max(spans[-1][1], slab.top_mm))
        else:
            spans.append((slab.bottom_mm, slab.top_mm))
    return spans


def _slices(image: sitk.Image, picked: range) -> Singles:
    voxels_zyx = sitk.GetArrayViewFromImage(image)[picked.start : picked.stop : picked.step]
    signal_zyx: Singles = np.maximum(voxels_zyx, 0).astype(np.float32)  # splines overshoot below 0
    return signal_zyx


def _count_slice(
    fat_yx: Singles, water_yx: Singles, floor: float, spacing_xy_mm: Sequence[float]
) -> Floats:
    """Count voxels by side, depth and brightness; shape (2, 2, 2)."""
    has_signal = fat_yx + water_yx >= max(floor, _SOME_SIGNAL)
    body = ndimage.binary_fill_holes(has_signal)
    counts = np.zeros((2, 2, 2))
    if not body.any() or body.all():  # without air there is no skin
        return counts
    # Beyond the edge of the image there is no air: where the body is cut, there is no skin.
    depth_mm = ndimage.distance_transform_edt(body, sampling=spacing_xy_mm[::-1])
    is_fat = fat_yx > water_yx
    middle = float(np.average(np.arange(body.shape[1]), weights=body.sum(axis=0)))
    shell = has_signal & (depth_mm > SHELL_MM[0]) & (depth_mm <= SHELL_MM[1])
    core = has_signal & (depth_mm > CORE_MM)
    for place, mask in enumerate((shell, core)):
        for side, half in enumerate(_halves(body.shape[1], middle)):
            counts[side, place] = [mask[:, half].sum(), (mask & is_fat)[:, half].sum()]
    return counts


def _halves(n_columns: int, middle: float) -> Iterator[slice]:
    cut = min(max(round(middle), 0), n_columns)
    yield slice(0, cut)
    yield slice(cut, n_columns)


def _evidence(counts: npt.NDArray[Any], voxel_ml: float) -> float | None:
    """Take the lesser of what both halves say, of those that have enough of shell and core."""
    judged = [half for half in counts if (half[:, 0] * voxel_ml >= MIN_CELL_ML).all()]
    if not judged:
        return None
    return float(min(half[0, 1] / half[0, 0] - half[1, 1] / half[1, 0] for half in judged))


def _height_mm(image: sitk.Image, slices: float) -> float:
    """Height of the face below a slice, in the middle of the image."""
    columns, rows, _ = image.GetSize()
    middle = ((columns - 1) / 2, (rows - 1) / 2, slices - 0.5)
    return float(image.TransformContinuousIndexToPhysicalPoint(middle)[2])
