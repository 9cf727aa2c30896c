"""Folds of a cross-validation: a person is in one fold with all series and visits."""

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from organome.domain.cases import Case
from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic

SPLITS_FILE: Final = "splits_final.json"  # nnU-Net's name for it


def deal_folds(cases: Sequence[Case], *, n_folds: int, seed: int) -> dict[str, int]:
    """Deal people to folds, datasets and contrasts alike in each as far as people allow.

    Args:
        cases: Cases for training.
        n_folds: Folds; 1: nnU-Net's fold `all`, which learns from everybody.
        seed: Of the shuffle.

    Returns:
        By case, the fold that validates on it; with one fold, that one.

    Raises:
        SetupError: There are fewer people than folds.

    Source: scikit-learn's ``StratifiedGroupKFold``, which is greedy; where it leaves a fold empty
    (few people with many images each), ``GroupKFold``.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    people = [case.person for case in cases]
    if len(set(people)) < n_folds:
        raise SetupError(f"{len(set(people))} people to train on, and {n_folds} folds")
    if n_folds == 1:
        return {case.case: 0 for case in cases}
    kinds = [f"{case.dataset} {case.contrast}" for case in cases]
    parts: list[Any] = []
    # It refuses where every kind has fewer images than folds.
    if max(Counter(kinds).values()) >= n_folds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # some kind of fewer images than folds
            stratified = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
            parts = [held for _, held in stratified.split(np.zeros(len(cases)), kinds, people)]
    if not parts or not all(len(part) for part in parts):
        parts = [held for _, held in GroupKFold(n_folds).split(np.zeros(len(cases)), kinds, people)]
    return {cases[int(i)].case: fold for fold, held in enumerate(parts) for i in held}


def write_splits(path: Path, folds: Mapping[str, int]) -> None:
    """Write folds as nnU-Net reads them."""
    is_one = set(folds.values()) == {0}
    splits = [
        {
            "train": sorted(case for case, its in folds.items() if is_one or its != fold),
            "val": sorted(case for case, its in folds.items() if its == fold),
        }
        for fold in sorted(set(folds.values()))
    ]
    write_text_atomic(path, json.dumps(splits, indent=1) + "\n")


def read_folds(path: Path, cases: Sequence[Case]) -> dict[str, int]:
    """Read which fold validates on which case; refuse a split by which people leak.

    One fold that learns from all it is given has no validation to leak into.

    Raises:
        SetupError: In a fold a person is in training and validation, or a person is validated on in
            two folds; with how many. Or the file is not a split of these cases.
    """
    try:
        splits = json.loads(path.read_text(encoding="utf-8"))
        parts = [(set(one["train"]), set(one["val"])) for one in splits]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{path}: not a split of nnU-Net; build the dataset again") from error
    person = {case.case: case.person for case in cases}
    if unknown := {case for part in parts for names in part for case in names} - person.keys():
        raise SetupError(f"{path}: {len(unknown)} case(s) that are not listed; build it again")
    folds_of: dict[str, set[int]] = {}
    leaks: set[str] = set()
    if len(parts) == 1 and parts[0][0] == parts[0][1]:
        return dict.fromkeys(parts[0][1], 0)
    for fold, (train, held) in enumerate(parts):
        leaks |= {person[case] for case in train} & {person[case] for case in held}
        for case in held:
            folds_of.setdefault(person[case], set()).add(fold)
    leaks |= {one for one, folds in folds_of.items() if len(folds) > 1}
    if leaks:
        raise SetupError(
            f"{path}: {len(leaks)} participant(s) are in two folds: no fold may learn from a person"
            " that it is validated on"
        )
    return {case: fold for fold, (_, held) in enumerate(parts) for case in held}
