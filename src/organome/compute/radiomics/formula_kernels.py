"""Formulas over texture matrices.

Source: pyradiomics 3.0.1, whose conventions are kept, those for flat regions included.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats
from organome.compute.kernels import kernel

EPS = float(np.spacing(1.0))


@kernel()
def read_pairs(codes_aic: NDArray[np.int32], present: Counts, pairs_aij: Floats) -> None:
    """Read the symmetric GLCM of every direction from counts of codes, of levels that occur."""
    n_levels = codes_aic.shape[1] - 1
    for angle in range(codes_aic.shape[0]):
        codes, pairs = codes_aic[angle], pairs_aij[angle]
        for i in range(present.size):
            for j in range(i):
                both = codes[present[i], present[j]] + codes[present[j], present[i]]
                pairs[i, j] = both
                pairs[j, i] = both
            alike = np.int64(0)
            for code in range(n_levels + 1, codes.shape[1]):
                alike += codes[present[i], code]
            pairs[i, i] = 2 * alike


@kernel(error_model="numpy")
def cooccurrence_features(p_aij: Floats, levels: Floats, n_levels: int, sums: Floats) -> None:
    """Add up the GLCM features that need no entropy of the whole matrix, over all angles.

    Args:
        p_aij: Symmetric probabilities by angle; an angle sums to 1.
        levels: Grey levels of rows and columns.
        n_levels: Highest grey level.
        sums: Sums to add to, in the order of ``_MOMENT_NAMES`` of the module ``glcm``.
    """
    n_angles, n = p_aij.shape[0], levels.size
    p_sum, p_difference = np.empty(2 * n_levels + 1), np.empty(n_levels)
    for angle in range(n_angles):
        p_ij = p_aij[angle]
        p_sum[:] = 0.0
        p_difference[:] = 0.0
        mean, product, energy, highest = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            for j in range(n):
                p = p_ij[i, j]
                if p == 0.0:
                    continue
                mean += p * levels[i]
                product += p * levels[i] * levels[j]
                energy += p * p
                highest = max(highest, p)
                p_sum[int(levels[i] + levels[j])] += p
                p_difference[int(abs(levels[i] - levels[j]))] += p
        variance, covariance = 0.0, 0.0
        for i in range(n):
            from_mean = levels[i] - mean
            for j in range(n):
                p = p_ij[i, j]
                if p != 0.0:
                    variance += p * from_mean * from_mean
                    covariance += p * from_mean * (levels[j] - mean)
        tendency, shade, prominence, sum_average, sum_entropy = 0.0, 0.0, 0.0, 0.0, 0.0
        for k in range(2, 2 * n_levels + 1):
            p = p_sum[k]
            if p != 0.0:
                from_mean = k - 2.0 * mean
                squared = from_mean * from_mean
                tendency += p * squared
                shade += p * squared * from_mean
                prominence += p * squared * squared
                sum_average += p * k
                sum_entropy -= p * math.log2(p + EPS)
        average, entropy, contrast, inverse_variance = 0.0, 0.0, 0.0, 0.0
        inverse, inverse_moment, inverse_n, inverse_moment_n = 0.0, 0.0, 0.0, 0.0
        for k in range(n_levels):
            p = p_difference[k]
            if p == 0.0:
                continue
            average += p * k
            contrast += p * k * k
            entropy -= p * math.log2(p + EPS)
            inverse += p / (1.0 + k)
            inverse_moment += p / (1.0 + k * k)
            inverse_n += p / (1.0 + k / n_levels)
            inverse_moment_n += p / (1.0 + (k * k) / (n_levels * n_levels))
            if k:
                inverse_variance += p / (k * k)
        difference_variance = 0.0
        for k in range(n_levels):
            difference_variance += p_difference[k] * (k - average) ** 2
        correlation = 1.0 if variance == 0.0 else covariance / (variance + EPS)
        sums[0] += product
        sums[1] += prominence
        sums[2] += shade
        sums[3] += tendency
        sums[4] += contrast
        sums[5] += correlation
        sums[6] += average
        sums[7] += entropy
        sums[8] += difference_variance
        sums[9] += inverse
        sums[10] += inverse_moment
        sums[11] += inverse_moment_n
        sums[12] += inverse_n
        sums[13] += inverse_variance
        sums[14] += mean
        sums[15] += energy
        sums[16] += highest
        sums[17] += sum_average
        sums[18] += sum_entropy
        sums[19] += variance


@kernel()
def sum_entropies(
    p_aij: Floats,
    px_ai: Floats,
    independent_aij: Floats,
    log_p_aij: Floats,
    log_px_ai: Floats,
    log_independent_aij: Floats,
    entropies: Floats,
) -> None:
    """Fill HX, HXY, HXY1 and HXY2 of every angle from probabilities and their logarithms."""
    n_angles, n, _ = p_aij.shape
    for angle in range(n_angles):
        p, independent = p_aij[angle], independent_aij[angle]
        log_p, log_independent = log_p_aij[angle], log_independent_aij[angle]
        hx, hxy, hxy1, hxy2 = 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            hx += px_ai[angle, i] * log_px_ai[angle, i]
            for j in range(n):
                hxy += p[i, j] * log_p[i, j]
                hxy1 += p[i, j] * log_independent[i, j]
                hxy2 += independent[i, j] * log_independent[i, j]
        entropies[0, angle] = -hx
        entropies[1, angle] = -hxy
        entropies[2, angle] = -hxy1
        entropies[3, angle] = -hxy2


@kernel()
def list_entries(counts: NDArray[Any], entries: Floats) -> None:
    """List counts (level, size from 1) that are not 0 as rows of size, level, count, by size."""
    n = 0
    for place in range(counts.shape[1]):
        for level in range(counts.shape[0]):
            if counts[level, place]:
                entries[n, 0] = place + 1
                entries[n, 1] = level
                entries[n, 2] = counts[level, place]
                n += 1


@kernel(error_model="numpy")
def emphasis_features(entries: Floats, n_levels: int, features: Floats) -> None:
    """Add the features of a matrix of sizes (runs, zones, dependencies) by grey level.

    Args:
        entries: Rows of size, level, count, by rising size; at least one.
        n_levels: Highest grey level.
        features: 16 numbers to add to, in the order of ``emphasis_names`` of ``textures``.
    """
    by_level = np.zeros(n_levels + 1)
    n, n_voxels, by_size_squared = 0.0, 0.0, 0.0
    of_size, last_size = 0.0, 0.0
    for row in range(entries.shape[0]):
        size, level, count = entries[row]
        n += count
        n_voxels += count * size
        by_level[int(level)] += count
        if size != last_size:
            by_size_squared += of_size * of_size
            of_size, last_size = 0.0, size
        of_size += count
    by_size_squared += of_size * of_size
    mean_size = n_voxels / n
    sums = np.zeros(10)
    for row in range(entries.shape[0]):
        size, level, count = entries[row]
        ss, ll = size * size, level * level
        sums[0] += count / ss
        sums[1] += count * ss
        sums[2] += count / ll
        sums[3] += count * ll
        sums[4] += count / (ll * ss)
        sums[5] += count * ll / ss
        sums[6] += count * ss / ll
        sums[7] += count * ss * ll
        sums[8] += count * (size - mean_size) ** 2
        p = count / n
        sums[9] -= p * math.log2(p + EPS)
    mean_level, by_level_squared, level_variance = 0.0, 0.0, 0.0
    for level in range(1, n_levels + 1):
        mean_level += by_level[level] * level / n
        by_level_squared += by_level[level] ** 2
    for level in range(1, n_levels + 1):
        level_variance += by_level[level] / n * (level - mean_level) ** 2
    for place in range(8):
        features[place] += sums[place] / n
    features[8] += sums[8] / n
    features[9] += sums[9]
    features[10] += by_level_squared / n
    features[11] += by_level_squared / (n * n)
    features[12] += level_variance
    features[13] += by_size_squared / n
    features[14] += by_size_squared / (n * n)
    features[15] += n / n_voxels


@kernel(error_model="numpy")
def neighbour_features(ngtdm: Floats, features: Floats) -> None:
    """Fill the five NGTDM features.

    Args:
        ngtdm: (level, 2): voxels, and sum of differences from the mean of the neighbours.
        features: Busyness, Coarseness, Complexity, Contrast, Strength.
    """
    n_voxels, sum_differences = 0.0, 0.0
    n_present = 0
    for level in range(1, ngtdm.shape[0]):
        n_voxels += ngtdm[level, 0]
        sum_differences += ngtdm[level, 1]
        n_present += ngtdm[level, 0] > 0
    weighted = 0.0
    for level in range(1, ngtdm.shape[0]):
        weighted += ngtdm[level, 0] / n_voxels * ngtdm[level, 1]
    spread, apart, complexity, strength = 0.0, 0.0, 0.0, 0.0
    for i in range(1, ngtdm.shape[0]):
        if ngtdm[i, 0] == 0.0:
            continue
        p_i = ngtdm[i, 0] / n_voxels
        for j in range(1, ngtdm.shape[0]):
            if ngtdm[j, 0] == 0.0:
                continue
            p_j = ngtdm[j, 0] / n_voxels
            squared = float((i - j) ** 2)
            spread += p_i * p_j * squared
            apart += abs(i * p_i - j * p_j)
            total = p_i * ngtdm[i, 1] + p_j * ngtdm[j, 1]
            complexity += abs(i - j) * total / (p_i + p_j)
            strength += (p_i + p_j) * squared
    n_pairs = n_present * (n_present - 1)
    features[0] = weighted / apart if apart != 0.0 else 0.0
    features[1] = 1.0 / weighted if weighted != 0.0 else 1e6
    features[2] = complexity / n_voxels
    features[3] = spread * sum_differences / n_voxels / n_pairs if n_pairs else 0.0
    features[4] = strength / sum_differences if sum_differences != 0.0 else 0.0
