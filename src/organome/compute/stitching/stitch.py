"""Stations to one image.

Stations are placed by their affines, never by the order they come in. The common grid has the
finest slice spacing of all stations and the pixels of the widest, as far as any of them sees; on it
stations are resampled linearly and faded into each other. Two choices keep fat fractions:

- each seam has ONE gain, the median ratio of the in-phase images inside the body, which goes to
  all contrasts alike. Bias correction or histogram matching of each contrast on its own would
  shift fat/(fat+water);
- all contrasts of a station have the same weight at each voxel.

Source: fading, and trimming of folded-over slices, as in Langner et al. 2020 (ukb_mimir), who
however match the intensity of each contrast on its own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.arrays import Singles
from organome.compute.stitching.seams import Seam, find_seams, station_gains
from organome.compute.stitching.stations import (
    Axes,
    Images,
    Station,
    common_grid,
    grid_image,
    place_stations,
    trim_stations,
)
from organome.domain.scans import Contrast

TRIM_SLICES: Final = 4  # fold-over at both ends of a station, Langner 2020
# Stitched voxels are rounded to this share of the range of intensities, far below their noise:
# full mantissas, which are noise as well, would double the size of the files.
INTENSITY_BITS: Final = 15
BRIGHT_PERCENTILE: Final = 99.9
BRIGHT_FACTOR: Final = 16.0  # tissue beside the coil is no outlier, a spike of 1e6 is
SAMPLE_STEP: Final = 31  # voxels that the percentile is of
AIR_HU: Final = -1024.0
MIN_WEIGHT: Final = 1e-6  # where a narrower station fades in, the wider one still counts


@dataclass(frozen=True, slots=True)
class Stitched:
    """A scan in one piece.

    Attributes:
        images: One image per wanted contrast, float32, axes LPS, all on one grid; where no station
            saw anything, 0, or -1024 HU in CT.
        seams: From head to foot, one fewer than stations.
        spans_mm: Lowest and highest face of each station along the body, from head to foot.
        seen_xyz: Box of the grid that each station saw: first voxel and the one after the last
            along x, y, z.
        resampled_spans_mm: Lowest and highest face of what is used of each station whose voxels
            are not those of the grid: interpolated, and so smoother than the others.
    """

    images: Mapping[Contrast, sitk.Image]
    seams: tuple[Seam, ...]
    spans_mm: tuple[tuple[float, float], ...]
    seen_xyz: tuple[tuple[tuple[int, int], ...], ...]
    resampled_spans_mm: tuple[tuple[float, float], ...]


def stitch(
    stations: Sequence[Images],
    *,
    wanted: Collection[Contrast] = frozenset(Contrast),
    trim_slices: int = TRIM_SLICES,
) -> Stitched:
    """Stitch stations along the body.

    Args:
        stations: In any order; each its images by contrast on one grid. All stations have the same
            contrasts and the same directions; they may be stored flipped or turned by 90 degrees.
        wanted: Contrasts that become an image; all serve to find the gains.
        trim_slices: Slices left out at each end of a station that another one overlaps, fewer where
            the overlap does not allow as many.

    Raises:
        ScanError: CONTRAST_MISSING, GRIDS_DIFFER, or STATIONS_APART if there is a gap between two.
    """
    whole = place_stations(stations)
    trimmed = trim_stations(whole, n_slices=trim_slices)
    grid = common_grid(trimmed)
    seams = find_seams(whole, trimmed, grid)
    gains = station_gains(seams)
    fading = [_fading(trimmed, index, grid) for index in range(len(trimmed))]
    total_zyx = _total(trimmed, fading, grid)
    fused_zyx = np.empty_like(total_zyx)  # one after the other; images are copies of it
    return Stitched(
        images={
            contrast: grid_image(
                _fuse(contrast, trimmed, fading, gains, total_zyx, grid, fused_zyx), grid, whole
            )
            for contrast in stations[0]
            if contrast in wanted
        },
        seams=seams,
        spans_mm=tuple((one.low_mm, one.high_mm) for one in whole),
        seen_xyz=tuple(_seen_xyz(one, grid) for one in trimmed),
        resampled_spans_mm=tuple(
            (one.low_mm, one.high_mm)
            for one in trimmed
            if one.is_resampled(grid, one.region(grid, low_mm=one.low_mm, high_mm=one.high_mm))
        ),
    )


def _seen_xyz(station: Station, grid: Axes) -> tuple[tuple[int, int], ...]:
    region = station.region(grid, low_mm=station.low_mm, high_mm=station.high_mm)
    return tuple((taken.start, taken.stop) for taken in reversed(region))


def _fading(stations: Sequence[Station], index: int, grid: Axes) -> Singles:
    """Weigh the slices of a station: 1, fading linearly over its overlaps."""
    station = stations[index]
    z_mm = grid[2].centres_mm()[grid[2].within(station.low_mm, station.high_mm)]
    weights = np.ones_like(z_mm)
    if index > 0 and stations[index - 1].low_mm < station.high_mm:
        faded_mm = station.high_mm - stations[index - 1].low_mm
        weights = np.minimum(weights, (station.high_mm - z_mm) / faded_mm)
    if index < len(stations) - 1 and station.low_mm < stations[index + 1].high_mm:
        faded_mm = stations[index + 1].high_mm - station.low_mm
        weights = np.minimum(weights, (z_mm - station.low_mm) / faded_mm)
    return np.maximum(weights, MIN_WEIGHT).astype(np.float32)


def _total(stations: Sequence[Station], fading: Sequence[Singles], grid: Axes) -> Singles:
    """Sum the weights of all stations at each voxel; 0 where none sees anything."""
    total_zyx = np.zeros([axis.n for axis in reversed(grid)], dtype=np.float32)
    for station, weights in zip(stations, fading, strict=True):
        region = station.region(grid, low_mm=station.low_mm, high_mm=station.high_mm)
        total_zyx[region] += weights[:, None, None]
    return total_zyx


def _fuse(
    contrast: Contrast,
    stations: Sequence[Station],
    fading: Sequence[Singles],
    gains: npt.NDArray[np.float64],
    total_zyx: Singles,
    grid: Axes,
    fused_zyx: Singles,
) -> Singles:
    fused_zyx.fill(0)
    for station, weights, gain in zip(stations, fading, gains, strict=True):
        region = station.region(grid, low_mm=station.low_mm, high_mm=station.high_mm)
        part_zyx = station.resample(station.images[contrast], grid, region)
        for place, part_yx, weight in zip(
            range(region[0].start, region[0].stop),
            part_zyx,
            np.float32(gain) * weights,
            strict=True,
        ):
            fused_zyx[place, *region[1:]] += part_yx * weight
    for fused_yx, total_yx in zip(fused_zyx, total_zyx, strict=True):
        if (total_yx == 1).all():
            continue
        seen_yx = total_yx > 0
        np.divide(fused_yx, total_yx, out=fused_yx, where=seen_yx)
        if contrast is Contrast.CT:
            fused_yx[~seen_yx] = AIR_HU
    return _rounded(fused_zyx)


def _rounded(voxels_zyx: Singles) -> Singles:
    """Round to a power of two: sums and products of such values stay exact for long.

    A few voxels far beyond all others do not make the steps of the others coarse.
    """
    sample = np.abs(voxels_zyx.reshape(-1)[::SAMPLE_STEP])
    usual = BRIGHT_FACTOR * float(np.percentile(sample, BRIGHT_PERCENTILE))
    largest = max(float(voxels_zyx.max()), -float(voxels_zyx.min()))
    largest = min(largest, usual) if usual > 0 else largest
    if largest > 0:
        step = np.float32(2.0 ** (np.ceil(np.log2(largest)) - INTENSITY_BITS))
        for voxels_yx in voxels_zyx:  # a slice at a time stays in the processor's cache
            voxels_yx /= step
            np.rint(voxels_yx, out=voxels_yx)
            voxels_yx *= step
    return voxels_zyx
