"""What two images of the same body both show."""

from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.stitching.stations import COSINE_TOLERANCE

_HALF: Final = 0.5  # of a voxel: its faces lie half a voxel from its centre


def labels_in_view_of(labelmap: sitk.Image, other: sitk.Image) -> sitk.Image | None:
    """Keep the labels of voxels that another image shows, too; all others become background.

    The grid stays as it is, so that whatever looks at the whole image (normalising) still does.

    Args:
        labelmap: uint8 labels.
        other: Any image whose axes are parallel to those of the labelmap.

    Returns:
        Another labelmap on the same grid; None if no voxel lies in both, or axes are not parallel.
    """
    if not _parallel(labelmap, other):
        return None
    faces = [np.full(3, -_HALF), np.array(other.GetSize()) - _HALF]
    corners = np.array(
        [
            labelmap.TransformPhysicalPointToContinuousIndex(
                other.TransformContinuousIndexToPhysicalPoint(face.tolist())
            )
            for face in faces
        ]
    )
    first = np.maximum(np.ceil(corners.min(axis=0) - 1e-3), 0).astype(int)
    last = np.minimum(np.floor(corners.max(axis=0) + 1e-3), np.array(labelmap.GetSize()) - 1)
    if (last < first).any():
        return None
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    kept_zyx = np.zeros_like(labels_zyx)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(first[::-1], last[::-1], strict=True))
    kept_zyx[box] = labels_zyx[box]
    kept = sitk.GetImageFromArray(kept_zyx)
    kept.CopyInformation(labelmap)
    return kept


def _parallel(one: sitk.Image, other: sitk.Image) -> bool:
    """Return whether each axis of one image runs along an axis of the other, either way."""
    cosines = np.abs(_direction(one).T @ _direction(other))
    return bool((np.minimum(cosines, np.abs(1 - cosines)) <= COSINE_TOLERANCE).all())


def _direction(image: sitk.Image) -> NDArray[np.float64]:
    return np.reshape(np.array(image.GetDirection()), (3, 3))
