"""Which scans are chosen, by tables in which it is plain which they should be."""

from collections.abc import Mapping
from typing import Any

import pytest

from organome.domain.errors import SetupError
from organome.steps.annotate.choosing import Strategy, choose

SCAN: dict[str, Any] = dict.fromkeys(("flags", "fat_water", "sex", "age_years"))
ORGAN: dict[str, Any] = {
    "na_reason": None,
    "side_suspect": False,
    "n_pieces": 1,
    "largest_piece_share": 1.0,
    "fold_dice": None,
    "contrast_dice": None,
}


def scans(n: int, **more: Mapping[int, Any]) -> list[dict[str, Any]]:
    return [
        {**SCAN, "scan": f"{k}", "contrast": "t1"} | {name: of.get(k) for name, of in more.items()}
        for k in range(n)
    ]


def organ(scan: int, **more: Any) -> dict[str, Any]:
    return {**ORGAN, "scan": f"{scan}", **more}


def test_the_worst_have_most_oddities() -> None:
    listed = scans(4, flags={1: "mirrored;units_converted"}, fat_water={2: "swapped"})
    organs = [
        organ(0),
        organ(2, side_suspect=True),
        organ(2, na_reason="implausibly_small"),
        organ(3, n_pieces=2, largest_piece_share=0.5),
        organ(3, na_reason="truncated"),  # the field of view is nobody's fault
    ]
    chosen = choose(Strategy.WORST, 3, scans=listed, organs=organs, seed=1)
    assert chosen == ["2", "1", "3"]


def test_disagreement_goes_by_the_mean_over_organs() -> None:
    organs = [
        *(organ(0, fold_dice=0.9), organ(0, fold_dice=0.7)),
        *(organ(1, fold_dice=0.5), organ(1, fold_dice=None)),
        organ(2, fold_dice=0.99),
    ]
    chosen = choose(Strategy.DISAGREEMENT, 2, scans=scans(3), organs=organs, seed=1)
    assert chosen == ["1", "0"]


def test_contrasts_may_disagree_instead_of_folds() -> None:
    organs = [organ(0, contrast_dice=0.9), organ(1, contrast_dice=0.2)]
    assert choose(Strategy.DISAGREEMENT, 1, scans=scans(2), organs=organs, seed=1) == ["1"]


def test_disagreement_that_nobody_measured_is_refused() -> None:
    with pytest.raises(SetupError, match=r"fold_agreement: true"):
        choose(Strategy.DISAGREEMENT, 2, scans=scans(3), organs=[organ(0)], seed=1)


def test_chance_follows_its_seed_and_not_the_order_of_rows() -> None:
    listed = scans(50)
    one = choose(Strategy.RANDOM, 10, scans=listed, organs=[], seed=1)
    assert choose(Strategy.RANDOM, 10, scans=listed[::-1], organs=[], seed=1) == one
    assert choose(Strategy.RANDOM, 10, scans=listed, organs=[], seed=2) != one
    assert len(set(one)) == 10


def test_every_stratum_has_its_turn() -> None:
    sex = {k: "female" if k < 18 else "male" for k in range(20)}
    listed = scans(20, sex=sex, age_years={k: 51.0 if k < 19 else 67.0 for k in range(20)})
    chosen = choose(Strategy.STRATIFIED, 3, scans=listed, organs=[], seed=3)
    assert {"18", "19"} < set(chosen)  # the only man of 51 and the only one of 67
    assert len(choose(Strategy.STRATIFIED, 99, scans=listed, organs=[], seed=3)) == 20
