"""Outcomes of a shard -> rows of the scan table and the organ table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from organome import __version__
from organome.compute.labelmaps.volumes import OrganMeasure
from organome.domain.flags import Flag
from organome.domain.geometry import Face
from organome.domain.organs import ORGANS, Organ
from organome.domain.outcomes import JsonValue, OrganReason, Outcome, Status
from organome.domain.rows import Row, header_values, joined, scan_key_values
from organome.domain.scans import Scan
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme, scheme_by_name

_AXES: Final = ("x", "y", "z")


def organ_facts(
    measures: Mapping[int, OrganMeasure], structures: Sequence[Organ] = ORGANS
) -> dict[str, JsonValue]:
    """Turn measures into JSON-able facts by organ name; organs that were not found are left out."""
    return {
        organ.name: asdict(measures[organ.label]) for organ in structures if organ.label in measures
    }


def scan_row(scan: Scan, outcome: Outcome, before: Sequence[Outcome]) -> Row:
    """Make the row of one scan.

    Args:
        scan: The scan.
        outcome: Its outcome in the measuring step.
        before: Its outcomes in the steps before, for what they found out; failed ones say nothing.
    """
    facts = _joint_facts(before)
    if facts.get("for_phantoms"):
        facts["flags"] = [*(facts.get("flags") or ()), Flag.PHANTOM_MODEL]
    return {
        **scan_key_values(scan),
        "status": outcome.status.value,
        "reason": outcome.reason and outcome.reason.value,
        "failed_step": outcome.step if outcome.status is Status.FAILED else None,
        "fact": outcome.fact,
        **header_values(facts),
        **_label_values(facts, "contrast", "contrast_choice", "label_source"),
        "consensus_contrasts": joined(facts.get("consensus_contrasts")),
        "contrasts_left_out": joined(facts.get("contrasts_left_out")) or None,
        **_label_values(facts, "scheme", "model_name", "model_digest"),
        "organome_version": __version__,
    }


def organ_rows(
    scan: Scan, outcome: Outcome, before: Sequence[Outcome], scheme: LabelScheme | None = None
) -> Iterator[Row]:
    """Make the rows of one scan, one per organ, whatever became of it.

    Args:
        scan: The scan.
        outcome: Its outcome in the measuring step.
        before: Its outcomes in the steps before.
        scheme: Label scheme of the shard; None: the built-in one that the facts name.
    """
    facts = _joint_facts(before)
    meaning = scheme or scheme_by_name(facts.get("scheme", MRSEGMENTATOR.name))
    of_scan = {
        **scan_key_values(scan),
        "status": outcome.status.value,
        **_label_values(facts, "contrast", "scheme", "model_digest"),
    }
    for organ in meaning.structures:
        values: Row = {"na_reason": outcome.reason and outcome.reason.value}
        if outcome.status is Status.DONE:
            measure = outcome.facts["organs"].get(organ.name)
            values = {
                **_organ_values(organ, measure, meaning),
                **facts.get("agreement", {}).get(organ.name, {}),
                **_side_values(facts.get("sides", {}).get(organ.name, {})),
            }
        yield {
            **of_scan,
            "label": organ.label,
            "organ": organ.name,
            "region": organ.region.value,
            "side": organ.side.value,
            **values,
        }


def _side_values(of_organ: Mapping[str, Any]) -> Row:
    is_checked = "finding" in of_organ
    return {
        "side_suspect": of_organ["finding"] is not None if is_checked else None,
        "side_finding": of_organ.get("finding"),
        "side_moved_ml": of_organ.get("moved_ml"),
    }


def _organ_values(organ: Organ, measure: Mapping[str, Any] | None, scheme: LabelScheme) -> Row:
    if measure is None:
        if scheme.covers(organ):
            return {"n_voxels": 0, "na_reason": OrganReason.NOT_FOUND.value}
        return {"na_reason": OrganReason.NOT_IN_SCHEME.value}
    truncated = bool(measure["touches"])
    intensities = measure["intensities"] or {}
    return {
        "n_voxels": measure["n_voxels"],
        "volume_ml": None if truncated else measure["volume_observed_ml"],
        "volume_observed_ml": measure["volume_observed_ml"],
        "na_reason": OrganReason.TRUNCATED.value if truncated else None,
        **{f"touches_{face}": face.value in measure["touches"] for face in Face},
        "truncated": truncated,
        **{f"intensity_{name}": value for name, value in intensities.items()},
        "fat_fraction_mean": measure["fat_fraction_mean"],
        **{
            f"centroid_{axis}_mm": place
            for axis, place in zip(_AXES, measure["centroid_xyz_mm"], strict=True)
        },
        "n_pieces": measure["n_pieces"],
        "largest_piece_share": measure["largest_piece_share"],
    }


def _joint_facts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {name: fact for outcome in outcomes for name, fact in outcome.facts.items()}


def _label_values(facts: Mapping[str, Any], *names: str) -> Row:
    # segment_organs calls it "source"; beside the delivered files in one table that says too little
    return {name: facts.get("source" if name == "label_source" else name) for name in names}
