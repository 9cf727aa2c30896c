"""Features of the grey level co-occurrence matrix."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.radiomics.formula_kernels import (
    EPS,
    cooccurrence_features,
    correlation_products,
)

Floats = NDArray[np.float64]

_MOMENT_NAMES: Final = (
    "Autocorrelation",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "Id",
    "Idm",
    "Idmn",
    "Idn",
    "InverseVariance",
    "JointAverage",
    "JointEnergy",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
)
_OTHER_NAMES: Final = ("Imc1", "Imc2", "JointEntropy", "MCC")
# Below it the square of MCC is so near the rounding of its matrix that the solver decides on the
# value, even on whether there is one.
_MCC_SQUARED_NOISE: Final = 1e-7


def glcm_features(
    counts_aij: NDArray[np.int32], present: NDArray[np.int64], *, n_angles: int
) -> dict[str, float]:
    """Compute the 24 GLCM features, means over the directions in which there are pairs.

    Args:
        counts_aij: Pairs by direction, level and level of the neighbour, one way; level 0 ignored.
        present: Grey levels of the region.
        n_angles: Directions in which the region extends at all.

    Returns:
        Features by name; NaN where pyradiomics gives NaN: no two voxels of the region touch.
    """
    counts = counts_aij[:, present[:, None], present[None, :]].astype(np.float64)
    counts += counts.transpose(0, 2, 1).copy()
    totals = counts.sum(axis=(1, 2))
    used = np.flatnonzero(totals)
    if not used.size:
        return _without_pairs(n_flat=present.size == 1, n_angles=n_angles)
    p_aij = counts[used] / totals[used, None, None]
    sums = np.zeros(len(_MOMENT_NAMES))
    cooccurrence_features(p_aij, present.astype(np.float64), int(present[-1]), sums)
    features = dict(zip(_MOMENT_NAMES, (sums / used.size).tolist(), strict=True))
    return features | _entropy_features(p_aij)


def _without_pairs(*, n_flat: bool, n_angles: int) -> dict[str, float]:
    features = dict.fromkeys((*_MOMENT_NAMES, *_OTHER_NAMES), np.nan)
    if n_flat and n_angles == 1:
        features["InverseVariance"] = 0.0
    elif n_flat:
        features["MCC"] = 1.0
    return features


def _entropy_features(p_aij: Floats) -> dict[str, float]:
    # Array order and operations are those of pyradiomics: where Imc2 is the root of a difference
    # that is zero but for rounding, only the same rounding gives the same value.
    p_ija = np.ascontiguousarray(p_aij.transpose(1, 2, 0))
    px, py = p_ija.sum(1, keepdims=True), p_ija.sum(0, keepdims=True)
    independent = px * py
    logs = np.log2(independent + EPS)
    hxy = -np.sum(p_ija * np.log2(p_ija + EPS), (0, 1))
    hxy1 = -np.sum(p_ija * logs, (0, 1))
    hxy2 = -np.sum(independent * logs, (0, 1))
    hx = -np.sum(px * np.log2(px + EPS), (0, 1))
    hy = -np.sum(py * np.log2(py + EPS), (0, 1))
    highest = np.fmax(hx, hy)
    imc1 = hxy - hxy1
    imc1[highest != 0] /= highest[highest != 0]
    imc1[highest == 0] = 0
    with np.errstate(invalid="ignore"):
        imc2 = (1 - np.e ** (-2 * (hxy2 - hxy))) ** 0.5
    imc2[hxy2 == hxy] = 0
    return {
        "Imc1": float(imc1.mean()),
        "Imc2": _mean_of_numbers(imc2),
        "JointEntropy": float(hxy.mean()),
        "MCC": _mcc(p_aij, np.ascontiguousarray(px[:, 0, :].T)),
    }


def _mcc(p_aij: Floats, px_ai: Floats) -> float:
    """Maximal correlation coefficient.

    With D the diagonal of the marginal probabilities, the matrix of which pyradiomics takes
    eigenvalues is similar to the square of the symmetric S = D^-1/2 P D^-1/2, but for an epsilon in
    its divisors, which is made up for to first order.
    """
    if p_aij.shape[1] < 2:
        return 1.0
    # A level without a pair in some direction has a row of zeros there, whatever it is divided by.
    squared = _second_eigenvalues(p_aij, np.where(px_ai == 0, 1.0, px_ai))
    if np.any(squared < _MCC_SQUARED_NOISE):
        return _mcc_as_pyradiomics(p_aij, px_ai)
    return float(np.sqrt(squared).mean())


def _second_eigenvalues(p_aij: Floats, px_ai: Floats) -> Floats:
    roots = np.sqrt(px_ai)
    values, vectors = np.linalg.eigh(p_aij / (roots[:, :, None] * roots[:, None, :]))
    n = values.shape[1]
    angles = np.arange(len(values))
    second = np.where(np.abs(values[:, 0]) > values[:, n - 2], 0, n - 2)
    value = values[angles, second]
    weighted = roots * vectors[angles, :, second]
    independent = px_ai[:, :, None] * px_ai[:, None, :]
    shift = 1 / (independent + EPS) - 1 / independent
    moved = np.einsum("ai,aij,aj->a", weighted, p_aij * shift, weighted)
    corrected: Floats = value * (value + moved)
    return corrected


def _mcc_as_pyradiomics(p_aij: Floats, px_ai: Floats) -> float:
    products = np.empty_like(p_aij)
    correlation_products(p_aij, px_ai, products)
    values: NDArray[Any] = np.linalg.eigvals(products)
    values.sort()
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(values[:, -2])
    return _mean_of_numbers(roots)


def _mean_of_numbers(values: NDArray[Any]) -> float:
    numbers = values[~np.isnan(values)]
    return float(numbers.mean().real) if numbers.size else float("nan")
