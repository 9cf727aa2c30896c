"""Norms of a cohort: fitted to it, or those of another that are read from its table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.norms import COEFFICIENTS, Norm, fit_norm
from organome.domain.covariates import Sex
from organome.domain.errors import SetupError
from organome.domain.quality_tables import NORMS
from organome.domain.rows import Row
from organome.io.tables.parquet import parse_table

SEXES: Final = (Sex.FEMALE, Sex.MALE)
_JOINT: Final = ";"


class NormKey(NamedTuple):
    """What a norm is of."""

    structure: str
    sex: str
    contrast: str


Norms = dict[NormKey, Norm]


def fit_norms(names: Sequence[str], visits: pd.DataFrame, volume_ml: Floats) -> Norms:
    """Fit the norms of all structures, for each sex and contrast that has people enough.

    Args:
        names: Names of the structures.
        visits: Columns cohort, participant, sex, age_years, height_m, contrast; in order.
        volume_ml: Array (visits, structures); NaN where there is no volume, or none to learn from.
    """
    found: Norms = {}
    person = visits.groupby(["cohort", "participant"], sort=False).ngroup().to_numpy()
    age, height = (visits[name].to_numpy(np.float64) for name in ("age_years", "height_m"))
    is_known = np.isfinite(age) & np.isfinite(height) & visits["sex"].isin(SEXES).to_numpy()
    groups = visits[["sex", "contrast"]].reset_index(drop=True)[is_known]
    for (sex, contrast), of_group in groups.groupby(["sex", "contrast"]):
        rows = of_group.index.to_numpy()
        for name, volumes in zip(names, volume_ml.T, strict=True):
            measured = rows[np.isfinite(volumes[rows])]
            people = measured[np.unique(person[measured], return_index=True)[1]]
            norm = fit_norm(volumes[people], age[people], height[people])
            if norm is not None:
                found[NormKey(name, str(sex), str(contrast))] = norm
    return dict(sorted(found.items()))


def norm_rows(norms: Mapping[NormKey, Norm], cohort: str) -> Iterator[Row]:
    """Return a row a norm."""
    for key, norm in norms.items():
        knots = {f"age_knot_{k}_years": age for k, age in enumerate(norm.age_knots_years, 1)}
        yield {
            **key._asdict(),
            **{"cohort": cohort, "n": norm.n, "n_left_out": norm.n_left_out},
            **dict(zip(("age_low_years", "age_high_years"), norm.age_range_years, strict=True)),
            **dict(zip(("height_low_m", "height_high_m"), norm.height_range_m, strict=True)),
            **knots,
            **dict(zip(COEFFICIENTS, map(float, norm.coefficients), strict=True)),
            "covariance": _JOINT.join(map(repr, norm.covariance.ravel().tolist())),
        }


def read_norms(path: Path) -> tuple[Norms, str]:
    """Read norms that ``check_quality`` wrote of some cohort: a file, or its folder.

    Returns:
        The norms, and the name of the cohort.

    Raises:
        SetupError: They are not norms.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    try:
        rows = [row for file in files for row in parse_table(file).to_pylist()]
        norms = {NormKey(row["structure"], row["sex"], row["contrast"]): _norm(row) for row in rows}
        return norms, rows[0]["cohort"]
    except (OSError, ValueError, KeyError, IndexError) as error:
        name = NORMS.name
        raise SetupError(f"{path}: not a table of {name} ({type(error).__name__})") from None


def _norm(row: Mapping[str, Any]) -> Norm:
    n = len(COEFFICIENTS)
    covariance = np.array([float(text) for text in row["covariance"].split(_JOINT)])
    return Norm(
        n=row["n"],
        n_left_out=row["n_left_out"],
        age_knots_years=tuple(row[f"age_knot_{k}_years"] for k in range(1, 5)),
        age_range_years=(row["age_low_years"], row["age_high_years"]),
        height_range_m=(row["height_low_m"], row["height_high_m"]),
        coefficients=np.array([row[name] for name in COEFFICIENTS]),
        covariance=covariance.reshape(n, n),
    )
