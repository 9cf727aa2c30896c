"""One labelmap out of several of the same image grid, and how far they agree on each organ.

Nearly all voxels are labelled alike by all. They are counted and passed over; only the contested
ones are gathered, once, for the vote of each voxel and for the agreement of all organs and pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from organome.compute.geometry.arrays import Counts, Labels
from organome.domain.organs import BACKGROUND

N_VALUES: Final = 256  # of uint8


@dataclass(frozen=True, slots=True)
class Votes:
    """How several labelmaps on one grid vote.

    Attributes:
        n_agreed: Voxels that all label alike, by label; shape (256,).
        places: Index of each contested voxel in the raveled array; shape (n,).
        ballots: Label of each contested voxel by each voter; shape (voters, n).
    """

    n_agreed: Counts
    places: npt.NDArray[np.int64]
    ballots: Labels

    @property
    def n_voters(self) -> int:
        """Count the labelmaps."""
        return len(self.ballots)


def count_votes(labelmaps_zyx: Sequence[Labels]) -> Votes:
    """Find out where labelmaps differ, in one pass over the voxels.

    Args:
        labelmaps_zyx: uint8 labels on one grid, one array for each voter, at least one.

    Raises:
        ValueError: They differ in shape.
    """
    first, *others = labelmaps_zyx
    if any(other.shape != first.shape for other in others):
        raise ValueError("labelmaps that vote must have one shape")
    n_agreed = np.zeros(N_VALUES, np.int64)
    places, ballots = [], []
    for index, plane in enumerate(first):  # plane by plane, so that what is temporary stays small
        planes = [labels_zyx[index].ravel() for labels_zyx in labelmaps_zyx]
        contested = np.zeros(plane.size, np.bool_)
        for other in planes[1:]:
            contested |= other != planes[0]
        n_agreed += np.bincount(planes[0][~contested], minlength=N_VALUES)
        where = np.flatnonzero(contested)
        places.append(where + index * plane.size)
        ballots.append(np.stack([one[where] for one in planes]))
    if not places:
        return Votes(n_agreed, np.zeros(0, np.int64), np.zeros((len(others) + 1, 0), np.uint8))
    return Votes(n_agreed, np.concatenate(places), np.concatenate(ballots, axis=1))


def majority(labels_zyx: Labels, votes: Votes) -> Labels:
    """Give each voxel the label with most votes.

    A tie goes to that of the tied labels which the earliest voter chose.

    Args:
        labels_zyx: Labels of any of the voters.
        votes: From ``count_votes``.

    Returns:
        A new array.
    """
    elected = labels_zyx.copy()
    ballots = votes.ballots
    support = np.zeros(ballots.shape, np.uint8)
    for one in range(len(ballots)):
        for other in ballots:
            support[one] += ballots[one] == other
    winner = support.argmax(axis=0)  # the first of those with most
    elected.reshape(-1)[votes.places] = np.take_along_axis(ballots, winner[None], axis=0)[0]
    return elected


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
