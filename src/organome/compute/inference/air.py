"""Tiles that hold nothing but air, and need no network to be background.

Source: Otsu 1979 for the threshold between air and body.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from organome.compute.inference.tiling import Corner, Tiling

_N_BINS: Final = 256
# How far from the mean of the darker voxels to that of the brighter ones a voxel is air for sure:
# well below the threshold between them, for lungs and dark tissue are no air.
_AIR_SHARE: Final = 0.25


class AirMask:
    """Which tiles of an image hold part of a body."""

    def __init__(self, voxels_zyx: npt.NDArray[np.float32], tiling: Tiling) -> None:
        self._body_zyx = np.pad(
            voxels_zyx > air_limit(voxels_zyx),
            [
                (before, wanted - n - before)
                for n, wanted, before in zip(
                    voxels_zyx.shape, tiling.shape, tiling.before, strict=True
                )
            ],
        )
        self._patch = tiling.patch

    def not_air(self, corners: Iterable[Corner]) -> list[Corner]:
        """Give the tiles in which not all voxels are air."""
        return [corner for corner in corners if self._holds_body(corner)]

    def _holds_body(self, corner: Corner) -> bool:
        z, y, x = (slice(first, first + n) for first, n in zip(corner, self._patch, strict=True))
        return bool(self._body_zyx[z, y, x].any())


def air_limit(voxels_zyx: npt.NDArray[np.float32]) -> float:
    """Find the intensity up to which a voxel is air for sure."""
    counts, edges = np.histogram(voxels_zyx, bins=_N_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    n_dark = np.cumsum(counts)[:-1]
    n_bright = voxels_zyx.size - n_dark
    total = np.cumsum(counts * centres)
    dark = total[:-1] / np.maximum(n_dark, 1)
    bright = (total[-1] - total[:-1]) / np.maximum(n_bright, 1)
    best = int(np.argmax(n_dark * n_bright * (bright - dark) ** 2))
    return float(dark[best] + _AIR_SHARE * (bright[best] - dark[best]))
