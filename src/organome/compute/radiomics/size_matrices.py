"""Features of sizes by grey level: runs, zones and dependencies share their formulas."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.radiomics.formula_kernels import (
    emphasis_features,
    list_entries,
    list_runs,
)

EMPHASIS_NAMES: Final = (
    "small",
    "large",
    "low",
    "high",
    "small_low",
    "small_high",
    "large_low",
    "large_high",
    "size_variance",
    "entropy",
    "level_nonuniformity",
    "level_nonuniformity_normalized",
    "level_variance",
    "size_nonuniformity",
    "size_nonuniformity_normalized",
    "percentage",
)
GLRLM_NAMES: Final = (
    "ShortRunEmphasis",
    "LongRunEmphasis",
    "LowGrayLevelRunEmphasis",
    "HighGrayLevelRunEmphasis",
    "ShortRunLowGrayLevelEmphasis",
    "ShortRunHighGrayLevelEmphasis",
    "LongRunLowGrayLevelEmphasis",
    "LongRunHighGrayLevelEmphasis",
    "RunVariance",
    "RunEntropy",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "GrayLevelVariance",
    "RunLengthNonUniformity",
    "RunLengthNonUniformityNormalized",
    "RunPercentage",
)
GLSZM_NAMES: Final = (
    "SmallAreaEmphasis",
    "LargeAreaEmphasis",
    "LowGrayLevelZoneEmphasis",
    "HighGrayLevelZoneEmphasis",
    "SmallAreaLowGrayLevelEmphasis",
    "SmallAreaHighGrayLevelEmphasis",
    "LargeAreaLowGrayLevelEmphasis",
    "LargeAreaHighGrayLevelEmphasis",
    "ZoneVariance",
    "ZoneEntropy",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "GrayLevelVariance",
    "SizeZoneNonUniformity",
    "SizeZoneNonUniformityNormalized",
    "ZonePercentage",
)
# Every voxel is one dependency, so that three of the sixteen say nothing: pyradiomics leaves them.
GLDM_NAMES: Final = (
    "SmallDependenceEmphasis",
    "LargeDependenceEmphasis",
    "LowGrayLevelEmphasis",
    "HighGrayLevelEmphasis",
    "SmallDependenceLowGrayLevelEmphasis",
    "SmallDependenceHighGrayLevelEmphasis",
    "LargeDependenceLowGrayLevelEmphasis",
    "LargeDependenceHighGrayLevelEmphasis",
    "DependenceVariance",
    "DependenceEntropy",
    "GrayLevelNonUniformity",
    None,
    "GrayLevelVariance",
    "DependenceNonUniformity",
    "DependenceNonUniformityNormalized",
    None,
)


def glrlm_features(
    codes_aic: NDArray[np.int32], level_counts: NDArray[np.int64], used: NDArray[np.int64]
) -> dict[str, float]:
    """Compute the 16 GLRLM features, means over directions.

    Args:
        codes_aic: Voxels by direction, level and code, see ``texture_kernels``.
        level_counts: Voxels by level, from 0.
        used: Directions in which some line holds two voxels of the region.

    Returns:
        Features by name; NaN where no direction is used.
    """
    if not used.size:
        features = dict.fromkeys(GLRLM_NAMES, np.nan)
        if len(codes_aic) == 1:  # pyradiomics then sums over nothing
            features["RunEntropy"] = features["RunVariance"] = 0.0
        return features
    sums = np.zeros(len(EMPHASIS_NAMES))
    for angle in used:
        n_levels = level_counts.size - 1
        entries = np.empty((min(int(level_counts.sum()), codes_aic[angle].size), 3))
        n_entries = list_runs(codes_aic[angle], level_counts, entries)
        emphasis_features(entries[:n_entries], n_levels, sums)
    return dict(zip(GLRLM_NAMES, (sums / used.size).tolist(), strict=True))


def glszm_features(
    small: NDArray[np.int32], large: NDArray[np.int64], *, n_levels: int
) -> dict[str, float]:
    """Compute the 16 GLSZM features.

    Args:
        small: Zones by level and size.
        large: Level and size of each zone too large for that table.
        n_levels: Highest grey level.
    """
    by_size, counts = np.unique(large[:, ::-1], axis=0, return_counts=True)
    entries: Floats = np.vstack((_entries(small), np.column_stack((by_size, counts)))).astype(
        np.float64
    )
    features = np.zeros(len(EMPHASIS_NAMES))
    emphasis_features(entries, n_levels, features)
    return dict(zip(GLSZM_NAMES, features.tolist(), strict=True))


def gldm_features(dependencies: NDArray[np.int32]) -> dict[str, float]:
    """Compute the 14 GLDM features.

    Args:
        dependencies: Voxels by level and number of dependent neighbours, from 0.
    """
    n_levels, n_sizes = dependencies.shape
    sizes = np.zeros((n_levels, n_sizes + 1), np.int32)
    sizes[:, 1:] = dependencies  # pyradiomics counts the voxel itself
    features = np.zeros(len(EMPHASIS_NAMES))
    emphasis_features(_entries(sizes), n_levels - 1, features)
    named = zip(GLDM_NAMES, features.tolist(), strict=True)
    return {name: value for name, value in named if name is not None}


def _entries(matrix: NDArray[np.int32]) -> Floats:
    entries = np.empty((int(np.count_nonzero(matrix)), 3))
    return entries[: list_entries(matrix, entries)]
