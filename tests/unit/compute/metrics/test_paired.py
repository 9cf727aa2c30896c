import numpy as np
import pytest

from organome.compute.geometry.arrays import Floats
from organome.compute.metrics.bland_altman import bland_altman
from organome.compute.metrics.paired import _moments, _statistics, paired_estimates
from organome.compute.metrics.repeatability import repeatability
from organome.compute.metrics.within_subject import within_subject

BETWEEN, WITHIN = 0.03, 0.005  # SD of relative differences: of persons, and of the seams of one


def seams(chance: np.random.Generator, n_people: int, n_each: int) -> tuple[Floats, list[int]]:
    """Pairs whose differences are mostly those of the person."""
    size = np.repeat(chance.normal(1000, 150, n_people), n_each)
    relative = np.repeat(chance.normal(0, BETWEEN, n_people), n_each)
    relative += chance.normal(0, WITHIN, len(size))
    pairs = size[:, None] * (1 + relative[:, None] * np.array([0.5, -0.5]))
    return pairs, list(np.repeat(np.arange(n_people), n_each))


def test_intervals_cover_where_pairs_of_a_person_are_alike() -> None:
    """With pairs counted as independent the coefficient of variation is covered in 63 of 100."""
    chance, n_tried, inside = np.random.default_rng(4), 200, np.zeros(3)
    truth = (100 * ((BETWEEN**2 + WITHIN**2) / 2) ** 0.5, 0.0)
    for _ in range(n_tried):
        pairs, people = seams(chance, 20, 5)
        found = paired_estimates(pairs, ["liver"] * 100, people, n_bootstrap=400)["liver"]
        assert found.n_participants == 20
        cv, log, percent = found.within.cv_pct, found.within.cv_log_pct, found.agreement.percent
        assert cv is not None
        assert log is not None
        assert percent is not None
        inside += [
            cv.low <= truth[0] <= cv.high,
            log.low <= truth[0] <= log.high,
            percent.bias.low <= truth[1] <= percent.bias.high,
        ]
    assert (inside / n_tried > 0.9).all()


def test_where_everyone_has_one_pair_the_closed_forms_hold() -> None:
    pairs, people = seams(np.random.default_rng(1), 30, 1)
    found = paired_estimates(pairs, ["liver"] * 30, people)["liver"]
    assert found.within == within_subject(*pairs.T)
    assert found.agreement == bland_altman(*pairs.T)
    assert found.icc == repeatability(pairs).agreement


def test_draws_are_of_the_very_statistics_that_the_closed_forms_give() -> None:
    pairs, _ = seams(np.random.default_rng(2), 6, 3)
    drawn = _statistics(_moments(pairs).sum(axis=0)[None, None])
    within, agreement = within_subject(*pairs.T), bland_altman(*pairs.T)
    icc = repeatability(pairs).agreement
    assert within.cv_pct is not None
    assert within.cv_log_pct is not None
    assert agreement.absolute is not None
    assert agreement.percent is not None
    assert icc is not None
    values = {
        "cv": within.cv_pct.value,
        "cv_log": within.cv_log_pct.value,
        "icc": icc.value,
        **{
            f"{name}_{end}": getattr(of, end).value
            for name, of in (("absolute", agreement.absolute), ("percent", agreement.percent))
            for end in ("bias", "lower", "upper")
        },
    }
    assert {name: each.item() for name, each in drawn.items()} == pytest.approx(values)


def test_equal_pairs_and_two_people_have_no_ends_made_up() -> None:
    same = np.repeat([[900.0], [1000.0], [1100.0]], 2, axis=1).repeat(2, axis=0)
    cv = paired_estimates(same, ["liver"] * 6, list("aabbcc"))["liver"].within.cv_pct
    assert cv is not None
    assert (cv.value, cv.low, cv.high) == (0, 0, 0)
    pairs, people = seams(np.random.default_rng(3), 2, 4)
    found = paired_estimates(pairs, ["liver"] * 8, people)["liver"].within.cv_pct
    assert found is not None
    assert found.value > 0
    assert np.isnan([found.low, found.high]).all()


def test_an_icc_below_minus_one_has_no_ends() -> None:
    pairs = np.array([[1.0, 3.0], [3.0, 1.0], [1.1, 3.0], [3.0, 1.0]])
    icc = paired_estimates(pairs, ["liver"] * 4, list("aabc"))["liver"].icc
    assert icc is not None
    assert icc.value < -1
    assert np.isnan([icc.low, icc.high]).all()


def test_variation_of_positive_pairs_counts_their_people_alone() -> None:
    pairs = np.array([[1.0, 2.0], [1.0, 2.5], [1.0, 3.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    found = paired_estimates(pairs, ["liver"] * 6, list("aaabcd"))["liver"]
    assert found.n_participants == 4
    assert found.within.cv_pct is not None
    assert np.isnan([found.within.cv_pct.low, found.within.cv_pct.high]).all()
    assert found.agreement.absolute is not None
    assert np.isfinite([found.agreement.absolute.bias.low]).all()


def test_organs_are_drawn_together_and_each_by_its_own_people() -> None:
    """Two people who have nothing but a spleen change nothing of the liver's values."""
    pairs, people = seams(np.random.default_rng(5), 20, 3)
    spleens, others = seams(np.random.default_rng(6), 4, 2)
    both = paired_estimates(
        np.vstack((pairs, spleens)),
        ["liver"] * len(pairs) + ["spleen"] * len(spleens),
        [*people, *(f"s{one}" for one in others)],
    )
    alone = paired_estimates(pairs, ["liver"] * len(pairs), people)["liver"].within.cv_pct
    liver, spleen = both["liver"].within.cv_pct, both["spleen"].within.cv_pct
    assert (both["liver"].n_participants, both["spleen"].n_participants) == (20, 4)
    assert alone is not None
    assert liver is not None
    assert spleen is not None
    assert liver.value == alone.value
    assert (liver.low, liver.high) == pytest.approx((alone.low, alone.high), rel=0.05)
