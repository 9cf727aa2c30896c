"""Images and labelmaps a little changed, as another reading of the same organ might be.

Source: Zwanenburg et al. 2019, Scientific Reports 9, 614 (perturbations and their sizes); Chang,
Yu and Vetterli 2000, IEEE Transactions on Image Processing 9 (noise from the finest wavelets).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import SimpleITK as sitk

from organome.compute.geometry.arrays import Labels

_NORMAL_QUARTILE: Final = 0.6745  # median of the absolute value of a standard normal number


def grown(labelmap: sitk.Image) -> sitk.Image:
    """Give background voxels that share a face with a label to it, the highest where several do."""
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    found_zyx = np.zeros_like(labels_zyx)
    for inner, outer in _shifts():
        np.maximum(found_zyx[inner], labels_zyx[outer], out=found_zyx[inner])
    return _like(np.where(labels_zyx == 0, found_zyx, labels_zyx), labelmap)


def shrunk(labelmap: sitk.Image) -> sitk.Image:
    """Take voxels from labels that share a face with anything else; the image's end is nothing."""
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    kept_zyx = np.ones(labels_zyx.shape, bool)
    for inner, outer in _shifts():
        kept_zyx[inner] &= labels_zyx[inner] == labels_zyx[outer]
    return _like(np.where(kept_zyx, labels_zyx, 0).astype(np.uint8), labelmap)


def _shifts() -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Pair each voxel with its neighbours over the six faces, as parts of an array."""
    first, last, whole = slice(None, -1), slice(1, None), slice(None)
    pairs = []
    for axis in range(3):
        for mine, other in ((first, last), (last, first)):
            parts = [[whole] * 3, [whole] * 3]
            parts[0][axis], parts[1][axis] = mine, other
            pairs.append((tuple(parts[0]), tuple(parts[1])))
    return pairs


def shifted(image: sitk.Image, shift_voxels_xyz: Sequence[float]) -> sitk.Image:
    """Sample an image between its voxels, by cubic splines.

    Args:
        image: Intensities.
        shift_voxels_xyz: Less than half a voxel, so that the labels of voxels stay.

    Returns:
        The image on the same grid and in the same type, each voxel showing what lies beside it.
    """
    away_mm = np.array(image.TransformContinuousIndexToPhysicalPoint(list(shift_voxels_xyz)))
    transform = sitk.TranslationTransform(3, (away_mm - np.array(image.GetOrigin())).tolist())
    sampled = sitk.Resample(image, image, transform, sitk.sitkBSpline, 0.0, sitk.sitkFloat64)
    voxels_zyx, before_zyx = (sitk.GetArrayViewFromImage(each) for each in (sampled, image))
    # Splines overshoot at edges, and know nothing beyond the last voxels.
    voxels_zyx = np.clip(voxels_zyx, before_zyx.min(), before_zyx.max())
    return _in_type(voxels_zyx, image)


def noisy(image: sitk.Image, labelmap: sitk.Image, *, seed: int) -> sitk.Image:
    """Add noise as strong as that which the image has where something is labelled."""
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    noise_zyx = np.random.default_rng(seed).normal(0, noise_sd(image, labelmap), voxels_zyx.shape)
    return _in_type(voxels_zyx + noise_zyx, image)


def noise_sd(image: sitk.Image, labelmap: sitk.Image) -> float:
    """Estimate the noise of an image from differences within blocks of four labelled voxels.

    The blocks lie in the plane of the thickest slices. Where there are none the noise is 0.
    """
    spacing_zyx = image.GetSpacing()[::-1]
    through = max(range(3), key=lambda axis: (spacing_zyx[axis], -axis))
    voxels, labels = (
        np.moveaxis(sitk.GetArrayViewFromImage(each), through, 0) for each in (image, labelmap)
    )
    n_rows, n_columns = (size // 2 * 2 for size in voxels.shape[1:])
    corners = [(row, column) for row in (0, 1) for column in (0, 1)]
    a, b, c, d = (
        voxels[:, row:n_rows:2, column:n_columns:2].astype(np.float64) for row, column in corners
    )
    inside = np.all(
        [labels[:, row:n_rows:2, column:n_columns:2] > 0 for row, column in corners], axis=0
    )
    details = np.abs(a - b - c + d)[inside] / 2
    return float(np.median(details)) / _NORMAL_QUARTILE if details.size else 0.0


def _in_type(voxels_zyx: np.ndarray, image: sitk.Image) -> sitk.Image:
    kind = sitk.GetArrayViewFromImage(image).dtype
    if np.issubdtype(kind, np.integer):
        ends = np.iinfo(kind)
        voxels_zyx = np.clip(np.rint(voxels_zyx), ends.min, ends.max)
    return _like(voxels_zyx.astype(kind), image)


def _like(voxels_zyx: np.ndarray | Labels, image: sitk.Image) -> sitk.Image:
    made = sitk.GetImageFromArray(voxels_zyx)
    made.CopyInformation(image)
    return made
