"""The table of a cross-validation: means by fold, and what they scatter around."""

from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean, stdev
from typing import Final

import numpy as np
import pandas as pd

from organome.compute.metrics.summaries import class_means, macro_mean
from organome.io.report_tables import NOTHING, ReportTable
from organome.steps.evaluate.evaluated import ScanSet
from organome.steps.evaluate.set_tables import Row, Summaries, count_presences

MEAN: Final = "mean over folds"
_METRICS: Final = {"dice": "dice_sd", "hd95_mm": "hd95_sd_mm"}
_LACKING: Final = ("n_missed", "n_falsely_added")


def has_folds(data: Summaries) -> bool:
    """Return whether any scan was predicted in a fold of a cross-validation."""
    return bool(data.evaluated.scans["fold"].notna().any())


def folds_table(data: Summaries) -> ReportTable:
    """Summarise each fold by itself: one row per set and fold, and their mean."""
    rows = []
    for of in data.whole:
        by_fold = dict(_by_fold(of))
        made = {fold: _fold_row(data, some) for fold, some in by_fold.items()}
        rows += [{"set": of.title, "fold": fold, **row} for fold, row in made.items()]
        of_folds = [row for fold, row in made.items() if fold != NOTHING]
        if of_folds:
            scans = of.scans[of.scans["fold"].notna()]
            rows.append({"set": of.title, "fold": MEAN, **_mean_row(scans, of_folds)})
    return ReportTable(
        "folds",
        "Metrics by fold of the cross-validation",
        "Macro means over the classes that the scans of a fold have. The last row is the mean of "
        "the folds, each counted once, with the SD between folds (divisor n - 1); its counts are "
        "sums. hd95_mm leaves out what was missed or falsely added. A dash instead of a fold: "
        "scans without one, not in the last row.",
        pd.DataFrame(rows),
    )


def _by_fold(of: ScanSet) -> Iterator[tuple[str, ScanSet]]:
    """Yield the scans of each fold, in the order of their numbers; those without one last."""
    folds = of.scans["fold"].where(of.scans["fold"].notna(), NOTHING)
    for fold in sorted(set(folds), key=lambda one: (one == NOTHING, len(one), one)):
        yield fold, replace(of, scans=of.scans[folds == fold])


def _fold_row(data: Summaries, of: ScanSet) -> Row:
    values = {metric: data.evaluated.values(of, metric) for metric in _METRICS}
    counts = count_presences(data, of).values()
    return {
        "n_scans": len(of.scans),
        "n_participants": len(set(of.participants)),
        "n_classes": int(np.isfinite(class_means(values["dice"])).sum()),
        **{name: sum(one[name] for one in counts) for name in _LACKING},
        **{metric: macro_mean(values[metric]) for metric in _METRICS},
        **dict.fromkeys(_METRICS.values()),
    }


def _mean_row(scans: pd.DataFrame, folds: list[Row]) -> Row:
    row: Row = {
        "n_scans": len(scans),
        "n_participants": scans["participant"].nunique(),
        "n_classes": max(one["n_classes"] for one in folds),
        **{name: sum(one[name] for one in folds) for name in _LACKING},
    }
    for metric, sd in _METRICS.items():
        known = [one[metric] for one in folds if one[metric] is not None]
        row[metric] = fmean(known) if known else None
        row[sd] = stdev(known) if len(known) > 1 else None
    return row
