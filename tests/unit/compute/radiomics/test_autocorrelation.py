"""Moran's I and Geary's C beside sums over all pairs."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from organome.compute.radiomics import autocorrelation
from organome.compute.radiomics.autocorrelation import moran_and_geary

SPACING = (4.5, 2.2, 2.0)


def region(size_zyx: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Intensities that change slowly, and noise, in a box with holes; its outermost layer empty."""
    chance = np.random.default_rng(5)
    inside = np.zeros(size_zyx, bool)
    inside[1:-1, 1:-1, 1:-1] = chance.random([n - 2 for n in size_zyx]) < 0.6
    places = np.flatnonzero(inside).astype(np.int32)
    z, y, x = np.unravel_index(places, size_zyx)
    return 100 + 9 * np.sin(z / 4 + y / 5) + x + chance.normal(0, 4, places.size), places


def test_small_regions_have_the_sums_over_all_pairs() -> None:
    size_zyx = (7, 9, 12)
    values, places = region(size_zyx)
    points = np.argwhere(np.ones(size_zyx))[places] * SPACING
    apart = cdist(points, points)
    weights = np.divide(1, apart, out=np.zeros_like(apart), where=apart > 0)
    away, n = values - values.mean(), values.size
    moran = n * (away @ weights @ away) / weights.sum() / (away @ away)
    squares = (weights * np.subtract.outer(values, values) ** 2).sum()
    geary = (n - 1) * squares / 2 / weights.sum() / (away @ away)
    assert moran_and_geary(values, places, size_zyx, SPACING) == pytest.approx((moran, geary), 1e-6)


def test_coarser_grids_change_little(monkeypatch: pytest.MonkeyPatch) -> None:
    size_zyx = (20, 40, 50)
    values, places = region(size_zyx)
    coarse = moran_and_geary(values, places, size_zyx, SPACING)
    monkeypatch.setattr(autocorrelation, "_MOST_POINTS", 1 << 30)
    exact = moran_and_geary(values, places, size_zyx, SPACING)
    assert coarse == pytest.approx(exact, abs=1e-4)
    assert coarse != exact


def test_equal_intensities_have_none() -> None:
    values, places = region((5, 5, 5))
    assert np.isnan(moran_and_geary(np.ones_like(values), places, (5, 5, 5), SPACING)).all()
