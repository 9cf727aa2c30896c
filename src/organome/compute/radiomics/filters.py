"""Filtered images, each made once for all labels.

Source: pyradiomics 3.0.1, ``imageoperations``: its names, its values on the whole image.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

import numpy as np
import pywt
import SimpleITK as sitk
from scipy import ndimage

from organome.compute.geometry.arrays import Floats
from organome.domain.features import ORIGINAL
from organome.domain.radiomics_settings import Filters, log_image_type, wavelet_image_type

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
        voxels_zyx = ndimage.convolve1d(voxels_zyx, taps, axis=axis, mode="wrap")
    return voxels_zyx


def _like(voxels_zyx: Floats, image: sitk.Image) -> sitk.Image:
    made = sitk.GetImageFromArray(np.ascontiguousarray(voxels_zyx))
    made.CopyInformation(image)
    return made
