"""Labelmaps of any tool -> labelmaps of the 40 organs, on the same grid."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.boxes import label_boxes
from organome.domain.errors import ScanError
from organome.domain.organs import BACKGROUND
from organome.domain.outcomes import Reason
from organome.domain.schemes import LabelScheme

_UNKNOWN: Final = 255  # in the lookup table only; organs end at 40
_NAMED_VALUES: Final = 5  # of the unknown values, in the error
_MAX_VALUE: Final = 65_535  # as in scheme files
_NO_NAMES: Final[Mapping[int, str]] = MappingProxyType({})
_ROUNDING: Final = 1e-3  # of numbers that were divided and multiplied in single precision
_HALF_STEP: Final = 0.51
_MAX_ROUNDING: Final = 0.25  # more may be anything


def round_labels(labelmap: sitk.Image, *, value_step: float = 0.0) -> tuple[sitk.Image, bool]:
    """Round labels that went through floats, and no others.

    A header that scales stored integers leaves labels at most half a step beside whole numbers.
    Interpolated labels lie anywhere in between and stay as they are.

    Args:
        labelmap: 3D image of any type.
        value_step: By how much neighbouring values differ, 0 if they are not scaled.

    Returns:
        The labelmap, and whether it was rounded.
    """
    values = sitk.GetArrayViewFromImage(labelmap)
    if values.dtype.kind != "f":
        return labelmap, False
    whole = np.rint(values)
    worst = float(np.abs(values - whole).max(initial=0))
    tolerance = max(_ROUNDING, min(_HALF_STEP * value_step, _MAX_ROUNDING))
    if not 0 < worst <= tolerance:
        return labelmap, False
    rounded = sitk.GetImageFromArray(whole)
    rounded.CopyInformation(labelmap)
    return rounded, True


def remap_labelmap(
    labelmap: sitk.Image, scheme: LabelScheme, *, names: Mapping[int, str] = _NO_NAMES
) -> sitk.Image:
    """Map the classes of a scheme onto the labels of the 40 organs.

    Args:
        labelmap: 3D image of any integer type, or of a float type that holds integers (some
            writers store labels so). 0 is background.
        scheme: What the values mean.
        names: What the file itself says they mean: classes or structures of the scheme. Programs
            number labels as they please, so that names win over values.

    Returns:
        A uint8 image on the very grid of ``labelmap``. Classes without an organ become background.

    Raises:
        ScanError: NOT_3D, or LABEL_UNKNOWN if a voxel holds a value that the scheme does not know,
            or whose name it does not; taking it for background would silently lose an organ.
    """
    if labelmap.GetDimension() != 3 or labelmap.GetNumberOfComponentsPerPixel() != 1:
        raise ScanError(Reason.NOT_3D, "the labelmap is not one 3D image")
    source_zyx = sitk.GetArrayViewFromImage(labelmap)
    table = _lookup_table(_named(scheme, names) if names else _numbered(scheme))
    labels_zyx = np.empty(source_zyx.shape, np.uint8)
    for source_yx, labels_yx in zip(source_zyx, labels_zyx, strict=True):  # bounds the index array
        np.take(table, _table_index(source_yx, len(table)), out=labels_yx)
    if labels_zyx.max(initial=0) == _UNKNOWN:
        values = np.unique(source_zyx[labels_zyx == _UNKNOWN])
        raise ScanError(Reason.LABEL_UNKNOWN, _unknown_values(values, scheme, by_name=bool(names)))
    remapped = sitk.GetImageFromArray(labels_zyx)
    remapped.CopyInformation(labelmap)
    return remapped


def _numbered(scheme: LabelScheme) -> dict[int, int]:
    """Return which organ each value becomes, by the scheme's numbers."""
    return {value: scheme.organ_labels.get(value, BACKGROUND) for value in scheme.classes}


def _named(scheme: LabelScheme, names: Mapping[int, str]) -> dict[int, int]:
    """Return which organ each value becomes, by names, whatever their order of words."""
    known = {_words(one.name): one.label for one in scheme.structures}
    for value, name in scheme.classes.items():
        known[_words(name)] = scheme.organ_labels.get(value, BACKGROUND)
    return {
        value: known[_words(name)]
        for value, name in names.items()
        if 0 < value <= _MAX_VALUE and _words(name) in known
    }


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(re.findall(r"[a-z]+|[0-9]+", name.casefold())))


def _lookup_table(organs: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    """Make the table source value -> organ label; its last entry stands for all values beyond."""
    table = np.full(max(organs, default=0) + 2, _UNKNOWN, np.uint8)
    table[BACKGROUND] = BACKGROUND
    for value, label in organs.items():
        table[value] = label
    return table


def _table_index(source_yx: npt.NDArray[Any], n_entries: int) -> npt.NDArray[np.intp]:
    beyond = n_entries - 1
    with np.errstate(invalid="ignore"):  # NaN compares as False and so goes beyond
        known = (source_yx >= 0) & (source_yx < beyond)
        if np.issubdtype(source_yx.dtype, np.floating):
            known &= np.rint(source_yx) == source_yx
    return np.where(known, source_yx, beyond).astype(np.intp)


def _unknown_values(values: npt.NDArray[Any], scheme: LabelScheme, *, by_name: bool) -> str:
    named = ", ".join(f"{value}" for value in values[:_NAMED_VALUES].tolist())
    more = f" and {len(values) - _NAMED_VALUES} more" if len(values) > _NAMED_VALUES else ""
    if by_name:  # the name itself is a text of the file
        return f"the name of value {named}{more} in the labelmap is not a class of {scheme.name}"
    return f"value {named}{more} in the labelmap is not a class of {scheme.name}"


def label_extents(labelmap: sitk.Image) -> dict[int, tuple[int, int, int, int, int, int]]:
    """Find how far each label reaches.

    Args:
        labelmap: 3D image of uint8; 0 is background.

    Returns:
        For each label that is there, its first and last voxel along x, y and z.
    """
    return {
        label: (x.start, x.stop - 1, y.start, y.stop - 1, z.start, z.stop - 1)
        for label, (z, y, x) in label_boxes(sitk.GetArrayViewFromImage(labelmap)).items()
    }
