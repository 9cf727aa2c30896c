"""Small cells of a table of counts, and those that would give them away.

Totals are published beside the cells, so a single suppressed cell could be had by subtraction. In
every sum of the table, therefore, either nothing is suppressed or at least two cells are, and
suppressed cells of a published total hold the least number of people together. Where a person is in
several cells, as by several scans, the cells are given as sets of people, and each counts once.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

Cell: TypeAlias = tuple[str, ...]
People: TypeAlias = int | AbstractSet[Any]
TOTAL: Final = "all"


def suppressed_cells(counts: Mapping[Cell, People], *, min_count: int) -> set[Cell]:
    """Return which cells must not be shown.

    Args:
        counts: People in each cell, how many or who; a coordinate that is ``all`` is the sum over
            that coordinate. Cells that nobody is in may be missing.
        min_count: Least number of people in a cell that is shown. Empty cells are shown.
    """
    hidden = {cell for cell, people in counts.items() if 0 < _n_people([people]) < min_count}
    sums = list(_sums(counts))
    is_settled = False
    while not is_settled:
        is_settled = True
        for total, parts in sums:
            more = _one_more(total, parts, counts, hidden, min_count)
            if more is not None:
                hidden.add(more)
                is_settled = False
    return hidden


def _n_people(cells: Iterable[People]) -> int:
    n, people = 0, set[Any]()
    for one in cells:
        if isinstance(one, int):
            n += one
        else:
            people |= one
    return n + len(people)


def _sums(counts: Mapping[Cell, People]) -> Iterator[tuple[Cell, list[Cell]]]:
    """List every total with the cells that it is the sum of along one coordinate."""
    for total in counts:
        for axis, value in enumerate(total):
            if value == TOTAL:
                parts = [
                    cell
                    for cell in counts
                    if cell[axis] != TOTAL and (*cell[:axis], TOTAL, *cell[axis + 1 :]) == total
                ]
                yield total, parts


def _one_more(
    total: Cell,
    parts: list[Cell],
    counts: Mapping[Cell, People],
    hidden: set[Cell],
    min_count: int,
) -> Cell | None:
    """Return a cell that has to be hidden, too, for a sum; None where it gives nothing away."""
    hidden_parts = [cell for cell in parts if cell in hidden]
    n_hidden = _n_people(counts[cell] for cell in hidden_parts)
    if total in hidden:
        is_safe = bool(hidden_parts)
    else:
        is_safe = not hidden_parts or (len(hidden_parts) > 1 and n_hidden >= min_count)
    if is_safe:
        return None
    shown = sorted(
        (cell for cell in parts if cell not in hidden and counts[cell]),
        key=lambda cell: (_n_people([counts[cell]]), cell),
    )
    if shown:
        return shown[0]
    return None if total in hidden else total
