"""What is done to an image and its labelmap before features, filters too: once, for all labels.

Source: pyradiomics 3.0.1, ``imageoperations`` (``resegmentMask`` for voxels that are left out for
their intensity). It resamples the image onto a piece of the grid for every label; we do it once, on
the whole grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import pywt
import scipy
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.dixon.fat_fraction import FAT_FRACTION_FLOOR, FAT_FRACTION_RANGE_PERCENTILE
from organome.compute.geometry.arrays import Floats
from organome.compute.percentiles import high_percentile
from organome.compute.radiomics.first_order import MAX_RANGE, percentiles, sample_of_integers
from organome.domain.errors import SetupError
from organome.domain.features import ORIGINAL
from organome.domain.radiomics_settings import (
    Filters,
    NormalizeOver,
    Preparation,
    Processing,
    RadiomicsSettings,
    ResegmentMode,
    log_image_type,
    wavelet_image_type,
)

_HALF: Final = 0.5 - 1e-9  # of a voxel, less what rounding may take from it
_MIN_LOG_SIZE: Final = 4  # voxels per axis that the recursive filter of ITK needs


def filtered_images(
    image: sitk.Image, filters: Filters, *, force_2d_dimension: int | None = None
) -> Iterator[tuple[str, sitk.Image]]:
    """Make the images that features are computed of, one at a time.

    Args:
        image: The prepared image.
        filters: Which ones.
        force_2d_dimension: Array axis that wavelets leave alone, None: none.

    Yields:
        Name of the image type, image. A Laplacian for which the image is too small is left out, as
        pyradiomics does.
    """
    if filters.original:
        yield ORIGINAL, image
    for sigma_mm in filters.log_sigmas_mm:
        if _fits(image, sigma_mm):
            yield log_image_type(sigma_mm), sitk.LaplacianRecursiveGaussian(image, sigma_mm, True)
    if filters.wavelet is not None:
        axes = tuple(axis for axis in (2, 1, 0) if axis != force_2d_dimension)
        yield from _wavelet_images(image, filters, axes)


def _fits(image: sitk.Image, sigma_mm: float) -> bool:
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    return bool(min(size) >= _MIN_LOG_SIZE and np.all(size >= np.ceil(sigma_mm / spacing) + 1))


def _wavelet_images(
    image: sitk.Image, filters: Filters, axes: tuple[int, ...]
) -> Iterator[tuple[str, sitk.Image]]:
    """Decompose an image without downsampling; axes come in the order of the letters of a name."""
    assert filters.wavelet is not None
    wavelet = pywt.Wavelet(filters.wavelet)
    voxels_zyx = sitk.GetArrayViewFromImage(image)
    inside = tuple(slice(0, size) for size in voxels_zyx.shape)
    # The transform is periodic and needs even sizes.
    voxels_zyx = np.pad(voxels_zyx, [(0, size % 2) for size in voxels_zyx.shape], "wrap")
    lowest = "L" * len(axes)
    voxels_zyx = voxels_zyx.astype(np.float64)
    for _ in range(filters.wavelet_start_level):
        voxels_zyx = _band(voxels_zyx, wavelet, axes, lowest)
    for level in range(1, filters.wavelet_level + 1):
        for letters in product("LH", repeat=len(axes)):
            band = "".join(letters)
            if band != lowest:
                band_zyx = _band(voxels_zyx, wavelet, axes, band)[inside]
                yield wavelet_image_type(level, band), _like(band_zyx, image)
        voxels_zyx = _band(voxels_zyx, wavelet, axes, lowest)
    name = wavelet_image_type(filters.wavelet_level, lowest)
    yield name, _like(voxels_zyx[inside], image)


def _band(voxels_zyx: Floats, wavelet: pywt.Wavelet, axes: tuple[int, ...], band: str) -> Floats:
    for axis, letter in zip(axes, band, strict=True):
        taps = wavelet.dec_lo if letter == "L" else wavelet.dec_hi
        voxels_zyx = scipy.ndimage.convolve1d(voxels_zyx, taps, axis=axis, mode="wrap")
    return voxels_zyx


def _like(voxels_zyx: Floats, image: sitk.Image) -> sitk.Image:
    made = sitk.GetImageFromArray(np.ascontiguousarray(voxels_zyx))
    made.CopyInformation(image)
    return made


def within_range(intensities: NDArray[Any], preparation: Preparation) -> NDArray[np.bool_]:
    """Return which voxels of a region stay in it.

    Args:
        intensities: Of the region.
        preparation: One limit is a lower one, two are a range; both ends belong to it.
    """
    kept: NDArray[np.bool_] = np.ones(intensities.shape, bool)
    if preparation.outlier_sigma is not None:
        away = np.abs(intensities - intensities.mean())
        kept &= away <= preparation.outlier_sigma * intensities.std()
    if preparation.resegment_range is None:
        return kept
    limits: list[Any] = sorted(preparation.resegment_range)
    if preparation.resegment_mode is ResegmentMode.RELATIVE:
        limits = [intensities.max() * limit for limit in limits]
    elif preparation.resegment_mode is ResegmentMode.SIGMA:
        mean, sd = intensities.mean(), intensities.std()
        limits = [mean + sd * limit for limit in limits]
    kept &= intensities >= limits[0]
    if len(limits) == 2:
        kept &= intensities <= limits[1]
    return kept


@dataclass(frozen=True, slots=True)
class Normalization:
    """What intensities go through so that the body has mean 0 and a given standard deviation.

    Attributes:
        mean: Of the body.
        sd: Of the body.
        limit: How many deviations from the mean values are clipped; None: they are not.
        scale: The deviation that comes out.
    """

    mean: float
    sd: float
    limit: float | None
    scale: float

    def of(self, intensities: NDArray[Any]) -> Floats:
        """Normalise some intensities."""
        normalized = intensities.astype(np.float64)
        normalized -= self.mean
        normalized /= self.sd or 1.0
        if self.limit is not None:
            np.clip(normalized, -self.limit, self.limit, out=normalized)
        if self.scale != 1:
            normalized *= self.scale
        return normalized


def late_normalization(image: sitk.Image, settings: RadiomicsSettings) -> Normalization | None:
    """Return what labelled voxels can go through by themselves, if nothing needs those around."""
    preparation, filters = settings.preparation, settings.filters
    needs_others = (
        preparation.resampled_spacing_xyz_mm is not None
        or filters.log_sigmas_mm
        or filters.wavelet is not None
        or settings.ibsi.extents
    )
    is_of_body = preparation.normalize and preparation.normalize_over is NormalizeOver.BODY
    return body_normalization(image, preparation) if is_of_body and not needs_others else None


def body_normalization(image: sitk.Image, preparation: Preparation) -> Normalization:
    """Find mean and deviation of the body.

    It is all voxels with signal: at least a tenth of the 99.9th percentile, which is also the rule
    of the fat fraction.
    """
    limit, scale = preparation.remove_outliers, preparation.normalize_scale
    return Normalization(*_body_moments(image), limit=limit, scale=scale)


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
    """Bring intensities to mean 0 and a given standard deviation."""
    if preparation.normalize_over is NormalizeOver.BODY:
        change = body_normalization(image, preparation)
        return _like(change.of(sitk.GetArrayViewFromImage(image)), image)
    normalized: sitk.Image = sitk.Normalize(image)
    if preparation.remove_outliers is not None:
        limit = preparation.remove_outliers
        normalized = sitk.Clamp(normalized, normalized.GetPixelID(), -limit, limit)
    if preparation.normalize_scale != 1:
        normalized *= preparation.normalize_scale
    return normalized


def _body_moments(image: sitk.Image) -> tuple[float, float]:
    """Mean and standard deviation of the voxels with signal, 0 where there are none."""
    voxels = np.ravel(sitk.GetArrayViewFromImage(image))
    is_integer = np.issubdtype(voxels.dtype, np.integer)
    if is_integer and int(voxels.max()) - int(voxels.min()) < MAX_RANGE:
        sample = sample_of_integers(voxels)
        (high,) = percentiles(sample, (FAT_FRACTION_RANGE_PERCENTILE / 100,))
        first = np.searchsorted(sample.values, FAT_FRACTION_FLOOR * high)
        values, counts = sample.values[first:], sample.counts[first:]
        if not values.size:
            return 0.0, 0.0
        mean = float(np.average(values, weights=counts))
        return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=counts)))
    body = voxels[
        voxels >= FAT_FRACTION_FLOOR * high_percentile(voxels, FAT_FRACTION_RANGE_PERCENTILE)
    ]
    body = body.astype(np.float64)
    return (float(body.mean()), float(body.std())) if body.size else (0.0, 0.0)


def resample(
    image: sitk.Image, labelmap: sitk.Image, preparation: Preparation
) -> tuple[sitk.Image, sitk.Image]:
    """Resample both onto one grid that covers the image.

    As pyradiomics does it, outer faces of both grids lie together, and voxels of labels go by the
    nearest. As the IBSI does it, their centres lie together, a voxel belongs to a label that has
    half of it by linear interpolation, and whole numbers are rounded, not cut off.

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
    if preparation.processing is Processing.IBSI:
        return _resample_centred(image, labelmap, new_mm, size, interpolator)
    grid = _grid(labelmap, new_mm, first_xyz=np.zeros(3), size_xyz=size)
    grid.SetOutputPixelType(image.GetPixelID())
    grid.SetInterpolator(interpolator)
    resampled = grid.Execute(image)
    labels_zyx = _resampled_labels(labelmap, new_mm, size, preparation.pad_voxels)
    labels = sitk.GetImageFromArray(labels_zyx)
    labels.CopyInformation(resampled)
    return resampled, labels


def _resampled_labels(
    labelmap: sitk.Image, new_mm: Floats, size_xyz: NDArray[np.int64], pad_voxels: int
) -> NDArray[np.uint8]:
    """Resample each label in its own box, as pyradiomics does.

    It is the same grid, but where a voxel lies just between two old ones, rounding relative to the
    box decides. A voxel that two labels would get goes to the first.
    """
    labels_zyx = np.zeros(size_xyz[::-1], np.uint8)
    ratio = np.array(labelmap.GetSpacing()) / new_mm
    boxes = sitk.LabelShapeStatisticsImageFilter()
    boxes.Execute(labelmap)
    for label in boxes.GetLabels():
        box = np.array(boxes.GetBoundingBox(label))
        first = np.maximum(np.floor((box[:3] - 0.5) * ratio - pad_voxels), 0)
        last = np.ceil((box[:3] + box[3:] - 0.5) * ratio + pad_voxels)
        n = np.minimum(last, size_xyz - 1) - first + 1
        grid = _grid(labelmap, new_mm, first_xyz=first, size_xyz=n.astype(int))
        grid.SetOutputPixelType(labelmap.GetPixelID())
        grid.SetInterpolator(sitk.sitkNearestNeighbor)
        part = grid.Execute(labelmap)  # a view does not keep it alive
        found_zyx = sitk.GetArrayViewFromImage(part) == label
        into = tuple(
            slice(int(start), int(start + extent))
            for start, extent in zip(first[::-1], n[::-1], strict=True)
        )
        labels_zyx[into][found_zyx & (labels_zyx[into] == 0)] = label
    return labels_zyx


def _resample_centred(
    image: sitk.Image,
    labelmap: sitk.Image,
    new_mm: Floats,
    size_xyz: NDArray[np.int64],
    interpolator: int,
) -> tuple[sitk.Image, sitk.Image]:
    """Resample as the IBSI does.

    A voxel that two labels share half and half goes to the first.
    """
    step = new_mm / np.array(labelmap.GetSpacing())
    start = ((np.array(labelmap.GetSize()) - 1) - (size_xyz - 1) * step) / 2
    grid = _grid(labelmap, new_mm, first_xyz=np.zeros(3), size_xyz=size_xyz, start_xyz=start)
    grid.SetInterpolator(interpolator)
    grid.UseNearestNeighborExtrapolatorOn()
    resampled = grid.Execute(sitk.Cast(image, sitk.sitkFloat64))
    if np.issubdtype(sitk.GetArrayViewFromImage(image).dtype, np.integer):
        # A spline may overshoot the range of the type.
        limits = np.iinfo(sitk.GetArrayViewFromImage(image).dtype)
        rounded = sitk.Clamp(sitk.Round(resampled), sitk.sitkFloat64, limits.min, limits.max)
        resampled = sitk.Cast(rounded, image.GetPixelID())
    labels_zyx = np.zeros(size_xyz[::-1], np.uint8)
    boxes = sitk.LabelShapeStatisticsImageFilter()
    boxes.Execute(labelmap)
    for label in boxes.GetLabels():
        box = np.array(boxes.GetBoundingBox(label))
        first = np.maximum(np.floor((box[:3] - 1 - start) / step), 0).astype(int)
        last = np.minimum(np.ceil((box[:3] + box[3:] - start) / step), size_xyz - 1).astype(int)
        grid = _grid(labelmap, new_mm, first_xyz=first, size_xyz=last - first + 1, start_xyz=start)
        grid.SetInterpolator(sitk.sitkLinear)
        grid.UseNearestNeighborExtrapolatorOn()
        part = grid.Execute(sitk.Cast(labelmap == label, sitk.sitkFloat64))
        found_zyx = sitk.GetArrayViewFromImage(part) >= _HALF
        into = tuple(
            slice(begin, end + 1) for begin, end in zip(first[::-1], last[::-1], strict=True)
        )
        labels_zyx[into][found_zyx & (labels_zyx[into] == 0)] = label
    labels = sitk.GetImageFromArray(labels_zyx)
    labels.CopyInformation(resampled)
    return resampled, labels


def _grid(
    labelmap: sitk.Image,
    new_mm: Floats,
    *,
    first_xyz: NDArray[Any],
    size_xyz: NDArray[np.int64],
    start_xyz: Floats | None = None,
) -> sitk.ResampleImageFilter:
    """Lay a part of the new grid.

    Args:
        labelmap: On the old grid.
        new_mm: New spacing, x, y, z.
        first_xyz: First voxel of the part.
        size_xyz: Its size.
        start_xyz: First voxel of the new grid, in voxels of the old one; None: where the outer
            faces of both lie together.
    """
    old_mm = np.array(labelmap.GetSpacing())
    start = 0.5 * (new_mm - old_mm) / old_mm if start_xyz is None else start_xyz
    index = start + first_xyz / (old_mm / new_mm)
    grid = sitk.ResampleImageFilter()
    grid.SetOutputSpacing(new_mm.tolist())
    grid.SetOutputDirection(labelmap.GetDirection())
    grid.SetOutputOrigin(labelmap.TransformContinuousIndexToPhysicalPoint(index.tolist()))
    grid.SetSize(size_xyz.tolist())
    return grid
