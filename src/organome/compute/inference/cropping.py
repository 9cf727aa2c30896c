"""The box of an image outside of which there is nothing but zeros."""

import numpy as np
import numpy.typing as npt

from organome.compute.geometry.arrays import Voxels

Box = tuple[slice, ...]


def nonzero_box(voxels_zyx: Voxels) -> Box:
    """Find the smallest box that holds all voxels that are not 0, looking from the faces inwards.

    Returns:
        The whole image where all voxels are 0.

    Source: nnU-Net's ``crop_to_nonzero``. It fills holes first, which never moves the box.
    """
    box = [slice(0, n) for n in voxels_zyx.shape]
    for axis in range(voxels_zyx.ndim):
        layers = np.moveaxis(voxels_zyx[tuple(box)], axis, 0)
        first = next((i for i in range(len(layers)) if layers[i].any()), None)
        if first is None:
            return tuple(slice(0, n) for n in voxels_zyx.shape)
        last = next(i for i in reversed(range(len(layers))) if layers[i].any())
        box[axis] = slice(first, last + 1)
    return tuple(box)


def filled_mask(voxels_zyx: Voxels) -> npt.NDArray[np.bool_]:
    """Mark all voxels that are not 0, and the holes between them."""
    from scipy.ndimage import binary_fill_holes

    filled: npt.NDArray[np.bool_] = binary_fill_holes(voxels_zyx != 0)
    return filled
