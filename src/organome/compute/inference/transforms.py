"""Images made to look like what a model has learned from, before it labels them.

On T1-weighted MRI fat is bright and bone dark. Turned around it looks a little like CT, on which
models of other tools were trained.

Source: Häntze et al. 2024, Figure A2, and the authors' code for annotation (``main.py`` of
Annotation-Acceleration) for the inversion. Its robust form, and the histogram equalisation, which
the paper names without parameters, are our choice.
"""

from typing import Final, assert_never

import numpy as np
import SimpleITK as sitk
from skimage.exposure import equalize_hist

from organome.compute.geometry.arrays import Floats
from organome.domain.inference import Transform

_CLIP: Final = (0.0, 3000.0)
_BACKGROUND: Final = 0.99  # of the range: what was air before
_ROBUST_PERCENTILE: Final = 99.9
_EQUALISED: Final = 1000.0  # the range that ranks between 0 and 1 are stretched to
_N_BINS: Final = 1024


def transform_image(image: sitk.Image, transform: Transform) -> sitk.Image:
    """Change the intensities of an image; its grid stays.

    Args:
        image: 3D.
        transform: How.

    Returns:
        Another image, float32.
    """
    voxels_zyx = sitk.GetArrayFromImage(image).astype(np.float64)
    match transform:
        case Transform.INVERTED:
            changed_zyx = _inverted(np.clip(voxels_zyx, *_CLIP))
        case Transform.INVERTED_ROBUST:
            voxels_zyx = np.maximum(voxels_zyx, 0)
            upper = np.percentile(voxels_zyx, _ROBUST_PERCENTILE)
            changed_zyx = _inverted(np.minimum(voxels_zyx, upper))
        case Transform.EQUALISED:
            changed_zyx = _equalised(voxels_zyx)
        case _:
            assert_never(transform)
    changed = sitk.GetImageFromArray(changed_zyx.astype(np.float32))
    changed.CopyInformation(image)
    return changed


def _inverted(voxels_zyx: Floats) -> Floats:
    """Turn intensities around between their ends, and what was air back to 0."""
    lowest, highest = voxels_zyx.min(), voxels_zyx.max()
    turned_zyx: Floats = highest - voxels_zyx + lowest
    turned_zyx[turned_zyx >= (highest - lowest) * _BACKGROUND + lowest] = 0
    return turned_zyx


def _equalised(voxels_zyx: Floats) -> Floats:
    """Replace each intensity by the share of voxels that are not brighter."""
    # Flat: three slices are not a picture in colour.
    ranks = equalize_hist(voxels_zyx.ravel(), nbins=_N_BINS)
    equalised: Floats = _EQUALISED * ranks.reshape(voxels_zyx.shape)
    return equalised
