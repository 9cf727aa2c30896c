"""What an epidemiologist adjusts for: an allow-list of four facts, read on request only.

A text that is not plainly one of them is null: codes (``1``, ``2``) are never guessed, of dates the
month is kept, and a birth date never leaves the function that makes an age of it.

Source: DICOM PS3.5 6.2 (AS, DA), PS3.3 C.7.1.1; BIDS 1.10, "Participants file", "Scans file".
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Covariate(StrEnum):
    """Word by which a fact is asked for."""

    SEX = "sex"
    AGE = "age"
    ACQ_MONTH = "acq_month"
    SITE = "site"


class Sex(StrEnum):
    """Sex, as delivered. Values stand in published tables."""

    FEMALE = "female"
    MALE = "male"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Covariates:
    """What is known of a participant at a visit; None: nothing that can be read.

    Attributes:
        sex: Sex.
        age_years: Age at the scan.
        acq_month: Year and month of the scan, ``2016-05``.
        site: Code of the site, as the tables of the cohort have it.
    """

    sex: Sex | None = None
    age_years: float | None = None
    acq_month: str | None = None
    site: str | None = None

    def asked_for(self, wanted: "frozenset[Covariate]") -> dict[str, str | float | None]:
        """Return the columns of those that are asked for."""
        return {COLUMNS[one]: getattr(self, COLUMNS[one]) for one in Covariate if one in wanted}

    def or_else(self, other: "Covariates | None") -> "Covariates":
        """Fill in what is not known from another source."""
        if other is None:
            return self
        return Covariates(
            **{name: _first(getattr(self, name), getattr(other, name)) for name in COLUMNS.values()}
        )


UNKNOWN: Final = Covariates()
COLUMNS: Final = {
    Covariate.SEX: "sex",
    Covariate.AGE: "age_years",
    Covariate.ACQ_MONTH: "acq_month",
    Covariate.SITE: "site",
}
MAX_AGE_YEARS: Final = 120.0
_BLANKED_BIRTH: Final = (1900, 1, 1)  # what tools write that take identities out
FIRST_YEAR, LAST_YEAR = 1970, 2099  # BIDS: dates before 1925 are shifted ones
_SEXES: Final = {
    **dict.fromkeys(("f", "female", "w", "woman"), Sex.FEMALE),
    **dict.fromkeys(("m", "male", "man"), Sex.MALE),
    **dict.fromkeys(("o", "other"), Sex.OTHER),
}
_AGE: Final = re.compile(r"(\d{1,3}(?:[.,]\d+)?)", re.ASCII)
_DICOM_AGE: Final = re.compile(r"(\d{3})([YMWD])", re.ASCII)
_PER_YEAR: Final = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.2425}
_DATE: Final = re.compile(r"(\d{4})-?(\d{2})(?:-?(\d{2}))?(?!\d)", re.ASCII)
_SITE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,15}")
AGE_DECIMALS: Final = 2


def read_sex(text: str | None) -> Sex | None:
    """Return the sex that a word or letter means."""
    return _SEXES.get((text or "").strip().lower())


def read_age_years(text: str | None) -> float | None:
    """Return an age in years, written as a number or as DICOM does (``045Y``, ``018M``)."""
    written = (text or "").strip()
    if match := _DICOM_AGE.fullmatch(written):
        return _believed(int(match[1]) / _PER_YEAR[match[2]])
    match = _AGE.fullmatch(written)
    return None if match is None else _believed(float(match[1].replace(",", ".")))


def read_month(text: str | None) -> str | None:
    """Return year and month of a date, with or without a time (``20160503``, ``2016-05-03T..``)."""
    match = _DATE.match(_digits((text or "").strip()))
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        return None
    return f"{match[1]}-{match[2]}" if 1 <= int(match[2]) <= 12 else None


def read_site(text: str | None) -> str | None:
    """Return a code of a site, up to 16 letters, digits and `_.-`; None for an address."""
    written = (text or "").strip()
    is_code = _SITE.fullmatch(written) is not None and written.lower() not in ("n/a", "na", "nan")
    return written if is_code else None


def age_at(birth: str | None, scan: str | None) -> float | None:
    """Return the age in whole years from two dates of DICOM (``YYYYMMDD``)."""
    dates = [_DATE.match(_digits((one or "").strip())) for one in (birth, scan)]
    if dates[0] is None or dates[1] is None or read_month(scan) is None:
        return None
    (year, *of_birth), (scan_year, *of_scan) = (
        [int(one or 1) for one in d.groups()] for d in dates if d
    )
    if (year, *of_birth) == _BLANKED_BIRTH:
        return None
    return _believed(scan_year - year - (of_scan < of_birth))


def _digits(text: str) -> str:
    """Cut a date of DICOM, which runs into its time, to its eight digits."""
    return text[:8] if text[:8].isascii() and text[:8].isdecimal() else text


def _believed(years: float) -> float | None:
    return round(years, AGE_DECIMALS) if 0 < years <= MAX_AGE_YEARS else None


def _first(one: Any, other: Any) -> Any:
    return other if one is None else one
