"""Which scans a person shall look at: the worst, those in dispute, any, or some of each kind."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain, zip_longest
from statistics import fmean
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.domain.outcomes import OrganReason

Row = Mapping[str, Any]
SCAN_COLUMNS: Final = ("flags", "fat_water", "sex", "age_years", "contrast")
ORGAN_COLUMNS: Final = (
    *("scan", "na_reason", "side_suspect", "n_pieces", "largest_piece_share"),
    *("fold_dice", "contrast_dice"),
)
_ODD_SIZES: Final = frozenset({OrganReason.IMPLAUSIBLY_SMALL, OrganReason.IMPLAUSIBLY_LARGE})
_SCATTERED: Final = 0.9  # share of the largest piece below which an organ is in pieces
_AGE_BAND_YEARS: Final = 10


class Strategy(StrEnum):
    """How the scans of a round are chosen."""

    WORST = "worst"
    DISAGREEMENT = "disagreement"
    RANDOM = "random"
    STRATIFIED = "stratified"


def choose(
    strategy: Strategy, n: int, *, scans: Sequence[Row], organs: Iterable[Row], seed: int
) -> list[str]:
    """Choose scans.

    Args:
        strategy: How.
        n: How many at most.
        scans: Rows of the scan table that may be chosen.
        organs: Rows of the organ table.
        seed: Of chance; it also decides between equals.

    Returns:
        Their keys, those that come first first.

    Raises:
        SetupError: The run has not measured what the strategy goes by.
    """
    shuffled = sorted(scans, key=lambda row: row["scan"])
    random.Random(seed).shuffle(shuffled)
    if strategy is Strategy.STRATIFIED:
        return [row["scan"] for row in _in_turn(shuffled)][:n]
    if strategy is not Strategy.RANDOM:
        by_scan: dict[str, list[Row]] = {row["scan"]: [] for row in scans}
        for organ in organs:
            if organ["scan"] in by_scan:
                by_scan[organ["scan"]].append(organ)
        score = _SCORES[strategy]
        scores = {row["scan"]: score(row, by_scan[row["scan"]]) for row in scans}
        _check_known(strategy, scores.values())
        shuffled.sort(key=lambda row: -(scores[row["scan"]] or 0.0))
    return [row["scan"] for row in shuffled][:n]


def _oddities(scan: Row, organs: Sequence[Row]) -> float:
    """Count what the tables say is odd about a scan and its organs."""
    n_flags = len((scan["flags"] or "").split(";")) if scan["flags"] else 0
    is_swapped = scan["fat_water"] == "swapped"
    of_organs = sum(
        bool(one["side_suspect"])
        + (one["na_reason"] in _ODD_SIZES)
        + ((one["n_pieces"] or 0) > 1 and one["largest_piece_share"] < _SCATTERED)
        for one in organs
    )
    return float(n_flags + is_swapped + of_organs)


def _disagreement(scan: Row, organs: Sequence[Row]) -> float | None:  # noqa: ARG001
    """Return by how much folds or contrasts disagree, mean over organs; None: not measured."""
    for column in ("fold_dice", "contrast_dice"):
        found = [one[column] for one in organs if one[column] is not None]
        if found:
            return 1.0 - fmean(found)
    return None


_SCORES: Final[Mapping[Strategy, Callable[[Row, Sequence[Row]], float | None]]] = {
    Strategy.WORST: _oddities,
    Strategy.DISAGREEMENT: _disagreement,
}


def _check_known(strategy: Strategy, scores: Iterable[float | None]) -> None:
    if all(score is None for score in scores):
        raise SetupError(
            f"--strategy {strategy}: the run has measured no agreement; set segment.fold_agreement:"
            " true or segment.combine: consensus, or take another strategy"
        )


def _in_turn(scans: Iterable[Row]) -> list[Row]:
    """Take one scan of each stratum, then a second one of each, and so on."""
    strata: dict[tuple[Any, ...], list[Row]] = {}
    for row in scans:
        age = row["age_years"]
        band = None if age is None else int(age // _AGE_BAND_YEARS)
        strata.setdefault((row["sex"], band, row["contrast"]), []).append(row)
    return [row for row in chain(*zip_longest(*strata.values())) if row is not None]
