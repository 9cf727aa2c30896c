"""The share of fat in the signal of a two-point Dixon scan."""

from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

# Voxels below this share of the signal range hold no tissue signal. Langner et al. 2020.
FAT_FRACTION_FLOOR: Final = 0.1
# The range ends here, not at the maximum, where one hot voxel would mask out the body.
FAT_FRACTION_RANGE_PERCENTILE: Final = 99.9


def fat_fraction(fat: sitk.Image, water: sitk.Image) -> npt.NDArray[np.float32]:
    """Compute fat/(fat+water) per voxel of a two-point Dixon scan.

    It is not the proton density fat fraction: T1, T2* and noise bias it.

    Returns:
        Array (z, y, x), 0 to 1; NaN where fat+water is below a tenth of its range (no signal).

    Source:
        The mask follows Langner et al. 2020 ("drop voxels below 10 % of the intensity range"); we
        end the range at the 99.9th percentile instead of the maximum.
    """
    # Resampling can overshoot below 0, which no signal does.
    fat_zyx = np.maximum(sitk.GetArrayViewFromImage(fat), 0).astype(np.float32)
    signal_zyx = fat_zyx + np.maximum(sitk.GetArrayViewFromImage(water), 0)
    floor = FAT_FRACTION_FLOOR * np.percentile(signal_zyx, FAT_FRACTION_RANGE_PERCENTILE)
    fraction_zyx = np.full(fat_zyx.shape, np.nan, np.float32)
    np.divide(fat_zyx, signal_zyx, out=fraction_zyx, where=(signal_zyx > 0) & (signal_zyx >= floor))
    return fraction_zyx
