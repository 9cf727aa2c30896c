"""The tables of check_quality, column by column: what is odd, what is usual, what changed."""

from collections.abc import Sequence
from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.covariates import Sex
from organome.domain.organs import ORGANS, Organ, Side, pairs_of
from organome.domain.outcomes import OrganReason, Reason, Status
from organome.domain.quality import ExcludedBy, PairReason, Quality, Rating, Rule, ScoreReason
from organome.domain.scans import Contrast
from organome.domain.tables import ORGAN_ROWS, SCAN_KEY, SCANS, VISITS, explained

_STRING, _BOOL, _INT8, _INT32, _INT64, _FLOAT = ColumnType
_VISIT_KEY: Final = tuple(column for column in VISITS.columns if column.name in VISITS.key)
_CONTRAST: Final = Column(
    "contrast", _STRING, "Contrast that was measured.", levels=tuple(Contrast)
)
BOTH: Final = "both"  # side of a sum of left and right
_OF_NORM: Final = "by the norm of its sex and contrast at that age and height"


def pair_name(left: Organ) -> str:
    """Name the sum of a pair: ``both_kidney``."""
    return left.name.replace("left_", "both_", 1)


def structure_names(structures: Sequence[Organ]) -> tuple[str, ...]:
    """Name what volumes are indexed and scored of: the organs, and the sums of pairs."""
    return (
        *(one.name for one in structures),
        *(pair_name(left) for left, _ in pairs_of(structures)),
    )


def _z(name: str, meaning: str) -> Column:
    return Column(
        name,
        _FLOAT,
        f"{meaning}, less the median of the group, over 1.4826 times the median absolute deviation."
        " Null without a value, and in a group of few.",
        "standard deviations",
    )


def _judged(what: str) -> tuple[Column, ...]:
    return (
        Column(
            "rating",
            _STRING,
            f"What people said of the {what}: the last word of each; 'unsure', too, where two "
            "differ. Null: nobody looked.",
            levels=tuple(Rating),
        ),
        Column(
            "rules",
            _STRING,
            "Rules that warn or fail, joined by ';'; null: none.",
        ),
        Column(
            "quality_by_rules",
            _STRING,
            f"The worst that the rules say; null where there is no {what} to judge.",
            levels=tuple(Quality),
        ),
        Column(
            "quality",
            _STRING,
            "The same after the ratings: 'pass' and 'fail' of people count in place of the rules, "
            "'unsure' warns at least; what is excluded fails in any case.",
            levels=tuple(Quality),
        ),
    )


QUALITY: Final = Table(
    name="quality",
    row="One row per listed scan: what is odd about it.",
    key=("scan",),
    columns=(
        *SCAN_KEY,
        _CONTRAST,
        Column("status", _STRING, "Status of the scan.", None, False, tuple(Status)),
        Column("n_organs_warn", _INT32, "Organs whose quality is 'warn'.", "organs"),
        Column("n_organs_fail", _INT32, "Organs whose quality is 'fail'.", "organs"),
        *_judged("scan"),
    ),
    sorted_by=SCANS.sorted_by,
)

ORGAN_QUALITY: Final = Table(
    name="organ_quality",
    row=f"One row per listed scan and organ: always {len(ORGANS)} rows per scan.",
    key=("scan", "label"),
    columns=(
        *SCAN_KEY,
        _CONTRAST,
        Column("label", _INT8, "Label of the organ, 1 to 40.", nullable=False),
        Column("organ", _STRING, "Name of the organ.", None, False, tuple(o.name for o in ORGANS)),
        _z("volume_z", "Natural logarithm of the volume, among those of the sex and contrast"),
        Column(
            "asymmetry_pct",
            _FLOAT,
            "200 (left - right) / (left + right) of the volumes of the pair; null without both.",
            "%",
        ),
        _z("asymmetry_z", "asymmetry_pct, among those of the contrast"),
        _z("intensity_z", "Median intensity, among those of the contrast"),
        *_judged("organ"),
    ),
    sorted_by=ORGAN_ROWS.sorted_by,
)

WHOLE_SCAN: Final = "all"
EXCLUSIONS: Final = Table(
    name="exclusions",
    row="One row per scan, and per organ of a scan, that is to be left out: its quality is 'fail'.",
    key=("scan", "organ"),
    columns=(
        *SCAN_KEY,
        Column(
            "organ",
            _STRING,
            f"Name of the organ; '{WHOLE_SCAN}': the whole scan, whatever its organs are.",
            nullable=False,
            levels=(*(o.name for o in ORGANS), WHOLE_SCAN),
        ),
        Column(
            "excluded",
            _STRING,
            "Who says so; lists go before people, people before rules.",
            None,
            False,
            tuple(ExcludedBy),
        ),
        Column("rules", _STRING, "Rules that warn or fail, joined by ';'; null: none."),
    ),
    sorted_by=SCANS.sorted_by,
)

COVARIATES: Final = Table(
    name="covariates",
    row="One row per participant and instance: what volumes are indexed and scored by.",
    key=("cohort", "participant", "instance"),
    columns=(
        *_VISIT_KEY[:3],
        Column("sex", _STRING, "Sex.", levels=tuple(Sex)),
        Column(
            "age_years",
            _FLOAT,
            "Age at the scan; where only the year of birth is known, from the middle of it.",
            "years",
        ),
        Column("height_m", _FLOAT, "Body height.", "m"),
        Column("weight_kg", _FLOAT, "Body weight.", "kg"),
        Column("bmi_kg_per_m2", _FLOAT, "Body mass index.", "kg/m2"),
        Column(
            "bsa_m2",
            _FLOAT,
            "Body surface area: square root of height in cm times weight in kg over 3600 "
            "(Mosteller 1987).",
            "m2",
        ),
        Column("centre", _STRING, "Code of the centre or site."),
        Column("scan_date", _STRING, "Day of the scan, ISO 8601; null: the file lacks it."),
        Column(
            "from_scans",
            _STRING,
            "Which of these the file of participants lacks, so that they are from the images or "
            "the tables that came with them, joined by ';'; null: none.",
        ),
    ),
)

INDICES: Final = Table(
    name="indices",
    row="One row per row of visits and structure: the organs, then the sums of pairs (both_...).",
    key=(*VISITS.key, "structure"),
    columns=(
        *_VISIT_KEY,
        _CONTRAST,
        Column("structure", _STRING, "Name of the organ, or of the sum of a pair.", None, False),
        Column("side", _STRING, "Side of the body.", None, False, (*Side, BOTH)),
        *explained(
            "na_reason",
            Column("volume_ml", _FLOAT, "Volume, as in visits; of a pair the sum of both.", "mL"),
        ),
        Column(
            "na_reason",
            _STRING,
            "Why volume_ml is null; of a pair that of the side that has none.",
            levels=(*OrganReason, *Reason),
        ),
        *explained(
            "index_na_reason",
            Column("volume_per_bsa_ml_per_m2", _FLOAT, "Volume over body surface area.", "mL/m2"),
            Column("volume_per_height2_ml_per_m2", _FLOAT, "Volume over height squared.", "mL/m2"),
        ),
        Column(
            "index_na_reason",
            _STRING,
            "Why one of these is null.",
            levels=(ScoreReason.NO_VOLUME, ScoreReason.HEIGHT_UNKNOWN, ScoreReason.WEIGHT_UNKNOWN),
        ),
        Column(
            "asymmetry_pct",
            _FLOAT,
            "Of a pair: 200 (left - right) / (left + right); null without both.",
            "%",
        ),
        *explained(
            "z_na_reason",
            Column("z", _FLOAT, f"Volume {_OF_NORM}.", "standard deviations"),
            Column(
                "centile_pct",
                _FLOAT,
                f"Share of people with a smaller volume {_OF_NORM}.",
                "%",
            ),
            Column("centile_low_pct", _FLOAT, "Lower end of its 95 % confidence interval.", "%"),
            Column(
                "centile_high_pct",
                _FLOAT,
                "Upper end; the interval is that of the estimated norm, not of the measurement.",
                "%",
            ),
        ),
        Column("z_na_reason", _STRING, "Why z is null.", levels=tuple(ScoreReason)),
        Column(
            "quality",
            _STRING,
            "Quality of the organ and of its scan, the worse of the two; of a pair that of both.",
            levels=tuple(Quality),
        ),
    ),
)


def _parameter(name: str, meaning: str) -> Column:
    return Column(name, _FLOAT, meaning, nullable=False)


_AGE, _MU, _SIGMA = "(age - 50) / 10", "of log mu (volume in mL)", "of log sigma"
NORM_COEFFICIENTS: Final = (
    _parameter("mu_intercept", f"Constant {_MU}: at 50 years and 1.70 m, but for the splines."),
    _parameter("mu_age", f"Coefficient {_MU} for {_AGE}."),
    _parameter(
        "mu_age_spline_1", f"Coefficient {_MU} for the first spline of age; docs/quality.md."
    ),
    _parameter("mu_age_spline_2", f"Coefficient {_MU} for the second spline of age."),
    _parameter("mu_log_height", f"Coefficient {_MU} for log(height / 1.70 m)."),
    _parameter("sigma_intercept", f"Constant {_SIGMA}."),
    _parameter("sigma_age", f"Coefficient {_SIGMA} for {_AGE}."),
    _parameter("nu", "Box-Cox power: z = ((volume / mu) ** nu - 1) / (nu sigma)."),
)
NORMS: Final = Table(
    name="norms",
    row="One row per structure, sex and contrast: how the volume is distributed by age and height.",
    key=("structure", "sex", "contrast"),
    columns=(
        Column("structure", _STRING, "Name of the organ, or of the sum of a pair.", None, False),
        Column("sex", _STRING, "Sex.", None, False, (Sex.FEMALE, Sex.MALE)),
        Column("contrast", _STRING, "Contrast that was measured.", None, False, tuple(Contrast)),
        Column("cohort", _STRING, "Cohort that the norm is of.", None, False),
        Column("n", _INT32, "People, each at the first visit that has all.", "people", False),
        Column(
            "n_left_out",
            _INT32,
            "People left out as lying beyond four standard deviations.",
            "people",
            False,
        ),
        *(
            Column(f"{name}_{unit}", _FLOAT, f"{word} of these.", unit, False)
            for name, unit, word in (
                ("age_low", "years", "Youngest"),
                ("age_high", "years", "Oldest"),
                ("height_low", "m", "Smallest"),
                ("height_high", "m", "Tallest"),
            )
        ),
        *(
            Column(f"age_knot_{k}_years", _FLOAT, f"Knot {k} of the spline of age.", "years", False)
            for k in range(1, 5)
        ),
        *NORM_COEFFICIENTS,
        Column(
            "covariance",
            _STRING,
            "Covariance matrix of the eight coefficients, row by row, joined by ';'.",
            None,
            False,
        ),
    ),
)

_OF_FIRST, _OF_SECOND = "at the first of the two visits", "at the second"
PAIRS: Final = Table(
    name="pairs",
    row="One row per participant, two successive instances and structure.",
    key=("cohort", "participant", "protocol", "first_instance", "second_instance", "structure"),
    columns=(
        *_VISIT_KEY[:2],
        _VISIT_KEY[3],
        Column("first_instance", _STRING, "The earlier visit.", None, False),
        Column("second_instance", _STRING, "The later one.", None, False),
        _CONTRAST,
        Column("structure", _STRING, "Name of the organ, or of the sum of a pair.", None, False),
        Column(
            "interval_years",
            _FLOAT,
            "Time between the scans, from their dates in the file of participants, else from "
            "acq_month, which is right to a month. Null: neither is known.",
            "years",
        ),
        Column("first_volume_ml", _FLOAT, f"Volume {_OF_FIRST}.", "mL"),
        Column("second_volume_ml", _FLOAT, f"Volume {_OF_SECOND}.", "mL"),
        *explained(
            "na_reason",
            Column("change_ml", _FLOAT, "Second less first.", "mL"),
            Column("change_pct", _FLOAT, "The same, of the first.", "%"),
        ),
        Column(
            "change_pct_per_year",
            _FLOAT,
            "change_pct over interval_years; null, too, within half a year.",
            "% per year",
        ),
        Column(
            "detectable_pct",
            _FLOAT,
            "Smallest change that a repeat measurement does not show in 95 of 100 people, of the "
            "mean of both (organome repeatability). Null: not given.",
            "%",
        ),
        Column("is_detectable", _BOOL, "The change, of the mean of both, is more than that."),
        Column("na_reason", _STRING, "Why there is no change.", levels=tuple(PairReason)),
        Column("na_fact", _STRING, "What differs, in one line; null otherwise."),
    ),
)

_ROC: Final = "among what people rated 'pass' or 'fail'; null where both are not there"
RULES: Final = Table(
    name="rules",
    row="One row per rule of organs and of scans: how often it fires, and whether people agree.",
    key=("judged", "rule"),
    columns=(
        Column("judged", _STRING, "What it judges.", None, False, ("organ", "scan")),
        Column("rule", _STRING, "The rule.", None, False, tuple(Rule)),
        Column(
            "n_checked",
            _INT64,
            "Organs or scans for which there was something to check.",
            "organs or scans",
        ),
        Column("n_warn", _INT64, "Of these, those for which it warns.", "organs or scans"),
        Column("n_fail", _INT64, "Of these, those for which it fails.", "organs or scans"),
        Column("fired_pct", _FLOAT, "Share of these for which it warns or fails.", "%"),
        Column(
            "n_rated_pass", _INT64, "Of these, those that people rated 'pass'.", "organs or scans"
        ),
        Column(
            "n_rated_fail", _INT64, "Of these, those that people rated 'fail'.", "organs or scans"
        ),
        Column("sensitivity", _FLOAT, f"Share of 'fail' for which it fires, {_ROC}.", "fraction"),
        Column(
            "specificity", _FLOAT, f"Share of 'pass' for which it does not, {_ROC}.", "fraction"
        ),
        Column("auc", _FLOAT, f"Area under its ROC, {_ROC}.", "fraction"),
        Column("auc_low", _FLOAT, "Lower end of its 95 % confidence interval.", "fraction"),
        Column("auc_high", _FLOAT, "Upper end (Hanley and McNeil 1982).", "fraction"),
    ),
)
ROC: Final = Table(
    name="roc",
    row="One row per rule and threshold: the ROC of the rule against the ratings there are.",
    key=("judged", "rule", "threshold"),
    columns=(
        *RULES.columns[:2],
        Column("threshold", _FLOAT, "The rule would fire from here on.", None, False),
        Column(
            "sensitivity", _FLOAT, "Share of 'fail' for which it would fire.", "fraction", False
        ),
        Column("specificity", _FLOAT, "Share of 'pass' for which not.", "fraction", False),
    ),
)

QUALITY_TABLES: Final = (
    *(QUALITY, ORGAN_QUALITY, EXCLUSIONS, COVARIATES, INDICES, NORMS, PAIRS, RULES, ROC),
)
