"""From the labelmaps of a scan's contrasts, and of the folds, to one, and how far they agreed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import SimpleITK as sitk

from organome.compute.labelmaps.agreement import Agreement, measure_agreement
from organome.compute.labelmaps.consensus import Labels, count_votes, majority
from organome.compute.sides.laterality import check_sides, repair_sides
from organome.domain.organs import Organ
from organome.domain.outcomes import JsonValue

_DECIMALS: Final = 6  # of fractions and mL: far below what a voxel is worth

ByLabel = Mapping[int, Agreement]


def elect(labelmaps: Sequence[sitk.Image]) -> tuple[sitk.Image, ByLabel]:
    """Put labelmaps on one grid to the vote.

    Args:
        labelmaps: uint8, of the preferred contrast first: it decides ties.

    Returns:
        The elected labelmap, the very one where there is only one; and how far they agreed.
    """
    first = labelmaps[0]
    if len(labelmaps) == 1:
        return first, {}
    arrays = [sitk.GetArrayViewFromImage(one) for one in labelmaps]
    votes = count_votes(arrays)
    elected = sitk.GetImageFromArray(majority(arrays[0], votes))
    elected.CopyInformation(first)
    return elected, measure_agreement(votes, voxel_ml=_voxel_ml(first))


def fold_agreement(labelmaps: Sequence[sitk.Image]) -> ByLabel:
    """Measure how far the folds of a model agree on one image."""
    if not labelmaps:
        return {}
    arrays: list[Labels] = [sitk.GetArrayViewFromImage(one) for one in labelmaps]
    return measure_agreement(count_votes(arrays), voxel_ml=_voxel_ml(labelmaps[0]))


def agreement_facts(
    of_contrasts: ByLabel, of_folds: Sequence[ByLabel], structures: Iterable[Organ]
) -> dict[str, JsonValue]:
    """Turn agreement into facts by organ; what was not measured is left out.

    Args:
        of_contrasts: Agreement of the contrasts.
        of_folds: Agreement of the folds on each contrast; the mean over contrasts is taken.
        structures: What the labels mean.
    """
    facts: dict[str, JsonValue] = {}
    for organ in structures:
        told: dict[str, float] = {}
        for prefix, measured in (("contrast", [of_contrasts]), ("fold", of_folds)):
            found = [by_label[organ.label] for by_label in measured if organ.label in by_label]
            if found:
                dice = float(np.mean([one.dice for one in found]))
                volume_sd_ml = float(np.mean([one.volume_sd_ml for one in found]))
                told[f"{prefix}_dice"] = round(dice, _DECIMALS)
                told[f"{prefix}_volume_sd_ml"] = round(volume_sd_ml, _DECIMALS)
        if told:
            facts[organ.name] = told
    return {"agreement": facts} if facts else {}


def settle_sides(
    labelmap: sitk.Image, structures: Sequence[Organ], *, repair: bool
) -> tuple[sitk.Image, dict[str, JsonValue]]:
    """Check the sides of a labelmap, after a repair where one is asked for.

    Returns:
        The labelmap, the very one where nothing was repaired; and the facts by organ.
    """
    moved_ml: dict[str, float] = {}
    if repair:
        labelmap, moved_ml = repair_sides(labelmap, structures)
    facts: dict[str, JsonValue] = {
        name: {
            "finding": finding.value if finding else None,
            **({"moved_ml": round(moved_ml[name], _DECIMALS)} if name in moved_ml else {}),
        }
        for name, finding in check_sides(labelmap, structures).items()
    }
    # An organ of which all was given to its partner is not there to be checked.
    for name in sorted(moved_ml.keys() - facts.keys()):
        facts[name] = {"moved_ml": round(moved_ml[name], _DECIMALS)}
    return labelmap, {"sides": facts} if facts else {}


def _voxel_ml(labelmap: sitk.Image) -> float:
    return float(np.prod(labelmap.GetSpacing())) / 1000.0
