"""How well two labelmaps of one image agree, organ by organ."""

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.geometry.grids import voxel_ml
from organome.domain.canaries import OrganDifference
from organome.domain.organs import N_ORGANS, ORGANS, PAIRS, Organ


def count_confusion(
    truth: sitk.Image, labelmap: sitk.Image, *, n_labels: int = N_ORGANS
) -> NDArray[np.int64]:
    """Count voxels by true label (rows) and given label (columns); 0 is a label, too.

    Args:
        truth: uint8 labels of the organs; brought onto the other's grid by nearest neighbour.
        labelmap: uint8 labels of the organs.
        n_labels: How many organs there are.
    """
    onto = sitk.Resample(truth, labelmap, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    n = n_labels + 1
    pairs = sitk.GetArrayViewFromImage(onto).astype(np.int64) * n
    pairs += sitk.GetArrayViewFromImage(labelmap)
    return np.bincount(pairs.ravel(), minlength=n * n).reshape(n, n).astype(np.int64)


def dice_by_organ(
    confusion: NDArray[np.int64], structures: Sequence[Organ] = ORGANS
) -> dict[str, float]:
    """Dice similarity coefficient of every organ that the truth has, by name.

    An organ that the truth lacks has no value, whether it was added falsely or not; one that was
    missed has 0.

    Args:
        confusion: From ``count_confusion``.
        structures: What the labels mean.
    """
    given, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return {
        organ.name: float(
            2 * confusion[organ.label, organ.label] / (given[organ.label] + true[organ.label])
        )
        for organ in structures
        if true[organ.label]
    }


def swapped_share_by_pair(confusion: NDArray[np.int64]) -> dict[str, float]:
    """Share of the voxels of a pair that were given to the other side, by name of the left one.

    Args:
        confusion: From ``count_confusion``.

    Returns:
        Shares of the voxels that are left or right both in truth and as given, 0 to 1; pairs that
        share no such voxel are left out.
    """
    shares = {}
    for left, right in PAIRS:
        both = [left.label, right.label]
        within = confusion[np.ix_(both, both)]
        if within.sum():
            shares[left.name] = float((within[0, 1] + within[1, 0]) / within.sum())
    return shares


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
