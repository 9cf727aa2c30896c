"""Stations in common directions, the grid that they share, and linear resampling onto it.

Resampling is separable: three passes at most, and none along an axis whose voxels already lie on
the wanted ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.grids import COSINE_TOLERANCE, orientation_code, share_grid
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

SAME_PLACE: Final = 1e-3  # share of a voxel


@dataclass(frozen=True, slots=True)
class Axis:
    """Places of voxels along one axis.

    Attributes:
        start_mm: Centre of the first voxel.
        spacing_mm: Distance from centre to centre.
        n: Number of voxels.
    """

    start_mm: float
    spacing_mm: float
    n: int

    @property
    def low_mm(self) -> float:
        """Outer face of the first voxel."""
        return self.start_mm - self.spacing_mm / 2

    @property
    def high_mm(self) -> float:
        """Outer face of the last voxel."""
        return self.low_mm + self.n * self.spacing_mm

    def centres_mm(self) -> npt.NDArray[np.float64]:
        """Centres of all voxels."""
        return self.start_mm + self.spacing_mm * np.arange(self.n, dtype=np.float64)

    def within(self, low_mm: float, high_mm: float) -> slice:
        """Indices of the voxels whose centres lie between two places."""
        slack_mm = SAME_PLACE * self.spacing_mm
        inside = (self.centres_mm() > low_mm - slack_mm) & (self.centres_mm() < high_mm + slack_mm)
        places = np.flatnonzero(inside)
        return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)

    def part(self, indices: slice) -> "Axis":
        """The axis of some of the voxels."""
        start_mm = self.start_mm + indices.start * self.spacing_mm
        return Axis(start_mm, self.spacing_mm, indices.stop - indices.start)


def resample_axis(
    voxels: npt.NDArray[Any], *, dimension: int, old: Axis, new: Axis
) -> npt.NDArray[Any]:
    """Resample linearly along one dimension of an array.

    Args:
        voxels: The array.
        dimension: Which dimension.
        old: Where its voxels lie.
        new: Where voxels are wanted. Beyond the outermost centres the outermost value goes on:
            up to the outer face of a voxel that is its own.

    Returns:
        The array itself where its voxels are the wanted ones, else a new one of float32.
    """
    own = _own_places(old, new)
    if own is not None:
        taken = [slice(None)] * voxels.ndim
        taken[dimension] = own
        return voxels[tuple(taken)]
    places = np.clip((new.centres_mm() - old.start_mm) / old.spacing_mm, 0, old.n - 1)
    below = np.minimum(places.astype(np.intp), old.n - 2)
    share = (places - below).astype(np.float32)
    share = share.reshape([-1 if axis == dimension else 1 for axis in range(voxels.ndim)])
    resampled = np.take(voxels, below, axis=dimension).astype(np.float32)
    above = np.take(voxels, below + 1, axis=dimension).astype(np.float32)
    above -= resampled
    above *= share
    resampled += above
    return resampled


def _own_places(old: Axis, new: Axis) -> slice | None:
    """Return which voxels of an axis the wanted ones are, None if any lies between two."""
    places = (new.centres_mm() - old.start_mm) / old.spacing_mm
    nearest = np.rint(places)
    if np.any(np.abs(places - nearest) >= SAME_PLACE) or nearest[0] < 0 or nearest[-1] >= old.n:
        return None
    step = round(float(nearest[1] - nearest[0])) if new.n > 1 else 1
    return slice(int(nearest[0]), int(nearest[-1]) + 1, step)


AXES: Final = "LPS"
GAP_TOLERANCE: Final = 0.1  # share of a slice, for positions that headers round
MIN_FADE_MM: Final = 12.0  # what trimming leaves of an overlap: 4 slices of 3 mm

Images = Mapping[Contrast, sitk.Image]
Axes = tuple[Axis, Axis, Axis]  # x, y, z
Region = tuple[slice, slice, slice]  # of an array: z, y, x


@dataclass(frozen=True, slots=True)
class Station:
    """One station in the common directions.

    Attributes:
        images: Its images by contrast, axes nearest to LPS.
        grid: Its voxels along x, y, z of the common directions.
        low_mm: Where along z its part of the common image begins.
        high_mm: Where that part ends.
    """

    images: Images
    grid: Axes
    low_mm: float
    high_mm: float

    def region(self, grid: Axes, *, low_mm: float, high_mm: float) -> Region:
        """Voxels of another grid that the station sees between two places along z."""
        x, y, _ = self.grid
        return (
            grid[2].within(low_mm, high_mm),
            grid[1].within(y.low_mm, y.high_mm),
            grid[0].within(x.low_mm, x.high_mm),
        )

    def is_resampled(self, grid: Axes, region: Region) -> bool:
        """Return whether voxels of the region lie between its own, and are interpolated."""
        return any(
            _own_places(self.grid[axis], grid[axis].part(region[2 - axis])) is None
            for axis in range(3)
            if region[2 - axis].stop > region[2 - axis].start
        )

    def resample(self, image: sitk.Image, grid: Axes, region: Region) -> npt.NDArray[Any]:
        """Resample one of its images onto a region of another grid."""
        voxels_zyx: npt.NDArray[Any] = sitk.GetArrayViewFromImage(image)
        for dimension, taken in enumerate(region):
            old, new = self.grid[2 - dimension], grid[2 - dimension].part(taken)
            voxels_zyx = resample_axis(voxels_zyx, dimension=dimension, old=old, new=new)
        return voxels_zyx


def place_stations(stations: Sequence[Images]) -> tuple[Station, ...]:
    """Place stations in the directions of the topmost one, from head to foot.

    Args:
        stations: In any order.

    Raises:
        ScanError: CONTRAST_MISSING if a station lacks a contrast that another has; GRIDS_DIFFER if
            the contrasts of a station differ in grid, or stations in direction.
    """
    _check_contrasts(stations)
    oriented = [{contrast: _oriented(image) for contrast, image in one.items()} for one in stations]
    for images in oriented:
        _check_grids(images)
    oriented.sort(key=_middle_z_mm, reverse=True)
    direction = _direction(oriented[0])
    if any(np.abs(_direction(images) - direction).max() > COSINE_TOLERANCE for images in oriented):
        raise ScanError(Reason.GRIDS_DIFFER, "stations differ in direction")
    grids = [_grid(next(iter(images.values())), direction) for images in oriented]
    return tuple(
        Station(images=images, grid=grid, low_mm=grid[2].low_mm, high_mm=grid[2].high_mm)
        for images, grid in zip(oriented, grids, strict=True)
    )


def overlaps_mm(stations: Sequence[Station]) -> tuple[float, ...]:
    """Measure the overlap at each seam, from head to foot.

    Raises:
        ScanError: STATIONS_APART if there is a gap, or nothing of one lies above the other;
            SEVERAL_SERIES if one lies within the other.
    """
    overlaps = []
    for number, (upper, lower) in enumerate(pairwise(stations), start=1):
        overlap_mm = lower.high_mm - upper.low_mm
        slice_mm = min(upper.grid[2].spacing_mm, lower.grid[2].spacing_mm)
        for axis in (0, 1):
            above, below = upper.grid[axis], lower.grid[axis]
            if min(above.high_mm, below.high_mm) <= max(above.low_mm, below.low_mm):
                fact = f"station {number} and {number + 1} lie beside each other"
                raise ScanError(Reason.STATIONS_APART, fact)
        if lower.low_mm >= upper.low_mm or lower.high_mm >= upper.high_mm:
            fact = f"station {number} and {number + 1}: one lies within the other"
            raise ScanError(Reason.SEVERAL_SERIES, fact)
        if overlap_mm < -GAP_TOLERANCE * slice_mm:
            fact = f"a gap of {-overlap_mm:.1f} mm between station {number} and {number + 1}"
            raise ScanError(Reason.STATIONS_APART, fact)
        overlaps.append(overlap_mm)
    return tuple(overlaps)


def trim_stations(stations: Sequence[Station], *, n_slices: int) -> tuple[Station, ...]:
    """Leave out the slices at the ends of overlapping stations.

    As many slices of either station, at most ``n_slices``, as leave ``MIN_FADE_MM`` to fade over.
    The outer ends of the first and the last station stay: nothing could replace them.
    """
    lows = [station.low_mm for station in stations]
    highs = [station.high_mm for station in stations]
    for upper, overlap_mm in enumerate(overlaps_mm(stations)):
        lower = upper + 1
        upper_mm, lower_mm = (stations[one].grid[2].spacing_mm for one in (upper, lower))
        n = min(n_slices, int((overlap_mm - MIN_FADE_MM) / (upper_mm + lower_mm) + SAME_PLACE))
        if n > 0:
            lows[upper] += n * upper_mm
            highs[lower] -= n * lower_mm
        elif overlap_mm < 0:  # a rounded position: close the gap
            lows[upper] = highs[lower] = (lows[upper] + highs[lower]) / 2
    return tuple(
        replace(station, low_mm=low_mm, high_mm=high_mm)
        for station, low_mm, high_mm in zip(stations, lows, highs, strict=True)
    )


def common_grid(stations: Sequence[Station]) -> Axes:
    """Choose the grid for all stations: in-plane that of the widest, finest slices, all in view.

    In-plane the voxels of the widest station go on to where any other one ends.
    """
    x, y = (_joint_axis([one.grid[axis] for one in stations]) for axis in (0, 1))
    slice_mm = min(one.grid[2].spacing_mm for one in stations)
    low_mm = min(one.low_mm for one in stations)
    high_mm = max(one.high_mm for one in stations)
    n_slices = round((high_mm - low_mm) / slice_mm)
    return x, y, Axis(start_mm=low_mm + slice_mm / 2, spacing_mm=slice_mm, n=n_slices)


def grid_image(voxels_zyx: npt.NDArray[Any], grid: Axes, stations: Sequence[Station]) -> sitk.Image:
    """Make an image on a grid in the common directions of the stations."""
    direction = _direction(stations[0].images)
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetDirection(direction.ravel().tolist())
    image.SetSpacing([axis.spacing_mm for axis in grid])
    image.SetOrigin((direction @ [axis.start_mm for axis in grid]).tolist())
    return image


def _check_contrasts(stations: Sequence[Images]) -> None:
    wanted = {contrast for images in stations for contrast in images}
    for images in stations:
        missing = sorted(wanted - set(images))
        if missing:
            raise ScanError(Reason.CONTRAST_MISSING, f"{', '.join(missing)} of one station")


def _check_grids(images: Images) -> None:
    (first, image), *others = images.items()
    for contrast, other in others:
        if not share_grid(image, other):
            fact = f"{first} and {contrast} of one station are on different grids"
            raise ScanError(Reason.GRIDS_DIFFER, fact)


def _oriented(image: sitk.Image) -> sitk.Image:
    return image if orientation_code(image) == AXES else sitk.DICOMOrient(image, AXES)


def _middle_z_mm(images: Images) -> float:
    image = next(iter(images.values()))
    middle = [(size - 1) / 2 for size in image.GetSize()]
    z_mm: float = image.TransformContinuousIndexToPhysicalPoint(middle)[2]
    return z_mm


def _direction(images: Images) -> npt.NDArray[np.float64]:
    return np.reshape(next(iter(images.values())).GetDirection(), (3, 3))


def _grid(image: sitk.Image, direction: npt.NDArray[np.float64]) -> Axes:
    starts_mm = direction.T @ image.GetOrigin()
    x, y, z = (
        Axis(start_mm=float(start_mm), spacing_mm=spacing_mm, n=n)
        for start_mm, spacing_mm, n in zip(
            starts_mm, image.GetSpacing(), image.GetSize(), strict=True
        )
    )
    return x, y, z


def _joint_axis(axes: Sequence[Axis]) -> Axis:
    """Continue the longest axis to every place that any of them sees the centre of a voxel at."""
    longest = max(axes, key=_extent_mm)
    low_mm, high_mm = min(one.low_mm for one in axes), max(one.high_mm for one in axes)
    n_before = int((longest.start_mm - low_mm) / longest.spacing_mm + SAME_PLACE)
    n = int((high_mm - longest.start_mm) / longest.spacing_mm + SAME_PLACE) + 1 + n_before
    start_mm = longest.start_mm - n_before * longest.spacing_mm
    return Axis(start_mm=start_mm, spacing_mm=longest.spacing_mm, n=n)


def _extent_mm(axis: Axis) -> float:
    return axis.n * axis.spacing_mm
