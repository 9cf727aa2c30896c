"""Grey levels and texture features of one region.

Runs, zones and dependencies, which are sizes by grey level, share their formulas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats, Levels
from organome.compute.radiomics.first_order import (
    MAX_RANGE,
    Sample,
    bin_edges,
    count_intensities,
    first_order_features,
    levels_of,
    percentiles,
    place_by_edges,
    place_by_table,
    sample_of,
    sample_of_histogram,
)
from organome.compute.radiomics.formula_kernels import (
    emphasis_features,
    list_entries,
    neighbour_features,
)
from organome.compute.radiomics.glcm import glcm_features
from organome.compute.radiomics.matrices import Box, Matrices, fill_matrices
from organome.domain.features import FEATURES, FIRST_ORDER_OF_LEVELS, FeatureClass
from organome.domain.radiomics_settings import MAX_LEVELS, TextureSettings


def emphasis_names(
    small: str, large: str, *, thing: str, of_level: str, sizes: str
) -> tuple[str, ...]:
    """Name the features of a matrix of sizes by grey level, in the order of their formulas."""
    return (
        f"{small}Emphasis",
        f"{large}Emphasis",
        f"LowGrayLevel{of_level}Emphasis",
        f"HighGrayLevel{of_level}Emphasis",
        f"{small}LowGrayLevelEmphasis",
        f"{small}HighGrayLevelEmphasis",
        f"{large}LowGrayLevelEmphasis",
        f"{large}HighGrayLevelEmphasis",
        f"{thing}Variance",
        f"{thing}Entropy",
        "GrayLevelNonUniformity",
        "GrayLevelNonUniformityNormalized",
        "GrayLevelVariance",
        f"{sizes}NonUniformity",
        f"{sizes}NonUniformityNormalized",
        f"{thing}Percentage",
    )


GLRLM_NAMES: Final = emphasis_names(
    "ShortRun", "LongRun", thing="Run", of_level="Run", sizes="RunLength"
)
GLSZM_NAMES: Final = emphasis_names(
    "SmallArea", "LargeArea", thing="Zone", of_level="Zone", sizes="SizeZone"
)
GLDM_NAMES: Final = emphasis_names(
    "SmallDependence", "LargeDependence", thing="Dependence", of_level="", sizes="Dependence"
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
    runs = [list_runs(codes_aic[angle], level_counts) for angle in used]
    return _mean_features(GLRLM_NAMES, runs, level_counts.size - 1)


def list_runs(codes_ic: NDArray[np.int32], level_counts: Counts) -> Floats:
    """List the runs of one direction as rows of length, level, count, by rising length.

    Voxels that come second in their run are the runs of two or more voxels, and so on.
    """
    n_longer = codes_ic[:, level_counts.size :]
    at_least = np.column_stack((level_counts - n_longer.sum(axis=1), n_longer))
    at_least[:, :-1] -= n_longer
    return _entries(at_least)


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
    entries: Floats = np.vstack((_entries(small[:, 1:]), np.column_stack((by_size, counts))))
    return _mean_features(GLSZM_NAMES, [entries], n_levels)


def gldm_features(dependencies: NDArray[np.int32]) -> dict[str, float]:
    """Compute the 14 GLDM features.

    Args:
        dependencies: Voxels by level and number of dependent neighbours, from 0.
    """
    # pyradiomics counts the voxel itself. Every voxel is one dependency, so that two of the sixteen
    # say nothing: it leaves them out.
    features = _mean_features(GLDM_NAMES, [_entries(dependencies)], len(dependencies) - 1)
    return {name: features[name] for name in FEATURES[FeatureClass.GLDM]}


def _entries(counts: NDArray[Any]) -> Floats:
    entries = np.empty((int(np.count_nonzero(counts)), 3))
    list_entries(counts, entries)
    return entries


def _mean_features(
    names: Sequence[str], matrices: Sequence[Floats], n_levels: int
) -> dict[str, float]:
    sums = np.zeros(len(names))
    for entries in matrices:
        emphasis_features(entries, n_levels, sums)
    return dict(zip(names, (sums / len(matrices)).tolist(), strict=True))


Features = dict[FeatureClass, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Intensities:
    """What the intensities of a region are, and how many grey levels they became.

    Attributes:
        lowest: The least.
        p999: 99.9th percentile.
        highest: The greatest.
        n_levels: Grey levels that occur; where there are too many, those between both ends.
        too_many_levels: Whether there are more than texture matrices are made for.
    """

    lowest: float
    p999: float
    highest: float
    n_levels: int
    too_many_levels: bool = False


def intensity_features(
    intensities: NDArray[Any],
    places: NDArray[np.int32],
    box_zyx: Box,
    *,
    settings: TextureSettings,
    voxel_volume_mm3: float,
    also: Callable[[Sample, Matrices], None] | None = None,
) -> tuple[Features, Intensities]:
    """Compute all features of a region that depend on intensities.

    Args:
        intensities: Of its voxels in raster order, in the image's own type.
        places: The voxels, flat indices into a box with one empty layer around.
        box_zyx: Size of that box.
        settings: How grey levels and neighbours are made.
        voxel_volume_mm3: Volume of a voxel.
        also: Called with what the features are made of, for others; not where there are too many
            levels.

    Returns:
        The features, without those of grey levels where there are too many; and what they are of.
    """
    levels = np.zeros(box_zyx[0] * box_zyx[1] * box_zyx[2], np.uint16)
    histogram = _histogram(intensities)
    sample = _sample(intensities, histogram)
    lowest, highest = float(sample.values[0]), float(sample.values[-1])
    (p999,) = percentiles(sample, (0.999,))
    if settings.clip_percentiles is not None:
        intensities = _clipped(intensities, sample, settings.clip_percentiles)
        histogram = _histogram(intensities)
    edges = _edges(intensities, settings)
    counts = None if edges is None else _discretise(intensities, histogram, edges, places, levels)
    if counts is None or counts[0]:  # or an intensity lies before the first edge, for rounding
        features = first_order_features(
            sample, np.ones(1, np.int64), settings=settings, voxel_volume_mm3=voxel_volume_mm3
        )
        for name in FIRST_ORDER_OF_LEVELS:
            del features[name]
        n_levels = int(min((highest - lowest) / settings.bin_width + 1, np.iinfo(np.int32).max))
        return {FeatureClass.FIRSTORDER: features}, Intensities(
            lowest, p999, highest, n_levels, too_many_levels=True
        )
    present = np.flatnonzero(counts)
    features = first_order_features(
        sample, counts[present], settings=settings, voxel_volume_mm3=voxel_volume_mm3
    )
    matrices = fill_matrices(levels, places, box_zyx, counts, settings)
    if also is not None:
        also(sample, matrices)
    del sample  # of floats it is 16 bytes a voxel
    textures = _texture_features(matrices)
    return {FeatureClass.FIRSTORDER: features} | textures, Intensities(
        lowest, p999, highest, present.size
    )


def _histogram(intensities: NDArray[Any]) -> Counts | None:
    """Count how often each integer from the least on occurs, None where that takes too much."""
    lowest, highest = intensities.min(), intensities.max()
    is_integer = np.issubdtype(intensities.dtype, np.integer)
    if not is_integer or int(highest) - int(lowest) >= MAX_RANGE:
        return None
    histogram = np.zeros(int(highest) - int(lowest) + 1, np.int64)
    count_intensities(intensities, int(lowest), histogram)
    return histogram


def _sample(intensities: NDArray[Any], histogram: Counts | None) -> Sample:
    if histogram is None:
        return sample_of(intensities)
    return sample_of_histogram(int(intensities.min()), histogram)


def _clipped(
    intensities: NDArray[Any], sample: Sample, limits_percent: tuple[float, float]
) -> NDArray[Any]:
    """Set intensities beyond two percentiles to these, in the image's own type."""
    low, high = percentiles(sample, (limits_percent[0] / 100, limits_percent[1] / 100))
    if np.issubdtype(intensities.dtype, np.integer):
        low, high = np.ceil(low), max(np.ceil(low), np.floor(high))
    clipped: NDArray[Any] = np.clip(intensities, *np.array([low, high]).astype(intensities.dtype))
    return clipped


def _edges(intensities: NDArray[Any], settings: TextureSettings) -> NDArray[Any] | None:
    """Make the bin edges, None where there would be too many."""
    ends = np.array([intensities.min(), intensities.max()], intensities.dtype)
    range_ = float(ends[1]) - float(ends[0])
    if settings.bin_count is None and range_ > (MAX_LEVELS + 2) * settings.bin_width:
        return None  # the edges alone might not fit into memory
    edges = bin_edges(ends, settings)
    return edges if edges.size - 1 <= MAX_LEVELS + 1 else None


def _discretise(
    intensities: NDArray[Any],
    histogram: Counts | None,
    edges: NDArray[Any],
    places: NDArray[np.int32],
    levels: Levels,
) -> Counts:
    """Write grey levels into the box; return voxels by level."""
    counts = np.zeros(edges.size + 1, np.int64)
    if histogram is None:
        place_by_edges(intensities, edges, places, levels, counts)
        return counts
    lowest = int(intensities.min())
    table = levels_of(np.arange(lowest, lowest + histogram.size), edges)
    place_by_table(intensities, lowest, table.astype(np.uint16), places, levels)
    np.add.at(counts, table, histogram)
    return counts


def _texture_features(matrices: Matrices) -> Features:
    ngtdm_names = FEATURES[FeatureClass.NGTDM]
    neighbours = np.empty(len(ngtdm_names))
    neighbour_features(matrices.ngtdm, neighbours)
    n_angles, codes, steps_zyx = len(matrices.steps_zyx), matrices.codes, matrices.steps_zyx
    used = _used_angles(codes, matrices.places, matrices.box_zyx, steps_zyx)
    present = np.flatnonzero(matrices.level_counts)
    return {
        FeatureClass.GLCM: glcm_features(codes, present, n_angles=n_angles),
        FeatureClass.GLDM: gldm_features(matrices.gldm),
        FeatureClass.GLRLM: glrlm_features(codes, matrices.level_counts, used),
        FeatureClass.GLSZM: glszm_features(
            matrices.small, matrices.large, n_levels=int(present[-1])
        ),
        FeatureClass.NGTDM: dict(zip(ngtdm_names, neighbours.tolist(), strict=True)),
    }


def _used_angles(
    codes: NDArray[np.int32],
    places: NDArray[np.int32],
    box_zyx: Box,
    steps_zyx: NDArray[np.int64],
) -> Counts:
    """Find the directions in which some line holds two voxels of the region."""
    pairs = np.any(codes[:, 1:, 1:], axis=(1, 2))
    return np.array(
        [
            angle
            for angle, has_pairs in enumerate(pairs)
            if has_pairs or _lines_hold_two(places, box_zyx, steps_zyx[angle])
        ],
        np.int64,
    )


def _lines_hold_two(places: NDArray[np.int32], box_zyx: Box, step_zyx: NDArray[np.int64]) -> bool:
    """Return whether any line along a step holds two voxels of the region, neighbours or not."""
    where = np.array(np.unravel_index(places, box_zyx))
    axis = int(np.flatnonzero(step_zyx)[0])
    start = where - where[axis] * step_zyx[axis] * step_zyx[:, None]
    return bool(np.unique(start, axis=1).shape[1] < places.size)
