"""Statistics, histogram, intensity-volume curve and local peaks by the IBSI."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Floats, Places
from organome.compute.kernels import kernel
from organome.compute.radiomics.first_order import Sample, deviations, percentiles, sums_about
from organome.compute.radiomics.regions import LabelledBox, Region

Spacing = tuple[float, float, float]
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
    region: Region,
    box: LabelledBox,
    spacing_zyx_mm: Spacing,
) -> dict[str, float]:
    """Compute the mean in a ball around the brightest voxel, and the greatest such mean of all.

    Args:
        intensities: Of the region's voxels.
        image_zyx: The whole image: balls reach out of the region.
        region: The voxels.
        box: Where they lie.
        spacing_zyx_mm: Of the image.
    """
    z_mm, y_mm, x_mm = spacing_zyx_mm
    reach_z, reach_y, reach_x = (int(PEAK_RADIUS_MM / mm) for mm in spacing_zyx_mm)
    rows = [
        (z, y, int(math.sqrt(left) / x_mm))
        for z in range(-reach_z, reach_z + 1)
        for y in range(-reach_y, reach_y + 1)
        if (left := PEAK_RADIUS_MM**2 - (z * z_mm) ** 2 - (y * y_mm) ** 2) >= 0
    ]
    first, margin = (
        np.array(region.first_zyx) + box.shift_zyx,
        np.array((reach_z, reach_y, reach_x)),
    )
    low = np.maximum(first - margin, 0)
    high = np.minimum(first + region.size_zyx + margin, image_zyx.shape)
    part = image_zyx[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
    n_x = part.shape[2]
    sums = np.zeros((2 * reach_z + 1, part.shape[1], n_x + 1 + 2 * reach_x))
    x, halves = np.arange(n_x), np.array([half for _, _, half in rows])[:, None]
    widths = np.minimum(x + halves + 1, n_x) - np.maximum(x - halves, 0).astype(np.float64)
    means = np.empty(intensities.size)
    shift = tuple((np.array(box.shift_zyx) - low).tolist())
    ball_means(
        part, sums, widths, np.array(rows), region.voxels, box.padded_zyx.shape[1:], shift, means
    )
    return {
        "loc": float(means[intensities == intensities.max()].max()),
        "glob": float(means.max()),
    }


@kernel(error_model="numpy")
def ball_means(
    part_zyx: NDArray[Any],
    sums: Floats,
    widths: Floats,
    rows: NDArray[np.int64],
    voxels: Places,
    shape_yx: tuple[int, int],
    shift_zyx: tuple[int, int, int],
    means: Floats,
) -> None:
    """Average over a ball around each voxel, or over that of it which lies in the image.

    Args:
        part_zyx: Intensities.
        sums: As many planes as a ball has, zeros: becomes sums along x of the planes at hand, with
            as much room before and after as a ball reaches.
        widths: Voxels of each row of the ball that lie in the image, by x of its middle.
        rows: Rows of the ball: steps along z and y, half of the length.
        voxels: The voxels, flat indices in raster order into an array of ``shape_yx`` rows and
            columns, in which no row is full.
        shape_yx: See above.
        shift_zyx: From places in that array to those in ``part_zyx``.
        means: Filled.
    """
    n_z, n_y, n_x = part_zyx.shape
    n_planes, room = sums.shape[0], (sums.shape[2] - n_x - 1) // 2
    n, counts, begin, n_summed = voxels.size, np.empty(n_x), 0, 0
    while begin < n:
        row = voxels[begin] // shape_yx[1]
        z, y = row // shape_yx[0] + shift_zyx[0], row % shape_yx[0] + shift_zyx[1]
        x = voxels[begin] % shape_yx[1] + shift_zyx[2]
        while n_summed < min(z + n_planes // 2 + 1, n_z):
            for to_y in range(n_y):
                total, of_row = 0.0, sums[n_summed % n_planes, to_y]
                for to_x in range(n_x):
                    total += part_zyx[n_summed, to_y, to_x]
                    of_row[room + 1 + to_x] = total
                of_row[room + 1 + n_x :] = total
            n_summed += 1
        end = begin + 1
        while end < n and voxels[end] == voxels[end - 1] + 1:
            end += 1
        length, totals = end - begin, means[begin:end]
        totals[:] = 0.0
        counts[:length] = 0.0
        for which in range(rows.shape[0]):
            to_z, to_y, half = z + rows[which, 0], y + rows[which, 1], rows[which, 2]
            if 0 <= to_z < n_z and 0 <= to_y < n_y:
                lows = sums[to_z % n_planes, to_y, x - half + room :]
                highs = sums[to_z % n_planes, to_y, x + half + 1 + room :]
                width = widths[which, x:]
                for place in range(length):
                    totals[place] += highs[place] - lows[place]
                    counts[place] += width[place]
        for place in range(length):
            totals[place] /= counts[place]
        begin = end


@kernel()
def weigh_places(
    voxels: Places, shape_yx: tuple[int, int], intensities: NDArray[Any], sums: Floats
) -> None:
    """Add up intensities, and their products with z, y, x."""
    n, place = voxels.size, 0
    while place < n:
        row = voxels[place] // shape_yx[1]
        first, end = row * shape_yx[1], (row + 1) * shape_yx[1]
        of_row, by_x = 0.0, 0.0
        while place < n and voxels[place] < end:
            intensity = np.float64(intensities[place])
            of_row += intensity
            by_x += intensity * (voxels[place] - first)
            place += 1
        sums[0] += of_row
        sums[1] += of_row * (row // shape_yx[0])
        sums[2] += of_row * (row % shape_yx[0])
        sums[3] += by_x
