"""Rows of the tables, from what the steps found out about a scan."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from organome.domain.contrasts import PDFF_VIEWS, FatWater
from organome.domain.coverage import absence_reason
from organome.domain.flags import Flag
from organome.domain.geometry import Face
from organome.domain.organs import Organ
from organome.domain.outcomes import OrganReason, Outcome, Reason, SliceReason, Status
from organome.domain.radiomics_tables import EXCHANGEABLE
from organome.domain.scans import Scan
from organome.domain.schemes import MRSEGMENTATOR, LabelScheme, scheme_by_name
from organome.domain.tables import HEADER_COLUMNS, SCAN_KEY
from organome.domain.volume_bounds import implausible_size

Row: TypeAlias = dict[str, Any]

_AXES: Final = ("x", "y", "z")
_JOINT: Final = ";"


def scan_key_values(scan: Scan) -> Row:
    """Return the key columns of a scan."""
    return {column.name: getattr(scan, column.name) for column in SCAN_KEY}


def header_values(facts: Mapping[str, Any]) -> Row:
    """Pick the header columns out of the facts of prepare_images; null where a fact is missing."""
    size_xyz = facts.get("size_xyz") or (None,) * 3
    spacing_xyz_mm = facts.get("spacing_xyz_mm") or (None,) * 3
    values = {
        **{f"size_{axis}": size for axis, size in zip(_AXES, size_xyz, strict=True)},
        **{
            f"spacing_{axis}_mm": spacing
            for axis, spacing in zip(_AXES, spacing_xyz_mm, strict=True)
        },
        **{
            name: joined(facts.get(name))
            for name in ("contrasts", "flags", *(f"pdff_{view}_flags" for view in PDFF_VIEWS))
        },
        "intensity_scaling": joined(facts.get("intensity_scaling")) or None,
        **{
            name: joined([f"{low_mm:g}:{high_mm:g}" for low_mm, high_mm in facts.get(name, ())])
            or None
            for name in ("swapped_spans_mm", "unjudged_spans_mm", "corrected_spans_mm")
        },
    }
    return {
        column.name: values.get(column.name, facts.get(column.name)) for column in HEADER_COLUMNS
    }


def joined(words: Sequence[str] | None) -> str | None:
    """Join words by semicolons; None stays None."""
    return None if words is None else _JOINT.join(words)


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
        "fused_stations": joined(outcome.facts.get("fused_stations")),
        "consensus_contrasts": joined(facts.get("consensus_contrasts")),
        "contrasts_left_out": joined(facts.get("contrasts_left_out")) or None,
        **_label_values(facts, "scheme", "model_name", "model_digest", "fold_average"),
        "model_folds": joined(facts.get("model_folds")),
        "organome_version": outcome.facts.get("organome_version"),
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
    for row in missing_organ_rows(scan, outcome, before, meaning.structures):
        if outcome.status is not Status.DONE:
            yield row
            continue
        organ = meaning.structures[row["label"] - 1]
        yield {
            **row,
            **_organ_values(organ, outcome.facts["organs"], meaning, facts),
            **facts.get("agreement", {}).get(organ.name, {}),
            **_side_values(facts.get("sides", {}).get(organ.name, {})),
            **_slice_values(organ, outcome.facts, meaning, facts),
        }


def missing_organ_rows(
    scan: Scan, outcome: Outcome, before: Sequence[Outcome], structures: Sequence[Organ]
) -> Iterator[Row]:
    """Make the rows of one scan without numbers, one per organ, with the reason of the outcome."""
    facts = _joint_facts(before)
    for organ in structures:
        yield {
            **scan_key_values(scan),
            "status": outcome.status.value,
            **_label_values(facts, "contrast", "scheme", "model_digest"),
            "label": organ.label,
            "organ": organ.name,
            "region": organ.region.value,
            "side": organ.side.value,
            "na_reason": outcome.reason and outcome.reason.value,
        }


def radiomics_key(
    scan: Scan, organ: Organ, *, contrast: str, engine: str, settings_digest: str
) -> Row:
    """Make the part of a radiomics row that is there whatever becomes of the organ."""
    return {
        **scan_key_values(scan),
        "contrast": contrast,
        "label": organ.label,
        "organ": organ.name,
        "engine": engine,
        "settings_digest": settings_digest,
    }


def missing_radiomics_rows(
    scan: Scan,
    images: Iterable[tuple[str, str, str]],
    structures: Sequence[Organ],
    reason: Reason,
    status: Status,
) -> Iterator[Row]:
    """Make the radiomics rows of one scan without features.

    Args:
        scan: The scan.
        images: Contrast, engine and digest of the settings of each image.
        structures: The organs of the run.
        reason: Why there are no features.
        status: Whether the scan was measured: it is done where it only lacks the contrast.
    """
    for contrast, engine, digest in images:
        for organ in structures:
            yield {
                **radiomics_key(
                    scan, organ, contrast=contrast, engine=engine, settings_digest=digest
                ),
                "status": status.value,
                "na_reason": reason.value,
            }


def _side_values(of_organ: Mapping[str, Any]) -> Row:
    is_checked = "finding" in of_organ
    return {
        "side_suspect": of_organ["finding"] is not None if is_checked else None,
        "side_finding": of_organ.get("finding"),
        "side_moved_ml": of_organ.get("moved_ml"),
    }


def _organ_values(
    organ: Organ,
    measures: Mapping[str, Mapping[str, Any]],
    scheme: LabelScheme,
    facts: Mapping[str, Any],
) -> Row:
    measure = measures.get(organ.name)
    if measure is None:
        if scheme.covers(organ):
            return {"n_voxels": 0, "na_reason": absence_reason(organ.name, measures).value}
        return {"na_reason": OrganReason.NOT_IN_SCHEME.value}
    reason = _organ_reason(organ, measure, facts.get("age_years"))
    intensities = measure["intensities"] or {}
    return {
        "n_voxels": measure["n_voxels"],
        "volume_ml": measure["volume_observed_ml"] if reason is None else None,
        "volume_observed_ml": measure["volume_observed_ml"],
        "na_reason": reason and reason.value,
        **{f"touches_{face}": face.value in measure["touches"] for face in Face},
        "truncated": bool(measure["touches"]),
        "face_distance_mm": measure["face_distance_mm"],
        **{f"intensity_{name}": value for name, value in intensities.items()},
        **_fat_values(measure, facts),
        **_owned_values(measure.get("owned")),
        "resampled": is_resampled(measure["heights_mm"], facts),
        **{
            f"centroid_{axis}_mm": place
            for axis, place in zip(_AXES, measure["centroid_xyz_mm"], strict=True)
        },
        "n_pieces": measure["n_pieces"],
        "largest_piece_share": measure["largest_piece_share"],
    }


def _slice_values(
    organ: Organ, measured: Mapping[str, Any], scheme: LabelScheme, facts: Mapping[str, Any]
) -> Row:
    """Return the fat fractions of an organ on slices of several echoes, or why there are none."""
    row: Row = {}
    for view in PDFF_VIEWS:
        if not facts.get(f"pdff_{view}_protocol"):
            continue
        if facts.get(f"pdff_{view}_na_reason"):
            values: Mapping[str, Any] = {"reason": SliceReason.NO_MAP.value}
        elif organ.name in measured["organs"]:
            values = measured["slices"][view][organ.name]
        else:
            is_covered = scheme.covers(organ)
            reason = OrganReason.NOT_FOUND if is_covered else OrganReason.NOT_IN_SCHEME
            values = {"reason": reason.value}
        row |= {
            f"pdff_{view}_{'na_reason' if name == 'reason' else name}": value
            for name, value in values.items()
        }
    return row


def _owned_values(owned: Mapping[str, Any] | None) -> Row:
    if owned is None:
        return {}
    return {
        "owned_volume_ml": owned["volume_ml"],
        "owned_truncated": owned["truncated"],
        "crosses_seam": owned["crosses_seam"],
    }


def _fat_values(measure: Mapping[str, Any], facts: Mapping[str, Any]) -> Row:
    """Return the fat fraction of an organ, unless fat and water are exchanged at its heights."""
    fat_water = _fat_water_at(measure["heights_mm"], facts)
    is_doubtful = is_exchanged(measure["heights_mm"], facts)
    return {
        "fat_fraction_mean": None if is_doubtful else measure["fat_fraction_mean"],
        "fat_fraction_share": measure["fat_fraction_share"],
        "fat_water": fat_water and fat_water.value,
    }


def is_resampled(heights_mm: Sequence[float], facts: Mapping[str, Any]) -> bool:
    """Return whether an organ reaches a station whose slices were resampled for stitching."""
    return _reach(heights_mm, facts.get("resampled_spans_mm", ()))


def is_exchanged(heights_mm: Sequence[float], facts: Mapping[str, Any]) -> bool:
    """Return whether fat and water are exchanged at some heights, or may be as they are elsewhere.

    Args:
        heights_mm: Lower and upper end along the body axis of the image.
        facts: What prepare_images found out about the scan.
    """
    fat_water = _fat_water_at(heights_mm, facts)
    return fat_water is FatWater.SWAPPED or (
        fat_water is FatWater.UNKNOWN and facts["fat_water"] == FatWater.SWAPPED
    )


def shows_other_tissue(
    contrast: str, heights_mm: Sequence[float], facts: Mapping[str, Any]
) -> bool:
    """Return whether a contrast may show another tissue than its name says, at some heights.

    Args:
        contrast: Or ``fat_fraction``.
        heights_mm: As for ``is_exchanged``.
        facts: Likewise.
    """
    return contrast in EXCHANGEABLE and is_exchanged(heights_mm, facts)


def _fat_water_at(heights_mm: Sequence[float], facts: Mapping[str, Any]) -> FatWater | None:
    """Return what the images called fat and water show at some heights: the worst of it."""
    if facts.get("fat_water") is None:
        return None
    spans = {
        FatWater.SWAPPED: facts.get("swapped_spans_mm", ()),
        FatWater.UNKNOWN: facts.get("unjudged_spans_mm", ()),
    }
    for fat_water, of_kind in spans.items():
        if _reach(heights_mm, of_kind):
            return fat_water
    return FatWater.SOUND if any(spans.values()) else FatWater(facts["fat_water"])


def _reach(heights_mm: Sequence[float], spans_mm: Iterable[Sequence[float]]) -> bool:
    return any(low < heights_mm[1] and heights_mm[0] < high for low, high in spans_mm)


def _organ_reason(
    organ: Organ, measure: Mapping[str, Any], age_years: float | None
) -> OrganReason | None:
    """Return why what was found of an organ is not its volume, or None."""
    if measure["touches"]:
        return OrganReason.TRUNCATED
    return implausible_size(organ.name, measure["volume_observed_ml"], age_years=age_years)


def _joint_facts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    facts = {name: fact for outcome in outcomes for name, fact in outcome.facts.items()}
    if "flags" in facts:  # each step has its own
        all_flags = (flag for one in outcomes for flag in one.facts.get("flags") or ())
        facts["flags"] = list(dict.fromkeys(all_flags))
    return facts


def _label_values(facts: Mapping[str, Any], *names: str) -> Row:
    # segment_organs calls it "source"; beside the delivered files in one table that says too little
    return {name: facts.get("source" if name == "label_source" else name) for name in names}
