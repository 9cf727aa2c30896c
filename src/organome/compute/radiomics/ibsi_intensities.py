"""Statistics, histogram, intensity-volume curve and local peaks by the IBSI."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats
from organome.compute.kernels import kernel
from organome.compute.radiomics.first_order import Sample, deviations, percentiles, sums_about

PEAK_RADIUS_MM: Final = 10 * (3 / (4 * math.pi)) ** (1 / 3)  # of a ball of 1 cm3
DEFAULT_IVH_BINS: Final = 1000  # of the IBSI, for intensities that are no whole numbers


def statistics(sample: Sample) -> dict[str, float]:
    """Compute what ``stat`` and ``ih`` share."""
    values, counts, n, mean = sample.values, sample.counts, sample.n, sample.mean
    p10, p25, median, p75, p90 = percentiles(sample, (0.1, 0.25, 0.5, 0.75, 0.9))
    m2, m3, m4, absolute, energy = (total / n for total in sums_about(values, counts, mean, 0.0))
    nan = float("nan")
    return {
        "mean": mean,
        "var": m2,
        "skew": m3 / m2**1.5 if m2 else 0.0,
        "kurt": m4 / m2**2 - 3 if m2 else 0.0,
        "median": median,
        "min": float(values[0]),
        "p10": p10,
        "p90": p90,
        "max": float(values[-1]),
        "iqr": p75 - p25,
        "range": float(values[-1] - values[0]),
        "mad": absolute,
        "rmad": deviations(values, counts, p10, p90),
        "medad": float(np.dot(np.abs(values - median), counts)) / n,
        "cov": math.sqrt(m2) / mean if mean else nan,
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 else nan,
        "energy": energy * n,
        "rms": math.sqrt(energy),
    }


def histogram(level_counts: Counts) -> dict[str, float]:
    """Compute the features of the histogram of grey levels.

    Args:
        level_counts: Voxels by level, from 0 to the highest.
    """
    present = np.flatnonzero(level_counts)
    counts = level_counts[present]
    n = int(counts.sum())
    levels = present.astype(np.float64)
    sample = Sample(levels, counts, float(np.dot(levels, counts)) / n)
    features = statistics(sample)
    p = counts / n
    modes = levels[counts == counts.max()]
    of_levels = level_counts[1:].astype(np.float64)
    slope = np.gradient(of_levels) if of_levels.size > 1 else np.zeros(1)
    return {name: features[name] for name in features if name not in ("energy", "rms")} | {
        "mode": float(modes[np.argmin(np.abs(modes - sample.mean))]),
        "entropy": float(-np.sum(p * np.log2(p))),
        "uniformity": float(np.sum(p**2)),
        "max_grad": float(slope.max()),
        "max_grad_g": float(slope.argmax() + 1),
        "min_grad": float(slope.min()),
        "min_grad_g": float(slope.argmin() + 1),
    }


def volume_curve(
    sample: Sample,
    limits: tuple[float | None, float | None],
    *,
    is_integer: bool,
    width: float | None,
    n_bins: int | None,
) -> dict[str, float]:
    """Compute the features of the intensity-volume curve.

    Args:
        sample: Intensities.
        limits: Range that voxels were kept in; None: the least or greatest intensity.
        is_integer: Whether intensities are whole numbers; then each is a level of its own, unless a
            width or number is asked for.
        width: Width of a level, in intensities.
        n_bins: Number of levels; then intensities are given as levels, from 1.
    """
    values, counts, n = sample.values, sample.counts, sample.n
    low = float(values[0]) if limits[0] is None else limits[0]
    high = float(values[-1]) if limits[1] is None else limits[1]
    if width is None and (n_bins or not is_integer):
        n_levels = n_bins or DEFAULT_IVH_BINS
        first, step = 1.0, 1.0
        low, high = float(values[0]), float(values[-1])
        places = np.floor(n_levels * (values - low) / ((high - low) or 1.0))
        places = np.minimum(places, n_levels - 1)
    else:
        step = width or 1.0
        first = low + step / 2 if width else low
        places = np.floor((values - low) / step)
        n_levels = math.ceil((high - low) / step) if width else int(high - low) + 1
    reach = counts[::-1].cumsum()[::-1] / n  # share of voxels with this intensity or more
    features = {}
    for percent in (10, 90):
        level = math.ceil(percent / 100 * (n_levels - 1) - 1e-9)
        at = np.searchsorted(places, level)
        features[f"v{percent}"] = float(reach[at]) if at < reach.size else 0.0
        more = np.flatnonzero(reach > percent / 100)
        level = places[more[-1]] + 1 if more.size else 0
        features[f"i{percent}"] = float(first + step * level)
    features["diff_v10_v90"] = features["v10"] - features["v90"]
    features["diff_i10_i90"] = features["i10"] - features["i90"]
    return features


def local_peaks(
    intensities: NDArray[Any],
    image_zyx: NDArray[Any],
    where_zyx: NDArray[np.int32],
    spacing_zyx_mm: tuple[float, float, float],
) -> dict[str, float]:
    """Compute the mean in a ball around the brightest voxel, and the greatest such mean of all.

    Args:
        intensities: Of the region's voxels.
        image_zyx: The whole image: balls reach out of the region.
        where_zyx: (3, voxels): places in the image.
        spacing_zyx_mm: Of the image.
    """
    z_mm, y_mm, x_mm = spacing_zyx_mm
    reach_z, reach_y = int(PEAK_RADIUS_MM / z_mm), int(PEAK_RADIUS_MM / y_mm)
    rows = [
        (z, y, int(math.sqrt(left) / x_mm))
        for z in range(-reach_z, reach_z + 1)
        for y in range(-reach_y, reach_y + 1)
        if (left := PEAK_RADIUS_MM**2 - (z * z_mm) ** 2 - (y * y_mm) ** 2) >= 0
    ]
    margin = np.array([reach_z, reach_y, int(PEAK_RADIUS_MM / x_mm)])
    low = np.maximum(where_zyx.min(axis=1) - margin, 0)
    high = np.minimum(where_zyx.max(axis=1) + margin + 1, image_zyx.shape)
    part = image_zyx[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
    sums = np.zeros((*part.shape[:2], part.shape[2] + 1))
    np.cumsum(part, axis=2, dtype=np.float64, out=sums[..., 1:])
    means = np.empty(intensities.size)
    ball_means(sums, where_zyx - low[:, None].astype(np.int32), np.array(rows), means)
    return {
        "loc": float(means[intensities == intensities.max()].max()),
        "glob": float(means.max()),
    }


@kernel(error_model="numpy")
def ball_means(
    sums: Floats, where_zyx: NDArray[np.int32], rows: NDArray[np.int64], means: Floats
) -> None:
    """Average over a ball around each voxel, or over that of it which lies in the image.

    Args:
        sums: Sums along x, from 0.
        where_zyx: The voxels.
        rows: Rows of the ball: steps along z and y, half of the length.
        means: Filled.
    """
    n_z, n_y, n_x = sums.shape
    for voxel in range(means.size):
        z, y, x = where_zyx[0, voxel], where_zyx[1, voxel], where_zyx[2, voxel]
        total, n = 0.0, 0
        for row in range(rows.shape[0]):
            to_z, to_y, half = z + rows[row, 0], y + rows[row, 1], rows[row, 2]
            if 0 <= to_z < n_z and 0 <= to_y < n_y:
                first, last = max(x - half, 0), min(x + half + 1, n_x - 1)
                total += sums[to_z, to_y, last] - sums[to_z, to_y, first]
                n += last - first
        means[voxel] = total / n
