"""What the loops count, against definitions that are plain and slow."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from organome.compute.geometry.arrays import Levels
from organome.compute.radiomics import (
    first_order,
    formula_kernels,
    glcm,
    regions,
    shape_kernels,
    texture_kernels,
)
from organome.compute.radiomics.first_order import levels_of, place_by_edges
from organome.compute.radiomics.formula_kernels import read_pairs
from organome.compute.radiomics.glcm import second_eigenvalues
from organome.compute.radiomics.texture_kernels import find_zones, linked_neighbours, tally_textures
from organome.compute.radiomics.textures import list_runs

HALF_SPACE = tuple((z, y, x) for z, y, x in product((1, 0, -1), repeat=3) if (z, y, x) > (0, 0, 0))
KERNELS = [
    kernel
    for module in (
        glcm,
        first_order,
        formula_kernels,
        regions,
        shape_kernels,
        texture_kernels,
    )
    for kernel in vars(module).values()
    if getattr(kernel, "__module__", "") == module.__name__ and hasattr(kernel, "py_func")
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_kernels_let_go_of_other_threads_and_are_kept_on_disk(kernel: Any) -> None:
    assert kernel.targetoptions["nogil"]
    inlined = "inline" in kernel.targetoptions
    assert type(kernel._cache).__name__ == ("NullCache" if inlined else "_KernelCache")


class Tally:
    """All that is counted of a region of few levels in long runs."""

    def __init__(self, seed: int, n_levels: int = 3) -> None:
        chance = np.random.default_rng(seed)
        shape = tuple(int(size) for size in chance.integers(3, 40, 3))
        coarse = chance.integers(1, n_levels + 1, [-(-size // 4) for size in shape])
        solid = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)[tuple(map(slice, shape))]
        inner = np.where(chance.random(shape) < 0.9, solid, 0).astype(np.uint16)
        self.levels_zyx = np.pad(inner, 1)
        self.n_levels = int(inner.max())
        levels, box = self.levels_zyx.reshape(-1), self.levels_zyx.shape
        self.places = np.flatnonzero(levels).astype(np.int32)
        self.codes = np.zeros((13, self.n_levels + 1, self.n_levels + max(box) - 1), np.int32)
        self.dependencies = np.zeros((self.n_levels + 1, 27), np.int32)
        self.differences = np.zeros((self.n_levels + 1, 2))
        self.same = np.empty(self.places.size, np.uint16)
        plane = box[1] * box[2]
        starts = np.searchsorted(self.places, np.arange(box[0] + 1) * plane).astype(np.uint64)
        steps = np.array(HALF_SPACE)
        tally_textures(
            levels,
            self.places,
            starts,
            box,
            steps,
            (True, True, True),
            0,
            self.codes,
            self.dependencies,
            self.differences,
            self.same,
        )
        self.offsets = (steps @ np.array([plane, box[2], 1])).astype(np.uint32)

    def shifted(self, step: tuple[int, int, int]) -> Levels:
        """The level before each voxel."""
        return np.roll(self.levels_zyx, step, (0, 1, 2))


@pytest.fixture(params=range(6))
def tally(request: pytest.FixtureRequest) -> Tally:
    return Tally(request.param)


def test_pairs_are_those_of_an_image_and_itself_shifted(tally: Tally) -> None:
    present = np.arange(1, tally.n_levels + 1)
    pairs = np.empty((13, tally.n_levels, tally.n_levels))
    read_pairs(tally.codes, present, pairs)
    for step, found in zip(HALF_SPACE, pairs, strict=True):
        before = tally.shifted(step)
        one_way = [
            [np.count_nonzero((tally.levels_zyx == i) & (before == j)) for j in present]
            for i in present
        ]
        assert np.array_equal(found, np.array(one_way) + np.transpose(one_way))


def test_runs_are_those_of_lines_walked_voxel_by_voxel(tally: Tally) -> None:
    counts = np.bincount(tally.levels_zyx.reshape(-1)[tally.places])
    for angle, step in enumerate(HALF_SPACE):
        expected: dict[tuple[int, int], int] = {}
        before = tally.shifted(step)
        first = (tally.levels_zyx > 0) & (before != tally.levels_zyx)
        for start in np.argwhere(first):
            place, level, length = start, tally.levels_zyx[tuple(start)], 0
            while tally.levels_zyx[tuple(place)] == level:
                place, length = place + step, length + 1
            expected[length, int(level)] = expected.get((length, int(level)), 0) + 1
        entries = list_runs(tally.codes[angle], counts)
        found = {(int(row[0]), int(row[1])): int(row[2]) for row in entries}
        assert found == expected
        assert list(found) == sorted(found)


def test_neighbours_are_counted_in_all_directions(tally: Tally) -> None:
    around = [step for step in product((-1, 0, 1), repeat=3) if any(step)]
    shifted = np.array([tally.shifted(step) for step in around])
    n_same = (shifted == tally.levels_zyx).sum(axis=0)
    n_inside, total = (shifted > 0).sum(axis=0), shifted.sum(axis=0, dtype=np.int64)
    away = np.abs(tally.levels_zyx - total / np.maximum(n_inside, 1)) * (n_inside > 0)
    for level in range(1, tally.n_levels + 1):
        of_level = tally.levels_zyx == level
        assert np.array_equal(
            tally.dependencies[level], np.bincount(n_same[of_level], minlength=27)
        )
        assert tally.differences[level, 0] == np.count_nonzero(of_level)
        assert tally.differences[level, 1] == pytest.approx(away[of_level].sum())


def test_zones_are_the_connected_components_of_each_level(tally: Tally) -> None:
    small = np.zeros((tally.n_levels + 1, 4), np.int32)
    large = np.empty((tally.places.size, 2), np.int64)
    n_large = find_zones(
        tally.levels_zyx.reshape(-1),
        tally.places,
        tally.offsets,
        tally.same,
        linked_neighbours(HALF_SPACE),
        np.empty(tally.levels_zyx.size, np.uint32),
        np.empty(tally.levels_zyx.size, np.uint32),
        small,
        large,
    )
    for level in range(1, tally.n_levels + 1):
        zones, _ = ndimage.label(tally.levels_zyx == level, np.ones((3, 3, 3)))
        sizes = np.bincount(zones.reshape(-1))[1:]
        assert np.array_equal(small[level], np.bincount(sizes[sizes < 4], minlength=4))
        found = large[:n_large][large[:n_large, 0] == level][:, 1]
        assert sorted(found) == sorted(sizes[sizes >= 4])


def test_one_neighbour_of_each_touching_group_is_linked() -> None:
    table = linked_neighbours(HALF_SPACE)
    assert np.array_equal(table[0], np.zeros(5))
    assert table[(1 << 13) - 1, 0] == 1  # all neighbours touch each other in the end
    corners = [HALF_SPACE.index((1, y, x)) for y in (1, -1) for x in (1, -1)]
    row = table[sum(1 << corner for corner in corners)]
    assert (row[0], sorted(row[1:])) == (4, sorted(corners))


@pytest.mark.parametrize("n", [2, 3, 7, 20, 90])
@pytest.mark.parametrize("spread", [0.02, 0.5, 3.0])
def test_second_eigenvalue_is_that_of_lapack(n: int, spread: float) -> None:
    chance = np.random.default_rng(n)
    apart = np.subtract.outer(np.arange(n), np.arange(n)) / n
    counts = chance.poisson(40 * np.exp(-((apart / spread) ** 2)), (3, n, n)) + np.eye(n)
    p_aij = counts + counts.transpose(0, 2, 1)
    p_aij /= p_aij.sum(axis=(1, 2), keepdims=True)
    px_ai = p_aij.sum(axis=2)
    squares = np.empty(3)
    second_eigenvalues(p_aij, px_ai, 0.0, squares)
    for found, p, px in zip(squares, p_aij, px_ai, strict=True):
        magnitudes = np.abs(np.linalg.eigvalsh(p / np.sqrt(np.outer(px, px))))
        assert found == pytest.approx(np.sort(magnitudes)[-2] ** 2, rel=1e-10)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int32])
def test_levels_of_edges_are_those_of_a_search(kind: type[Any]) -> None:
    chance = np.random.default_rng(1)
    values = chance.normal(0, 300, 5000).astype(kind)
    edges = np.arange(values.min() - 3, values.max() + 9, kind(7))
    values[: edges.size] = edges[: values.size]  # just on an edge
    edges[-1] += 1
    places = np.arange(values.size, dtype=np.int32)
    levels, counts = np.zeros(values.size, np.uint16), np.zeros(edges.size + 1, np.int64)
    place_by_edges(values, edges, places, levels, counts)
    assert np.array_equal(levels, levels_of(values, edges))
    assert np.array_equal(counts, np.bincount(levels, minlength=counts.size))
