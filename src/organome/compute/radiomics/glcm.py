"""Features of the grey level co-occurrence matrix.

They need eigenvalues of small symmetric matrices. LAPACK has them too, but starts threads for
matrices of twenty rows: on a machine where every core has its own scan, these wait for each other,
and take a hundred times as long as the work itself.

Source: Golub and Van Loan, Matrix Computations: Householder's reduction to a tridiagonal matrix,
then the implicit QL method.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.kernels import kernel
from organome.compute.radiomics.formula_kernels import (
    EPS,
    cooccurrence_features,
    read_pairs,
    sum_entropies,
)
from organome.domain.features import FEATURES, FeatureClass

_MAX_SWEEPS = 60
_ROUNDING = float(np.finfo(np.float64).eps)


_OTHER_NAMES: Final = ("Imc1", "Imc2", "JointEntropy", "MCC")
_MOMENT_NAMES: Final = tuple(
    name for name in FEATURES[FeatureClass.GLCM] if name not in _OTHER_NAMES
)
# Below it the square of MCC is so near the rounding of its matrix that the solver decides on the
# value, even on whether there is one.
_MCC_SQUARED_NOISE: Final = 1e-7


@kernel(error_model="numpy")
def second_eigenvalues(p_aij: Floats, px_ai: Floats, eps: float, squares: Floats) -> None:
    """Find the second greatest eigenvalue, by magnitude, of scaled matrices.

    With D the diagonal of the marginal probabilities, the matrix of which pyradiomics takes
    eigenvalues is similar to the square of the symmetric D^-1/2 P D^-1/2, but for an epsilon in its
    divisors. Half of that is put into the matrix here: its square then is right to second order.

    Args:
        p_aij: Symmetric probabilities by angle.
        px_ai: Their sums over rows, above 0.
        eps: The epsilon.
        squares: Filled: square of that eigenvalue by angle.
    """
    n_angles, n, _ = p_aij.shape
    matrix, diagonal, beside = np.empty((n, n)), np.empty(n), np.empty(n)
    for angle in range(n_angles):
        px = px_ai[angle]
        for i in range(n):
            for j in range(n):
                matrix[i, j] = p_aij[angle, i, j] / math.sqrt(px[i] * px[j] + eps)
        _to_tridiagonal(matrix, diagonal, beside)
        _solve_tridiagonal(diagonal, beside)
        diagonal.sort()
        second = max(abs(diagonal[0]), abs(diagonal[n - 2]))
        squares[angle] = second * second


@kernel(error_model="numpy")
def _to_tridiagonal(matrix: Floats, diagonal: Floats, beside: Floats) -> None:
    """Reduce a symmetric matrix, which is consumed; ``beside`` has one entry to spare."""
    n = np.uint64(matrix.shape[0])  # unsigned, so that loops become vector instructions
    mirror, moved = np.empty(n), np.empty(n)
    one = np.uint64(1)
    for k in range(matrix.shape[0] - 2):
        this, begin = np.uint64(k), np.uint64(k + 1)
        diagonal[this], first = matrix[this, this], matrix[this, begin]
        below = 0.0
        for i in range(begin + one, n):
            below += matrix[this, i] * matrix[this, i]
        if below == 0.0:
            beside[this] = first
            continue
        beside[this] = -math.copysign(math.sqrt(first * first + below), first)
        for i in range(begin, n):
            mirror[i] = matrix[this, i]
            moved[i] = 0.0
        mirror[begin] -= beside[this]
        inverse = 2.0 / (mirror[begin] * mirror[begin] + below)
        for i in range(begin, n):
            weight = mirror[i] * inverse
            for j in range(begin, n):
                moved[j] += weight * matrix[i, j]
        overlap = 0.0
        for i in range(begin, n):
            overlap += moved[i] * mirror[i]
        overlap *= 0.5 * inverse
        for i in range(begin, n):
            moved[i] -= overlap * mirror[i]
        for i in range(begin, n):
            of_mirror, of_moved = mirror[i], moved[i]
            for j in range(begin, n):
                matrix[i, j] -= of_mirror * moved[j] + of_moved * mirror[j]
    if matrix.shape[0] > 1:
        diagonal[n - one - one] = matrix[n - one - one, n - one - one]
        beside[n - one - one] = matrix[n - one - one, n - one]
    diagonal[n - one] = matrix[n - one, n - one]


@kernel(error_model="numpy")
def _solve_tridiagonal(diagonal: Floats, beside: Floats) -> None:
    """Turn the diagonal into the eigenvalues, in no order."""
    n = diagonal.size
    beside[n - 1] = 0.0
    scale = 0.0
    for i in range(n):
        scale = max(scale, abs(diagonal[i]) + abs(beside[i]))
    for low in range(n):
        for _ in range(_MAX_SWEEPS):
            high = low
            while high < n - 1 and abs(beside[high]) > _ROUNDING * min(
                scale, abs(diagonal[high]) + abs(diagonal[high + 1])
            ):
                high += 1
            if high == low:
                break
            _sweep(diagonal, beside, low, high)


@kernel(error_model="numpy")
def _sweep(diagonal: Floats, beside: Floats, low: int, high: int) -> None:
    """Rotate the block from low to high once, shifted to where an eigenvalue is expected."""
    ratio = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low])
    root = math.sqrt(ratio * ratio + 1.0)
    bulge = diagonal[high] - diagonal[low] + beside[low] / (ratio + math.copysign(root, ratio))
    sine, cosine, shift = 1.0, 1.0, 0.0
    for i in range(high - 1, low - 1, -1):
        across, along = sine * beside[i], cosine * beside[i]
        length = math.sqrt(across * across + bulge * bulge)
        beside[i + 1] = length
        if length == 0.0:
            diagonal[i + 1] -= shift
            beside[high] = 0.0
            return
        inverse = 1.0 / length
        sine, cosine = across * inverse, bulge * inverse
        rest = diagonal[i + 1] - shift
        turned = (diagonal[i] - rest) * sine + 2.0 * cosine * along
        shift = sine * turned
        diagonal[i + 1] = rest + shift
        bulge = cosine * turned - along
    diagonal[low] -= shift
    beside[low] = bulge
    beside[high] = 0.0


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
    px_ai = p_aij.sum(axis=1)
    independent_aij = px_ai[:, :, None] * px_ai[:, None, :]
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
    """Take the coefficient from the matrix of pyradiomics, summed in its order."""
    products = np.zeros_like(p_aij)
    for k in range(p_aij.shape[1]):
        p_aik, divisors_ai = p_aij[:, :, k], px_ai * px_ai[:, k, None] + EPS
        products += p_aik[:, :, None] * p_aik[:, None, :] / divisors_ai[:, :, None]
    values: NDArray[Any] = np.linalg.eigvals(products)
    values.sort()
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(values[:, -2])
    return _mean_of_numbers(roots)


def _mean_of_numbers(values: NDArray[Any]) -> float:
    numbers = values[~np.isnan(values)]
    return float(numbers.mean().real) if numbers.size else float("nan")
