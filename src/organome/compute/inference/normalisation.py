"""Normalisation of intensities, by nnU-Net's own schemes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from organome.compute.inference.cropping import filled_mask

_SMALLEST_DEVIATION: Final = 1e-8
_OUTSIDE: Final = -1  # nnU-Net's label of what lies outside of the mask
_ROWS_AT_A_TIME: Final = 16


def normalise(
    voxels_zyx: npt.NDArray[np.float32], configuration: Any, intensities: Mapping[str, Any]
) -> npt.NDArray[np.float32]:
    """Normalise an image in place, as the plan says.

    Args:
        voxels_zyx: The cropped image, contiguous; overwritten.
        configuration: nnU-Net's manager of the model's configuration.
        intensities: What the plan says of the intensities of the training images, by channel.

    Source: nnU-Net's ``DefaultPreprocessor``.
    """
    import nnunetv2
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    name, masked = configuration.normalization_schemes[0], configuration.use_mask_for_norm[0]
    if name == "ZScoreNormalization" and not masked:
        return _standardise(voxels_zyx)
    folder = Path(nnunetv2.__path__[0], "preprocessing", "normalization")
    scheme = recursive_find_python_class(str(folder), name, "nnunetv2.preprocessing.normalization")
    if scheme is None:
        raise RuntimeError(f"nnU-Net has no normalisation {name}")
    seg_zyx = None
    if masked:
        seg_zyx = np.where(filled_mask(voxels_zyx), np.int8(0), np.int8(_OUTSIDE))
    normalised: npt.NDArray[np.float32] = scheme(
        use_mask_for_norm=masked, intensityproperties=intensities["0"]
    ).run(voxels_zyx, seg_zyx)
    return normalised


def _standardise(voxels_zyx: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Subtract the mean and divide by the standard deviation.

    As nnU-Net does, but for numpy's way to the deviation, which takes a copy of the image.
    """
    mean = voxels_zyx.mean()
    squares = 0.0
    for first in range(0, len(voxels_zyx), _ROWS_AT_A_TIME):
        rows = voxels_zyx[first : first + _ROWS_AT_A_TIME]
        rows -= mean
        flat = rows.reshape(-1)
        squares += float(np.square(flat).sum(dtype=np.float64))
    deviation = np.float32(np.sqrt(squares / voxels_zyx.size))
    voxels_zyx /= max(deviation, np.float32(_SMALLEST_DEVIATION))
    return voxels_zyx
