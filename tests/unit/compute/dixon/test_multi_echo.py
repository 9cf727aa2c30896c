"""Fat fraction and R2* from magnitudes: planted values are found, and what cannot be is refused."""

from collections.abc import Sequence

import numpy as np
import pytest

from organome.compute.dixon.multi_echo import (
    FAT_PEAKS,
    NOT_FITTED,
    echoes_fault,
    fat_fraction_sd_pct,
    fat_signal,
    fit_fat_fraction,
    t1_weighting,
)

GRADIENT_ECHO_MS = tuple(2.38 * number for number in range(1, 11))
IDEAL_MS = (1.2, 3.2, 5.2, 7.2, 9.2, 11.2)
PLANTED_PCT, PLANTED_PER_S = (0, 2, 5, 10, 20, 30, 40), (20, 60, 100)
SIDE = 24


def _signals(
    times_ms: Sequence[float], pdff_pct: float, r2star_per_s: float, *, snr: float = 50.0
) -> np.ndarray:
    share, chance = pdff_pct / 100, np.random.default_rng(7)
    clean_e = np.abs(1 - share + share * fat_signal(times_ms, 1.5)) * np.exp(
        -r2star_per_s * np.array(times_ms) / 1e3
    )
    noise_eyx = chance.normal(0, 1 / snr, (2, len(times_ms), SIDE, SIDE))
    noisy: np.ndarray = 700 * np.hypot(clean_e[:, None, None] + noise_eyx[0], noise_eyx[1])
    return noisy


@pytest.mark.parametrize("times_ms", [GRADIENT_ECHO_MS, IDEAL_MS])
def test_planted_fat_fractions_are_found_within_a_point(times_ms: Sequence[float]) -> None:
    planted = [(pct, per_s) for pct in PLANTED_PCT for per_s in PLANTED_PER_S]
    together = np.concatenate([_signals(times_ms, *one) for one in planted], axis=1)
    maps = fit_fat_fraction(together, times_ms, 1.5)
    for place, (pct, per_s) in enumerate(planted):
        rows = slice(place * SIDE, (place + 1) * SIDE)
        pdff = maps.pdff_pct_yx[rows]
        assert (pdff != NOT_FITTED).mean() > 0.99
        pdff = pdff[pdff != NOT_FITTED]
        assert np.median(pdff) == pytest.approx(pct, abs=1.0), (pct, per_s)
        assert pdff.mean() == pytest.approx(pct, abs=1.0), (pct, per_s)
        assert np.median(maps.r2star_per_s_yx[rows]) == pytest.approx(per_s, abs=2.0)
        assert maps.fat_evidence_yx[rows].sum() < 0


@pytest.mark.parametrize("times_ms", [GRADIENT_ECHO_MS, IDEAL_MS])
@pytest.mark.parametrize("r2star_per_s", PLANTED_PER_S)
def test_voxels_of_an_organ_together_tell_mostly_fat(
    times_ms: Sequence[float], r2star_per_s: float
) -> None:
    for pct in (60, 80, 95):
        maps = fit_fat_fraction(_signals(times_ms, pct, r2star_per_s), times_ms, 1.5)
        assert maps.fat_evidence_yx.sum() > 0, pct


def test_without_noise_the_fit_is_exact() -> None:
    clean = _signals(IDEAL_MS, 15, 45, snr=1e9)
    maps = fit_fat_fraction(clean, IDEAL_MS, 1.5)
    assert maps.pdff_pct_yx == pytest.approx(15, abs=0.01)
    assert maps.r2star_per_s_yx == pytest.approx(45, abs=0.05)


def test_air_and_signals_that_no_decay_explains_are_not_fitted() -> None:
    signals = _signals(IDEAL_MS, 10, 40)
    signals[:, 0] = 1.0
    signals[:, 1] = np.random.default_rng(1).uniform(0, 700, (len(IDEAL_MS), SIDE))
    pdff = fit_fat_fraction(signals, IDEAL_MS, 1.5).pdff_pct_yx
    assert (pdff[0] == NOT_FITTED).all()
    assert (pdff[1] == NOT_FITTED).mean() > 0.5
    assert (pdff[2:] != NOT_FITTED).mean() > 0.99


def test_echo_times_are_judged_by_what_they_can_tell() -> None:
    assert sum(share for _, share in FAT_PEAKS) == pytest.approx(1)
    assert echoes_fault(IDEAL_MS, 1.5) is None
    assert echoes_fault((2.38, 4.76), 1.5) == "2 echoes, 3 are needed"
    assert "hardly tell" in str(echoes_fault((4.6, 9.2, 13.8), 1.5))
    assert fat_fraction_sd_pct(GRADIENT_ECHO_MS, 1.5) < fat_fraction_sd_pct(IDEAL_MS, 1.5)


def test_fat_is_brighter_at_a_high_flip_angle() -> None:
    assert t1_weighting(14, 5, 1.5) == pytest.approx(1.06, abs=0.01)
    assert t1_weighting(27, 20, 1.5) == pytest.approx(1.31, abs=0.01)
    assert t1_weighting(1e5, 20, 1.5) == pytest.approx(1)
