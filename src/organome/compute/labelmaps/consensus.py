"""One labelmap out of several of the same image grid: the vote of each, voxel by voxel.

Nearly all voxels are labelled alike by all. They are counted and passed over; only the contested
ones are gathered, once, for the vote as well as for the agreement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from organome.compute.geometry.arrays import Counts, Labels

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
