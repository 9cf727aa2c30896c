"""Volumes of visits -> sums of pairs, indices by body size, asymmetry, z and centiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.norms import Norm, score
from organome.domain.covariates import Sex
from organome.domain.organs import pairs_of
from organome.domain.quality import ScoreReason
from organome.domain.quality_tables import BOTH, structure_names
from organome.steps.quality.collected import Collected, Texts, numbers
from organome.steps.quality.judging import Levels, words
from organome.steps.quality.norm_tables import NormKey

VISIT_COLUMNS: Final = ("cohort", "participant", "instance", "protocol", "array", "contrast")


@dataclass(frozen=True, slots=True)
class VisitVolumes:
    """Volumes at some visits, arrays (visits, structures)."""

    volume_ml: Floats
    reason: Texts


def read_volumes(collected: Collected, part: str) -> VisitVolumes:
    """Read the volumes of a part, and add up pairs."""
    names = [one.name for one in collected.structures]
    columns = [f"{name}_na_reason" for name in names]
    rows = collected.visits(part, columns)
    reason = np.column_stack([rows.column(one).to_numpy().astype(object) for one in columns])
    lefts, rights = _pair_places(collected)
    of_pairs = np.where(reason[:, lefts] == None, reason[:, rights], reason[:, lefts])  # noqa: E711
    return VisitVolumes(volumes_ml(collected, [part]), np.hstack((reason, of_pairs)))


def volumes_ml(collected: Collected, parts: Sequence[str]) -> Floats:
    """Read the volumes of some parts, organs and then sums of pairs, array (visits, structures)."""
    columns = [f"{one.name}_volume_ml" for one in collected.structures]
    tables = [collected.visits(part, columns) for part in parts]
    organs = np.vstack([np.column_stack([numbers(t, one) for one in columns]) for t in tables])
    lefts, rights = _pair_places(collected)
    return np.hstack((organs, organs[:, lefts] + organs[:, rights]))


def with_pairs(collected: Collected, organs: Levels) -> Levels:
    """Add to the quality of organs, array (visits, organs), that of pairs: the worse of both."""
    lefts, rights = _pair_places(collected)
    return np.hstack((organs, np.maximum(organs[:, lefts], organs[:, rights])))


def index_columns(
    collected: Collected,
    visits: pd.DataFrame,
    volumes: VisitVolumes,
    quality: Levels,
    norms: Mapping[NormKey, Norm],
) -> dict[str, Any]:
    """Return the columns of the indices of some visits but their key, visit by visit.

    Args:
        collected: The tables.
        visits: What is known of each visit: sex, age_years, height_m, weight_kg, bsa_m2, contrast.
        volumes: Their volumes.
        quality: Level of each structure.
        norms: By which they are scored.
    """
    names, n_organs = structure_names(collected.structures), len(collected.structures)
    volume_ml = volumes.volume_ml
    lefts, rights = _pair_places(collected)
    asymmetry = np.full_like(volume_ml, np.nan)
    left_ml, right_ml = volume_ml[:, lefts], volume_ml[:, rights]
    asymmetry[:, n_organs:] = 200 * (left_ml - right_ml) / (left_ml + right_ml)
    height, weight, bsa = (
        visits[name].to_numpy(np.float64)[:, None] for name in ("height_m", "weight_kg", "bsa_m2")
    )
    no_volume = np.isnan(volume_ml)
    reasons = [
        (no_volume, ScoreReason.NO_VOLUME),
        (np.isnan(height), ScoreReason.HEIGHT_UNKNOWN),
        (np.isnan(weight), ScoreReason.WEIGHT_UNKNOWN),
    ]
    scored, z_reason = _scored(names, visits, volume_ml, norms)
    sides = (*(one.side.value for one in collected.structures), *[BOTH] * len(lefts))
    return {
        "structure": np.tile(names, len(visits)),
        "side": np.tile(sides, len(visits)),
        "volume_ml": floats(volume_ml),
        "na_reason": pa.array(volumes.reason.ravel().tolist(), pa.string()),
        "volume_per_bsa_ml_per_m2": floats(volume_ml / bsa),
        "volume_per_height2_ml_per_m2": floats(volume_ml / height**2),
        "index_na_reason": _first_reason(reasons, volume_ml.shape),
        "asymmetry_pct": floats(asymmetry),
        **{
            name: floats(scored[..., place])
            for place, name in enumerate(
                ("z", "centile_pct", "centile_low_pct", "centile_high_pct")
            )
        },
        "z_na_reason": z_reason,
        "quality": words(quality),
    }


def _scored(
    names: tuple[str, ...],
    visits: pd.DataFrame,
    volume_ml: Floats,
    norms: Mapping[NormKey, Norm],
) -> tuple[Floats, Any]:
    age, height = (visits[name].to_numpy(np.float64) for name in ("age_years", "height_m"))
    is_known = np.isfinite(age) & np.isfinite(height)
    found = np.full((*volume_ml.shape, 4), np.nan)
    has_norm, is_outside = np.zeros(volume_ml.shape, bool), np.zeros(volume_ml.shape, bool)
    for (sex, contrast), of_group in visits.reset_index(drop=True).groupby(["sex", "contrast"]):
        rows = of_group.index.to_numpy()
        for place, name in enumerate(names):
            norm = norms.get(NormKey(name, str(sex), str(contrast)))
            if norm is None:
                continue
            has_norm[rows, place] = True
            is_covered = norm.covers(age[rows], height[rows])
            is_outside[rows, place] = ~is_covered
            those = rows[is_covered & is_known[rows] & np.isfinite(volume_ml[rows, place])]
            scores = score(norm, volume_ml[those, place], age[those], height[those])
            found[those, place] = np.column_stack(scores)
    sex_known = visits["sex"].isin([Sex.FEMALE, Sex.MALE]).to_numpy()[:, None]
    reasons = [
        (np.isnan(volume_ml), ScoreReason.NO_VOLUME),
        (~sex_known, ScoreReason.SEX_UNKNOWN),
        (np.isnan(age)[:, None], ScoreReason.AGE_UNKNOWN),
        (np.isnan(height)[:, None], ScoreReason.HEIGHT_UNKNOWN),
        (~has_norm, ScoreReason.NO_NORM),
        (is_outside, ScoreReason.OUTSIDE_NORM),
    ]
    return found, _first_reason(reasons, volume_ml.shape)


def _first_reason(
    reasons: list[tuple[NDArray[np.bool_], ScoreReason]], shape: tuple[int, ...]
) -> Any:
    """Return the first reason that holds, row by row; null where none does."""
    code = np.full(shape, len(reasons))
    for place, (holds, _) in reversed(list(enumerate(reasons))):
        code = np.where(holds, place, code)
    texts = pa.array([*(reason.value for _, reason in reasons), None], pa.string())
    return texts.take(pa.array(code.ravel()))


def floats(values: Floats) -> Any:
    """Return numbers row by row; NaN becomes null."""
    return pa.array(values.ravel(), pa.float64(), from_pandas=True)


def _pair_places(collected: Collected) -> tuple[list[int], list[int]]:
    pairs = pairs_of(collected.structures)
    return [left.label - 1 for left, _ in pairs], [right.label - 1 for _, right in pairs]
