"""Outliers by median and median absolute deviation, within groups."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats

_MAD_TO_SD: Final = 1.4826  # of a normal distribution


@dataclass(frozen=True, slots=True)
class RobustScale:
    """Centre and spread of several values in several groups; NaN where there are too few.

    Attributes:
        centres: Medians, array (groups, values).
        spreads: 1.4826 times the median absolute deviations, array (groups, values).
    """

    centres: Floats
    spreads: Floats

    def z(self, values: Floats, groups: NDArray[Any]) -> Floats:
        """Return how far values lie from the median of their group.

        Args:
            values: Array (rows, values).
            groups: Number of the group of each row, array (rows,).
        """
        return np.asarray((values - self.centres[groups]) / self.spreads[groups], np.float64)


def robust_scale(
    values: Floats, groups: NDArray[Any], n_groups: int, *, min_group: int
) -> RobustScale:
    """Find medians and spreads; NaN values count for nothing.

    Args:
        values: Array (rows, values).
        groups: Number of the group of each row, array (rows,).
        n_groups: Groups that there are.
        min_group: Values that a group must have.

    Source:
        Iglewicz and Hoaglin 1993, How to detect and handle outliers: 0.6745 (x - median) / MAD.
    """
    shape = (n_groups, values.shape[1])
    centres, spreads = np.full(shape, np.nan), np.full(shape, np.nan)
    for group in range(n_groups):
        for place, column in enumerate(values[groups == group].T):
            known = column[~np.isnan(column)]
            if len(known) < min_group:
                continue
            centre = np.median(known)
            spread = _MAD_TO_SD * np.median(np.abs(known - centre))
            if spread > 0:
                centres[group, place], spreads[group, place] = centre, spread
    return RobustScale(centres, spreads)
