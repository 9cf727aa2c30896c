"""Loops over sums of logits, held in half precision as nnU-Net holds them.

Sums lie in a ring of rows: row z of the image is row z modulo their number. Within a row labels
come before x, so that all that a voxel needs lies close together. Halves are passed as their bits.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Halves, Singles
from organome.compute.inference.half_floats import narrowed, widened

NOT_A_NUMBER = np.uint16(0x7C00)  # bits of the exponent that only NaN and infinity have all set
NOT_SEEN = np.uint16(0xD640)  # -100: no label but background where no tile was


@njit(cache=True, nogil=True, error_model="numpy")
def add_tile(
    sums_zycx: Halves,
    weights_zyx: Halves,
    logits_czyx: Singles,
    importance_zyx: Singles,
    corner: tuple[int, int, int],
) -> None:
    """Add the logits of a tile, weighted.

    Args:
        sums_zycx: Ring of sums.
        weights_zyx: Ring of sums of weights.
        logits_czyx: Of the tile.
        importance_zyx: Weights of the tile.
        corner: First voxel of the tile.
    """
    n_labels, n_z, n_y, n_x = logits_czyx.shape
    first_z, first_y, first_x = corner
    for z in range(n_z):
        row = (first_z + z) % sums_zycx.shape[0]
        for y in range(n_y):
            importance = importance_zyx[z, y]
            weights = weights_zyx[row, first_y + y, first_x : first_x + n_x]
            for x in range(n_x):
                weights[x] = narrowed(widened(weights[x]) + importance[x])
            for label in range(n_labels):
                sums = sums_zycx[row, first_y + y, label, first_x : first_x + n_x]
                logits = logits_czyx[label, z, y]
                for x in range(n_x):
                    sums[x] = narrowed(widened(sums[x]) + logits[x] * importance[x])


@njit(cache=True, nogil=True, error_model="numpy")
def finish_row(
    sums_ycx: Halves, weights_yx: Halves, labels_yx: NDArray[np.uint8], lines: Singles
) -> bool:
    """Turn the sums of a row into logits, and find the label with the highest, lowest label first.

    Args:
        sums_ycx: Sums of one row of the ring; overwritten by logits.
        weights_yx: Sums of weights.
        labels_yx: Labels to set.
        lines: Room for two lines of numbers.

    Returns:
        Whether all logits are numbers.
    """
    n_y, n_labels, n_x = sums_ycx.shape
    divisor, best = lines[0], lines[1]  # unpacked as one they are no lines of vectors any more
    winner = np.empty(n_x, dtype=np.int32)  # as wide as a logit: so the loop stays one of vectors
    exponents = np.uint16(0)
    for y in range(n_y):
        _see_nowhere_but_background(sums_ycx[y], weights_yx[y])
        winner[:] = 0
        best[:] = -np.inf
        for x in range(n_x):
            divisor[x] = widened(weights_yx[y, x])
        for label in range(n_labels):
            sums = sums_ycx[y, label]
            for x in range(n_x):
                sums[x] = narrowed(widened(sums[x]) / divisor[x])
            for x in range(n_x):
                value = widened(sums[x])
                higher = value > best[x]
                winner[x] = label if higher else winner[x]
                best[x] = value if higher else best[x]
            for x in range(n_x):
                exponents = max(exponents, sums[x] & NOT_A_NUMBER)
        for x in range(n_x):
            labels_yx[y, x] = winner[x]
    return bool(exponents < NOT_A_NUMBER)


@njit(cache=True, nogil=True, error_model="numpy")
def _see_nowhere_but_background(sums_cx: Halves, weights_x: Halves) -> None:
    """Make background of the voxels that no tile has seen."""
    for x in range(weights_x.shape[0]):
        if weights_x[x] == 0:
            weights_x[x] = narrowed(np.float32(1.0))
            sums_cx[1:, x] = NOT_SEEN
