"""Distances between the surfaces of two masks, in mm.

A surface is a set of border voxels, and a distance runs between the centres of voxels. Distances
are asked for at border voxels only, so that a search tree over those of the other mask gives in
float64 what a Euclidean distance transform of the whole box does, in less time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy

from organome.compute.geometry.arrays import Floats, Mask

PERCENTILE: Final = 95.0
HD_DEFINITION: Final = (
    "hd95: maximum of the two directed 95th percentiles (linear interpolation) of distances in mm "
    "between centres of border voxels; border: voxels of the mask with one of 6 neighbours outside "
    "of it, or outside of the image"
)
SURFACE_DICE_DEFINITION: Final = (
    "surface_dice: share of the border voxels of both masks, taken together, that lie within the "
    "tolerance of a border voxel of the other; borders and distances as for hd95"
)
_ROUNDING: Final = 1e-9  # so that a distance of 3 voxels lies within a tolerance of 3 voxels


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """From every border voxel of either mask to the nearest one of the other, in mm.

    Attributes:
        to_reference_mm: From the predicted surface, shape (n border voxels predicted,).
        to_predicted_mm: From the reference surface, shape (n border voxels of the reference,).
    """

    to_reference_mm: Floats
    to_predicted_mm: Floats

    @classmethod
    def between(
        cls, predicted_zyx: Mask, reference_zyx: Mask, spacing_zyx_mm: Sequence[float]
    ) -> "SurfaceDistances":
        """Measure two masks of one shape; neither is empty.

        Args:
            predicted_zyx: A box that holds the whole mask, or all of the image in which it lies.
            reference_zyx: The other mask, in the same box.
            spacing_zyx_mm: Of the voxels.
        """
        predicted, reference = border(predicted_zyx), border(reference_zyx)
        return cls(
            _distances_mm(predicted, reference, spacing_zyx_mm),
            _distances_mm(reference, predicted, spacing_zyx_mm),
        )

    @property
    def hd95_mm(self) -> float:
        """Robust Hausdorff distance, by ``HD_DEFINITION``.

        Source: as MONAI 1.6 and MetricsReloaded define it. MedPy, panoptica and seg-metrics take
        the percentile of both directions together instead: one-sided errors come out smaller.
        """
        directed_mm = (self.to_reference_mm, self.to_predicted_mm)
        return max(float(np.percentile(each, PERCENTILE)) for each in directed_mm)

    def surface_dice(self, tolerance_mm: float) -> float:
        """Normalised surface Dice at a tolerance in mm, by ``SURFACE_DICE_DEFINITION``; 0 to 1.

        Source: Nikolov et al. 2021, J Med Internet Res 23, over border voxels, as MONAI does it by
        default. Their own library weights pieces of surface by their area instead.
        """
        all_mm = np.concatenate((self.to_reference_mm, self.to_predicted_mm))
        return float(np.mean(all_mm <= tolerance_mm * (1 + _ROUNDING)))


def border(mask_zyx: Mask) -> Mask:
    """Return the voxels of a mask that have one of their 6 neighbours outside of it.

    What lies outside of the array counts as outside of the mask.
    """
    inside = mask_zyx.copy()
    for axis in range(inside.ndim):
        along, of_mask = (np.moveaxis(one, axis, 0) for one in (inside, mask_zyx))
        along[1:] &= of_mask[:-1]
        along[:-1] &= of_mask[1:]
        along[[0, -1]] = False
    outer: Mask = mask_zyx & ~inside
    return outer


def _distances_mm(from_zyx: Mask, to_zyx: Mask, spacing_zyx_mm: Sequence[float]) -> Floats:
    """Return the distance from each border voxel of one mask; 0 first, for those in both."""
    tree = scipy.spatial.KDTree(
        np.argwhere(to_zyx) * spacing_zyx_mm, compact_nodes=False, balanced_tree=False
    )
    apart_mm, _ = tree.query(np.argwhere(from_zyx & ~to_zyx) * spacing_zyx_mm)
    n_shared = np.count_nonzero(from_zyx & to_zyx)
    return np.concatenate((np.zeros(n_shared), apart_mm))
