"""Norms: how a volume is distributed by age and height, and where a person lies in it.

The distribution is that of Box, Cox, Cole and Green: with centre mu, spread sigma and skewness nu,

    z = ((volume / mu) ** nu - 1) / (nu * sigma)        log(volume / mu) / sigma where nu is 0

is normal. log mu is a restricted cubic spline of age and linear in the logarithm of height, log
sigma is linear in age, nu is one number.

Source: Cole and Green 1992, Statistics in Medicine 11 (LMS); Rigby and Stasinopoulos 2005, Applied
Statistics 54 (GAMLSS, of which this is the family BCCG with parametric terms); Harrell 2015,
Regression Modeling Strategies, 2.4.5 (the spline).
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats

MIN_PEOPLE: Final = 200  # nine coefficients want twenty each
KNOT_SHARES: Final = (0.05, 0.35, 0.65, 0.95)  # of the ages
FARTHEST_Z: Final = 4.0  # beyond, a person is left out of the fit: one in 16,000, or a mistake
CONFIDENCE: Final = 0.95
_AGE_YEARS, _PER_YEARS, _HEIGHT_M = 50.0, 10.0, 1.7  # where coefficients of mu and sigma count from
_MAD_TO_SD: Final = 1.4826
_LEAST_SPREAD: Final = 1e-6  # of logarithms: below, all volumes are one
COEFFICIENTS: Final = (
    *("mu_intercept", "mu_age", "mu_age_spline_1", "mu_age_spline_2", "mu_log_height"),
    *("sigma_intercept", "sigma_age", "nu"),
)
N_MU: Final = 5


@dataclass(frozen=True, slots=True)
class Norm:
    """A distribution by age and height, of one sex.

    Attributes:
        n: People it was fitted to.
        n_left_out: People beyond four standard deviations, who were left out.
        age_knots_years: Four ages of the spline.
        age_range_years: Youngest and oldest.
        height_range_m: Smallest and tallest.
        coefficients: Array (8,), in the order of ``COEFFICIENTS``.
        covariance: Array (8, 8) of these.
    """

    n: int
    n_left_out: int
    age_knots_years: tuple[float, ...]
    age_range_years: tuple[float, float]
    height_range_m: tuple[float, float]
    coefficients: Floats
    covariance: Floats

    def covers(self, age_years: Floats, height_m: Floats) -> NDArray[np.bool_]:
        """Return who lies within the ages and heights of the norm."""
        (young, old), (small, tall) = self.age_range_years, self.height_range_m
        return (age_years >= young) & (age_years <= old) & (height_m >= small) & (height_m <= tall)


class Scores(NamedTuple):
    """Where people lie in a norm, an array (people,) each.

    Attributes:
        z: Standard deviations from the centre.
        centile_pct: Share of people of that age and height with less.
        low_pct: Lower end of the 95 % interval of that share, for the norm is an estimate.
        high_pct: Upper end.
    """

    z: Floats
    centile_pct: Floats
    low_pct: Floats
    high_pct: Floats


def fit_norm(volume_ml: Floats, age_years: Floats, height_m: Floats) -> Norm | None:
    """Fit a norm to people of one sex, each of whom is there once.

    Those beyond four standard deviations are left out, then it is fitted again.

    Args:
        volume_ml: Array (people,), all positive.
        age_years: Array (people,).
        height_m: Array (people,).

    Returns:
        None for too few people, or all of hardly any two ages or heights.
    """
    knots = np.quantile(age_years, KNOT_SHARES) if len(age_years) else np.zeros(4)
    if len(volume_ml) < MIN_PEOPLE or (np.diff(knots) <= 0).any() or np.ptp(height_m) <= 0:
        return None
    centres, spreads = _terms(age_years, height_m, knots)
    logs = np.log(volume_ml)
    started = np.linalg.lstsq(centres, logs, rcond=None)[0]
    residuals = logs - centres @ started
    spread = _MAD_TO_SD * float(np.median(np.abs(residuals)))
    if spread < _LEAST_SPREAD:
        return None
    kept = np.abs(residuals) <= FARTHEST_Z * spread
    coefficients = np.r_[started, np.log(spread), 0.0, 0.0]
    for _ in range(3):  # who is left out depends on the fit, but soon settles
        coefficients = _fit(coefficients, logs[kept], centres[kept], spreads[kept])
        z = _z(coefficients, logs, centres, spreads).z
        before, kept = kept, np.abs(z) <= FARTHEST_Z
        if (before == kept).all():
            break
    gradients = _gradients(coefficients, logs[before], centres[before], spreads[before])
    return Norm(
        n=int(before.sum()),
        n_left_out=int((~before).sum()),
        age_knots_years=tuple(map(float, knots)),
        age_range_years=(float(age_years.min()), float(age_years.max())),
        height_range_m=(float(height_m.min()), float(height_m.max())),
        coefficients=coefficients,
        covariance=np.asarray(np.linalg.pinv(gradients.T @ gradients, hermitian=True), np.float64),
    )


def score(norm: Norm, volume_ml: Floats, age_years: Floats, height_m: Floats) -> Scores:
    """Find where people lie in a norm of their sex; beyond its ages and heights that is a guess.

    Args:
        norm: The norm.
        volume_ml: Array (people,), all positive.
        age_years: Array (people,).
        height_m: Array (people,).
    """
    centres, spreads = _terms(age_years, height_m, np.array(norm.age_knots_years))
    found = _z(norm.coefficients, np.log(volume_ml), centres, spreads)
    slopes = np.column_stack(
        (-found.by_log[:, None] * centres, -found.z[:, None] * spreads, found.by_nu)
    )
    error = np.sqrt(np.einsum("ni,ij,nj->n", slopes, norm.covariance, slopes, optimize=True))
    half = float(scipy.special.ndtri(0.5 + CONFIDENCE / 2)) * error
    return Scores(found.z, *(100 * scipy.special.ndtr(found.z + one) for one in (0.0, -half, half)))


def volume_at(norm: Norm, centile_pct: float, age_years: Floats, height_m: Floats) -> Floats:
    """Return the volume in mL below which a share of people of that age and height lies."""
    centres, spreads = _terms(age_years, height_m, np.array(norm.age_knots_years))
    nu = norm.coefficients[-1]
    scaled = float(scipy.special.ndtri(centile_pct / 100)) * np.exp(
        spreads @ norm.coefficients[N_MU:-1]
    )
    return np.exp(
        centres @ norm.coefficients[:N_MU] + (np.log1p(nu * scaled) / nu if nu else scaled)
    )


def _terms(age_years: Floats, height_m: Floats, knots: Floats) -> tuple[Floats, Floats]:
    """Return what the coefficients of log mu, and of log sigma, are multiplied by."""
    first, last_but_one, last = knots[0], knots[-2], knots[-1]

    def cube(knot: float) -> Floats:
        return np.maximum(age_years - knot, 0) ** 3

    ends = last - last_but_one
    splines = [
        cube(knot)
        - cube(last_but_one) * (last - knot) / ends
        + cube(last) * (last_but_one - knot) / ends
        for knot in knots[:-2]
    ]
    one, decades = np.ones_like(age_years), (age_years - _AGE_YEARS) / _PER_YEARS
    scaled = (spline / (last - first) ** 2 / _PER_YEARS for spline in splines)
    centres = np.column_stack((one, decades, *scaled, np.log(height_m / _HEIGHT_M)))
    return centres, np.column_stack((one, decades))


class _Found(NamedTuple):
    """z, and its slopes by log(volume / mu) and by nu."""

    z: Floats
    by_log: Floats
    by_nu: Floats


def _z(coefficients: Floats, logs: Floats, centres: Floats, spreads: Floats) -> _Found:
    nu = coefficients[-1]
    beyond = logs - centres @ coefficients[:N_MU]
    sigma = np.exp(spreads @ coefficients[N_MU:-1])
    bent = nu * beyond
    power = np.exp(bent)
    if abs(nu) < 1e-4:  # a difference of nearly equal numbers: its series instead
        z, by_nu = beyond * (1 + bent / 2), beyond**2 * (0.5 + bent / 3)
    else:
        z = np.expm1(bent) / nu
        by_nu = (beyond * power - z) / nu
    return _Found(z / sigma, power / sigma, by_nu / sigma)


def _gradients(coefficients: Floats, logs: Floats, centres: Floats, spreads: Floats) -> Floats:
    """Return the slopes of each person's log-likelihood, array (people, 8)."""
    found = _z(coefficients, logs, centres, spreads)
    beyond = logs - centres @ coefficients[:N_MU]
    slopes: Floats = np.column_stack(
        (
            (found.z * found.by_log - coefficients[-1])[:, None] * centres,
            (found.z**2 - 1)[:, None] * spreads,
            beyond - found.z * found.by_nu,
        )
    )
    return slopes


def _fit(started: Floats, logs: Floats, centres: Floats, spreads: Floats) -> Floats:
    """Find the coefficients of the greatest likelihood."""

    def loss(coefficients: Any) -> float:
        z = _z(coefficients, logs, centres, spreads).z
        beyond = logs - centres @ coefficients[:N_MU]
        likelihood = coefficients[-1] * beyond - spreads @ coefficients[N_MU:-1] - z**2 / 2
        return -float(likelihood.mean())

    def slopes(coefficients: Any) -> Any:
        return -_gradients(coefficients, logs, centres, spreads).mean(axis=0)

    def curvature(coefficients: Any) -> Any:
        # Of the likelihood at its top, by the outer product of the gradients (Berndt et al. 1974).
        gradients = _gradients(coefficients, logs, centres, spreads)
        return gradients.T @ gradients / len(gradients)

    first: Any = started
    found = scipy.optimize.minimize(
        loss, first, jac=slopes, hess=curvature, method="trust-exact", tol=1e-6
    )
    return np.asarray(found.x, np.float64)
