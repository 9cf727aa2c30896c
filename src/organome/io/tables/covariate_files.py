"""The file of participants: sex, age, height, weight and centre, from what a biobank hands out.

| column | or of UK Biobank | or of NAKO |
|---|---|---|
| ``participant`` (also ``participant_id``, ``eid``) | ``eid`` | ``ID`` |
| ``instance`` (also ``session``, ``session_id``, ``visit``) | in the name of the field | none |
| ``sex``: a word, never a code | 31 (0 female, 1 male) | ``basis_sex`` (1 male, 2 female) |
| ``age_years`` (also ``age``) | 21003 | ``basis_age`` |
| ``birth_year``, ``birth_month`` | 34, 52 | ``Geburtsjahr`` |
| ``scan_date`` (also ``date``) | 53 | none |
| ``height_cm`` or ``height_m`` | 50 | ``anthro_groe``, ``a_anthro_groe`` |
| ``weight_kg`` (also ``weight``) | 21002 | ``anthro_gew``, ``a_anthro_gew`` |
| ``centre`` (also ``center``, ``site``) | 54 | ``StudZ``, ``basis_uort`` |

Fields of UK Biobank are known as ``p21003_i2``, ``21003-2.0``, ``f.21003.2.0`` and ``x21003_2_0``.
A value that is not of its kind (``-3``, ``7777``, ``prefer not to answer``) is null, and counted.

Source: names of fields as public code of users of both biobanks has them; no file of either was
read.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.domain.covariates import MAX_AGE_YEARS, Sex, read_sex, read_site
from organome.domain.errors import SetupError
from organome.domain.names import one_spelling

MEASURES: Final = (
    *("sex", "age_years", "birth_year", "birth_month", "scan_date"),
    *("height_m", "weight_kg", "centre"),
)
OF_ONE_VISIT: Final = ("age_years", "scan_date", "weight_kg")  # nobody else's at another visit
PEOPLE: Final = ("participant", "participant_id", "eid", "f.eid", "id")  # the surest first
_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys(PEOPLE, "participant"),
    **dict.fromkeys(("instance", "session", "session_id", "visit"), "instance"),
    **dict.fromkeys(("sex", "basis_sex"), "sex"),
    **dict.fromkeys(("age_years", "age", "basis_age"), "age_years"),
    **dict.fromkeys(("birth_year", "geburtsjahr"), "birth_year"),
    "birth_month": "birth_month",
    **dict.fromkeys(("scan_date", "date", "acq_date"), "scan_date"),
    **dict.fromkeys(("height_cm", "anthro_groe", "a_anthro_groe"), "height_cm"),
    "height_m": "height_m",
    **dict.fromkeys(("weight_kg", "weight", "anthro_gew", "a_anthro_gew"), "weight_kg"),
    **dict.fromkeys(("centre", "center", "site", "studz", "basis_uort"), "centre"),
}
_UKB_FIELDS: Final[Mapping[int, str]] = {
    **{31: "sex", 21003: "age_years", 34: "birth_year", 52: "birth_month", 53: "scan_date"},
    **{50: "height_cm", 21002: "weight_kg", 54: "centre"},
}
_UKB: Final = re.compile(
    r"(?:f\.|p|x)?(?P<field>\d{2,5})(?:[-._]i?(?P<instance>\d+)(?:[._]a?\d+)?)?", re.IGNORECASE
)
_CODED_SEX: Final[Mapping[str, Mapping[str, Sex]]] = {
    "31": {"0": Sex.FEMALE, "1": Sex.MALE},  # UK Biobank, coding 9
    "basis_sex": {"1": Sex.MALE, "2": Sex.FEMALE},
}
_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "age_years": (0.1, MAX_AGE_YEARS),
    **{"birth_year": (1900, 2099), "birth_month": (1, 12)},
    **{"height_m": (0.3, 2.6), "height_cm": (30, 260), "weight_kg": (0.3, 600)},
}
_EMPTY: Final = frozenset({"", "na", "n/a", "nan", "none", "null", "."})


@dataclass(frozen=True, slots=True)
class CovariateFile:
    """What a file says of participants.

    Attributes:
        rows: Columns participant, instance and ``MEASURES``, null where nothing is known; instance
            is null in rows that are of no visit in particular.
        n_unreadable: Values by column that are not of their kind, left out.
    """

    rows: pd.DataFrame
    n_unreadable: Mapping[str, int]


def read_covariates(path: Path) -> CovariateFile:
    """Read a file of participants: Parquet, CSV or TSV.

    Raises:
        SetupError: It cannot be read, lacks who it is about, says nothing that is known, says one
            thing in two columns, holds a participant twice at a visit, or a column of which nothing
            can be read.
    """
    table = _read(path)
    found = _columns(table, path)
    key = found.pop(("participant", None), None)
    if key is None:
        raise SetupError(f"{path.name}: no column participant (also participant_id, eid, ID)")
    visit = found.pop(("instance", None), None)
    if not found:
        raise SetupError(
            f"{path.name}: none of sex, age_years, birth_year, scan_date, height_cm, weight_kg,"
            " centre, nor a field of UK Biobank or NAKO for them"
        )
    participants = table[key].map(one_spelling).str.removeprefix("sub-")
    n_unreadable: dict[str, int] = {}
    parts: dict[str | None, pd.DataFrame] = {}
    for (name, instance), column in found.items():
        values = _values(name, table[column], column, path, n_unreadable)
        part = parts.setdefault(instance, pd.DataFrame({"participant": participants}))
        target = "height_m" if name == "height_cm" else name
        part[target] = values / 100 if name == "height_cm" else values
    rows = pd.concat([_with_instance(part, *it) for *it, part in _visits(parts, table, visit)])
    rows = rows.reindex(columns=["participant", "instance", *MEASURES])
    rows = rows[rows["participant"].ne("") & rows[list(MEASURES)].notna().any(axis=1)]
    if rows.duplicated(["participant", "instance"]).any():
        raise SetupError(f"{path.name}: some participants stand in it twice at one visit")
    return CovariateFile(rows.reset_index(drop=True), n_unreadable)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            return table.map(lambda cell: "" if pd.isna(cell) else _plain(cell))
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        return pd.read_csv(
            path, sep=separator(header), dtype=str, keep_default_na=False, encoding="utf-8-sig"
        ).rename(columns=str.strip)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise SetupError(f"{path}: cannot be read as a table ({type(error).__name__})") from None


def separator(header: str) -> str:
    """Return what stands between the cells of a text table, by its first line."""
    return max("\t;,", key=header.count)


def _plain(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _columns(table: pd.DataFrame, path: Path) -> dict[tuple[str, str | None], str]:
    """Find what is where: meaning and instance -> column."""
    found: dict[tuple[str, str | None], str] = {}
    said: dict[tuple[str, str | None], str] = {}
    for column in table.columns:
        name: str | None = _NAMES.get(column.lower())
        instance = None
        if name is None and (match := _UKB.fullmatch(column)):
            name = _UKB_FIELDS.get(int(match["field"]))
            is_of_visit = name not in ("sex", "birth_year", "birth_month")
            instance = match["instance"] if is_of_visit else None
        if name is None:
            continue
        meaning = "height" if name in ("height_m", "height_cm") else name
        first = said.setdefault((meaning, instance), column)
        if first != column:
            raise SetupError(f"{path.name}: columns {first} and {column} both say {meaning}")
        found[name, instance] = column
    return found


def _visits(
    parts: Mapping[str | None, pd.DataFrame], table: pd.DataFrame, named: str | None
) -> list[tuple[Any, pd.DataFrame]]:
    """Give each part its instance: that of its fields, a column, or none."""
    column = None if named is None else table[named].map(one_spelling).str.removeprefix("ses-")
    if column is not None:
        column = column.astype(object).where(column != "", None)
    return [(column if at is None else at, part) for at, part in parts.items()]


def _with_instance(part: pd.DataFrame, instance: Any) -> pd.DataFrame:
    return part.assign(instance=pd.Series(instance, index=part.index, dtype="object"))


def _values(
    name: str, texts: pd.Series, column: str, path: Path, n_unreadable: dict[str, int]
) -> pd.Series:
    """Read the values of a column; what is not of its kind is null and counted."""
    texts = texts.str.strip()
    is_given = ~texts.str.lower().isin(_EMPTY)
    values = _READERS.get(name, _numbers)(texts, name, column)
    n_lost = int((is_given & values.isna()).sum())
    if n_lost and n_lost == is_given.sum():
        hint = "; write female and male" if name == "sex" else ""
        raise SetupError(f"{path.name}: column {column}: not one {name} in it{hint}")
    if n_lost:
        n_unreadable[column] = n_lost
    return values


def _numbers(texts: pd.Series, name: str, column: str) -> pd.Series:  # noqa: ARG001
    numbers = pd.to_numeric(texts.str.replace(",", ".", regex=False), errors="coerce")
    return numbers.where(numbers.between(*_BOUNDS[name]))


def _sexes(texts: pd.Series, name: str, column: str) -> pd.Series:  # noqa: ARG001
    match = _UKB.fullmatch(column)
    codes = _CODED_SEX.get(match["field"] if match else column.lower(), {})
    known = {text: codes.get(text) or read_sex(text) for text in texts.unique()}
    return texts.map({text: sex and sex.value for text, sex in known.items()})


def _centres(texts: pd.Series, name: str, column: str) -> pd.Series:  # noqa: ARG001
    return texts.map({text: read_site(text) for text in texts.unique()})


def _dates(texts: pd.Series, name: str, column: str) -> pd.Series:  # noqa: ARG001
    dates = pd.to_datetime(texts.str[:10], format="%Y-%m-%d", errors="coerce")
    return dates.where(dates.dt.year.between(1970, 2099))


_READERS: Final[Mapping[str, Callable[[pd.Series, str, str], pd.Series]]] = {
    "sex": _sexes,
    "centre": _centres,
    "scan_date": _dates,
}


def at_visits(file: CovariateFile, visits: pd.DataFrame) -> pd.DataFrame:
    """Return what a file says of visits, row by row.

    A row without an instance counts at all visits of its participant; but age, date and weight are
    those of one visit, so null where the participant has several.

    Args:
        file: The file.
        visits: Columns participant and instance.

    Returns:
        Columns ``MEASURES``, in the order of the visits.
    """
    rows = file.rows
    visits = visits[["participant", "instance"]].astype(object).reset_index(drop=True)
    of_visit = visits.merge(
        rows[rows["instance"].notna()], on=["participant", "instance"], how="left"
    )
    of_person = visits.merge(
        rows[rows["instance"].isna()].drop(columns="instance"), on="participant", how="left"
    )
    several = visits.drop_duplicates().groupby("participant")["instance"].nunique() > 1
    has_several = visits["participant"].map(several).to_numpy(bool)
    for name in OF_ONE_VISIT:
        of_person[name] = of_person[name].where(~has_several)
    found = of_visit[list(MEASURES)].astype(object)
    found = found.where(found.notna(), of_person[list(MEASURES)].astype(object))
    numbers = {name: np.float64 for name in MEASURES if name in _BOUNDS}
    return found.astype(numbers).assign(scan_date=pd.to_datetime(found["scan_date"]))
