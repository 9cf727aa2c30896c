"""Tables of BIDS on participants, sessions and scans: what an epidemiologist adjusts for.

Source: BIDS 1.10, "Participants file", "Sessions file", "Scans file".
"""

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from organome.domain.covariates import (
    Covariates,
    read_age_years,
    read_month,
    read_sex,
    read_site,
)
from organome.domain.errors import SetupError
from organome.domain.names import one_spelling
from organome.domain.scans import Scan

PARTICIPANTS: Final = "participants.tsv"
_KEY: Final = "participant_id"
_YEARS: Final = frozenset({"year", "years", "y", "yr", "yrs", "a"})


def tsv_lines(path: Path) -> list[str]:
    """Return the lines of a TSV with their ends.

    Raises:
        SetupError: If it is not UTF-8.
    """
    try:
        # Not splitlines(), for which U+2028, a vertical tab and others end a line, too.
        return list(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        raise SetupError(f"{path.name}: not UTF-8 text; save it as such") from error


def listed_participants(root: Path) -> frozenset[str] | None:
    """Return who stands in ``participants.tsv``; None where there is none that can be read."""
    try:
        rows = list(_rows(root / PARTICIPANTS))
    except (OSError, SetupError, csv.Error):
        return None
    return frozenset(_participant(row[_KEY]) for row in rows if row.get(_KEY))


class ParticipantTables:
    """What the tables of a dataset say about some participants.

    A participant whose rows in ``participants.tsv`` disagree, or who came more than once, has no
    age from there: it is that of one visit. ``sessions.tsv`` may have one for each.
    """

    def __init__(self, root: Path, participants: Collection[str]) -> None:
        """Read ``participants.tsv``.

        Raises:
            SetupError: If it cannot be read as a table.
        """
        self._of: dict[str, dict[str, str]] = {}
        path = root / PARTICIPANTS
        wanted = set(participants)
        self._has_years = _is_in_years(path.with_suffix(".json"))
        try:
            for row in _rows(path):
                participant = _participant(row.get(_KEY, ""))
                if participant in wanted:
                    known = self._of.setdefault(participant, row)
                    for column, value in row.items():
                        if known.get(column) != value:
                            known[column] = ""
        except FileNotFoundError:
            return
        except (OSError, csv.Error) as error:
            raise SetupError(f"{PARTICIPANTS}: cannot be read as a table ({error})") from error

    def of(self, scan: Scan) -> Covariates:
        """Return what the tables say; what is wrong with those of one participant is null."""
        image = Path(scan.sources[0].path)
        visit = image.parent.parent
        named = f"sub-{scan.participant}"
        is_session = visit.name.startswith("ses-")
        person = visit.parent if is_session else visit
        row = self._of.get(scan.participant, {})
        session: Mapping[str, str] = {}
        between = f"_{visit.name}" if is_session else ""
        # Without folders of sessions, the name of an archive may still say a visit.
        is_named_once = is_session or scan.instance == "1"
        is_only_visit = is_named_once and _n_sessions(person) == int(is_session)
        if is_session:
            sessions = _by(person / f"{named}_sessions.tsv", "session_id")
            session = sessions.get(visit.name, {})
        files = _by(visit / f"{named}{between}_scans.tsv", "filename")
        times = [
            files.get(f"{Path(one.path).parent.name}/{Path(one.path).name}", {}).get("acq_time")
            for one in scan.sources
        ]
        months = map(read_month, (*times, session.get("acq_time")))
        of_person = row.get("age") if is_only_visit else None
        ages = (read_age_years(session.get("age")), read_age_years(of_person))
        sites = (read_site(session.get("site")), read_site(row.get("site")))
        return Covariates(
            sex=read_sex(row.get("sex")),
            age_years=next(filter(None, ages), None) if self._has_years else None,
            acq_month=next(filter(None, months), None),
            site=next(filter(None, sites), None),
        )


def _rows(path: Path) -> Iterator[dict[str, str]]:
    for row in csv.DictReader(tsv_lines(path), delimiter="\t"):
        cells = {name: value for name, value in row.items() if isinstance(value, str)}
        yield {name.strip().lower(): value.strip() for name, value in cells.items()}


def _by(path: Path, key: str) -> dict[str, dict[str, str]]:
    try:
        return {one_spelling(row.get(key, "")): row for row in _rows(path)}
    except (OSError, SetupError, csv.Error):
        return {}


def _participant(text: str) -> str:
    return one_spelling(text).removeprefix("sub-")


def _n_sessions(folder: Path) -> int:
    try:
        return sum(one.name.startswith("ses-") for one in folder.iterdir())
    except OSError:
        return 0


def _is_in_years(path: Path) -> bool:
    """Return whether nothing says that ages are in another unit."""
    try:
        units = json.loads(path.read_text(encoding="utf-8-sig"))["age"]["Units"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return True
    return not isinstance(units, str) or units.strip().lower() in _YEARS
