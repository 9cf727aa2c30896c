"""Where the tiles of the sliding window lie, how much their voxels count, and which are but air.

Source: nnU-Net 2.8 (``predict_from_raw_data``): the same tiles in the same order, the same weights.
Otsu 1979 for the threshold between air and body.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

GAUSSIAN_SIGMA: Final = 1.0 / 8  # as a share of the patch
GAUSSIAN_SCALE: Final = 10.0  # half precision holds no smaller weights

Shape = tuple[int, int, int]
Corner = tuple[int, int, int]


_N_BINS: Final = 256
# How far from the mean of the darker voxels to that of the brighter ones a voxel is air for sure:
# well below the threshold between them, for lungs and dark tissue are not air.
_AIR_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class TileRow:
    """All tiles that begin at one place along the first axis.

    Attributes:
        start: That place, in the padded image.
        finished: To no voxel in front of this place do later rows contribute.
        corners: First voxel of each tile, z, y, x.
    """

    start: int
    finished: int
    corners: tuple[Corner, ...]


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tiles of one image, which is padded where it is smaller than a tile.

    Attributes:
        shape: Shape of the padded image.
        before: Voxels of padding in front, along each axis.
        patch: Shape of a tile.
        starts: Where tiles begin, along each axis.
    """

    shape: Shape
    before: Shape
    patch: Shape
    starts: tuple[Sequence[int], Sequence[int], Sequence[int]]

    @property
    def n_rows_held(self) -> int:
        """Rows of logits that must be held at a time: those of a tile, and the one before."""
        return min(self.shape[0], self.patch[0] + 1)

    def rows(self) -> Iterator[TileRow]:
        """Visit all tiles along the first axis."""
        z_starts = self.starts[0]
        for i, z in enumerate(z_starts):
            finished = z_starts[i + 1] if i + 1 < len(z_starts) else self.shape[0]
            yield TileRow(z, finished, tuple((z, y, x) for y, x in product(*self.starts[1:])))


def place_tiles(shape: Sequence[int], patch: Sequence[int], step_size: float) -> Tiling:
    """Place the tiles on an image.

    Args:
        shape: Shape of the image, z, y, x.
        patch: Shape of a tile.
        step_size: Step as a share of the patch.
    """
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    n_z, n_y, n_x = (max(n, m) for n, m in zip(shape, patch, strict=True))
    z, y, x = ((n - m) // 2 for n, m in zip((n_z, n_y, n_x), shape, strict=True))
    starts = compute_steps_for_sliding_window((n_z, n_y, n_x), tuple(patch), step_size)
    return Tiling(
        (n_z, n_y, n_x),
        (z, y, x),
        (patch[0], patch[1], patch[2]),
        (starts[0], starts[1], starts[2]),
    )


@lru_cache(maxsize=4)
def tile_weights(patch: tuple[int, ...]) -> npt.NDArray[np.float16]:
    """Return the weight of each voxel of a tile: a Gaussian about its centre, nowhere 0."""
    import torch
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    gaussian = compute_gaussian(
        patch,
        sigma_scale=GAUSSIAN_SIGMA,
        value_scaling_factor=GAUSSIAN_SCALE,
        device=torch.device("cpu"),
    )
    weights: npt.NDArray[np.float16] = gaussian.numpy()
    weights.flags.writeable = False
    return weights


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
