from itertools import product

import numpy as np
import pytest

from organome.compute.metrics.suppression import TOTAL, Cell, suppressed_cells


def with_totals(counts: dict[Cell, int]) -> dict[Cell, int]:
    """Add all sums over one coordinate or more."""
    n_axes = len(next(iter(counts)))
    whole: dict[Cell, int] = {}
    for cell, n in counts.items():
        for is_total in product([False, True], repeat=n_axes):
            key = tuple(TOTAL if one else value for one, value in zip(is_total, cell, strict=True))
            whole[key] = whole.get(key, 0) + n
    return whole


def determined(counts: dict[Cell, int], hidden: set[Cell]) -> set[Cell]:
    """Return hidden cells that follow from what is shown, by linear algebra over all sums."""
    inner = [cell for cell in counts if TOTAL not in cell]
    equations = [
        [all(b in (TOTAL, a) for a, b in zip(cell, shown, strict=True)) for cell in inner]
        for shown in counts
        if shown not in hidden
    ]
    matrix = np.array(equations, dtype=float).reshape(-1, len(inner))
    rank = np.linalg.matrix_rank(matrix)
    found = set()
    for cell in hidden:
        row = [all(b in (TOTAL, a) for a, b in zip(one, cell, strict=True)) for one in inner]
        if np.linalg.matrix_rank(np.vstack([matrix, np.array(row, float)])) == rank:
            found.add(cell)
    return found


def test_a_single_small_cell_takes_the_next_smallest_with_it() -> None:
    counts = with_totals({("a",): 4, ("b",): 30, ("c",): 500})
    assert suppressed_cells(counts, min_count=10) == {("a",), ("b",)}


def test_two_small_cells_that_are_few_together_take_a_third() -> None:
    counts = with_totals({("a",): 4, ("b",): 3, ("c",): 40, ("d",): 50})
    assert suppressed_cells(counts, min_count=10) == {("a",), ("b",), ("c",)}


def test_nothing_small_nothing_hidden_and_empty_cells_are_shown() -> None:
    assert not suppressed_cells(with_totals({("a",): 0, ("b",): 10}), min_count=10)


@pytest.mark.parametrize("seed", range(12))
def test_no_hidden_cell_follows_from_the_sums(seed: int) -> None:
    chance = np.random.default_rng(seed)
    shape = [("1", "2", "3"), ("f", "m"), ("x", "y", "z", "w")][: 2 + seed % 2]
    counts = with_totals({cell: int(chance.integers(0, 60)) for cell in product(*shape)})
    hidden = suppressed_cells(counts, min_count=10)
    assert {cell for cell, n in counts.items() if 0 < n < 10} <= hidden
    assert not {cell for cell in determined(counts, hidden) if 0 < counts[cell] < 10}
