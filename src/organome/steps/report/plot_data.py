"""What plots show: columns of the scans that are shown, curves of norms, counts of all scans."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.bland_altman import bland_altman
from organome.compute.metrics.norms import COEFFICIENTS, Norm, volume_at
from organome.steps.report.cohort import Cohort

_CENTILES: Final = (3, 50, 97)
_N_BINS: Final = (24, 30)  # of age and volume
_VISIT: Final = ["cohort", "participant", "instance"]
_WHOLE_YEARS: Final = 5  # norms are drawn between ages of whole fives: nobody's own age


def choose_shown(cohort: Cohort, n_most: int, seed: int) -> pd.DataFrame:
    """Choose the scans that plots and rows show: the worst, and people drawn by chance.

    The worst of each rule and organ and the next most doubtful are half of them; then people are
    added one by one, all scans of each.

    Args:
        cohort: The cohort.
        n_most: Scans that are shown at most, but for those of a person who is drawn last.
        seed: Of the drawing.
    """
    scans = cohort.scans
    if len(scans) <= n_most:
        return scans
    is_worst = scans["scan"].isin({odd.scan for odd in cohort.worst})
    doubtful = pd.concat([scans["scan"][is_worst], scans["scan"][~is_worst]])[: n_most // 2]
    is_doubtful = scans["scan"].isin(doubtful)
    people = scans["participant"].drop_duplicates().sort_values().to_numpy()
    drawn = np.random.default_rng(seed).permutation(people)
    n_more = scans.loc[~is_doubtful, "participant"].value_counts().reindex(drawn, fill_value=0)
    n_before = is_doubtful.sum() + n_more.cumsum() - n_more  # scans when it is the person's turn
    chosen = is_doubtful | scans["participant"].isin(drawn[n_before.to_numpy() < n_most])
    return scans[chosen].reset_index(drop=True)


def plot_data(cohort: Cohort, shown: pd.DataFrame, *, shareable: bool) -> Any:
    """Make what the script of the start page draws; None stands for no value."""
    curves = list(_curves(cohort.norms))
    if shareable:
        return {"structures": list(cohort.structures), "curves": curves}
    places = {scan: place for place, scan in enumerate(shown["scan"])}
    visits = cohort.visits["scan"].map(places)
    values = np.full((len(shown), len(cohort.structures)), np.nan)
    known = visits.notna().to_numpy()
    values[visits[known].astype(int)] = cohort.volume_ml[known]
    names = ("scan", "sex", "age_years", "contrast", "protocol", "quality")
    return {
        "structures": list(cohort.structures),
        "scans": {name: _texts(shown[name]) for name in names if name != "age_years"}
        | {"age_years": rounded(shown["age_years"])},
        "volumes": dict(zip(cohort.structures, map(rounded, values.T), strict=True)),
        "curves": curves,
        "bins": _bins(cohort) if len(cohort.scans) > len(shown) else {},
        "visits": _of_visits(cohort, places),
        "contrasts": _of_contrasts(cohort, places),
    }


def rounded(values: Any) -> list[float | None]:
    """Return numbers with four digits; None for NaN."""
    return [
        None if value != value else float(f"{value:.4g}")
        for value in np.asarray(values, np.float64).tolist()
    ]


def _texts(values: pd.Series) -> list[str | None]:
    return [None if pd.isna(value) else str(value) for value in values]


def _curves(norms: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in norms.to_dict("records"):
        height_m = (row["height_low_m"] + row["height_high_m"]) / 2
        low, high = (row[f"age_{end}_years"] / _WHOLE_YEARS for end in ("low", "high"))
        ages = np.arange(np.ceil(low) * _WHOLE_YEARS, np.floor(high) * _WHOLE_YEARS + 1)
        norm = Norm(
            n=row["n"],
            n_left_out=row["n_left_out"],
            age_knots_years=tuple(row[f"age_knot_{k}_years"] for k in range(1, 5)),
            age_range_years=(row["age_low_years"], row["age_high_years"]),
            height_range_m=(row["height_low_m"], row["height_high_m"]),
            coefficients=np.array([row[name] for name in COEFFICIENTS]),
            covariance=np.empty((0, 0)),
        )
        if not len(ages):
            continue
        heights = np.full(len(ages), round(height_m, 2))
        yield {
            "structure": row["structure"],
            "sex": row["sex"],
            "contrast": row["contrast"],
            "n": int(row["n"]),
            "height_m": round(height_m, 2),
            "age_years": ages.tolist(),
            **{f"p{c}": rounded(volume_at(norm, c, ages, heights)) for c in _CENTILES},
        }


def _bins(cohort: Cohort) -> dict[str, Any]:
    """Count all visits by age and volume, structure by structure."""
    ages = cohort.visits["age_years"].to_numpy(np.float64)
    found = {}
    for name, volumes in zip(cohort.structures, cohort.volume_ml.T, strict=True):
        both = np.isfinite(ages) & np.isfinite(volumes)
        if both.any():
            ends = [np.quantile(one[both], (0, 1)) for one in (ages, volumes)]
            counts, x, y = np.histogram2d(ages[both], volumes[both], bins=_N_BINS, range=ends)
            found[name] = {
                "x": rounded(x[:-1] + np.diff(x) / 2),
                "y": rounded(y[:-1] + np.diff(y) / 2),
                "n": counts.T.astype(int).tolist(),
            }
    return found


def _of_visits(cohort: Cohort, places: dict[str, int]) -> list[dict[str, Any]]:
    """Return pairs of visits by structure: first and second volume."""
    key = ["participant", "protocol", "instance"]
    scans = cohort.visits.set_index(key)["scan"]
    scans = scans[~scans.index.duplicated()].map(places)
    rows = cohort.pairs
    at = [
        scans.reindex(pd.MultiIndex.from_frame(rows[[*key[:2], f"{which}_instance"]])).to_numpy()
        for which in ("first", "second")
    ]
    rows = rows.assign(a=at[0], b=at[1])
    groups = {str(name): group for name, group in rows.groupby("structure", sort=False)}
    return [
        agreement(
            name,
            "second less first visit",
            groups[name][["second_volume_ml", "first_volume_ml"]].to_numpy(np.float64),
            groups[name][["b", "a"]].to_numpy(np.float64),
        )
        for name in cohort.structures
        if name in groups
    ]


def _of_contrasts(cohort: Cohort, places: dict[str, int]) -> list[dict[str, Any]]:
    """Return pairs of acquisitions of a visit, by their contrasts and structure."""
    visits = cohort.visits.assign(
        place=cohort.visits["scan"].map(places), row=np.arange(len(cohort.visits))
    )
    visits = visits[visits["contrast"].notna()]
    several = visits[visits.duplicated(_VISIT, keep=False)]
    if several.empty:
        return []
    both = several.merge(several, on=_VISIT, suffixes=("_a", "_b"))
    kinds = [both[f"protocol_{x}"] + " " + both[f"contrast_{x}"] for x in "ab"]
    both = both.assign(a=kinds[0], b=kinds[1])[kinds[0] < kinds[1]]
    made = []
    for names, group in both.groupby(["a", "b"]):
        first, second = (cohort.volume_ml[group[f"row_{x}"]] for x in "ab")
        at = group[["place_a", "place_b"]].to_numpy(np.float64)
        for place, name in enumerate(cohort.structures):
            volumes = np.column_stack((first[:, place], second[:, place]))
            made.append(agreement(name, " less ".join(map(str, names)), volumes, at))
    return [one for one in made if one["n"]]


def agreement(structure: str, kind: str, volumes: Floats, at: Floats) -> dict[str, Any]:
    """Compare two measurements, in mL; points are those whose scans are shown.

    Args:
        structure: What was measured.
        kind: What is compared, first less second.
        volumes: Array (pairs, 2).
        at: Array (pairs, 2), places of the scans among those shown; NaN: not shown.
    """
    volumes, at = (one[np.isfinite(volumes).all(axis=1)] for one in (volumes, at))
    found = bland_altman(*volumes.T) if len(volumes) else None
    limits = found.absolute if found else None
    percent = found.percent if found else None
    drawn = np.isfinite(at).all(axis=1)
    return {
        "structure": structure,
        "kind": kind,
        "n": len(volumes),
        "limits": _numbers(limits),
        "percent": _numbers(percent),
        "at": at[drawn].astype(int).tolist(),
        "mean": rounded(volumes[drawn].mean(axis=1)) if drawn.any() else [],
        "difference": rounded(volumes[drawn, 0] - volumes[drawn, 1]),
    }


def _numbers(found: Any) -> Sequence[float | None]:
    if found is None:
        return [None, None, None]
    return rounded([found.bias.value, found.lower.value, found.upper.value])
