"""Loops over labelled voxels for surfaces and diameters.

Source: pyradiomics 3.0.1 (BSD-3-Clause), ``cshape.c``, whose numbers have to be met, for the
triangles of each configuration of a cube of eight voxels: its table leaves holes at ambiguous
configurations, so that another table of the marching cubes gives another area and volume.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats, Labels
from organome.compute.kernels import kernel

# Bit k of a configuration is set where corner k of the cube is in the region; corners 0 to 7 are
# (0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 0) in z, y, x.

# Middles of its twelve edges in (z, y, x).
EDGES_ZYX: Final = (
    (0, 0, 0.5),
    (0, 0.5, 1),
    (0, 1, 0.5),
    (0, 0.5, 0),
    (1, 0, 0.5),
    (1, 0.5, 1),
    (1, 1, 0.5),
    (1, 0.5, 0),
    (0.5, 0, 0),
    (0.5, 0, 1),
    (0.5, 1, 1),
    (0.5, 1, 0),
)
N_CONFIGURATIONS: Final = 256
# Configurations 0 to 127, each triangle by its three edges in base 16; 128 to 255 are their
# complements, with the same triangles turned inside out.
_TRIANGLES: Final = """
    - | 083 | 190 | 183 198 |
    12a | 083 12a | 92a 029 | 283 2a8 a98 |
    b23 | b20 08b | 190 b23 | b21 19b 98b |
    3a1 ba3 | a10 08a 8ba | 903 3b9 ba9 | 98a ba8 |
    478 | 043 473 | 190 478 | 194 147 173 |
    12a 478 | 347 304 12a | 92a 902 478 | 2a9 297 273 479 |
    478 b23 | b47 b24 204 | 190 478 b23 | 47b 94b b29 192 |
    3a1 ba3 478 | ba1 14b 104 47b | 478 903 3b9 ba9 | 47b 4b9 9ba |
    954 | 954 083 | 054 015 | 854 835 315 |
    12a 954 | 083 12a 954 | 2a5 542 240 | 2a5 325 354 834 |
    954 b23 | b20 08b 954 | 054 015 b23 | 215 258 b28 548 |
    3a1 ba3 954 | 549 a10 08a 8ba | 540 50b a5b b03 | 548 a58 ba8 |
    789 579 | 309 539 357 | 780 017 715 | 157 173 |
    789 579 12a | 12a 309 395 357 | 028 825 857 2a5 | 2a5 253 357 |
    579 789 b23 | 579 972 209 b27 | b23 018 178 157 | 21b 17b 157 |
    789 579 3a1 ba3 | 570 509 7b0 a10 ba0 | ba0 03b a50 078 570 | ba5 57b |
    65a | 083 65a | 190 65a | 183 198 65a |
    165 126 | 165 126 083 | 965 906 026 | 598 582 526 832 |
    b23 65a | b20 08b 65a | 190 b23 65a | b21 19b 98b 65a |
    63b 653 513 | 08b 0b5 051 5b6 | 63b 036 065 059 | 659 69b b98 |
    478 65a | 043 473 65a | 190 478 65a | 194 147 173 65a |
    478 165 126 | 043 473 165 126 | 478 965 906 026 | 739 479 329 596 269 |
    b23 478 65a | b47 b24 204 65a | 190 b23 478 65a | 47b 94b b29 192 65a |
    478 63b 653 513 | 51b 5b6 10b 47b 04b | 478 63b 036 065 059 | 659 69b 479 7b9 |
    a49 64a | a49 64a 083 | 01a a60 640 | 183 168 864 61a |
    149 124 264 | 149 124 264 083 | 024 426 | 832 824 426 |
    b23 a49 64a | b20 08b a49 64a | b23 01a a60 640 | 641 61a 148 b21 18b |
    964 369 139 b63 | 18b 081 b61 149 641 | 63b 036 640 | 864 68b |
    67a 78a 89a | 67a 0a7 09a 073 | 67a 1a7 178 018 | 67a 1a7 173 |
    126 168 189 678 | 269 129 679 309 739 | 078 706 602 | 273 267 |
    b23 67a 78a 89a | 207 b27 097 67a 9a7 | 67a 1a7 178 018 b23 | b21 17b a61 167 |
    896 678 169 b63 136 | 091 67b | 078 706 03b b60 | 67b
"""


def _triangles() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    edges = np.array(EDGES_ZYX, dtype=np.float64)
    words = [entry.replace("-", "").split() for entry in _TRIANGLES.split("|")]
    corners = [[int(edge, 16) for edge in word] for of_one in words for word in of_one]
    configurations = [place for place, of_one in enumerate(words) for _ in of_one]
    return edges[corners], np.array(configurations)


# Corners of all triangles of configurations 0 to 127, (triangle, corner, zyx), and whose they are.
TRIANGLES_ZYX, CONFIGURATIONS = _triangles()


@kernel()
def count_cubes(padded_zyx: Labels, slots: Counts, cubes: Counts) -> None:
    """Count the configurations of 2 x 2 x 2 voxels of every label in one pass.

    Args:
        padded_zyx: Labels with a layer of background around.
        slots: Place of each label in ``cubes``.
        cubes: (label, configuration, 4): number of cubes, sums of their first corners' z, y, x.
    """
    n_z, n_y, n_x = padded_zyx.shape
    padded, n = padded_zyx.reshape(-1), np.uint64(n_y * n_x)
    mixed = np.zeros((n + np.uint64(7)) // np.uint64(8) * np.uint64(8), np.uint8)
    words = mixed.view(np.uint64)
    n_cubes = n - np.uint64(n_x + 1)
    for z in range(n_z - 1):
        plane = np.uint64(z) * n
        _mark_mixed(padded, plane, n, np.uint64(n_x), n_cubes, mixed)
        for word in range(np.uint64(words.size)):
            if words[word] == 0:
                continue
            for place in range(word * np.uint64(8), (word + np.uint64(1)) * np.uint64(8)):
                if mixed[place]:
                    y, x = np.int64(place) // n_x, np.int64(place) % n_x
                    _count_cube(padded_zyx, z, y, x, slots, cubes)


@kernel()
def _mark_mixed(padded: Labels, plane: Any, n: Any, n_x: Any, n_cubes: Any, mixed: Labels) -> None:
    """Mark the cubes of a plane whose eight voxels are not all of one label."""
    beside, after, both = plane + np.uint64(1), plane + n_x, plane + n_x + np.uint64(1)
    for p in range(n_cubes):
        label = padded[plane + p]
        mixed[p] = (
            (padded[beside + p] ^ label)
            | (padded[after + p] ^ label)
            | (padded[both + p] ^ label)
            | (padded[n + plane + p] ^ label)
            | (padded[n + beside + p] ^ label)
            | (padded[n + after + p] ^ label)
            | (padded[n + both + p] ^ label)
        )


@kernel()
def _count_cube(padded_zyx: Labels, z: int, y: int, x: int, slots: Counts, cubes: Counts) -> None:
    corners = (
        padded_zyx[z, y, x],
        padded_zyx[z, y, x + 1],
        padded_zyx[z, y + 1, x + 1],
        padded_zyx[z, y + 1, x],
        padded_zyx[z + 1, y, x],
        padded_zyx[z + 1, y, x + 1],
        padded_zyx[z + 1, y + 1, x + 1],
        padded_zyx[z + 1, y + 1, x],
    )
    left = 255
    for first in range(8):
        if not (left >> first) & 1:
            continue
        label = corners[first]
        configuration = 0
        for corner in range(8):
            configuration |= (corners[corner] == label) << corner
        left &= ~configuration
        if label:
            entry = cubes[slots[label], configuration]
            entry[0] += 1
            entry[1] += z
            entry[2] += y
            entry[3] += x


@kernel()
def row_extremes(
    inside: NDArray[np.uint8],
    places: NDArray[np.int32],
    box_zyx: tuple[int, int, int],
    along_x: NDArray[np.int32],
    along_y: NDArray[np.int32],
) -> None:
    """Find the outermost surface points of every row of a region, in half voxels.

    A surface point is the middle of a face between a voxel of the region and one that is not.

    Args:
        inside: Flat padded box, 1 inside the region.
        places: The voxels of the region.
        box_zyx: Size of the padded box.
        along_x: (z, y, 2) in half voxels: least and greatest x of the points of that row.
        along_y: (z, x, 2) in half voxels: least and greatest y.
    """
    _, n_y, n_x = box_zyx
    along_x[:, :, 0] = 4 * n_x
    along_x[:, :, 1] = -1
    along_y[:, :, 0] = 4 * n_y
    along_y[:, :, 1] = -1
    step_y, step_z = np.uint64(n_x), np.uint64(n_y * n_x)
    for voxel in places:
        place = np.uint64(voxel)
        left, right = inside[place - np.uint64(1)], inside[place + np.uint64(1)]
        front, back = inside[place - step_y], inside[place + step_y]
        under, over = inside[place - step_z], inside[place + step_z]
        if left & right & front & back & under & over:
            continue
        row = voxel // n_x
        x, z = 2 * (voxel - row * n_x), row // n_y
        y = 2 * (row - z * n_y)
        z = 2 * z
        if not left:
            _widen(along_x, along_y, z, y, x - 1)
        if not right:
            _widen(along_x, along_y, z, y, x + 1)
        if not front:
            _widen(along_x, along_y, z, y - 1, x)
        if not back:
            _widen(along_x, along_y, z, y + 1, x)
        if not under:
            _widen(along_x, along_y, z - 1, y, x)
        if not over:
            _widen(along_x, along_y, z + 1, y, x)


@kernel(inline="always")
def _widen(along_x: NDArray[np.int32], along_y: NDArray[np.int32], z: int, y: int, x: int) -> None:
    along_x[z, y, 0] = min(along_x[z, y, 0], x)
    along_x[z, y, 1] = max(along_x[z, y, 1], x)
    along_y[z, x, 0] = min(along_y[z, x, 0], y)
    along_y[z, x, 1] = max(along_y[z, x, 1], y)


@kernel()
def _hull_chain(rows: NDArray[np.int32], ends: NDArray[np.int32], n: int, sign: int) -> int:
    """Keep, of one point per row, those on the convex hull's side of that sign; exact."""
    n_kept = 0
    for point in range(n):
        row, end = np.int64(rows[point]), np.int64(ends[point])
        while n_kept >= 2:
            row_1, end_1 = np.int64(rows[n_kept - 1]), np.int64(ends[n_kept - 1])
            row_0, end_0 = np.int64(rows[n_kept - 2]), np.int64(ends[n_kept - 2])
            turn = (row_1 - row_0) * (end - end_0) - (end_1 - end_0) * (row - row_0)
            if sign * turn > 0:
                break
            n_kept -= 1
        rows[n_kept] = row
        ends[n_kept] = end
        n_kept += 1
    return n_kept


@kernel()
def plane_diameter(
    extremes: NDArray[np.int32], row_mm: float, end_mm: float, on_hull: NDArray[np.bool_]
) -> float:
    """Find the squared diameter of the points of one plane.

    Args:
        extremes: (row, 2): least and greatest place of the points of a row, in half voxels; least
            above greatest where a row has none.
        row_mm: Distance of rows.
        end_mm: Distance of places in a row.
        on_hull: (row, 2): set where the point is a corner of the convex hull.

    Returns:
        Square of the diameter, 0 without points.
    """
    n_rows = extremes.shape[0]
    rows, ends = np.empty((2, n_rows), np.int32), np.empty((2, n_rows), np.int32)
    n_kept = np.zeros(2, np.int64)
    for side in range(2):
        n = 0
        for row in range(n_rows):
            if extremes[row, 0] <= extremes[row, 1]:
                rows[side, n] = row
                ends[side, n] = extremes[row, side]
                n += 1
        n_kept[side] = _hull_chain(rows[side], ends[side], n, 1 - 2 * side)
        for point in range(n_kept[side]):
            on_hull[rows[side, point], side] = True
    widest = 0.0
    for side in range(2):
        for first in range(n_kept[side]):
            for other in range(side, 2):
                for second in range(first if other == side else 0, n_kept[other]):
                    across = (rows[side, first] - rows[other, second]) * row_mm
                    along = (ends[side, first] - ends[other, second]) * end_mm
                    widest = max(widest, across * across + along * along)
    return widest


@kernel()
def point_diameter(points_mm: Floats, from_middle_mm: Floats) -> float:
    """Find the squared diameter of points.

    Args:
        points_mm: Points, by falling distance from any one place.
        from_middle_mm: These distances.
    """
    widest, reach = 0.0, 0.0
    for first in range(len(points_mm)):
        if 2 * from_middle_mm[first] < reach:
            break
        z, y, x = points_mm[first]
        for second in range(first + 1, len(points_mm)):
            if from_middle_mm[first] + from_middle_mm[second] < reach:
                break
            dz, dy, dx = (
                points_mm[second, 0] - z,
                points_mm[second, 1] - y,
                points_mm[second, 2] - x,
            )
            squared = dz * dz + dy * dy + dx * dx
            if squared > widest:
                widest = squared
                reach = np.sqrt(squared) * (1 - 1e-12)  # distances are rounded
    return widest


@kernel()
def region_diameters(
    along_x: NDArray[np.int32],
    along_y: NDArray[np.int32],
    half_zyx_mm: tuple[float, float, float],
    diameters: Floats,
) -> Floats:
    """Find the greatest squared diameters in planes of equal z, y and x.

    Args:
        along_x: From ``row_extremes``.
        along_y: Likewise.
        half_zyx_mm: Half the spacing.
        diameters: Filled: in planes of equal z, y, x.

    Returns:
        Points that can be ends of the diameter in space, in mm: corners of the hulls of their
        planes of equal z, y and x, as those of the hull in space are.
    """
    mm_z, mm_y, mm_x = half_zyx_mm
    n_z, n_y = along_x.shape[0], along_x.shape[1]
    hull_z = np.zeros((n_z, n_y, 2), np.bool_)
    hull_y = np.zeros((n_y, n_z, 2), np.bool_)
    diameters[:] = 0.0
    for z in range(n_z):
        widest = plane_diameter(along_x[z], mm_y, mm_x, hull_z[z])
        diameters[0] = max(diameters[0], widest)
    for y in range(n_y):
        widest = plane_diameter(along_x[:, y], mm_z, mm_x, hull_y[y])
        diameters[1] = max(diameters[1], widest)
    hull_x = np.zeros((along_y.shape[1], n_z, 2), np.bool_)
    for x in range(along_y.shape[1]):
        widest = plane_diameter(along_y[:, x], mm_z, mm_y, hull_x[x])
        diameters[2] = max(diameters[2], widest)
    for z in range(n_z):
        for y in range(n_y):
            for side in range(2):
                if hull_z[z, y, side] and hull_y[y, z, side]:
                    x = along_x[z, y, side]
                    hull_z[z, y, side] = (along_y[z, x, 0] == y and hull_x[x, z, 0]) or (
                        along_y[z, x, 1] == y and hull_x[x, z, 1]
                    )
    n = 0
    for z in range(n_z):
        for y in range(n_y):
            for side in range(2):
                n += hull_z[z, y, side] and hull_y[y, z, side]
    points = np.empty((n, 3))
    n = 0
    for z in range(n_z):
        for y in range(n_y):
            for side in range(2):
                if hull_z[z, y, side] and hull_y[y, z, side]:
                    points[n, 0] = z * mm_z
                    points[n, 1] = y * mm_y
                    points[n, 2] = along_x[z, y, side] * mm_x
                    n += 1
    return points
