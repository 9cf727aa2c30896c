"""Features of the grey level co-occurrence matrix."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.radiomics.eigenvalue_kernels import second_eigenvalues
from organome.compute.radiomics.formula_kernels import (
    EPS,
    cooccurrence_features,
    correlation_products,
    marginal_products,
    read_pairs,
    sum_entropies,
)
from organome.domain.feature_names import GLCM

_OTHER_NAMES: Final = ("Imc1", "Imc2", "JointEntropy", "MCC")
_MOMENT_NAMES: Final = tuple(name for name in GLCM if name not in _OTHER_NAMES)
# Below it the square of MCC is so near the rounding of its matrix that the solver decides on the
# value, even on whether there is one.
_MCC_SQUARED_NOISE: Final = 1e-7


def glcm_features(
    codes_aic: NDArray[np.int32], present: NDArray[np.int64], *, n_angles: int
) -> dict[str, float]:
    """Compute the 24 GLCM features, means over the directions in which there are pairs.

    Args:
        codes_aic: Voxels by direction, level and code, see ``texture_kernels``.
        present: Grey levels of the region.
        n_angles: Directions in which the region extends at all.

    Returns:
        Features by name; NaN where pyradiomics gives NaN: no two voxels of the region touch.
    """
    counts = np.empty((n_angles, present.size, present.size))
    read_pairs(codes_aic, present, counts)
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
    px_ai = np.empty(p_aij.shape[:2])
    independent_aij = np.empty_like(p_aij)
    marginal_products(p_aij, px_ai, independent_aij)
    # Logarithms are numpy's, and sums in the order of pyradiomics: where Imc2 is the root of a
    # difference that is zero but for rounding, only the same rounding gives the same value.
    entropies = np.empty((4, len(p_aij)))
    sum_entropies(
        p_aij,
        px_ai,
        independent_aij,
        np.log2(p_aij + EPS),
        np.log2(px_ai + EPS),
        np.log2(independent_aij + EPS),
        entropies,
    )
    hx, hxy, hxy1, hxy2 = entropies
    imc1 = hxy - hxy1
    imc1[hx != 0] /= hx[hx != 0]
    imc1[hx == 0] = 0
    with np.errstate(invalid="ignore"):
        imc2 = (1 - np.e ** (-2 * (hxy2 - hxy))) ** 0.5
    imc2[hxy2 == hxy] = 0
    return {
        "Imc1": float(imc1.mean()),
        "Imc2": _mean_of_numbers(imc2),
        "JointEntropy": float(hxy.mean()),
        "MCC": _mcc(p_aij, px_ai),
    }


def _mcc(p_aij: Floats, px_ai: Floats) -> float:
    """Maximal correlation coefficient."""
    if p_aij.shape[1] < 2:
        return 1.0
    squared = np.empty(len(p_aij))
    # A level without a pair in some direction has a row of zeros there, whatever it is divided by.
    second_eigenvalues(p_aij, np.where(px_ai == 0, 1.0, px_ai), EPS, squared)
    if np.any(squared < _MCC_SQUARED_NOISE):
        return _mcc_as_pyradiomics(p_aij, px_ai)
    return float(np.sqrt(squared).mean())


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
