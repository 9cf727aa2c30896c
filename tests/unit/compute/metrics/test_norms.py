"""Norms of simulated people, whose centiles are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from organome.compute.metrics.norms import (
    COEFFICIENTS,
    FARTHEST_Z,
    Norm,
    fit_norm,
    score,
    volume_at,
)

Floats = NDArray[np.float64]
CENTILES = (3, 10, 25, 50, 75, 90, 97)


def of_nature(age: Floats, height: Floats, is_male: bool) -> tuple[Floats, Floats, float]:
    """Return centre, spread and skewness: by age no polynomial, by height a power."""
    shrinking = 1 / (1 + np.exp((age - 68) / 6))
    mu = (1650 if is_male else 1400) * (0.8 + 0.2 * shrinking) * (height / 1.7) ** 1.3
    return mu, 0.15 * np.exp(0.01 * (age - 60)), 0.3


def people(n: int, seed: int, is_male: bool) -> tuple[Floats, Floats, Floats]:
    chance = np.random.default_rng(seed)
    age = chance.triangular(44, 63, 82, n)
    height = chance.normal(1.76 if is_male else 1.63, 0.065, n)
    mu, sigma, nu = of_nature(age, height, is_male)
    z = chance.standard_normal(n)
    return mu * (1 + nu * sigma * z) ** (1 / nu), age, height


def true_centile(volume: Floats, age: Floats, height: Floats, is_male: bool) -> Floats:
    mu, sigma, nu = of_nature(age, height, is_male)
    return 100 * ndtr(((volume / mu) ** nu - 1) / (nu * sigma))


def test_centiles_of_20000_people_are_right_within_one_per_cent() -> None:
    """Below the line of each centile lies that share of people, within one point for
    each sex, and within two for each decade from 50 to 79. Few are younger or older.

    The shares are those of the distribution that the people were drawn from, so nothing is drawn
    for the comparison.
    """
    errors, of_decades = [], []
    for is_male in (False, True):
        volume, age, height = people(10_000, 7 + is_male, is_male)
        norm = fit_norm(volume, age, height)
        assert norm is not None
        for centile in CENTILES:
            line = volume_at(norm, centile, age, height)
            error = true_centile(line, age, height, is_male) - centile
            errors.append(error.mean())
            of_decades += [error[age // 10 == decade].mean() for decade in (5, 6, 7)]
    assert np.abs(errors).max() < 1
    assert np.abs(of_decades).max() < 2


def test_stated_intervals_cover_the_true_centile() -> None:
    age, height = np.array([50.0, 65.0, 78.0]), np.array([1.65, 1.75, 1.85])
    volume = np.array([1500.0, 1500.0, 1700.0])
    truth = true_centile(volume, age, height, True)
    covered = []
    for seed in range(150):
        norm = fit_norm(*people(1000, seed, True))
        assert norm is not None
        found = score(norm, volume, age, height)
        covered.append((found.low_pct <= truth) & (truth <= found.high_pct))
    # 450 intervals: three standard errors around 95 %, and the spline is not quite that of nature.
    assert 0.91 < np.mean(covered) < 0.98


def test_far_outliers_do_not_move_the_norm() -> None:
    volume, age, height = people(3000, 1, True)
    clean, spoilt = fit_norm(volume, age, height), volume.copy()
    spoilt[:60] *= 6
    robust = fit_norm(spoilt, age, height)
    assert clean is not None
    assert robust is not None
    assert robust.n_left_out >= 60
    at = (np.array([60.0]), np.array([1.75]))
    for centile in (3, 50, 97):
        both = [float(volume_at(norm, centile, *at)[0]) for norm in (clean, robust)]
        assert both[1] == pytest.approx(both[0], rel=0.01)


def norm_of(**coefficients: float) -> Norm:
    return Norm(
        n=500,
        n_left_out=0,
        age_knots_years=(50.0, 60.0, 70.0, 80.0),
        age_range_years=(45.0, 85.0),
        height_range_m=(1.5, 2.0),
        coefficients=np.array([coefficients.get(name, 0.0) for name in COEFFICIENTS]),
        covariance=np.zeros((8, 8)),
    )


@pytest.mark.parametrize("nu", [-0.8, 0.0, 1e-6, 0.5, 1.0])
def test_z_and_volume_are_each_others_inverse(nu: float) -> None:
    norm = norm_of(mu_intercept=7.0, mu_age=-0.05, mu_log_height=1.2, sigma_intercept=-2.0, nu=nu)
    age, height = np.array([47.0, 63.0, 84.0]), np.array([1.5, 1.7, 1.95])
    for centile in CENTILES:
        volume = volume_at(norm, centile, age, height)
        assert score(norm, volume, age, height).centile_pct == pytest.approx([centile] * 3)


def test_spline_is_that_of_harrell_and_straight_beyond_its_knots() -> None:
    """At 65 years the first spline is ((15)^3 - 0) / 30^2 / 10, worked by hand: 0.375."""
    norm = norm_of(mu_age_spline_1=1.0, sigma_intercept=-2.0)

    def log_mu(age: float) -> float:
        return float(np.log(volume_at(norm, 50, np.array([age]), np.array([1.7]))[0]))

    assert log_mu(50) == log_mu(40) == 0
    assert log_mu(65) == pytest.approx(15**3 / 30**2 / 10)
    assert log_mu(95) - log_mu(90) == pytest.approx(log_mu(90) - log_mu(85))


@pytest.mark.parametrize(
    "change",
    [
        lambda v, a, h: (v[:199], a[:199], h[:199]),
        lambda v, a, h: (v, np.full_like(a, 60.0), h),
        lambda v, a, h: (v, a, np.full_like(h, 1.7)),
        lambda v, a, h: (np.full_like(v, 1500.0), a, h),
        lambda v, a, h: (v[:0], a[:0], h[:0]),
    ],
    ids=["too few", "one age", "one height", "one volume", "nobody"],
)
def test_of_too_little_there_is_no_norm(change: Callable[..., Any]) -> None:
    assert fit_norm(*change(*people(500, 3, True))) is None


def test_left_out_is_one_in_thousands() -> None:
    norm = fit_norm(*people(5000, 5, False))
    assert norm is not None
    assert norm.n_left_out <= 5000 * 2 * ndtr(-FARTHEST_Z) + 5
