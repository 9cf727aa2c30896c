"""How two labelmaps of the same image differ, organ by organ."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from organome.compute.geometry.grids import voxel_ml
from organome.compute.labelmaps.overlap import count_confusion, dice_by_organ
from organome.domain.canaries import OrganDifference
from organome.domain.organs import ORGANS, Organ


def organ_volumes_ml(
    labelmap: sitk.Image, structures: Sequence[Organ] = ORGANS
) -> dict[str, float]:
    """Volume in view of every organ that a labelmap has, by name, in mL."""
    labels = sitk.GetArrayViewFromImage(labelmap).ravel()
    n_voxels = np.bincount(labels, minlength=len(structures) + 1)
    one_ml = voxel_ml(labelmap)
    return {
        organ.name: float(n_voxels[organ.label] * one_ml)
        for organ in structures
        if n_voxels[organ.label]
    }


def organ_differences(
    reference: sitk.Image, labelmap: sitk.Image, structures: Sequence[Organ] = ORGANS
) -> tuple[OrganDifference, ...]:
    """Compare every organ that either of two labelmaps has.

    Args:
        reference: uint8 labels of the organs.
        labelmap: The same on the same grid.
        structures: What the labels mean.

    Returns:
        One difference an organ, in order of labels.
    """
    confusion = count_confusion(reference, labelmap, n_labels=len(structures))
    dice = dice_by_organ(confusion, structures)
    one_ml = voxel_ml(reference)
    n_reference, n_given = confusion.sum(axis=1), confusion.sum(axis=0)
    return tuple(
        OrganDifference(
            organ=organ.name,
            dice=dice.get(organ.name, 0.0),
            reference_ml=float(n_reference[organ.label] * one_ml),
            volume_ml=float(n_given[organ.label] * one_ml),
        )
        for organ in structures
        if n_reference[organ.label] or n_given[organ.label]
    )
