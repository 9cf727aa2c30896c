"""Rules by which organs and scans of a cohort are judged, and what people say of them by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Quality(StrEnum):
    """What the rules, and then people, make of an organ or a scan. Values stand in tables."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


class Rating(StrEnum):
    """What a person says who has looked at an organ or a scan. Values stand in tables."""

    PASS = "pass"
    FAIL = "fail"
    UNSURE = "unsure"


QUALITY_MEANINGS: Final[dict[Quality | Rating, str]] = {
    Quality.PASS: "Nothing speaks against it.",
    Quality.WARN: "Something is odd: look at it before you rely on it.",
    Quality.FAIL: "Leave it out: a rule or a person says that it is wrong.",
    Rating.UNSURE: "Somebody looked, and left it open.",
}


class Rule(StrEnum):
    """A rule; organs first, then scans. Values stand in published tables: never rename one."""

    VOLUME_OUTLIER = "volume_outlier"
    ASYMMETRY_OUTLIER = "asymmetry_outlier"
    INTENSITY_OUTLIER = "intensity_outlier"
    CONTRASTS_DISAGREE = "contrasts_disagree"
    FOLDS_DISAGREE = "folds_disagree"
    VOLUME_IMPLAUSIBLE = "volume_implausible"
    REMOVED_OR_MISSED = "removed_or_missed"
    LEFT_RIGHT_ORDER = "left_right_order"
    SIDE_SUSPECT = "side_suspect"
    HEAD_FOOT_ORDER = "head_foot_order"
    ORGANS_FAIL = "organs_fail"
    FAT_WATER_SWAPPED = "fat_water_swapped"
    SEAM_DOUBTFUL = "seam_doubtful"
    STATIONS_MISSING = "stations_missing"
    BODY_TURNED = "body_turned"
    SEX_DIFFERS = "sex_differs"
    EXCLUDED = "excluded"


RULE_MEANINGS: Final[dict[Rule, str]] = {
    Rule.VOLUME_OUTLIER: "volume_z lies the threshold or more away from 0.",
    Rule.ASYMMETRY_OUTLIER: "asymmetry_z lies the threshold or more away from 0.",
    Rule.INTENSITY_OUTLIER: "intensity_z lies the threshold or more away from 0.",
    Rule.CONTRASTS_DISAGREE: "contrast_dice of the table of organs is the threshold or less.",
    Rule.FOLDS_DISAGREE: "fold_dice of the table of organs is the threshold or less.",
    Rule.VOLUME_IMPLAUSIBLE: (
        "What is in view is smaller or larger than the organ can be: na_reason says so, or the "
        "bounds_ml of the thresholds do."
    ),
    Rule.REMOVED_OR_MISSED: "The organ should be in view, and was not found.",
    Rule.LEFT_RIGHT_ORDER: "The left one of a pair lies to the right of the right one.",
    Rule.SIDE_SUSPECT: (
        "The organ, a large part of it, or separate pieces of it lie on the other side of the body "
        "than they should; side_finding says which."
    ),
    Rule.HEAD_FOOT_ORDER: (
        "Its centroid lies below that of an organ that is always lower, or above one that is "
        "always higher."
    ),
    Rule.ORGANS_FAIL: "So many organs of the scan fail.",
    Rule.FAT_WATER_SWAPPED: "Fat and water look exchanged at some height.",
    Rule.SEAM_DOUBTFUL: (
        "Where stations meet, brightness could not be matched, or slices are missing."
    ),
    Rule.STATIONS_MISSING: "Stations are missing.",
    Rule.BODY_TURNED: "The body lies mirrored or upside down in the image.",
    Rule.SEX_DIFFERS: "The file of participants and the images say different sexes.",
    Rule.EXCLUDED: "An exclusion list names it. Always fails.",
}
# Those with a number to compare; all others hold or do not.
MEASURED: Final = (
    *(Rule.VOLUME_OUTLIER, Rule.ASYMMETRY_OUTLIER, Rule.INTENSITY_OUTLIER),
    *(Rule.CONTRASTS_DISAGREE, Rule.FOLDS_DISAGREE, Rule.ORGANS_FAIL),
)
LOW_IS_BAD: Final = frozenset({Rule.CONTRASTS_DISAGREE, Rule.FOLDS_DISAGREE})

# The first of two lies above the second in everybody who is not turned upside down.
HEAD_TO_FOOT: Final = (
    *(("left_lung", "spleen"), ("right_lung", "liver"), ("heart", "liver"), ("heart", "pancreas")),
    *(("liver", "urinary_bladder"), ("spleen", "urinary_bladder"), ("pancreas", "sacrum")),
    *(("left_kidney", "sacrum"), ("right_kidney", "sacrum"), ("stomach", "sacrum")),
    *(("left_adrenal_gland", "left_kidney"), ("right_adrenal_gland", "right_kidney")),
    *(("left_hip", "left_femur"), ("right_hip", "right_femur")),
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """From where on a rule warns and fails; None: it does not.

    Of rules that hold or do not, 1 is what holds.
    """

    warn: float | None = None
    fail: float | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is checked, and how strictly.

    Attributes:
        rules: By rule; a rule that is not named is not checked.
        organs: Of single organs, by name, in place of those.
        bounds_ml: Least and greatest volume of what is in view, by organ.
        min_group: Values from which median and spread are taken; groups of fewer have no z.
    """

    rules: Mapping[Rule, Threshold]
    organs: Mapping[str, Mapping[Rule, Threshold]] = field(default_factory=dict)
    bounds_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    min_group: int = 20

    def of(self, rule: Rule, organ: str | None = None) -> Threshold:
        """Return the threshold of a rule, of an organ."""
        general = self.rules.get(rule, Threshold())
        return general if organ is None else self.organs.get(organ, {}).get(rule, general)


class ExcludedBy(StrEnum):
    """Who says that an organ or a scan fails. Values stand in tables: never rename one."""

    BY_LIST = "by_list"
    BY_RATING = "by_rating"
    BY_RULES = "by_rules"


EXCLUDED_BY_MEANINGS: Final[dict[ExcludedBy, str]] = {
    ExcludedBy.BY_LIST: "An exclusion list names it.",
    ExcludedBy.BY_RATING: "A person who looked at it rated it 'fail'.",
    ExcludedBy.BY_RULES: "Rules fail it, and nobody rated it 'pass'.",
}


class ScoreReason(StrEnum):
    """Why a volume has no index or z. Values stand in published tables: never rename one."""

    NO_VOLUME = "no_volume"
    SEX_UNKNOWN = "sex_unknown"
    AGE_UNKNOWN = "age_unknown"
    HEIGHT_UNKNOWN = "height_unknown"
    WEIGHT_UNKNOWN = "weight_unknown"
    NO_NORM = "no_norm"
    OUTSIDE_NORM = "outside_norm"


SCORE_REASON_MEANINGS: Final[dict[ScoreReason, str]] = {
    ScoreReason.NO_VOLUME: "The structure has no volume; its na_reason says why.",
    ScoreReason.SEX_UNKNOWN: "Neither female nor male is known of the participant.",
    ScoreReason.AGE_UNKNOWN: "The age at the scan is not known.",
    ScoreReason.HEIGHT_UNKNOWN: "The height is not known.",
    ScoreReason.WEIGHT_UNKNOWN: "The weight is not known.",
    ScoreReason.NO_NORM: "No norm of this structure for this sex and contrast: too few people.",
    ScoreReason.OUTSIDE_NORM: "Younger, older, smaller or taller than all people of the norm.",
}


class PairReason(StrEnum):
    """Why two visits have no change. Values stand in published tables: never rename one."""

    MODEL_DIFFERS = "model_differs"
    SETTINGS_DIFFER = "settings_differ"
    SCANNER_DIFFERS = "scanner_differs"
    COMPLETENESS_DIFFERS = "completeness_differs"
    QUALITY_FAILS = "quality_fails"
    NO_VOLUME = "no_volume"


PAIR_REASON_MEANINGS: Final[dict[PairReason, str]] = {
    PairReason.MODEL_DIFFERS: "Labels come from another source, model or scheme.",
    PairReason.SETTINGS_DIFFER: "Another contrast was measured, or voxels of another size.",
    PairReason.SCANNER_DIFFERS: "Another maker, type or field strength of the scanner.",
    PairReason.COMPLETENESS_DIFFERS: "The images are made of another number of stations.",
    PairReason.QUALITY_FAILS: "The organ or the scan fails at one of the visits.",
    PairReason.NO_VOLUME: "A visit has no volume of it; na_reason in indices says why.",
}
