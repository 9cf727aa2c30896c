"""Sex, age, height and weight at each visit: from a file of participants, else from the scans."""

import logging
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from organome.domain.covariates import AGE_DECIMALS, MAX_AGE_YEARS
from organome.io.tables.covariate_files import MEASURES, at_visits, read_covariates
from organome.steps.quality.collected import Collected

_logger = logging.getLogger(__name__)

VISIT: Final = ["cohort", "participant", "instance"]
# Column of the scans, and of the file of participants.
_OF_SCANS: Final = {
    **{"sex": "sex", "age_years": "age_years", "height_m": "height_m"},
    **{"weight_kg": "weight_kg", "site": "centre"},
}
_DAYS_PER_YEAR: Final = 365.2425


def visit_covariates(collected: Collected, path: Path | None) -> pd.DataFrame:
    """Find what is known at each visit.

    Returns:
        A row a visit in the order of the tables: ``VISIT``, sex, age_years, height_m, weight_kg,
        bmi_kg_per_m2, bsa_m2, centre, scan_date, from_scans; beyond those of the table of
        covariates acq_month, and sex_of_scans, that of the images.

    Raises:
        SetupError: The file cannot be read.
    """
    scans = collected.all_scans([*VISIT, *_OF_SCANS, "acq_month"])
    visits = scans.groupby(VISIT, sort=False, dropna=False).first().reset_index()
    visits = visits.rename(columns=_OF_SCANS)
    found = _nothing(visits) if path is None else _in_file(path, visits)
    known = _joined(visits.assign(sex_of_scans=visits["sex"]), found)
    height, weight = (known[name].astype(np.float64) for name in ("height_m", "weight_kg"))
    return known.assign(
        height_m=height,
        weight_kg=weight,
        age_years=known["age_years"].astype(np.float64),
        bmi_kg_per_m2=weight / height**2,
        bsa_m2=np.sqrt(100 * height * weight / 3600),
    )


def _nothing(visits: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(None, visits.index, list(MEASURES), dtype=object)


def _in_file(path: Path, visits: pd.DataFrame) -> pd.DataFrame:
    """Return what a file says of visits; the log counts what does not fit together."""
    file = read_covariates(path)
    for column, n in file.n_unreadable.items():
        _logger.warning("%s: column %s: %d values are not of its kind, null", path.name, column, n)
    listed = file.rows["participant"].unique()
    n_unknown = int((~pd.Series(listed).isin(visits["participant"])).sum())
    found = at_visits(file, visits)
    n_lacking = int(found.isna().all(axis=1).sum())
    _logger.info(
        "%s: %d visits of %d have a row; %d visits have none; %d of %d participants in it have no"
        " scan",
        *(path.name, len(visits) - n_lacking, len(visits), n_lacking, n_unknown, len(listed)),
    )
    age = found["age_years"]
    return found.assign(age_years=age.where(age.notna(), _age(found, visits)))


def _joined(visits: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Fill in from the scans what a file lacks, and say so."""
    joined, lacking = visits.copy(), np.full(len(visits), "", dtype=object)
    for name in _OF_SCANS.values():
        of_scans = visits[name].astype(object)
        is_lacking = found[name].isna() & of_scans.notna()
        joined[name] = found[name].astype(object).where(~is_lacking, of_scans)
        lacking[is_lacking] += f"{name};"
    words = pd.Series(lacking, visits.index).str.rstrip(";").astype(object)
    dates = pd.to_datetime(found["scan_date"])
    return joined.assign(scan_date=dates, from_scans=words.where(words != "", None))


def _age(found: pd.DataFrame, visits: pd.DataFrame) -> pd.Series:
    """Return ages from the year of birth and the date of the scan, else its month."""
    months = pd.to_datetime(visits["acq_month"], format="%Y-%m", errors="coerce")
    scanned = found["scan_date"].where(found["scan_date"].notna(), months + pd.Timedelta(days=14))
    at = scanned.dt.year + (scanned.dt.day_of_year - 1) / _DAYS_PER_YEAR
    month = found["birth_month"]
    born = found["birth_year"] + ((month - 0.5) / 12).where(month.notna(), 0.5)
    age: pd.Series[float] = (at - born).round(AGE_DECIMALS)
    return age.where((age > 0) & (age <= MAX_AGE_YEARS))
