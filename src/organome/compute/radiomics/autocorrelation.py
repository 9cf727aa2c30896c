"""Moran's I and Geary's C of a region, every voxel with every other, weighted by inverse distance.

Of n voxels that is n squared pairs. So the inverse distance is split into a part that ends at a few
voxels, and smooth parts that reach further each. Smooth parts are summed on grids that are
coarser each time, onto which voxels are spread by cubic interpolation. What that makes wrong for
near pairs is known, and put right. The coarsest, and small regions as they are, are convolved with
the inverse distance by Fourier transforms, which is exact.

Source: Moran 1950, Geary 1954; Hardy et al. 2016, "Multilevel summation with B-spline
interpolation", for the splitting; IBSI reference manual, N365 and NPT7.
"""

from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from organome.compute.kernels import kernel

Single = NDArray[np.float32]
Spacing = tuple[float, float, float]
N_FIELDS: Final = 4  # presence, deviation, its square, presence again
_1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(n) for n in range(1, 9))
_MOST_POINTS: Final = 1 << 17  # of a padded box that is transformed
_REACH: Final = 3.0  # of a part, in spacings of the axes that become coarser
_WIDER: Final = 1.6  # up to so many reaches, what coarser grids make wrong is put right
_SAME_SPACING: Final = 1.5  # axes whose spacings differ by no more become coarser together
# Weights with which a point between two nodes is spread to the four around it.
_WEIGHTS: Final = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)
_BEFORE: Final = 1  # nodes before the two


def moran_and_geary(
    values: NDArray[Any], places: NDArray[np.int32], box_zyx: tuple[int, int, int], spacing: Spacing
) -> tuple[float, float]:
    """Compute both for a region.

    Args:
        values: Intensities of its voxels.
        places: The voxels, flat indices into a box.
        box_zyx: Size of the box.
        spacing: Of the box, z, y, x in mm.

    Returns:
        Moran's I, Geary's C; NaN where all intensities are equal. Where the box has more than some
        15,000 voxels they are right to about 1e-4.
    """
    away = values.astype(np.float64) - values.mean()
    variance = float(np.mean(away**2))
    if variance == 0:
        return float("nan"), float("nan")
    fields = np.zeros((*box_zyx, N_FIELDS), np.float32)
    flat = fields.reshape(-1, N_FIELDS)
    flat[places, 0] = 1
    flat[places, 1] = away / np.sqrt(variance)
    flat[places, 2] = flat[places, 1] ** 2
    flat[places, 3] = 1
    n = values.size
    weights, products, squares = _sum_pairs(fields, spacing)
    return products / weights, (n - 1) / n * (squares - products) / weights


def _sum_pairs(fields: Single, spacing: Spacing) -> NDArray[np.float64]:
    """Sum 1, both deviations, the square of one over ordered pairs, by inverse distance."""
    sums, reach = np.zeros(3), 0.0
    while prod(_padded(fields)) > _MOST_POINTS:
        thin = [axis for axis in range(3) if _is_thin(spacing, axis)]
        before, reach = reach, max(reach, _REACH * max(spacing[axis] for axis in thin))
        steps, parts = _near_parts(spacing, before, reach)
        near_sums(fields, steps, parts, sums)
        for axis in thin:
            fields = _coarser(fields, axis)
        z, y, x = (mm * (1 + (axis in thin)) for axis, mm in enumerate(spacing))
        spacing = (z, y, x)
    return sums + _fourier_sums(fields, spacing, reach)


def _padded(fields: Single) -> list[int]:
    """Sizes of a box in which no voxel meets another around its ends."""
    return [scipy.fft.next_fast_len(2 * n - 1, real=True) for n in fields.shape[:3]]


def _fourier_sums(fields: Single, spacing: Spacing, reach: float) -> NDArray[np.float64]:
    """Sum all pairs by the inverse distance that is smooth within a reach: a convolution."""
    sizes = _padded(fields)
    z, y, x = (
        mm * np.minimum(np.arange(n), n - np.arange(n))
        for n, mm in zip(sizes, spacing, strict=True)
    )
    x = x[: sizes[2] // 2 + 1]
    apart = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    weights = _smooth(apart, reach)
    # Even along each axis, so that its transform is real: half of x is enough.
    weights = scipy.fft.hfft(weights, sizes[2], axis=2)[..., : len(x)]
    weights = scipy.fft.fftn(weights, axes=(0, 1)).real / prod(sizes)
    weights[..., 1 : (sizes[2] + 1) // 2] *= 2  # frequencies whose opposites are left out
    one, away, square = (
        scipy.fft.fft(
            scipy.fft.fft(scipy.fft.rfft(fields[..., each], sizes[2], axis=2), sizes[1], axis=1),
            sizes[0],
            axis=0,
        )
        for each in range(3)
    )
    return np.array(
        [np.vdot(a, weights * b).real for a, b in ((one, one), (away, away), (square, one))]
    )


def _is_thin(spacing: Spacing, axis: int) -> bool:
    return spacing[axis] <= _SAME_SPACING * min(spacing)


@lru_cache(maxsize=64)
def _near_parts(
    spacing: Spacing, before: float, reach: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """List near steps of one half-space, and what the next coarser grid lacks for them.

    That is the inverse distance, smooth within the reach before, less what the coarser grid makes
    of that which is smooth within this reach. It depends on where in the coarser grid the first
    voxel lies, so that there are eight of each, by even and odd z, y, x.

    Returns:
        Steps (n, 3), the first is none at all; (2, 2, n, 2): their parts by z, y, step, x.
    """
    mm = np.array(spacing)
    most = np.floor(_WIDER * reach / mm).astype(int)
    tables = [_spread(n, thin=_is_thin(spacing, axis)) for axis, n in enumerate(most)]
    nodes = [
        step * (np.arange(table.shape[2]) - table.shape[2] // 2) * (2 if thin else 1)
        for axis, (step, table) in enumerate(zip(spacing, tables, strict=True))
        for thin in (_is_thin(spacing, axis),)
    ]
    apart = np.sqrt(sum(axis**2 for axis in np.meshgrid(*nodes, indexing="ij")))
    made = np.einsum("abc,pia,qjb,rkc->pqrijk", _smooth(apart, reach), *tables, optimize=True)
    grid = np.array(list(product(*(range(-n, n + 1) for n in most))))
    lengths = np.sqrt(np.sum((grid * mm) ** 2, axis=1))
    chosen = np.arange(len(grid) // 2, len(grid))
    chosen = chosen[lengths[chosen] < _WIDER * reach]
    wanted = _smooth(lengths[chosen], before)
    parts = wanted - made.reshape(2, 2, 2, -1)[..., chosen]
    return grid[chosen], np.ascontiguousarray(np.moveaxis(parts, 2, 3).astype(np.float32))


def _spread(most: int, *, thin: bool) -> NDArray[np.float64]:
    """Weigh the steps between nodes that a step between two points becomes.

    Args:
        most: Greatest step between points.
        thin: Whether this axis becomes coarser.

    Returns:
        (2, steps, steps between nodes), of an even and of an odd first point.
    """
    steps = range(-most, most + 1)
    if not thin:
        return np.stack([np.eye(2 * most + 1)] * 2)
    table = np.zeros((2, len(steps), 2 * (most // 2 + 6) + 1))
    middle = table.shape[2] // 2
    for parity, (row, step) in product(range(2), enumerate(steps)):
        for (node, weight), (other, other_weight) in product(
            _nodes_of(parity), _nodes_of(parity + step)
        ):
            table[parity, row, middle + other - node] += weight * other_weight
    return table


def _nodes_of(point: int) -> tuple[tuple[int, float], ...]:
    node = point // 2
    if point % 2 == 0:
        return ((node, 1.0),)
    return tuple((node - _BEFORE + place, weight) for place, weight in enumerate(_WEIGHTS))


def _smooth(distances: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Return the inverse distance, smooth within a reach; without one as it is."""
    if not reach:
        return np.divide(1, distances, out=np.zeros_like(distances), where=distances > 0)
    ratio = distances / reach
    inside = (15 - 10 * ratio**2 + 3 * ratio**4) / (8 * reach)
    return np.where(ratio < 1, inside, 1 / np.maximum(distances, reach))


def _coarser(fields: Single, axis: int) -> Single:
    """Spread points onto every second one along an axis, and some more at its ends."""
    fine = np.moveaxis(fields, axis, 0)
    if len(fine) % 2:
        fine = np.concatenate((fine, np.zeros_like(fine[:1])))
    on, between = fine[::2], fine[1::2]
    n = len(on)
    coarse = np.zeros((n + len(_WEIGHTS) - 1, *fine.shape[1:]), np.float32)
    coarse[_BEFORE : n + _BEFORE] = on
    for place, weight in enumerate(_WEIGHTS):
        coarse[place : n + place] += np.float32(weight) * between
    return np.ascontiguousarray(np.moveaxis(coarse, 0, axis))


@kernel(fastmath=True)
def near_sums(
    fields: Single, steps: NDArray[np.int64], parts: Single, sums: NDArray[np.float64]
) -> None:
    """Add up near pairs, in both orders.

    Args:
        fields: (z, y, x, 4).
        steps: From ``_near_parts``.
        parts: Likewise.
        sums: Three sums, see ``_sum_pairs``.
    """
    n_z, n_y, n_x, _ = fields.shape
    # The others of a pair have the last two fields exchanged: products are of presences, of
    # deviations, and twice of the square of one with the presence of the other.
    ones = fields.reshape(-1)
    others = ones.copy()
    others[2::N_FIELDS] = ones[3::N_FIELDS]
    others[3::N_FIELDS] = ones[2::N_FIELDS]
    begins, ends = np.zeros(n_z * n_y, np.int64), np.zeros(n_z * n_y, np.int64)
    for row in range(n_z * n_y):
        cells = fields[row // n_y, row % n_y]
        first, last = 0, n_x
        while first < last and cells[first, 0] == 0 and cells[first, 1] == 0:
            first += 1
        while first < last and cells[last - 1, 0] == 0 and cells[last - 1, 1] == 0:
            last -= 1
        begins[row], ends[row] = first, last
    n_steps, one, two, three = len(steps), 0.0, 0.0, 0.0
    for z in range(n_z):
        for y in range(n_y):
            row = z * n_y + y
            begin, end = begins[row], ends[row]
            if end == begin:
                continue
            here, of_row = row * n_x, parts[z & 1, y & 1]
            for which in range(n_steps):
                dz, dy, dx = steps[which, 0], steps[which, 1], steps[which, 2]
                if z + dz >= n_z or y + dy < 0 or y + dy >= n_y:
                    continue
                to_row = np.uint64(row + dz * n_y + dy)
                first = max(begin, begins[to_row] - dx)
                last = min(end, ends[to_row] - dx)
                if last <= first:
                    continue
                even, odd = of_row[which, 0], of_row[which, 1]
                if first & 1:
                    even, odd = odd, even
                there = to_row * np.uint64(n_x) + np.uint64(first + dx)
                a, b, c, d = _multiply_rows(
                    ones, np.uint64(here + first), others, there, last - first, even, odd
                )
                if which:  # both orders; the first step is each with itself
                    a, b, c, d = 2 * a, 2 * b, 2 * c, 2 * d
                one += a
                two += b
                three += c + d
    sums[0] += one
    sums[1] += two
    sums[2] += three / 2


@kernel(fastmath=True)
def _multiply_rows(
    ones: Single, at: Any, others: Single, to: Any, n: Any, even: Any, odd: Any
) -> tuple[Any, Any, Any, Any]:
    """Multiply two rows, every second voxel with another weight."""
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    e, f, g, h = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    p, q = at * _4, to * _4
    for _ in range(n >> 1):
        a += ones[p] * others[q]
        b += ones[p + _1] * others[q + _1]
        c += ones[p + _2] * others[q + _2]
        d += ones[p + _3] * others[q + _3]
        e += ones[p + _4] * others[q + _4]
        f += ones[p + _5] * others[q + _5]
        g += ones[p + _6] * others[q + _6]
        h += ones[p + _7] * others[q + _7]
        p += _8
        q += _8
    if n & 1:
        a += ones[p] * others[q]
        b += ones[p + _1] * others[q + _1]
        c += ones[p + _2] * others[q + _2]
        d += ones[p + _3] * others[q + _3]
    return even * a + odd * e, even * b + odd * f, even * c + odd * g, even * d + odd * h
