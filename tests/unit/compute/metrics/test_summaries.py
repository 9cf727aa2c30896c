import numpy as np
import pytest

from organome.compute.metrics.summaries import (
    bootstrap_over_participants,
    class_means,
    macro_mean,
    participant_means,
    spread,
)

NAN = np.nan


def test_a_class_counts_once_however_often_it_is_seen() -> None:
    values = np.array([[0.9, 0.5], [0.9, NAN], [0.6, NAN]])
    assert class_means(values) == pytest.approx([0.8, 0.5])
    assert macro_mean(values) == pytest.approx(0.65)


def test_classes_without_a_value_do_not_count() -> None:
    assert macro_mean(np.array([[0.5, NAN], [0.7, NAN]])) == pytest.approx(0.6)
    assert macro_mean(np.full((2, 2), NAN)) is None


def test_a_missed_organ_never_improves_the_mean_of_dice() -> None:
    chance = np.random.default_rng(4)
    for _ in range(50):
        values = chance.uniform(0, 1, (6, 5))
        before = macro_mean(values)
        assert before is not None
        values[chance.integers(6), chance.integers(5)] = 0.0
        after = macro_mean(values)
        assert after is not None
        assert after <= before


def test_standard_deviations_under_each_convention_are_those_worked_by_hand() -> None:
    values = np.array([[0.8, 0.4], [0.6, 0.6], [0.4, 0.2]])
    found = spread(values, ["a", "a", "b"])
    assert found.within_class == pytest.approx(0.2)  # both classes: 0.2
    assert found.between_class == pytest.approx(0.2 / 2**0.5)  # 0.6 and 0.4
    assert found.pooled == pytest.approx(np.std([0.8, 0.6, 0.4, 0.4, 0.6, 0.2], ddof=1))
    # a: (0.7 + 0.5) / 2 = 0.6; b: (0.4 + 0.2) / 2 = 0.3
    assert participant_means(values, ["a", "a", "b"]) == pytest.approx([0.6, 0.3])
    assert found.between_participant == pytest.approx(0.3 / 2**0.5)


def test_all_scans_of_a_participant_are_drawn_together() -> None:
    """Two participants, 1 and 0: their means can be 0, 0.5 or 1 only, however many scans."""
    values = np.array([[1.0]] * 9 + [[0.0]] * 9)
    people = ["a"] * 9 + ["b"] * 9
    found = bootstrap_over_participants(values, people, n_bootstrap=4000, seed=1).macro_mean
    assert found is not None
    assert (found.low, found.high) == (0.0, 1.0)
    alone = bootstrap_over_participants(values, range(18), n_bootstrap=4000, seed=1).macro_mean
    assert alone is not None
    assert 0.2 < alone.low < 0.35
    assert 0.65 < alone.high < 0.8


def test_equal_seeds_give_equal_intervals_and_one_participant_none() -> None:
    values = np.random.default_rng(0).uniform(size=(12, 3))
    people = [f"p{one // 3}" for one in range(12)]
    first, second = (
        bootstrap_over_participants(values, people, n_bootstrap=200, seed=5) for _ in range(2)
    )
    assert first == second
    assert len(first.class_means) == 3
    alone = bootstrap_over_participants(values, ["a"] * 12, n_bootstrap=200, seed=5)
    assert (alone.macro_mean, set(alone.class_means)) == (None, {None})


def test_intervals_over_participants_cover_as_often_as_they_say() -> None:
    chance = np.random.default_rng(8)
    inside = 0
    for _ in range(200):
        of_people = chance.normal(0.8, 0.05, 40)
        values = np.repeat(of_people, 4)[:, None] + chance.normal(0, 0.01, (160, 2))
        people = np.repeat(np.arange(40), 4)
        found = bootstrap_over_participants(values, list(people), n_bootstrap=400, seed=2)
        assert found.macro_mean is not None
        inside += found.macro_mean.low <= 0.8 <= found.macro_mean.high
    assert inside / 200 == pytest.approx(0.93, abs=0.04)
