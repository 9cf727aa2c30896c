"""Rules over organs: a score a rule, scan and organ; NaN where there is nothing to check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.robust import RobustScale, robust_scale
from organome.domain.organs import Organ, SideFinding, pairs_of
from organome.domain.outcomes import OrganReason, Status
from organome.domain.quality import HEAD_TO_FOOT, Rule, Thresholds
from organome.domain.tables import SCAN_KEY
from organome.steps.quality.collected import Collected

COLUMNS: Final = (
    *(column.name for column in SCAN_KEY),
    *("contrast", "status", "label", "organ", "n_voxels", "volume_ml", "volume_observed_ml"),
    *("na_reason", "truncated", "intensity_median", "centroid_z_mm", "side_finding"),
    *("contrast_dice", "fold_dice"),
)
VALUES: Final = ("volume_z", "asymmetry_pct", "asymmetry_z", "intensity_z")
_ODD_SIZES: Final = (OrganReason.IMPLAUSIBLY_SMALL, OrganReason.IMPLAUSIBLY_LARGE)


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual in the cohort: median and spread of each organ."""

    log_volume: RobustScale
    asymmetry: RobustScale
    intensity: RobustScale


@dataclass(frozen=True, slots=True)
class OrganScores:
    """What the rules found in some scans, arrays (scans, organs).

    Attributes:
        volume_z: How far the logarithm of the volume lies from the median.
        asymmetry_pct: Of the pair, for both of its sides.
        asymmetry_z: How far that lies from the median.
        intensity_z: How far the median intensity lies from the median of the scans.
        rules: Score by rule.
        is_judged: Whether there is an organ to judge, or should be one.
    """

    volume_z: Floats
    asymmetry_pct: Floats
    asymmetry_z: Floats
    intensity_z: Floats
    rules: Mapping[Rule, Floats]
    is_judged: NDArray[np.bool_]


def find_usual(
    collected: Collected,
    by_sex: NDArray[np.int64],
    by_contrast: NDArray[np.int64],
    min_group: int,
) -> Usual:
    """Find what is usual in the cohort, one column in memory at a time.

    Args:
        collected: The tables.
        by_sex: Number of sex and contrast of each scan; the same within a group.
        by_contrast: Number of the contrast of each scan.
        min_group: Values that a group must have.
    """

    def scale(values: Floats, groups: NDArray[np.int64]) -> RobustScale:
        n_groups = int(groups.max(initial=-1)) + 1
        return robust_scale(values, groups, n_groups, min_group=min_group)

    volume_ml = collected.organ_values("volume_ml")
    asymmetry = scale(asymmetry_pct(volume_ml, collected.structures), by_contrast)
    log_volume = scale(np.log(volume_ml, out=volume_ml), by_sex)
    return Usual(
        log_volume, asymmetry, scale(collected.organ_values("intensity_median"), by_contrast)
    )


def asymmetry_pct(volume_ml: Floats, structures: Sequence[Organ]) -> Floats:
    """Return the asymmetry of pairs at both of their sides, array (scans, organs)."""
    found = np.full_like(volume_ml, np.nan)
    for left, right in pairs_of(structures):
        one, other = volume_ml[:, left.label - 1], volume_ml[:, right.label - 1]
        pair = 200 * (one - other) / (one + other)
        found[:, left.label - 1] = found[:, right.label - 1] = pair
    return found


def score_organs(
    collected: Collected,
    rows: pa.Table,
    usual: Usual,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    thresholds: Thresholds,
) -> OrganScores:
    """Apply the rules to the organs of some scans.

    Args:
        collected: The tables.
        rows: ``COLUMNS`` of the organs of these scans.
        usual: What is usual.
        groups: Number of sex and contrast, and of contrast, of each scan.
        thresholds: For bounds of volumes.
    """
    by_sex, by_contrast = groups
    n_voxels, volume_ml, observed_ml, truncated, intensity, height_mm, *dices = (
        collected.matrix(rows, name)
        for name in (
            *("n_voxels", "volume_ml", "volume_observed_ml", "truncated", "intensity_median"),
            *("centroid_z_mm", "contrast_dice", "fold_dice"),
        )
    )
    reason, finding = (collected.texts(rows, name) for name in ("na_reason", "side_finding"))
    is_done = collected.texts(rows, "status") == Status.DONE
    is_found, is_whole = n_voxels > 0, truncated == 0
    is_missed = is_done & (reason == OrganReason.REMOVED_OR_MISSED)
    volume_z = usual.log_volume.z(np.log(volume_ml), by_sex)
    asymmetry = asymmetry_pct(volume_ml, collected.structures)
    asymmetry_z = usual.asymmetry.z(asymmetry, by_contrast)
    intensity_z = usual.intensity.z(intensity, by_contrast)
    has_side = is_found & np.array([one.partner_name is not None for one in collected.structures])
    is_crossed = finding == SideFinding.CROSSED
    is_suspect = (finding != None) & ~is_crossed  # noqa: E711 - element by element
    is_odd = np.isin(reason, _ODD_SIZES) | _outside(observed_ml, collected.structures, thresholds)
    return OrganScores(
        volume_z,
        asymmetry,
        asymmetry_z,
        intensity_z,
        rules={
            Rule.VOLUME_OUTLIER: np.abs(volume_z),
            Rule.ASYMMETRY_OUTLIER: np.abs(asymmetry_z),
            Rule.INTENSITY_OUTLIER: np.abs(intensity_z),
            Rule.CONTRASTS_DISAGREE: dices[0],
            Rule.FOLDS_DISAGREE: dices[1],
            Rule.VOLUME_IMPLAUSIBLE: _held(is_odd & is_whole, is_found & is_whole),
            Rule.REMOVED_OR_MISSED: _held(is_missed, is_found | is_missed),
            Rule.LEFT_RIGHT_ORDER: _held(is_crossed, has_side),
            Rule.SIDE_SUSPECT: _held(is_suspect, is_found),
            Rule.HEAD_FOOT_ORDER: _out_of_order(
                np.where(is_whole, height_mm, np.nan), collected.structures
            ),
        },
        is_judged=is_done & (is_found | is_missed),
    )


def _held(holds: NDArray[Any], is_checked: NDArray[Any]) -> Floats:
    return np.where(is_checked, holds.astype(np.float64), np.nan)


def _outside(
    observed_ml: Floats, structures: Sequence[Organ], thresholds: Thresholds
) -> NDArray[np.bool_]:
    bounds = [thresholds.bounds_ml.get(one.name, (0.0, np.inf)) for one in structures]
    least, greatest = np.array(bounds).T
    return np.asarray((observed_ml < least) | (observed_ml > greatest), bool)


def _out_of_order(height_mm: Floats, structures: Sequence[Organ]) -> Floats:
    """Return 1 for organs that lie above or below what they cannot, 0 for others of such pairs."""
    places = {one.name: one.label - 1 for one in structures}
    found = np.full_like(height_mm, np.nan)
    for upper, lower in HEAD_TO_FOOT:
        if upper not in places or lower not in places:
            continue
        pair = [places[upper], places[lower]]
        above_mm = height_mm[:, pair[0]] - height_mm[:, pair[1]]
        is_wrong = np.where(np.isnan(above_mm), np.nan, above_mm < 0)
        found[:, pair] = np.fmax(found[:, pair], is_wrong[:, None])
    return found
