"""Ratings and exclusions by hand: TSV files that people, or a report, write; nothing here does.

Ratings, a line for each look at an organ or a scan; of one rater the last by time counts:

| column | | |
|---|---|---|
| ``scan`` | required | key of the scan, as in the tables |
| ``organ`` | required | name of the organ, empty: the whole scan |
| ``rating`` | required | ``pass``, ``fail`` or ``unsure`` |
| ``rater`` | | who looked: any word |
| ``note`` | | any text |
| ``time`` | | when, ISO 8601 (``2026-11-29T10:15:00Z``) |

Exclusions, a line for each scan, visit or participant to leave out:

| column | | |
|---|---|---|
| ``scan`` | this or ``participant`` | key of the scan |
| ``participant`` | | pseudonym, with or without ``sub-`` |
| ``instance`` | | visit, with or without ``ses-``; empty: all of the participant |
| ``organ`` | | name of the organ; empty: all |
| ``reason`` | | any text |
"""

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from organome.domain.errors import SetupError
from organome.domain.names import one_spelling
from organome.domain.quality import Rating
from organome.io.tables.participants import tsv_lines

RATING_COLUMNS: Final = ("scan", "organ", "rating", "rater", "note", "time")
EXCLUSION_COLUMNS: Final = ("scan", "participant", "instance", "organ", "reason")

Target = tuple[str, str | None]  # key of a scan, and name of an organ or None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What somebody wants left out; None: all of them."""

    scan: str | None
    participant: str | None
    instance: str | None
    organ: str | None


def read_last_words(
    paths: Iterable[Path], organs: Collection[str]
) -> dict[tuple[Target, str], Rating]:
    """Read the last rating of each rater on each scan or organ, from all files together.

    Args:
        paths: The files.
        organs: Names of the organs that there are.

    Raises:
        SetupError: Naming file and line, if a column or a word is wrong.
    """
    last: dict[tuple[Target, str], tuple[str, Rating]] = {}
    for path in sorted(paths):
        for where, cells in _lines(path, RATING_COLUMNS, required=RATING_COLUMNS[:3]):
            if not cells["scan"]:
                raise SetupError(f"{where}: no scan")
            organ = _organ(cells["organ"], organs, where)
            if cells["rating"] not in tuple(Rating):
                words = ", ".join(Rating)
                raise SetupError(f"{where}: rating {cells['rating']!r} must be one of {words}")
            key = ((cells["scan"], organ), cells.get("rater", ""))
            said = (cells.get("time", ""), Rating(cells["rating"]))
            if key not in last or said[0] >= last[key][0]:
                last[key] = said
    return {key: rating for key, (_, rating) in last.items()}


def read_ratings(paths: Iterable[Path], organs: Collection[str]) -> dict[Target, Rating]:
    """Read ratings from all files together.

    Where the last words of two raters differ, the rating is ``unsure``.

    Args:
        paths: The files.
        organs: Names of the organs that there are.

    Raises:
        SetupError: Naming file and line, if a column or a word is wrong.
    """
    found: dict[Target, Rating] = {}
    for (target, _), rating in read_last_words(paths, organs).items():
        found[target] = rating if found.get(target, rating) is rating else Rating.UNSURE
    return found


def read_exclusions(paths: Iterable[Path], organs: Collection[str]) -> list[Exclusion]:
    """Read exclusion lists.

    Raises:
        SetupError: Naming file and line, if a line names nobody, or an organ that there is not.
    """
    found = []
    for path in sorted(paths):
        for where, cells in _lines(path, EXCLUSION_COLUMNS, required=()):
            scan = cells.get("scan") or None
            participant = cells.get("participant", "").removeprefix("sub-") or None
            if scan is None and participant is None:
                raise SetupError(f"{where}: neither scan nor participant")
            organ = _organ(cells.get("organ", ""), organs, where)
            instance = cells.get("instance", "").removeprefix("ses-") or None
            found.append(Exclusion(scan, participant, instance, organ))
    return found


def _organ(name: str, organs: Collection[str], where: str) -> str | None:
    if name and name not in organs:
        raise SetupError(f"{where}: organ {name!r} is not one of this run")
    return name or None


def _lines(
    path: Path, known: Sequence[str], *, required: Collection[str]
) -> Iterable[tuple[str, Mapping[str, str]]]:
    try:
        rows = csv.DictReader(tsv_lines(path), delimiter="\t", strict=True)
        columns = rows.fieldnames or ()
        absent = [name for name in required if name not in columns]
        if absent or not set(columns) & set(known):
            wanted = " and ".join(absent) or " or ".join(known[:2] if known else ())
            raise SetupError(
                f"{path.name}: no column {wanted} (are the columns separated by tabs?)"
            )
        for row in rows:
            where = f"{path.name}, line {rows.line_num}"
            if None in row:
                raise SetupError(f"{where}: more fields than columns")
            cells = {name: one_spelling((value or "").strip()) for name, value in row.items()}
            if any(cells.values()):
                yield where, cells
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise SetupError(f"{path.name}: not a table separated by tabs ({error})") from error
