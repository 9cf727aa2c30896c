"""The table by fold of a cross-validation: every expectation worked by hand."""

from math import sqrt

import pandas as pd
import pytest

from doubles.places import REPOSITORY
from organome.steps.evaluate.evaluated import Evaluated
from organome.steps.evaluate.fold_table import folds_table, has_folds
from organome.steps.evaluate.published import Published
from organome.steps.evaluate.set_tables import Summaries

PUBLISHED = REPOSITORY / "config/published/mrsegmentator_2024.yaml"
# Scan, person, fold; Dice and HD95 of liver and spleen. What is missed has a Dice of 0 and no HD95.
SCANS = (
    ("a", "p1", "0", (0.9, 2.0), (0.5, 10.0)),
    ("b", "p1", "0", (0.8, 4.0), None),  # no spleen, in neither
    ("c", "p2", "0", (0.7, 6.0), (0.7, 20.0)),
    ("d", "p3", "1", (0.6, 8.0), (0.0, None)),
)


def summaries(scans: tuple = SCANS) -> Summaries:
    rows, organs = [], []
    for key, person, fold, *metrics in scans:
        rows.append(
            {
                **{"scan": key, "participant": person, "fold": fold, "compared": "compared"},
                **{"dataset": "mine", "modality": "ct", "contrast": "ct"},
            }
        )
        for (label, organ), found in zip(((5, "liver"), (1, "spleen")), metrics, strict=True):
            dice, hd95_mm = found or (None, None)
            absent = "missed" if found else "both_absent"
            organs.append(
                {
                    **{"scan": key, "label": label, "organ": organ, "dice": dice},
                    **{"hd95_mm": hd95_mm, "presence": "both" if hd95_mm else absent},
                }
            )
    frame = pd.DataFrame(rows).set_index("scan", drop=False).rename_axis(None)
    evaluated = Evaluated(frame, pd.DataFrame(organs), 0, 0)
    return Summaries(evaluated, Published.read(PUBLISHED), list(evaluated.sets()), 10, 1)


def rows(data: Summaries) -> dict[str, dict]:
    return {row["fold"]: row for row in folds_table(data).frame.to_dict("records")}


def test_each_fold_has_its_means_and_counts() -> None:
    found = rows(summaries())
    assert list(found) == ["0", "1", "mean over folds"]
    # Liver (0.9 + 0.8 + 0.7) / 3 = 0.8, spleen (0.5 + 0.7) / 2 = 0.6; HD95 4 and 15 mm.
    assert (found["0"]["dice"], found["0"]["hd95_mm"]) == pytest.approx((0.7, 9.5))
    # Liver 0.6, spleen 0; HD95 of the liver alone.
    assert (found["1"]["dice"], found["1"]["hd95_mm"]) == pytest.approx((0.3, 8.0))
    counts = ("n_scans", "n_participants", "n_classes", "n_missed", "n_falsely_added")
    assert [found["0"][name] for name in counts] == [3, 2, 2, 0, 0]
    assert [found["1"][name] for name in counts] == [1, 1, 2, 1, 0]


def test_the_mean_over_folds_counts_each_fold_once_and_has_its_sd() -> None:
    found = rows(summaries())
    mean = found["mean over folds"]
    assert (mean["dice"], mean["hd95_mm"]) == pytest.approx((0.5, 8.75))
    # Of two values the SD is their difference by the root of two.
    assert (mean["dice_sd"], mean["hd95_sd_mm"]) == pytest.approx((0.4 / sqrt(2), 1.5 / sqrt(2)))
    assert (mean["n_scans"], mean["n_participants"], mean["n_missed"]) == (4, 3, 1)
    assert pd.isna(found["0"]["dice_sd"])


def test_scans_without_a_fold_stand_apart_and_folds_in_order() -> None:
    data = summaries(
        (
            ("a", "p1", "10", (0.9, 2.0), None),
            ("b", "p2", "2", (0.5, 4.0), None),
            ("c", "p3", None, (0.1, 40.0), None),
        )
    )
    found = rows(data)
    assert list(found) == ["2", "10", "\N{EN DASH}", "mean over folds"]
    mean = found["mean over folds"]
    assert (mean["dice"], mean["n_scans"], mean["n_participants"]) == (pytest.approx(0.7), 2, 2)


def test_one_fold_has_no_sd() -> None:
    mean = rows(summaries(SCANS[:3]))["mean over folds"]
    assert mean["dice"] == pytest.approx(0.7)
    assert pd.isna(mean["dice_sd"])


def test_without_the_column_there_is_no_table() -> None:
    assert has_folds(summaries())
    assert not has_folds(summaries(tuple((key, who, None, *m) for key, who, _, *m in SCANS)))
