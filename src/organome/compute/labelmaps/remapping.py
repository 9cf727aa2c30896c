"""Labelmaps of any tool -> labelmaps of the 40 organs, on the same grid."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from organome.domain.errors import ScanError
from organome.domain.organs import BACKGROUND
from organome.domain.outcomes import Reason
from organome.domain.schemes import LabelScheme

_UNKNOWN: Final = 255  # in the lookup table only; organs end at 40
_NAMED_VALUES: Final = 5  # of the unknown values, in the error


def remap_labelmap(labelmap: sitk.Image, scheme: LabelScheme) -> sitk.Image:
    """Map the classes of a scheme onto the labels of the 40 organs.

    Args:
        labelmap: 3D image of any integer type, or of a float type that holds integers (some
            writers store labels so). 0 is background.
        scheme: What the values mean.

    Returns:
        A uint8 image on the very grid of ``labelmap``. Classes without an organ become background.

    Raises:
        ScanError: NOT_3D, or LABEL_UNKNOWN if a voxel holds a value that the scheme does not know;
            taking it for background would silently lose an organ.
    """
    if labelmap.GetDimension() != 3 or labelmap.GetNumberOfComponentsPerPixel() != 1:
        raise ScanError(Reason.NOT_3D, "the labelmap is not one 3D image")
    source_zyx = sitk.GetArrayViewFromImage(labelmap)
    table = _lookup_table(scheme)
    labels_zyx = np.empty(source_zyx.shape, np.uint8)
    for source_yx, labels_yx in zip(source_zyx, labels_zyx, strict=True):  # bounds the index array
        np.take(table, _table_index(source_yx, len(table)), out=labels_yx)
    if labels_zyx.max(initial=0) == _UNKNOWN:
        values = np.unique(source_zyx[labels_zyx == _UNKNOWN])
        raise ScanError(Reason.LABEL_UNKNOWN, _unknown_values(values, scheme))
    remapped = sitk.GetImageFromArray(labels_zyx)
    remapped.CopyInformation(labelmap)
    return remapped


def _lookup_table(scheme: LabelScheme) -> npt.NDArray[np.uint8]:
    """Make the table source value -> organ label; its last entry stands for all values beyond."""
    table = np.full(max(scheme.classes) + 2, _UNKNOWN, np.uint8)
    table[BACKGROUND] = BACKGROUND
    for source in scheme.classes:
        table[source] = scheme.organ_labels.get(source, BACKGROUND)
    return table


def _table_index(source_yx: npt.NDArray[Any], n_entries: int) -> npt.NDArray[np.intp]:
    beyond = n_entries - 1
    with np.errstate(invalid="ignore"):  # NaN compares as False and so goes beyond
        known = (source_yx >= 0) & (source_yx < beyond)
        if np.issubdtype(source_yx.dtype, np.floating):
            known &= np.rint(source_yx) == source_yx
    return np.where(known, source_yx, beyond).astype(np.intp)


def _unknown_values(values: npt.NDArray[Any], scheme: LabelScheme) -> str:
    named = ", ".join(f"{value}" for value in values[:_NAMED_VALUES].tolist())
    more = f" and {len(values) - _NAMED_VALUES} more" if len(values) > _NAMED_VALUES else ""
    return f"value {named}{more} in the labelmap is not a class of {scheme.name}"


def label_extents(labelmap: sitk.Image) -> dict[int, tuple[int, int, int, int, int, int]]:
    """Find how far each label reaches.

    Args:
        labelmap: 3D image of uint8; 0 is background.

    Returns:
        For each label that is there, its first and last voxel along x, y and z.
    """
    boxes_zyx = ndimage.find_objects(sitk.GetArrayViewFromImage(labelmap))
    extents = {}
    for label, box_zyx in enumerate(boxes_zyx, start=1):
        if box_zyx is not None:
            z, y, x = box_zyx
            extents[label] = (x.start, x.stop - 1, y.start, y.stop - 1, z.start, z.stop - 1)
    return extents
