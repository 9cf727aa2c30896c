"""Tables of tests: sexes compared, overall and by class; the power of that; age against Dice.

The unit is the participant: whoever has many scans counts once, with the mean over their classes of
the mean over their scans.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.hypothesis_tests import (
    GroupComparison,
    LinearCorrelation,
    TTest,
    compare_groups,
    correlate,
    power_of_t_test,
)
from organome.compute.metrics.summaries import participant_means
from organome.domain.covariates import Sex
from organome.io.report_tables import ReportTable
from organome.steps.evaluate.evaluated import ScanSet
from organome.steps.evaluate.set_tables import Summaries, as_float, less

ALPHA: Final = 0.05
MEDIUM_EFFECT: Final = 0.5  # Cohen's d, of which the paper states the power
_ALL_CLASSES: Final = "all classes"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ByParticipant:
    """One value of each participant of a set, and what is known of them; in one order.

    Attributes:
        dice: Macro mean of Dice.
        of_class: Mean of Dice by class, array (participants, classes).
        sexes: Sex, or None.
        ages_years: Age, the mean over the scans; NaN where not known.
    """

    dice: Floats
    of_class: Floats
    sexes: "pd.Series[Any]"
    ages_years: Floats

    @classmethod
    def of(cls, data: Summaries, scans: ScanSet) -> "ByParticipant":
        """Take the means of the participants of a set."""
        values = data.evaluated.values(scans, "dice")
        people = scans.scans.groupby("participant", sort=True).agg(
            {"sex": "first", "age_years": "mean"}
        )
        return cls(
            dice=participant_means(values, scans.participants),
            of_class=np.column_stack(
                [
                    participant_means(values[:, [place]], scans.participants)
                    for place in range(values.shape[1])
                ]
            ),
            sexes=people["sex"],
            ages_years=people["age_years"].to_numpy(np.float64),
        )

    def compare_sexes(self, values: Floats) -> GroupComparison | None:
        """Compare a value between the sexes; the first group are the males."""
        return compare_groups(
            *(values[(self.sexes == sex).to_numpy()] for sex in (Sex.MALE, Sex.FEMALE))
        )


def sex_table(data: Summaries) -> ReportTable:
    """Compare males with females, overall and by class with Bonferroni's correction."""
    rows: list[Row] = []
    for of in data.whole:
        people = ByParticipant.of(data, of)
        printed = data.published.finding("sex", of.dataset)
        overall = people.compare_sexes(people.dice)
        if overall is None:
            continue
        rows.append(_sex_row(of, _ALL_CLASSES, overall, printed, n_tests=1))
        compared = {
            organ: people.compare_sexes(people.of_class[:, place])
            for place, organ in enumerate(of.organs)
        }
        tested = {organ: one for organ, one in compared.items() if one is not None and one.welch}
        rows += [
            _sex_row(of, organ, one, printed, n_tests=len(tested))
            for organ, one in sorted(tested.items(), key=lambda item: -abs(item[1].difference))
        ]
    return ReportTable(
        "sex_difference",
        "Dice of males and females (section 3.2)",
        "Unit: participants; SD between them. p_first_greater is one-sided, males above females. "
        "p_bonferroni: Welch's two-sided p times the number of classes tested (n_tests), at most "
        "1. Classes in order of the difference. The sides of the paper's p = 0.03 are not stated.",
        pd.DataFrame(rows, columns=_SEX_COLUMNS),
    )


_SEX_COLUMNS: Final = [
    *("set", "classes", "n_male", "n_female", "male", "sd_male", "female", "sd_female"),
    *("male_less_female", "welch_t", "welch_p_two_sided", "welch_p_first_greater"),
    *("student_t", "student_p_two_sided", "student_p_first_greater"),
    *("n_tests", "p_bonferroni", "significant", "difference_paper", "difference"),
]


def _sex_row(
    of: ScanSet, classes: str, found: GroupComparison, printed: Mapping[str, Any], *, n_tests: int
) -> Row:
    if classes == _ALL_CLASSES:
        paper = printed["male"]["dice"] - printed["female"]["dice"] if printed else None
    else:
        paper = printed.get("differences", {}).get(classes)
    p = None if found.welch is None else min(1.0, n_tests * found.welch.p_two_sided)
    return {
        "set": of.title,
        "classes": classes,
        "n_male": found.first.n,
        "n_female": found.second.n,
        "male": found.first.mean,
        "sd_male": found.first.sd,
        "female": found.second.mean,
        "sd_female": found.second.sd,
        "male_less_female": found.difference,
        **_test_columns("welch", found.welch),
        **_test_columns("student", found.student),
        "n_tests": n_tests,
        "p_bonferroni": p,
        "significant": None if p is None else p < ALPHA,
        "difference_paper": paper,
        "difference": less(found.difference, paper),
    }


def _test_columns(name: str, test: TTest | None) -> Row:
    return {
        f"{name}_t": test and test.t,
        f"{name}_p_two_sided": test and test.p_two_sided,
        f"{name}_p_first_greater": test and test.p_first_greater,
    }


def power_table(data: Summaries) -> ReportTable:
    """State the power to find a medium difference between the sexes, for the paper and the run."""
    printed = data.published.findings
    paper = (printed["sex"]["male"]["n"], printed["sex"]["female"]["n"])
    groups: list[tuple[str, int, int, int]] = [("the paper", *paper, 40)]
    for of in data.whole:
        sexes = ByParticipant.of(data, of).sexes
        n_male, n_female = (int((sexes == one).sum()) for one in (Sex.MALE, Sex.FEMALE))
        if min(n_male, n_female) > 1:
            groups.append((of.title, n_male, n_female, len(of.organs)))
    rows = []
    for title, n_male, n_female, n_classes in groups:
        for sides, alpha, why in (
            (1, ALPHA, "as the paper"),
            (2, ALPHA, "two-sided"),
            (1, ALPHA / n_classes, f"Bonferroni over {n_classes}"),
        ):
            power = power_of_t_test(
                n_male, n_female, effect_size=MEDIUM_EFFECT, alpha=alpha, one_sided=sides == 1
            )
            is_papers = title == "the paper" and why == "as the paper"
            beta = printed["power"]["beta"] if is_papers else None
            rows.append(
                {
                    "participants": title,
                    "n_male": n_male,
                    "n_female": n_female,
                    "test": why,
                    "sides": sides,
                    "alpha": f"{alpha:.3g}",
                    "power": power,
                    "beta": 1 - power,
                    "beta_paper": beta,
                    "difference": less(1 - power, beta),
                }
            )
    return ReportTable(
        "power",
        "Power of the comparison of sexes (section 3.2)",
        f"Student's t, effect of d = {MEDIUM_EFFECT} (medium), by the noncentral t distribution; "
        "beta = 1 - power.",
        pd.DataFrame(rows),
    )


def age_correlation(data: Summaries, of: ScanSet) -> LinearCorrelation | None:
    """Correlate the age of participants with their macro mean of Dice."""
    people = ByParticipant.of(data, of)
    return correlate(people.ages_years, people.dice)


def age_table(data: Summaries) -> ReportTable:
    """Correlate age with Dice (Figure A3)."""
    rows = []
    for of in data.whole:
        found = age_correlation(data, of)
        if found is None:
            continue
        printed = data.published.finding("age", of.dataset)
        rows.append(
            {
                "set": of.title,
                "n_participants": found.n,
                "r": found.r,
                "r_low": found.low,
                "r_high": found.high,
                "p_two_sided": found.p_two_sided,
                "r_paper": as_float(printed.get("r")),
                "r_difference": less(found.r, printed.get("r")),
                "p_paper": as_float(printed.get("p")),
                "p_difference": less(found.p_two_sided, printed.get("p")),
            }
        )
    columns = ["set", "n_participants", "r", "r_low", "r_high", "p_two_sided"]
    columns += ["r_paper", "r_difference", "p_paper", "p_difference"]
    return ReportTable(
        "age",
        "Age and Dice (section 3.2, Figure A3)",
        "Pearson's r over participants, 95 % interval by Fisher's z. The paper prints r = 0.32 in "
        "the text and 0.33 under Figure A3.",
        pd.DataFrame(rows, columns=columns),
    )
