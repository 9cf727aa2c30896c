"""Loops that find the voxels of every label in one pass over a labelmap."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
Indices = NDArray[np.int64]

N_LABELS = 256
N_MOMENTS = 9


@njit(cache=True, nogil=True)
def scan_rows(labels_zyx: Labels, counts: Indices, extents: Indices) -> None:
    """Count voxels by label, and note the box of everything that is labelled.

    Args:
        labels_zyx: Labels, 0 is background.
        counts: Voxels by label, 256 zeros to add to.
        extents: First and last index along z, y, x; set only where there is a label.
    """
    n_z, n_y, n_x = labels_zyx.shape
    extents[:] = np.array([n_z, -1, n_y, -1, n_x, -1])
    for z in range(n_z):
        for y in range(n_y):
            row = labels_zyx[z, y]
            first = 0
            while first < n_x and row[first] == 0:
                first += 1
            if first == n_x:
                continue
            last = n_x - 1
            while row[last] == 0:
                last -= 1
            for x in range(first, last + 1):
                counts[row[x]] += 1
            extents[0] = min(extents[0], z)
            extents[1] = max(extents[1], z)
            extents[2] = min(extents[2], y)
            extents[3] = max(extents[3], y)
            extents[4] = min(extents[4], first)
            extents[5] = max(extents[5], last)


@njit(cache=True, nogil=True)
def list_voxels(padded: Labels, starts: Indices, voxels: NDArray[np.int32]) -> None:
    """List the voxels of every label, one label after the other, each in raster order.

    Args:
        padded: Labels, flat.
        starts: Where the list of each label begins; moved to where it ends.
        voxels: Flat indices into ``padded``.
    """
    for place in range(padded.size):
        label = padded[place]
        if label:
            voxels[starts[label]] = place
            starts[label] += 1


@njit(cache=True, nogil=True)
def bound_voxels(
    voxels: NDArray[np.int32], n_y: int, n_x: int, extents: Indices, moments: Indices
) -> None:
    """Find the box of a region and the sums of its coordinates and of their products.

    Args:
        voxels: Flat indices in raster order.
        n_y: Rows of the array that they point into.
        n_x: Columns of it.
        extents: First and last index along z, y, x.
        moments: Sums of z, y, x, zz, yy, xx, zy, zx, yx, from the array's first voxel.
    """
    low_y: Any = n_y
    low_x: Any = n_x
    high_y: Any = -1
    high_x: Any = -1
    place = 0
    n = voxels.size
    moments[:] = 0
    while place < n:
        row = np.int64(voxels[place] // np.int32(n_x))
        start = row * n_x
        end = start + n_x
        z, y = row // n_y, row % n_y
        low_y, high_y = min(low_y, y), max(high_y, y)
        low_x = min(low_x, voxels[place] - start)
        in_row, sum_x, sum_xx = 0, 0, 0
        while place < n and voxels[place] < end:
            x = voxels[place] - start
            sum_x += x
            sum_xx += x * x
            in_row += 1
            place += 1
        high_x = max(high_x, voxels[place - 1] - start)
        moments[0] += in_row * z
        moments[1] += in_row * y
        moments[2] += sum_x
        moments[3] += in_row * z * z
        moments[4] += in_row * y * y
        moments[5] += sum_xx
        moments[6] += in_row * z * y
        moments[7] += z * sum_x
        moments[8] += y * sum_x
    extents[0], extents[1] = voxels[0] // (n_y * n_x), voxels[n - 1] // (n_y * n_x)
    extents[2], extents[3], extents[4], extents[5] = low_y, high_y, low_x, high_x


@njit(cache=True, nogil=True)
def gather(
    image_zyx: NDArray[Any],
    voxels: NDArray[np.int32],
    shape_yx: tuple[int, int],
    shift_zyx: tuple[int, int, int],
    values: NDArray[Any],
) -> None:
    """Read the intensities of a region.

    Args:
        image_zyx: Intensities.
        voxels: Flat indices into an array of ``shape_yx`` rows and columns.
        shape_yx: Rows and columns of that array.
        shift_zyx: What is added to coordinates there to get those of the image.
        values: Filled.
    """
    n_y, n_x = np.int32(shape_yx[0]), np.int32(shape_yx[1])
    for place in range(voxels.size):
        row = voxels[place] // n_x
        x = voxels[place] - row * n_x
        z = row // n_y
        values[place] = image_zyx[z + shift_zyx[0], row - z * n_y + shift_zyx[1], x + shift_zyx[2]]


@njit(cache=True, nogil=True)
def to_box(
    voxels: NDArray[np.int32],
    shape_yx: tuple[int, int],
    start_zyx: tuple[int, int, int],
    box_yx: tuple[int, int],
    places: NDArray[np.int32],
) -> None:
    """Turn flat indices of a large array into those of a box in it that is padded by one voxel."""
    n_y, n_x = np.int32(shape_yx[0]), np.int32(shape_yx[1])
    for place in range(voxels.size):
        row = voxels[place] // n_x
        x = voxels[place] - row * n_x - start_zyx[2] + 1
        z = row // n_y
        y = row - z * n_y - start_zyx[1] + 1
        places[place] = ((z - start_zyx[0] + 1) * box_yx[0] + y) * box_yx[1] + x
