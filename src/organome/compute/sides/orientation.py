"""Whether a body lies in its image as the header says: head up, left on the left.

An image whose header has a wrong sign is sound otherwise; only what lies in it shows that it is
upside down or mirrored.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import cc3d
import numpy as np
import SimpleITK as sitk

from organome.compute.geometry.boxes import labelled_box
from organome.compute.geometry.grids import Grid, voxel_ml
from organome.domain.flags import Flag
from organome.domain.organs import Organ, SideFinding

# From head to feet, whatever the posture.
_TIERS: Final = (
    ("left_lung", "right_lung", "heart"),
    ("liver", "spleen", "stomach", "pancreas", "left_kidney", "right_kidney"),
    ("sacrum", "left_hip", "right_hip", "urinary_bladder", "left_femur", "right_femur"),
)
MIN_ML: Final = 2.0  # less of an organ may be stray voxels
MIN_APART_MM: Final = 20.0
_WRONG: Final = (SideFinding.CROSSED, SideFinding.OTHER_SIDE)


def orientation_flags(
    labelmap: sitk.Image,
    structures: Sequence[Organ],
    sides: Mapping[str, SideFinding | None],
) -> set[Flag]:
    """Return whether a body looks mirrored or upside down.

    Args:
        labelmap: uint8 labels, any orientation.
        structures: What they mean.
        sides: What ``check_sides`` found.

    Returns:
        MIRRORED, if most organs with a side lie on the other one; UPSIDE_DOWN, if chest, belly and
        pelvis, as far as they are in view, lie in the opposite order.
    """
    flags = set()
    if 2 * sum(finding in _WRONG for finding in sides.values()) > len(sides):
        flags.add(Flag.MIRRORED)
    heights_mm = _heights_mm(labelmap, structures)
    steps_mm = np.diff([one for one in heights_mm if one is not None])
    if steps_mm.size and (steps_mm > MIN_APART_MM).all():
        flags.add(Flag.UPSIDE_DOWN)
    return flags


def _heights_mm(labelmap: sitk.Image, structures: Sequence[Organ]) -> list[float | None]:
    """Return the mean height of each tier of the body, None where nothing of it is in view."""
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    box = labelled_box(labels_zyx)
    if box is None:
        return [None] * len(_TIERS)
    within_zyx = np.ascontiguousarray(labels_zyx[box])
    statistics = cc3d.statistics(within_zyx, no_slice_conversion=True)
    counts = statistics["voxel_counts"]
    centroids_zyx = np.nan_to_num(statistics["centroids"]) + [extent.start for extent in box]
    places_xyz_mm = Grid.of(labelmap).places_xyz_mm(centroids_zyx)
    labels = {organ.name: organ.label for organ in structures if organ.label < len(counts)}
    heights_mm: list[float | None] = []
    for names in _TIERS:
        there = [labels[name] for name in names if name in labels]
        there = [label for label in there if counts[label] * voxel_ml(labelmap) >= MIN_ML]
        heights_mm.append(float(places_xyz_mm[there, 2].mean()) if there else None)
    return heights_mm
