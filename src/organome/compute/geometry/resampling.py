"""Linear resampling along the axes of an image: what stacks that share their directions need.

Separable, so its cost is three passes at most, and none along an axis whose voxels already lie on
the wanted ones.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SAME_PLACE: Final = 1e-3  # share of a voxel


@dataclass(frozen=True, slots=True)
class Axis:
    """Places of voxels along one axis.

    Attributes:
        start_mm: Centre of the first voxel.
        spacing_mm: Distance from centre to centre.
        n: Number of voxels.
    """

    start_mm: float
    spacing_mm: float
    n: int

    @property
    def low_mm(self) -> float:
        """Outer face of the first voxel."""
        return self.start_mm - self.spacing_mm / 2

    @property
    def high_mm(self) -> float:
        """Outer face of the last voxel."""
        return self.low_mm + self.n * self.spacing_mm

    def centres_mm(self) -> npt.NDArray[np.float64]:
        """Centres of all voxels."""
        return self.start_mm + self.spacing_mm * np.arange(self.n, dtype=np.float64)

    def within(self, low_mm: float, high_mm: float) -> slice:
        """Indices of the voxels whose centres lie between two places."""
        slack_mm = SAME_PLACE * self.spacing_mm
        inside = (self.centres_mm() > low_mm - slack_mm) & (self.centres_mm() < high_mm + slack_mm)
        places = np.flatnonzero(inside)
        return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)

    def part(self, indices: slice) -> "Axis":
        """The axis of some of the voxels."""
        start_mm = self.start_mm + indices.start * self.spacing_mm
        return Axis(start_mm, self.spacing_mm, indices.stop - indices.start)


def resample_axis(
    voxels: npt.NDArray[Any], *, dimension: int, old: Axis, new: Axis
) -> npt.NDArray[Any]:
    """Resample linearly along one dimension of an array.

    Args:
        voxels: The array.
        dimension: Which dimension.
        old: Where its voxels lie.
        new: Where voxels are wanted. Beyond the outermost centres the outermost value goes on:
            up to the outer face of a voxel that is its own.

    Returns:
        The array itself where its voxels are the wanted ones, else a new one of float32.
    """
    places = (new.centres_mm() - old.start_mm) / old.spacing_mm
    nearest = np.rint(places)
    if np.all(np.abs(places - nearest) < SAME_PLACE) and nearest[0] >= 0 and nearest[-1] < old.n:
        taken = [slice(None)] * voxels.ndim
        step = round(float(nearest[1] - nearest[0])) if new.n > 1 else 1
        taken[dimension] = slice(int(nearest[0]), int(nearest[-1]) + 1, step)
        return voxels[tuple(taken)]
    places = np.clip(places, 0, old.n - 1)
    below = np.minimum(places.astype(np.intp), old.n - 2)
    share = (places - below).astype(np.float32)
    share = share.reshape([-1 if axis == dimension else 1 for axis in range(voxels.ndim)])
    resampled = np.take(voxels, below, axis=dimension).astype(np.float32)
    above = np.take(voxels, below + 1, axis=dimension).astype(np.float32)
    above -= resampled
    above *= share
    resampled += above
    return resampled
