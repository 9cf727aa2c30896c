"""Loops that turn logits on the grid of the model into labels on the grid of the image.

Weights of linear interpolation are never negative and add up to 1. So the label that is highest at
all corners of a cell of the grid is highest everywhere within it: it is copied. Only where corners
disagree logits are interpolated. No logits on the image's grid are ever stored.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Halves, Labels
from organome.compute.inference.half_floats import narrowed, widened

Axis = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]

MIXED = np.int16(-1)
GAP = 32  # voxels of the model between two that are interpolated, up to which both are one stretch


@njit(cache=True, nogil=True, error_model="numpy")
def export_slice(
    sums_zycx: Halves,
    labels_zyx: Labels,
    z_place: tuple[int, int, float],
    y_axis: Axis,
    x_axis: Axis,
    rounds_to_half: bool,
    line: NDArray[Any],
    found_yx: Labels,
) -> None:
    """Label one slice of the image.

    Args:
        sums_zycx: Ring of logits, by label.
        labels_zyx: Ring of labels.
        z_place: Row before, row after, and weight of the latter; rows of the ring.
        y_axis: Indices before and after, and weights of the latter, of each voxel along y.
        x_axis: The same along x.
        rounds_to_half: Whether interpolated logits are rounded to half precision.
        line: Room for the logits of one line of the model's grid, label by x.
        found_yx: Labels of the slice, to set.
    """
    y_lower, y_upper, y_weight = y_axis
    x_lower, x_upper, _ = x_axis
    cells = np.empty(labels_zyx.shape[2], dtype=np.int16)
    agreed = np.empty(x_lower.shape[0], dtype=np.uint8)
    mixed = np.empty(x_lower.shape[0], dtype=np.int64)
    before, after, _ = z_place
    last_lower, last_upper, n_mixed = -1, -1, 0
    for y in range(y_lower.shape[0]):
        lower, upper = y_lower[y], y_upper[y]
        if lower != last_lower or upper != last_upper:
            _join_rows(
                labels_zyx[before, lower],
                labels_zyx[after, lower],
                labels_zyx[before, upper],
                labels_zyx[after, upper],
                cells,
            )
            n_mixed = _copy_agreed(cells, x_lower, x_upper, agreed, mixed)
            last_lower, last_upper = lower, upper
        found = found_yx[y]
        found[:] = agreed
        y_place = (lower, upper, y_weight[y])
        first = 0
        while first < n_mixed:
            stop = first + 1
            while stop < n_mixed and x_lower[mixed[stop]] <= x_upper[mixed[stop - 1]] + GAP:
                stop += 1
            stretch = mixed[first:stop]
            low, high = x_lower[stretch[0]], x_upper[stretch[-1]] + 1
            _interpolate_line(sums_zycx, z_place, y_place, (low, high), line)
            _label_stretch(line, low, stretch, x_axis, rounds_to_half, found)
            first = stop


@njit(cache=True, nogil=True, error_model="numpy")
def _join_rows(one: Labels, two: Labels, three: Labels, four: Labels, cells: NDArray[Any]) -> None:
    for x in range(cells.shape[0]):
        label = np.int16(one[x])
        agree = (label == two[x]) & (label == three[x]) & (label == four[x])
        cells[x] = label if agree else MIXED


@njit(cache=True, nogil=True, error_model="numpy")
def _copy_agreed(
    cells: NDArray[Any],
    x_lower: NDArray[np.int64],
    x_upper: NDArray[np.int64],
    agreed: Labels,
    mixed: NDArray[np.int64],
) -> int:
    """Copy labels where corners agree; list the other voxels, and give their number."""
    n_mixed = 0
    for x in range(agreed.shape[0]):
        label = cells[x_lower[x]]
        agreed[x] = label
        mixed[n_mixed] = x
        n_mixed += (label == MIXED) | (label != cells[x_upper[x]])
    return n_mixed


@njit(cache=True, nogil=True, error_model="numpy")
def _interpolate_line(
    sums_zycx: Halves,
    z_place: tuple[int, int, float],
    y_place: tuple[int, int, float],
    stretch: tuple[int, int],
    line: NDArray[Any],
) -> None:
    one = np.float32(1.0)
    before, after, z_weight = z_place
    lower, upper, y_weight = y_place
    low, high = stretch
    for label in range(line.shape[0]):
        lower_before = sums_zycx[before, lower, label, low:high]
        lower_after = sums_zycx[after, lower, label, low:high]
        upper_before = sums_zycx[before, upper, label, low:high]
        upper_after = sums_zycx[after, upper, label, low:high]
        values = line[label]
        for x in range(high - low):
            down = widened(lower_before[x]) * (one - z_weight) + widened(lower_after[x]) * z_weight
            up = widened(upper_before[x]) * (one - z_weight) + widened(upper_after[x]) * z_weight
            values[x] = down * (one - y_weight) + up * y_weight


@njit(cache=True, nogil=True, error_model="numpy")
def _label_stretch(
    line: NDArray[Any],
    low: int,
    stretch: NDArray[np.int64],
    x_axis: Axis,
    rounds_to_half: bool,
    found: Labels,
) -> None:
    x_lower, x_upper, x_weight = x_axis
    one = np.float32(1.0)
    for x in stretch:
        lower, upper, weight = x_lower[x] - low, x_upper[x] - low, x_weight[x]
        best, winner = np.float32(-np.inf), 0
        for label in range(line.shape[0]):
            value = line[label, lower] * (one - weight) + line[label, upper] * weight
            if rounds_to_half:
                value = widened(narrowed(value))
            if value > best:
                best, winner = value, label
        found[x] = winner
