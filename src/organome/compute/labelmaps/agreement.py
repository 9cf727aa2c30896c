"""How far several labelmaps of one body agree on each organ: a measure of uncertainty.

All organs and all pairs of labelmaps are counted together, out of the contested voxels alone.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from organome.compute.geometry.arrays import Counts
from organome.compute.labelmaps.consensus import N_VALUES, Votes
from organome.domain.organs import BACKGROUND


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of several labelmaps on one organ.

    Attributes:
        dice: Mean Dice similarity coefficient over all pairs of labelmaps of which at least one has
            the organ, 0 to 1.
        volume_sd_ml: Standard deviation of the volume (divisor n - 1) in mL; a labelmap without the
            organ counts with the 0 mL that it found.
    """

    dice: float
    volume_sd_ml: float


def measure_agreement(votes: Votes, *, voxel_ml: float) -> dict[int, Agreement]:
    """Measure the agreement of labelmaps on each organ.

    Args:
        votes: Of two labelmaps or more; of a single one there is nothing to measure.
        voxel_ml: Volume of a voxel.

    Returns:
        By label, for the organs that at least one labelmap has. None with a single labelmap.
    """
    if votes.n_voters < 2:
        return {}
    n_voxels = np.stack([votes.n_agreed + _count(ballot) for ballot in votes.ballots])
    dice = np.full((0, N_VALUES), np.nan)
    for one, other in combinations(range(votes.n_voters), 2):
        alike = votes.ballots[one] == votes.ballots[other]
        n_both = votes.n_agreed + _count(votes.ballots[one][alike])
        n_either = n_voxels[one] + n_voxels[other]
        of_pair = np.full(N_VALUES, np.nan)
        np.divide(2 * n_both, n_either, out=of_pair, where=n_either > 0)
        dice = np.vstack([dice, of_pair])
    volumes_sd_ml = n_voxels.std(axis=0, ddof=1) * voxel_ml
    return {
        int(label): Agreement(
            dice=float(np.nanmean(dice[:, label])), volume_sd_ml=float(volumes_sd_ml[label])
        )
        for label in np.flatnonzero(n_voxels.any(axis=0))
        if label != BACKGROUND
    }


def _count(labels: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> Counts:
    return np.bincount(labels, minlength=N_VALUES)
