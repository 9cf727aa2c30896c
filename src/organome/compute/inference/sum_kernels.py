"""Compiled loops over sums of logits, held in half precision as nnU-Net holds them.

Sums lie in a ring of rows: row z of the image is row z modulo their number. Within a row each label
has a plane of its own, as in the logits of a tile: so both are read along long stretches of memory,
whose speed is what limits the sums. Halves are passed as their bits: numba knows no such type, but
processors convert it.

Weights of linear interpolation are never negative and add up to 1. So the label that is highest at
all corners of a cell of the grid is highest everywhere within it: it is copied. Only where corners
disagree logits are interpolated. No logits on the image's grid are ever stored.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Halves, Labels, Singles
from organome.compute.kernels import kernel

NOT_A_NUMBER = np.uint16(0x7C00)  # bits of the exponent that only NaN and infinity have all set
MAGNITUDE = np.int32(0x7FFF)  # bits of all but the sign
LAST_LABEL = np.int32(0xFF)  # that a labelmap can hold
NOT_SEEN = np.uint16(0xD640)  # -100: no label but background where no tile was
Axis = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
MIXED = np.int16(-1)
VOXELS = 2048  # of a row that are finished together: what they need stays in the cache
GAP = 32  # voxels of the model between two that are interpolated, up to which both are one stretch


def _widened(_context: Any, _bits: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        half = builder.bitcast(arguments[0], ir.HalfType())
        return builder.fpext(half, ir.FloatType())

    return types.float32(types.uint16), generate


def _narrowed(_context: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        half = builder.fptrunc(arguments[0], ir.HalfType())
        return builder.bitcast(half, ir.IntType(16))

    return types.uint16(types.float32), generate


# Reads the bits of a number of half precision as single precision.
widened: Any = intrinsic(_widened)
# Rounds a number of single precision to half precision, to nearest and even, and gives its bits.
narrowed: Any = intrinsic(_narrowed)


def processor_converts_halves() -> bool:
    """Return whether this processor converts half precision: all but x86 of before 2013 do."""
    is_x86 = "x86" in binding.get_default_triple() or "i686" in binding.get_default_triple()
    return not is_x86 or bool(binding.get_host_cpu_features().get("f16c"))


@kernel(error_model="numpy")
def add_tile(
    sums_zcyx: Halves,
    weights_zyx: Halves,
    logits_czyx: Singles,
    factors_zyx: Singles,
    importance_zyx: Singles,
    corner: tuple[int, int, int],
) -> None:
    """Add the logits of a tile, weighted.

    Args:
        sums_zcyx: Ring of sums.
        weights_zyx: Ring of sums of weights.
        logits_czyx: Of the tile.
        factors_zyx: What to multiply them by: their weights, or 1 where that has been done.
        importance_zyx: Weights of the tile.
        corner: First voxel of the tile.
    """
    n_labels, n_z, n_y, n_x = logits_czyx.shape
    first_z, first_y, first_x = corner
    for z in range(n_z):
        row = (first_z + z) % sums_zcyx.shape[0]
        for y in range(n_y):
            importance = importance_zyx[z, y]
            weights = weights_zyx[row, first_y + y, first_x : first_x + n_x]
            for x in range(n_x):
                weights[x] = narrowed(widened(weights[x]) + importance[x])
        for label in range(n_labels):
            for y in range(n_y):
                sums = sums_zcyx[row, label, first_y + y, first_x : first_x + n_x]
                logits, factors = logits_czyx[label, z, y], factors_zyx[z, y]
                for x in range(n_x):
                    sums[x] = narrowed(widened(sums[x]) + logits[x] * factors[x])


@kernel(error_model="numpy")
def add_halves(sums: NDArray[np.uint16], others: NDArray[np.uint16]) -> None:
    """Add numbers of half precision to others."""
    for number in range(sums.shape[0]):
        sums[number] = narrowed(widened(sums[number]) + widened(others[number]))


@kernel(error_model="numpy")
def finish_row(sums_cv: Halves, weights_v: Halves, labels_v: Labels) -> bool:
    """Turn the sums of a row into logits, and find the label with the highest, lowest label first.

    Args:
        sums_cv: Sums of one row of the ring, by label and voxel; overwritten by logits.
        weights_v: Sums of weights.
        labels_v: Labels to set.

    Returns:
        Whether all logits are numbers.
    """
    n_labels, n_voxels = sums_cv.shape
    divisor = np.empty(VOXELS, dtype=np.float32)
    highest = np.empty(VOXELS, dtype=np.int32)
    exponents = np.uint16(0)
    for first in range(0, n_voxels, VOXELS):
        n = min(VOXELS, n_voxels - first)
        weights = weights_v[first : first + n]
        _see_nowhere_but_background(sums_cv[:, first : first + n], weights)
        for voxel in range(n):
            divisor[voxel] = widened(weights[voxel])
        highest[:] = np.iinfo(np.int32).min
        for label in range(n_labels):
            sums = sums_cv[label, first : first + n]
            for voxel in range(n):
                sums[voxel] = narrowed(widened(sums[voxel]) / divisor[voxel])
            # Bits of a half without its sign are in the order of numbers. The byte below holds
            # 255 - label: so one maximum finds value and label, of equal values the lowest label.
            below = np.int32(LAST_LABEL - label)
            for voxel in range(n):
                bits = np.int32(sums[voxel])
                magnitude, sign = np.int32(bits & MAGNITUDE), np.int32(-(bits >> 15))
                ordered = np.int32((((magnitude ^ sign) - sign) << 8) + below)
                highest[voxel] = ordered if ordered > highest[voxel] else highest[voxel]
            for voxel in range(n):
                exponents = np.uint16(max(exponents, np.uint16(sums[voxel] & NOT_A_NUMBER)))
        labels = labels_v[first : first + n]
        for voxel in range(n):
            labels[voxel] = LAST_LABEL - (highest[voxel] & LAST_LABEL)
    return bool(exponents < NOT_A_NUMBER)


@kernel(error_model="numpy")
def _see_nowhere_but_background(sums_cv: Halves, weights_v: Halves) -> None:
    """Make background of the voxels that no tile has seen."""
    for voxel in range(weights_v.shape[0]):
        if weights_v[voxel] == 0:
            weights_v[voxel] = narrowed(np.float32(1.0))
            sums_cv[1:, voxel] = NOT_SEEN


@kernel(error_model="numpy")
def export_slice(
    sums_zcyx: Halves,
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
        sums_zcyx: Ring of logits, by label.
        labels_zyx: Ring of labels.
        z_place: Row before, row after, and weight of the latter; rows of the ring.
        y_axis: Indices before and after, and weights of the latter, of each voxel along y.
        x_axis: The same along x.
        rounds_to_half: Whether interpolated logits are rounded to half precision.
        line: Space for the logits of one line of the model's grid, label by x.
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
            _interpolate_line(sums_zcyx, z_place, y_place, (low, high), line)
            _label_stretch(line, low, stretch, x_axis, rounds_to_half, found)
            first = stop


@kernel(error_model="numpy")
def _join_rows(one: Labels, two: Labels, three: Labels, four: Labels, cells: NDArray[Any]) -> None:
    for x in range(cells.shape[0]):
        label = np.int16(one[x])
        agree = (label == two[x]) & (label == three[x]) & (label == four[x])
        cells[x] = label if agree else MIXED


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
def _interpolate_line(
    sums_zcyx: Halves,
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
        lower_before = sums_zcyx[before, label, lower, low:high]
        lower_after = sums_zcyx[after, label, lower, low:high]
        upper_before = sums_zcyx[before, label, upper, low:high]
        upper_after = sums_zcyx[after, label, upper, low:high]
        values = line[label]
        for x in range(high - low):
            down = widened(lower_before[x]) * (one - z_weight) + widened(lower_after[x]) * z_weight
            up = widened(upper_before[x]) * (one - z_weight) + widened(upper_after[x]) * z_weight
            values[x] = down * (one - y_weight) + up * y_weight


@kernel(error_model="numpy")
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
