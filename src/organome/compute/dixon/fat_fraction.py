"""The share of fat in the signal of a two-point Dixon scan."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.arrays import Singles

# No floor is higher than this share of the signal range. Langner et al. 2020.
FAT_FRACTION_FLOOR: Final = 0.1
# The range ends here, not at the maximum, where one hot voxel would mask out the body.
FAT_FRACTION_RANGE_PERCENTILE: Final = 99.9
# The darkest tenth of a body scan is air. Where half of an image is, the noise of two magnitude
# images is hardly ever above four times the tenth percentile, seven of its standard deviations.
AIR_PERCENTILE: Final = 10.0
AIR_FACTOR: Final = 4.0
# Noise differs from voxel to voxel about as much as it is high; tissue by far less.
STEP_FACTOR: Final = 8.0
NEGATIVE_PERCENTILE: Final = 1.0  # splines overshoot below 0 in fewer voxels
OFFSET_PERCENTILE: Final = 0.1
MAX_OFFSET_SHARE: Final = 0.05  # of the signal range
_MAX_SAMPLE: Final = 2_000_000  # voxels that percentiles are of
_MAX_DARK_SAMPLE: Final = 250_000  # those that only a wide margin is compared with


def fat_and_signal(fat: npt.NDArray[Any], water: npt.NDArray[Any]) -> tuple[Singles, Singles]:
    """Return fat, and fat + water, of voxels as two images hold them; nowhere negative."""
    # Resampling can overshoot below 0, which no signal does.
    singles = np.maximum(fat, 0).astype(np.float32, copy=False)
    return singles, singles + np.maximum(water, 0)


def are_magnitudes(fat: sitk.Image, water: sitk.Image) -> bool:
    """Return whether two images can be magnitudes, whose sum is the signal of a voxel.

    Signed images of phase-sensitive reconstructions are not, nor are images that were subtracted or
    stored with an offset. The darkest voxels of a magnitude are near 0, be they air, bone or gas.
    """
    darkest: list[float] = []
    for image in (fat, water):
        values = sitk.GetArrayViewFromImage(image).reshape(-1)
        values = values[:: max(1, values.size // _MAX_DARK_SAMPLE)].astype(np.float32)
        values = values[values != 0]  # filled up
        if not values.size:
            return True
        range_ = float(np.percentile(np.abs(values), FAT_FRACTION_RANGE_PERCENTILE))
        negative, least = np.percentile(values, (NEGATIVE_PERCENTILE, OFFSET_PERCENTILE)).tolist()
        if negative < -MAX_OFFSET_SHARE * range_:
            return False
        darkest.append(least / range_)
    return min(darkest) <= MAX_OFFSET_SHARE


def signal_floor(fat_zyx: npt.NDArray[Any], water_zyx: npt.NDArray[Any]) -> float:
    """Return the signal below which a voxel holds no tissue, from the noise of the air.

    A share of the signal range alone would be too high for an iron-loaded liver beside fat that is
    bright because it lies near the coil. Where the air was set to 0, any signal counts; where there
    is no air, the darkest tissue is no noise, for neighbours there are alike.

    Args:
        fat_zyx: Voxels of the fat image.
        water_zyx: Those of the water image.

    Source: Langner et al. 2020 drop voxels below 10 % of the intensity range; here that is the
    highest floor, and the noise sets a lower one.
    """
    every = max(1, fat_zyx.size // _MAX_SAMPLE)
    fat, water = (one.reshape(-1, one.shape[-1])[::every] for one in (fat_zyx, water_zyx))
    _, rows = fat_and_signal(fat, water)
    dark, bright = np.percentile(rows, (AIR_PERCENTILE, FAT_FRACTION_RANGE_PERCENTILE)).tolist()
    floor = min(AIR_FACTOR * dark, FAT_FRACTION_FLOOR * bright)
    steps = np.abs(np.diff(rows, axis=1))[rows[:, :-1] <= dark]
    return float(min(floor, STEP_FACTOR * np.median(steps)) if steps.size else floor)


def fat_fraction(fat: sitk.Image, water: sitk.Image) -> Singles:
    """Compute fat/(fat+water) per voxel of a two-point Dixon scan.

    It is not the proton density fat fraction: T1, T2* and noise bias it.

    Returns:
        Array (z, y, x), 0 to 1; NaN where fat+water is not above ``signal_floor``.
    """
    images = [sitk.GetArrayViewFromImage(image) for image in (fat, water)]
    floor = signal_floor(*images)
    fraction_zyx, signal_zyx = fat_and_signal(*images)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(fraction_zyx, signal_zyx, out=fraction_zyx)
    fraction_zyx[~has_signal(signal_zyx, floor)] = np.nan
    return fraction_zyx


def has_signal(signal: Singles, floor: float) -> npt.NDArray[np.bool_]:
    """Return where there is tissue."""
    return np.asarray((signal > 0) & (signal >= floor))


def mean_fat_fraction(fat: Singles, signal: Singles, floor: float) -> tuple[float | None, float]:
    """Return the fat fraction of an organ, and the share of its voxels that has signal.

    It is the ratio of the means, in which a voxel weighs what it shows: a mean of ratios is pulled
    towards a half by noise, and by more the darker the organ is.

    Args:
        fat: Fat of the voxels of an organ, shape (n,).
        signal: Fat and water of these.
        floor: What ``signal_floor`` returned.
    """
    counts = has_signal(signal, floor)
    share = float(counts.mean())
    if share == 0:
        return None, 0.0
    fat_sum, signal_sum = (float(one[counts].sum(dtype=np.float64)) for one in (fat, signal))
    return fat_sum / signal_sum, share
