"""What is done to an image and its labelmap before features: once, for all labels.

Source: pyradiomics 3.0.1, ``imageoperations``. It resamples onto a piece of the grid for every
label; the grid is the same, and so are intensities, but a voxel of a label that lies just between
two of the old ones may go either way, by rounding.
"""

import numpy as np
import SimpleITK as sitk

from organome.compute.fat_fraction import FAT_FRACTION_FLOOR, FAT_FRACTION_RANGE_PERCENTILE
from organome.domain.errors import SetupError
from organome.domain.radiomics_settings import NormalizeOver, Preparation


def prepare(
    image: sitk.Image, labelmap: sitk.Image, preparation: Preparation
) -> tuple[sitk.Image, sitk.Image]:
    """Normalise and resample as the settings say."""
    if preparation.normalize:
        image = normalize(image, preparation)
    if preparation.resampled_spacing_xyz_mm is not None:
        return resample(image, labelmap, preparation)
    return image, labelmap


def normalize(image: sitk.Image, preparation: Preparation) -> sitk.Image:
    """Bring intensities to mean 0 and a given standard deviation.

    The body is all voxels with signal: at least a tenth of the 99.9th percentile, which is also the
    rule of the fat fraction.
    """
    if preparation.normalize_over is NormalizeOver.BODY:
        voxels_zyx = sitk.GetArrayFromImage(image).astype(np.float64)
        floor = FAT_FRACTION_FLOOR * np.percentile(voxels_zyx, FAT_FRACTION_RANGE_PERCENTILE)
        body = voxels_zyx[voxels_zyx >= floor]
        sd = float(body.std()) if body.size else 0.0
        voxels_zyx = (voxels_zyx - (float(body.mean()) if body.size else 0.0)) / (sd or 1.0)
        normalized = sitk.GetImageFromArray(voxels_zyx)
        normalized.CopyInformation(image)
    else:
        normalized = sitk.Normalize(image)
    if preparation.remove_outliers is not None:
        limit = preparation.remove_outliers
        normalized = sitk.Clamp(normalized, normalized.GetPixelID(), -limit, limit)
    return normalized * preparation.normalize_scale


def resample(
    image: sitk.Image, labelmap: sitk.Image, preparation: Preparation
) -> tuple[sitk.Image, sitk.Image]:
    """Resample both onto one grid that covers the image; voxels of labels go by the nearest.

    Raises:
        SetupError: If SimpleITK has no such interpolator.
    """
    assert preparation.resampled_spacing_xyz_mm is not None
    interpolator = getattr(sitk, preparation.interpolator, None)
    if interpolator is None:
        raise SetupError(f"interpolator {preparation.interpolator!r} is unknown to SimpleITK")
    old_mm = np.array(labelmap.GetSpacing())
    new_mm = np.array(preparation.resampled_spacing_xyz_mm, dtype=np.float64)
    new_mm = np.where(new_mm == 0, old_mm, new_mm)
    if np.allclose(old_mm, new_mm):
        return image, labelmap
    size = np.ceil(np.array(labelmap.GetSize()) * (old_mm / new_mm)).astype(int)
    grid = sitk.ResampleImageFilter()
    grid.SetOutputSpacing(new_mm.tolist())
    grid.SetOutputDirection(labelmap.GetDirection())
    # The outer faces of both grids lie together, not the centres of their first voxels.
    first = (0.5 * (new_mm - old_mm) / old_mm).tolist()
    grid.SetOutputOrigin(labelmap.TransformContinuousIndexToPhysicalPoint(first))
    grid.SetSize(size.tolist())
    grid.SetOutputPixelType(image.GetPixelID())
    grid.SetInterpolator(interpolator)
    resampled = grid.Execute(image)
    grid.SetOutputPixelType(labelmap.GetPixelID())
    grid.SetInterpolator(sitk.sitkNearestNeighbor)
    return resampled, grid.Execute(labelmap)
