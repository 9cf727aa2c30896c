"""Proton-density fat fraction and R2* from magnitude images at several echo times.

Signal of a voxel: ``A * |1 - f + f * c(t)| * exp(-R2* * t)``, where ``c`` is the sum of six
peaks of liver fat. It is fitted by non-linear least squares to the magnitudes alone, since phase
images are spoilt by eddy currents and filters of the scanner.

Magnitudes hardly tell ``f`` from about ``1 - f``: only the width of the fat spectrum does. Both
solutions are looked for; the one below 50 % counts unless the other fits clearly better. There is
no correction for the floor of noise at late echoes, nor for T1.

Source: Bydder et al. 2008 (magnitude fit with T2*), Yu et al. 2008 (multi-peak), Triay Bagur et al.
2019 (both solutions); spectrum of liver fat from Hamilton et al. 2011; T1 from de Bazelaire et al.
2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, exp, radians
from typing import Final

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

# Shift from water in ppm, and share of the protons.
FAT_PEAKS: Final = (
    (0.6, 0.047),
    (-0.5, 0.039),
    (-1.95, 0.006),
    (-2.6, 0.120),
    (-3.4, 0.700),
    (-3.8, 0.088),
)
MHZ_PER_T: Final = 42.577
MIN_ECHOES: Final = 3  # as many as there are unknowns
MAX_SD_PCT: Final = 5.0  # of a voxel, at a signal-to-noise ratio of 50
NOT_FITTED: Final = -100.0  # percent, where there is no signal or the model does not describe it
MIN_SIGNAL_SHARE: Final = 0.05  # of the brightest voxels; below is air
MAX_RESIDUAL_SHARE: Final = 0.15  # of the signal, root mean square
MAX_R2STAR_PER_S: Final = 600.0  # beyond, the signal is gone at the second echo
CLEARLY_BETTER: Final = 9.0  # variances: three standard deviations
MAX_T1_WEIGHTING: Final = 1.1  # 10 % of fat shows as 10.9 %
_T1_MS: Final = {1.5: (586.0, 343.0), 3.0: (809.0, 382.0)}  # liver, fat
MAX_EVIDENCE: Final = 100.0  # of a voxel, that none outvotes a whole organ
_OVER_PCT: Final = 10.0  # fits may stray below 0 and above 100 %, else their mean were biased
_ITERATIONS: Final = 7
_CHUNK: Final = 4096  # voxels
_R2STAR_SCALE: Final = 100.0


@dataclass(frozen=True, slots=True)
class FatFractionMaps:
    """Maps of a slice; shape (y, x).

    Attributes:
        pdff_pct_yx: Fat fraction in percent, ``NOT_FITTED`` where there is none. Noise lets it
            stray below 0.
        r2star_per_s_yx: R2* in 1/s, 0 where not fitted.
        fat_evidence_yx: By how many variances of the noise the solution above 50 % fits better
            than the one below; negative where it fits worse, 0 where nothing is fitted. One voxel
            may not decide; the sum over an organ does.
    """

    pdff_pct_yx: NDArray[np.float32]
    r2star_per_s_yx: NDArray[np.float32]
    fat_evidence_yx: NDArray[np.float32]


def echoes_fault(echo_times_ms: Sequence[float], field_strength_t: float) -> str | None:
    """Say why a fat fraction cannot be found at these echo times; None if it can.

    Args:
        echo_times_ms: Each another.
        field_strength_t: Magnetic field.
    """
    if len(echo_times_ms) < MIN_ECHOES:
        return f"{len(echo_times_ms)} echoes, {MIN_ECHOES} are needed"
    sd_pct = fat_fraction_sd_pct(echo_times_ms, field_strength_t)
    if sd_pct > MAX_SD_PCT:
        return f"{len(echo_times_ms)} echoes at times that hardly tell fat from water"
    return None


def fat_fraction_sd_pct(
    echo_times_ms: Sequence[float],
    field_strength_t: float,
    *,
    pdff_pct: float = 10.0,
    r2star_per_s: float = 50.0,
    snr: float = 50.0,
) -> float:
    """Return the least standard deviation of a voxel's fat fraction (Cramér and Rao), in percent.

    Args:
        echo_times_ms: Echo times.
        field_strength_t: Magnetic field.
        pdff_pct: True fat fraction.
        r2star_per_s: True R2*.
        snr: Signal at echo time 0 over the standard deviation of noise.
    """
    times_s = np.asarray(echo_times_ms) / 1e3
    point = np.array([[1.0, pdff_pct / 100, r2star_per_s / _R2STAR_SCALE]])
    _, slopes = _model(point, times_s, _fat_signal(times_s, field_strength_t))
    information = slopes[0].T @ slopes[0]
    if np.linalg.cond(information) > 1e10:
        return float("inf")
    return float(100 * np.sqrt(np.linalg.inv(information)[1, 1]) / snr)


def t1_weighting(
    repetition_time_ms: float, flip_angle_deg: float, field_strength_t: float
) -> float:
    """Return by how much fat is brighter than water in a spoiled gradient echo for its shorter T1.

    With typical T1 of liver and fat; 1 means that the fraction of the signal is that of protons.
    """
    nearest = min(_T1_MS, key=lambda one: abs(one - field_strength_t))
    water, fat = (
        (1 - decay) / (1 - cos(radians(flip_angle_deg)) * decay)
        for decay in (exp(-repetition_time_ms / t1_ms) for t1_ms in _T1_MS[nearest])
    )
    return fat / water if water > 0 else float("inf")


def fit_fat_fraction(
    echoes_eyx: NDArray[np.generic], echo_times_ms: Sequence[float], field_strength_t: float
) -> FatFractionMaps:
    """Fit fat fraction and R2* in each voxel of a slice.

    Args:
        echoes_eyx: Magnitudes in one linear scale, an image an echo.
        echo_times_ms: Echo time of each.
        field_strength_t: Magnetic field.
    """
    times_s = np.asarray(echo_times_ms, np.float64) / 1e3
    fat_e = _fat_signal(times_s, field_strength_t)
    signals_ne = echoes_eyx.reshape(len(times_s), -1).T.astype(np.float64)
    brightest_n = signals_ne.max(axis=1)
    has_signal_n = brightest_n > MIN_SIGNAL_SHARE * np.percentile(brightest_n, 99)
    pdff_n = np.full(len(signals_ne), NOT_FITTED, np.float32)
    r2star_n, evidence_n = np.zeros((2, len(signals_ne)), np.float32)
    places = np.flatnonzero(has_signal_n)
    if len(places):
        points, evidence, is_good = _fitted(signals_ne[places], times_s, fat_e)
        pdff_n[places] = np.where(is_good, 100 * points[:, 1], NOT_FITTED)
        r2star_n[places] = np.where(is_good, _R2STAR_SCALE * points[:, 2], 0)
        evidence_n[places] = np.where(is_good, evidence, 0)
    return FatFractionMaps(
        *(one.reshape(echoes_eyx.shape[1:]) for one in (pdff_n, r2star_n, evidence_n))
    )


def fat_signal(echo_times_ms: Sequence[float], field_strength_t: float) -> NDArray[np.complex128]:
    """Return the signal of fat relative to that of water at each echo time, without decay."""
    return _fat_signal(np.asarray(echo_times_ms) / 1e3, field_strength_t)


def _fat_signal(times_s: Reals, field_strength_t: float) -> NDArray[np.complex128]:
    shifts_ppm, shares = np.array(FAT_PEAKS).T
    turns = field_strength_t * MHZ_PER_T * np.outer(times_s, shifts_ppm)
    signal: NDArray[np.complex128] = np.exp(2j * np.pi * turns) @ shares / shares.sum()
    return signal


def _fitted(
    signals_ne: Reals, times_s: Reals, fat_e: NDArray[np.complex128]
) -> tuple[Reals, Reals, NDArray[np.bool_]]:
    """Fit below and above 50 %, and choose.

    What "clearly better" is depends on the noise, which is estimated from all voxels: the residual
    of one alone is too uncertain with few echoes.

    Returns:
        Amplitude, fraction and scaled R2*; evidence for fat; whether the model fits.
    """
    over = _OVER_PCT / 100
    low, low_residual = _best_of_all(signals_ne, times_s, fat_e, (-over, 0.5))
    high, high_residual = _best_of_all(signals_ne, times_s, fat_e, (0.5, 1 + over))
    evidence = np.zeros(len(signals_ne))
    n_free = len(times_s) - MIN_ECHOES
    if n_free:
        least = np.minimum(low_residual, high_residual)
        variance = np.median(least) / (
            n_free * (1 - 2 / (9 * n_free)) ** 3
        )  # median of chi squared
        # without noise rounding is left, which is no evidence
        variance += 1e-9 * np.median(np.square(signals_ne).sum(axis=1))
        evidence = np.clip((low_residual - high_residual) / variance, -MAX_EVIDENCE, MAX_EVIDENCE)
    is_fat = evidence > CLEARLY_BETTER
    points = np.where(is_fat[:, None], high, low)
    residual = np.where(is_fat, high_residual, low_residual)
    size = np.square(signals_ne).sum(axis=1)
    is_good = (residual <= MAX_RESIDUAL_SHARE**2 * size) & (
        points[:, 2] < 0.999 * MAX_R2STAR_PER_S / _R2STAR_SCALE
    )
    return points, evidence, is_good


def _best_of_all(
    signals_ne: Reals, times_s: Reals, fat_e: NDArray[np.complex128], between: tuple[float, float]
) -> tuple[Reals, Reals]:
    """Fit chunk by chunk, each voxel at a scale of its own: residuals are of the voxels' unit."""
    points, residuals = [], []
    for start in range(0, len(signals_ne), _CHUNK):
        chunk = signals_ne[start : start + _CHUNK]
        scale_n = chunk.max(axis=1)
        found, residual = _best(chunk / scale_n[:, None], times_s, fat_e, between)
        points.append(found * np.stack([scale_n, *np.ones((2, len(scale_n)))], axis=1))
        residuals.append(residual * scale_n**2)
    return np.concatenate(points), np.concatenate(residuals)


def _best(
    signals_ne: Reals, times_s: Reals, fat_e: NDArray[np.complex128], between: tuple[float, float]
) -> tuple[Reals, Reals]:
    """Fit with the fraction in a range: the nearest of a grid, then Gauss and Newton's steps."""
    fractions = np.arange(between[0], between[1] + 1e-9, 0.05)
    rates = np.r_[0:200:20, 200 : MAX_R2STAR_PER_S + 1 : 50] / _R2STAR_SCALE
    grid = np.stack(np.meshgrid([1.0], fractions, rates, indexing="ij"), axis=-1).reshape(-1, 3)
    shapes, _ = _model(grid, times_s, fat_e)
    lengths = np.linalg.norm(shapes, axis=1)
    match = signals_ne @ (shapes / lengths[:, None]).T
    nearest = match.argmax(axis=1)
    points = grid[nearest]
    points[:, 0] = match.max(axis=1) / lengths[nearest]
    lowest = np.array([0.0, between[0], 0.0])
    highest = np.array([np.inf, between[1], MAX_R2STAR_PER_S / _R2STAR_SCALE])
    best = points
    values, slopes = _model(points, times_s, fat_e)
    least = np.square(signals_ne - values).sum(axis=1)
    for _ in range(_ITERATIONS):
        step = _solved(slopes, signals_ne - values)
        points = np.clip(points + np.clip(step, -0.5, 0.5), lowest, highest)
        values, slopes = _model(points, times_s, fat_e)
        residual = np.square(signals_ne - values).sum(axis=1)
        is_better = residual < least
        best = np.where(is_better[:, None], points, best)
        least = np.where(is_better, residual, least)
    return best, least


def _solved(slopes: Reals, residuals: Reals) -> Reals:
    """Solve the normal equations of each voxel, three unknowns each, by cofactors; shape (n, 3)."""
    a, b, c = slopes.transpose(2, 0, 1)
    aa, bb, cc = (np.einsum("ne,ne->n", one, one) + 1e-9 for one in (a, b, c))
    ab, ac, bc = (np.einsum("ne,ne->n", *pair) for pair in ((a, b), (a, c), (b, c)))
    pull = [np.einsum("ne,ne->n", one, residuals) for one in (a, b, c)]
    rows = (
        (bb * cc - bc * bc, ac * bc - ab * cc, ab * bc - ac * bb),
        (ac * bc - ab * cc, aa * cc - ac * ac, ab * ac - aa * bc),
        (ab * bc - ac * bb, ab * ac - aa * bc, aa * bb - ab * ab),
    )
    determinant = aa * rows[0][0] + ab * rows[0][1] + ac * rows[0][2]
    steps = [sum(x * y for x, y in zip(row, pull, strict=True)) / determinant for row in rows]
    return np.stack(steps, axis=1)


def _model(points_n3: Reals, times_s: Reals, fat_e: NDArray[np.complex128]) -> tuple[Reals, Reals]:
    """Return the signal (n, echo), and its slopes by the three unknowns (n, echo, 3)."""
    amplitude, fraction, rate = points_n3.T[:, :, None]
    mixed = 1 + fraction * (fat_e - 1)
    size = np.maximum(np.abs(mixed), 1e-9)
    decay = np.exp(-_R2STAR_SCALE * rate * times_s)
    shape = size * decay
    by_fraction = amplitude * decay * np.real((fat_e - 1) * np.conj(mixed)) / size
    by_rate = -_R2STAR_SCALE * times_s * amplitude * shape
    return amplitude * shape, np.stack([shape, by_fraction, by_rate], axis=-1)
