"""show_rounds: what was given out, what came back, and how much was changed."""

from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from statistics import mean, median

from organome.domain.errors import SetupError
from organome.steps.annotate.rounds import Round, existing_rounds, read_lines


@dataclass(frozen=True, slots=True)
class OrganEdits:
    """How an organ was changed in a round.

    Attributes:
        organ: Name.
        n_scans: Accepted scans that had it, before or after.
        n_edited: Of these, scans in which it was changed.
        dice_median: Median Dice of the labels before and after.
        dice_min: The least.
    """

    organ: str
    n_scans: int
    n_edited: int
    dice_median: float
    dice_min: float


@dataclass(frozen=True, slots=True)
class RoundStatus:
    """How far a round is.

    Attributes:
        number: Of the round.
        strategy: How its scans were chosen.
        n_scans: Scans that were given out.
        n_accepted: Scans whose labels were accepted.
        dice_median: Median over accepted scans of the mean Dice over their organs.
        minutes: Median minutes a scan; None where nobody noted them.
        organs: Organs, the most changed first.
    """

    number: int
    strategy: str
    n_scans: int
    n_accepted: int
    dice_median: float | None
    minutes: float | None
    organs: tuple[OrganEdits, ...]


@dataclass(frozen=True, slots=True)
class RoundsStatus:
    """All rounds."""

    rounds: tuple[RoundStatus, ...]

    def __str__(self) -> str:
        """Write tables with tabs: the rounds, then the organs that were changed."""
        head = ("round", "strategy", "scans", "accepted", "dice", "minutes", "organs_edited")
        lines = ["\t".join(head)]
        for one in self.rounds:
            n_edited = sum(organ.n_edited > 0 for organ in one.organs)
            cells = (one.number, one.strategy, one.n_scans, one.n_accepted)
            numbers = (_number(one.dice_median, 3), _number(one.minutes, 1))
            lines.append("\t".join([*map(str, cells), *numbers, str(n_edited)]))
        lines += ["", "\t".join(("round", "organ", "scans", "edited", "dice_median", "dice_min"))]
        for one in self.rounds:
            for organ in one.organs:
                if organ.n_edited:
                    cells_of = (one.number, organ.organ, organ.n_scans, organ.n_edited)
                    dice = (_number(organ.dice_median, 3), _number(organ.dice_min, 3))
                    lines.append("\t".join([*map(str, cells_of), *dice]))
        return "\n".join(lines)


def run(*, rounds: Path) -> RoundsStatus:
    """Show all rounds: how many scans, and the Dice of labels before and after their correction.

    Args:
        rounds: Folder of all rounds.

    Raises:
        SetupError: There is no round, or one of its tables is damaged.
    """
    return RoundsStatus(tuple(_status(one) for one in existing_rounds(rounds)))


def _status(one: Round) -> RoundStatus:
    by_scan: dict[str, list[float]] = {}
    by_organ: dict[str, list[float]] = {}
    for line, row in read_lines(one.edits):
        dice = _float(row["dice"], one.edits, line)
        by_scan.setdefault(row["scan"], []).append(dice)
        by_organ.setdefault(row["organ"], []).append(dice)
    organs = [
        OrganEdits(organ, len(found), sum(dice < 1 for dice in found), median(found), min(found))
        for organ, found in by_organ.items()
    ]
    organs.sort(key=lambda organ: (organ.dice_median, -organ.n_edited, organ.organ))
    return RoundStatus(
        number=one.number,
        strategy=one.strategy,
        n_scans=len(one.scans),
        n_accepted=len(one.accepted_scans()),
        dice_median=median(map(mean, by_scan.values())) if by_scan else None,
        minutes=_minutes(one),
        organs=tuple(organs),
    )


def _minutes(one: Round) -> float | None:
    """Return the median minutes of the scans of a round; a blank cell is not noted."""
    lines = read_lines(one.minutes, by_hand=True)
    if lines and not {"scan", "minutes"} <= lines[0][1].keys():
        raise SetupError(f"{one.minutes}: no column scan and minutes, separated by a tab")
    found = [
        _float(row["minutes"], one.minutes, line)
        for line, row in lines
        if row["scan"].strip() in one.scans and row["minutes"].strip()
    ]
    return median(found) if found else None


def _float(text: str, path: Path, line: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not isfinite(number):
        raise SetupError(f"{path}, line {line}: a cell is not a number")
    return number


def _number(value: float | None, n_digits: int) -> str:
    return "-" if value is None else f"{value:.{n_digits}f}"
