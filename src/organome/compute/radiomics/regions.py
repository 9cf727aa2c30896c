"""The regions of a labelmap: voxels, box and moments of every label, found in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Places
from organome.compute.radiomics.region_kernels import (
    N_LABELS,
    N_MOMENTS,
    bound_voxels,
    gather,
    list_voxels,
    scan_rows,
    to_box,
)


@dataclass(frozen=True, slots=True)
class Region:
    """One label.

    Attributes:
        label: Its value.
        voxels: Flat indices into the padded labelmap, in raster order.
        first_zyx: First voxel of its box, in the padded labelmap.
        size_zyx: Size of its box.
        moments: Sums of z, y, x, zz, yy, xx, zy, zx, yx over its voxels.
    """

    label: int
    voxels: Places
    first_zyx: tuple[int, int, int]
    size_zyx: tuple[int, int, int]
    moments: tuple[int, ...]

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return self.voxels.size

    @property
    def n_dimensions(self) -> int:
        """Directions in which it extends over more than one voxel."""
        return sum(size > 1 for size in self.size_zyx)


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """The box of everything that is labelled, with a layer of background around.

    Attributes:
        padded_zyx: Its labels.
        shift_zyx: Place in the image of its first voxel, -1 where the box begins at the image's
            border.
        regions: All labels, rising.
    """

    padded_zyx: NDArray[np.uint8]
    shift_zyx: tuple[int, int, int]
    regions: tuple[Region, ...]

    def intensities(self, image_zyx: NDArray[Any], region: Region) -> NDArray[Any]:
        """Read the intensities of a region in raster order, in the image's own type."""
        values = np.empty(region.n_voxels, image_zyx.dtype)
        gather(
            np.ascontiguousarray(image_zyx).reshape(-1),
            image_zyx.shape[1:],
            region.voxels,
            self.padded_zyx.shape[1:],
            self.shift_zyx,
            values,
        )
        return values

    def places(self, region: Region) -> tuple[Places, tuple[int, int, int]]:
        """Flat indices of a region in its own box, padded by one voxel, and that box's size."""
        size_z, size_y, size_x = (size + 2 for size in region.size_zyx)
        places = np.empty(region.n_voxels, np.int32)
        to_box(
            region.voxels,
            self.padded_zyx.shape[1:],
            region.first_zyx,
            (size_y, size_x),
            places,
        )
        return places, (size_z, size_y, size_x)


def find_regions(labels_zyx: NDArray[np.uint8]) -> LabelledBox | None:
    """Find all regions of a labelmap.

    Returns:
        None where nothing is labelled.
    """
    counts, extents = np.zeros(N_LABELS, np.int64), np.empty(6, np.int64)
    scan_rows(labels_zyx, counts, extents)
    counts[0] = 0
    if not counts.any():
        return None
    low, high = extents[::2], extents[1::2]
    box = tuple(slice(first, last + 1) for first, last in zip(low, high, strict=True))
    padded_zyx = np.zeros(high - low + 3, np.uint8)
    padded_zyx[1:-1, 1:-1, 1:-1] = labels_zyx[box]
    ends = np.cumsum(counts)
    voxels = np.empty(ends[-1], np.int32)
    starts = ends - counts
    list_voxels(padded_zyx.reshape(-1), starts.copy(), voxels)
    regions = (
        _region(label, voxels[starts[label] : ends[label]], padded_zyx.shape)
        for label in np.flatnonzero(counts).tolist()
    )
    z, y, x = (low - 1).tolist()
    return LabelledBox(padded_zyx=padded_zyx, shift_zyx=(z, y, x), regions=tuple(regions))


def labels_present(labels_zyx: NDArray[np.uint8]) -> list[int]:
    """Name the labels that some voxel holds, rising."""
    counts = np.zeros(N_LABELS, np.int64)
    scan_rows(labels_zyx, counts, np.empty(6, np.int64))
    counts[0] = 0
    present: list[int] = np.flatnonzero(counts).tolist()
    return present


def part_of(region: Region, kept: NDArray[np.bool_], box: LabelledBox) -> Region | None:
    """Keep some voxels of a region.

    Args:
        region: The region.
        kept: Which of its voxels, in raster order.
        box: The box that it lies in.

    Returns:
        None where none is kept.
    """
    voxels = region.voxels[kept]
    return _region(region.label, voxels, box.padded_zyx.shape) if voxels.size else None


def inside_box(whole: Region, part: Region, box: LabelledBox) -> Region:
    """Cut a region off at the box of a part of it."""
    where = np.array(np.unravel_index(whole.voxels, box.padded_zyx.shape))
    low = np.array(part.first_zyx)[:, None]
    within = np.all((where >= low) & (where < low + np.array(part.size_zyx)[:, None]), axis=0)
    return _region(whole.label, whole.voxels[within], box.padded_zyx.shape)


def only(box: LabelledBox, regions: Iterable[Region]) -> LabelledBox:
    """Make the labelled box anew, of some regions alone."""
    padded_zyx = np.zeros_like(box.padded_zyx)
    kept = tuple(regions)
    for region in kept:
        padded_zyx.reshape(-1)[region.voxels] = region.label
    return LabelledBox(padded_zyx=padded_zyx, shift_zyx=box.shift_zyx, regions=kept)


def _region(label: int, voxels: Places, shape_zyx: tuple[int, ...]) -> Region:
    extents, moments = np.empty(6, np.int64), np.empty(N_MOMENTS, np.int64)
    bound_voxels(voxels, shape_zyx[1], shape_zyx[2], extents, moments)
    z, y, x = extents[::2].tolist()
    size_z, size_y, size_x = (extents[1::2] - extents[::2] + 1).tolist()
    return Region(
        label=label,
        voxels=voxels,
        first_zyx=(z, y, x),
        size_zyx=(size_z, size_y, size_x),
        moments=tuple(moments.tolist()),
    )
