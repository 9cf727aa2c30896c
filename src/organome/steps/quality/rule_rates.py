"""How often each rule fires, and what it is worth against the ratings there are."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.roc import auc_interval
from organome.domain.quality import LOW_IS_BAD, Rating, Rule
from organome.domain.rows import Row
from organome.steps.quality.judging import FAIL, PASS, WARN, Judged


class RuleRates:
    """Counts of one kind of thing, organs or scans, over all parts of the cohort."""

    def __init__(self, judged: str) -> None:
        """Begin.

        Args:
            judged: What is judged: organ or scan.
        """
        self._judged = judged
        self._counts: dict[Rule, Any] = {}
        self._rated: dict[Rule, list[tuple[Floats, Any, Any]]] = {}

    def add(self, scores: Mapping[Rule, Floats], found: Judged) -> None:
        """Count a part."""
        is_rated = np.isin(found.rating, (Rating.PASS, Rating.FAIL))
        for rule, level in found.fired.items():
            n = np.array([(level >= PASS).sum(), (level == WARN).sum(), (level == FAIL).sum()])
            self._counts[rule] = self._counts.get(rule, 0) + n
            is_used = is_rated & (level >= PASS)
            is_bad = found.rating[is_used] == Rating.FAIL
            rated = (scores[rule][is_used], level[is_used] >= WARN, is_bad)
            self._rated.setdefault(rule, []).append(rated)

    def rows(self) -> Iterator[Row]:
        """Return a row a rule."""
        for rule, (n_checked, n_warn, n_fail) in self._counts.items():
            score, is_fired, is_bad = self._joined(rule)
            row = {
                **{"judged": self._judged, "rule": rule.value, "n_checked": int(n_checked)},
                **{"n_warn": int(n_warn), "n_fail": int(n_fail)},
                "fired_pct": 100 * float(n_warn + n_fail) / n_checked if n_checked else None,
                **{"n_rated_pass": int((~is_bad).sum()), "n_rated_fail": int(is_bad.sum())},
            }
            if 0 < is_bad.sum() < len(is_bad):
                from sklearn.metrics import roc_auc_score  # takes two seconds, and ratings are rare

                area = auc_interval(float(roc_auc_score(is_bad, score)), is_bad)
                row |= {
                    "sensitivity": float(is_fired[is_bad].mean()),
                    "specificity": float((~is_fired[~is_bad]).mean()),
                    **{"auc": area.value, "auc_low": area.low, "auc_high": area.high},
                }
            yield row

    def curves(self) -> Iterator[Row]:
        """Return a row a rule and threshold."""
        for rule in self._counts:
            score, _, is_bad = self._joined(rule)
            if not 0 < is_bad.sum() < len(is_bad):
                continue
            from sklearn.metrics import roc_curve

            for false, true, limit in zip(*roc_curve(is_bad, score), strict=True):
                if np.isfinite(limit):
                    yield {
                        **{"judged": self._judged, "rule": rule.value},
                        "threshold": float(-limit if rule in LOW_IS_BAD else limit),
                        **{"sensitivity": float(true), "specificity": 1 - float(false)},
                    }

    def _joined(self, rule: Rule) -> tuple[Floats, Any, Any]:
        score, is_fired, is_bad = (
            np.concatenate(parts) for parts in zip(*self._rated[rule], strict=True)
        )
        return -score if rule in LOW_IS_BAD else score, is_fired, is_bad
