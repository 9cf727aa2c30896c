"""Percentiles from the tail are those of numpy, whatever the values."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from organome.compute.percentiles import high_percentile

KINDS = ("air and body", "noise", "ties", "constant", "rising", "falling", "periodic", "infinite")


def values_of(kind: str, n: int, chance: np.random.Generator) -> NDArray[np.float64]:
    noise = chance.normal(0, 300, n)
    ramp = np.arange(n, dtype=np.float64)
    return {
        "air and body": np.where(chance.random(n) < 0.8, np.abs(noise) / 50, 900 + noise),
        "noise": noise,
        "ties": np.round(noise / 250),
        "constant": np.full(n, 7.25),
        "rising": ramp,
        "falling": -ramp,
        "periodic": np.where(ramp % 61 == 0, 1e4, noise),  # the sample sees nothing else
        "infinite": np.where(chance.random(n) < 0.002, np.inf, noise),
    }[kind]


def check(values: NDArray[Any], percent: float) -> None:
    with np.errstate(all="ignore"):
        ours, theirs = high_percentile(values, percent), np.percentile(values, percent)
    np.testing.assert_array_equal(ours, theirs, strict=True)


@given(
    st.sampled_from(KINDS),
    st.sampled_from((1, 2, 3720, 3721, 3722, 10_007, 40_000)),
    st.sampled_from((90.0, 99.0, 99.9, 99.99, 100.0)),
    st.sampled_from(("f4", "f8", "i2", "u2", "i4", "u1")),
    st.integers(0, 2**32 - 1),
)
def test_it_is_the_percentile_of_numpy(
    kind: str, n: int, percent: float, dtype: str, seed: int
) -> None:
    with np.errstate(invalid="ignore"):
        values = np.clip(values_of(kind, n, np.random.default_rng(seed)), -3e4, np.inf)
        check(values.astype(dtype), percent)


@pytest.mark.parametrize("place", [0, 61, 62, -1])
def test_one_value_that_is_not_a_number_is_the_percentile(place: int) -> None:
    values = np.random.default_rng(5).normal(0, 1, (30, 40, 50)).astype(np.float32)
    values.reshape(-1)[place] = np.nan
    assert np.isnan(high_percentile(values, 99.9))


def test_only_the_tail_is_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).normal(0, 1, (50, 60, 70)).astype(np.float32)
    expected = np.percentile(values, 99.9)
    sizes: list[int] = []

    def sort(tail: NDArray[Any], _: object) -> NDArray[Any]:
        sizes.append(tail.size)
        return np.sort(tail)

    monkeypatch.setattr(np, "partition", sort)
    assert high_percentile(values, 99.9) == expected
    assert 0 < sizes[0] < 0.03 * values.size
