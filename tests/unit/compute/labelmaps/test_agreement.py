from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from organome.compute.labelmaps.consensus import count_votes, measure_agreement


def of(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(row, np.uint8).reshape(1, 1, -1) for row in rows]


def test_agreement_is_dice_of_pairs_and_spread_of_volumes() -> None:
    votes = count_votes(of([5, 5, 5, 0], [5, 5, 0, 0]))
    agreement = measure_agreement(votes, voxel_ml=2.0)
    assert set(agreement) == {5}
    assert agreement[5].dice == pytest.approx(2 * 2 / (3 + 2))
    assert agreement[5].volume_sd_ml == pytest.approx(np.std([6.0, 4.0], ddof=1))


def test_an_organ_that_one_lacks_agrees_with_none() -> None:
    agreement = measure_agreement(count_votes(of([1, 2], [0, 2])), voxel_ml=1.0)
    assert agreement[1].dice == 0.0
    assert agreement[2].dice == 1.0
    assert agreement[2].volume_sd_ml == 0.0


def test_pairs_that_both_lack_an_organ_say_nothing_about_it() -> None:
    agreement = measure_agreement(count_votes(of([1, 0], [0, 0], [0, 0])), voxel_ml=1.0)
    assert agreement[1].dice == 0.0  # two pairs of which one has it; the third has no Dice
    assert 2 not in agreement


def test_of_a_single_labelmap_there_is_no_agreement() -> None:
    assert measure_agreement(count_votes(of([1, 1])), voxel_ml=1.0) == {}


@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_all_organs_at_once_are_each_organ_alone(n_voters: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    common = chance.integers(0, 4, (3, 4, 5))
    labelmaps = [
        np.where(chance.random(common.shape) < 0.8, common, chance.integers(0, 6)).astype(np.uint8)
        for _ in range(n_voters)
    ]
    agreement = measure_agreement(count_votes(labelmaps), voxel_ml=0.5)
    for label in range(1, 6):
        masks = [one == label for one in labelmaps]
        dice = [
            2 * (a & b).sum() / (a.sum() + b.sum())
            for a, b in combinations(masks, 2)
            if a.any() or b.any()
        ]
        if not dice:
            assert label not in agreement
            continue
        assert agreement[label].dice == pytest.approx(np.mean(dice))
        volumes_ml = [0.5 * mask.sum() for mask in masks]
        assert agreement[label].volume_sd_ml == pytest.approx(np.std(volumes_ml, ddof=1))
