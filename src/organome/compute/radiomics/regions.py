"""The regions of a labelmap: voxels, box and moments of every label, found in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Counts, Labels, Places
from organome.compute.kernels import kernel

N_LABELS = 256
N_MOMENTS = 9


@kernel()
def scan_rows(labels_zyx: Labels, counts: Counts, extents: Counts) -> None:
    """Count voxels by label, and note the box of everything that is labelled.

    Args:
        labels_zyx: Labels, 0 is background.
        counts: Voxels by label, 256 zeros to add to.
        extents: First and last index along z, y, x; set only where there is a label.
    """
    n_z, n_y, n_x = labels_zyx.shape
    extents[:] = np.array([n_z, -1, n_y, -1, n_x, -1])
    for z in range(n_z):
        for y in range(n_y):
            row = labels_zyx[z, y]
            seen = np.uint8(0)
            for x in range(n_x):  # all of it, for this loop becomes vector instructions
                seen |= row[x]
            if seen == 0:
                continue
            first: Any = np.int64(0)
            last: Any = np.int64(n_x - 1)
            while row[first] == 0:
                first += 1
            while row[last] == 0:
                last -= 1
            begin = first
            for x in range(first, last + 1):
                if row[x] != row[begin]:
                    counts[row[begin]] += x - begin
                    begin = x
            counts[row[begin]] += last + 1 - begin
            extents[0] = min(extents[0], z)
            extents[1] = max(extents[1], z)
            extents[2] = min(extents[2], y)
            extents[3] = max(extents[3], y)
            extents[4] = min(extents[4], first)
            extents[5] = max(extents[5], last)


@kernel()
def list_voxels(padded: Labels, starts: Counts, voxels: NDArray[np.int32]) -> None:
    """List the voxels of every label, one label after the other, each in raster order.

    Args:
        padded: Labels, flat.
        starts: Where the list of each label begins; moved to where it ends.
        voxels: Flat indices into ``padded``.
    """
    place, n = np.uint64(0), np.uint64(padded.size)
    while place < n:
        label = padded[place]
        if label == 0:
            place += np.uint64(1)
            continue
        to = np.uint64(starts[label])
        while padded[place] == label:  # the last layer is background
            voxels[to] = place
            to += np.uint64(1)
            place += np.uint64(1)
        starts[label] = to


@kernel()
def bound_voxels(
    voxels: NDArray[np.int32], n_y: int, n_x: int, extents: Counts, moments: Counts
) -> None:
    """Find the box of a region and the sums of its coordinates and of their products.

    Args:
        voxels: Flat indices in raster order.
        n_y: Rows of the array that they point into.
        n_x: Columns of it.
        extents: First and last index along z, y, x.
        moments: Sums of z, y, x, zz, yy, xx, zy, zx, yx, from the array's first voxel.
    """
    low_y: Any = n_y
    low_x: Any = n_x
    high_y: Any = -1
    high_x: Any = -1
    place = 0
    n = voxels.size
    moments[:] = 0
    while place < n:
        row = np.int64(voxels[place] // np.int32(n_x))
        start = row * n_x
        end = start + n_x
        z, y = row // n_y, row % n_y
        low_y, high_y = min(low_y, y), max(high_y, y)
        low_x = min(low_x, voxels[place] - start)
        in_row, sum_x, sum_xx = 0, 0, 0
        while place < n and voxels[place] < end:
            x = voxels[place] - start
            sum_x += x
            sum_xx += x * x
            in_row += 1
            place += 1
        high_x = max(high_x, voxels[place - 1] - start)
        moments[0] += in_row * z
        moments[1] += in_row * y
        moments[2] += sum_x
        moments[3] += in_row * z * z
        moments[4] += in_row * y * y
        moments[5] += sum_xx
        moments[6] += in_row * z * y
        moments[7] += z * sum_x
        moments[8] += y * sum_x
    extents[0], extents[1] = voxels[0] // (n_y * n_x), voxels[n - 1] // (n_y * n_x)
    extents[2], extents[3], extents[4], extents[5] = low_y, high_y, low_x, high_x


@kernel()
def gather(
    image: NDArray[Any],
    image_yx: tuple[int, int],
    voxels: NDArray[np.int32],
    shape_yx: tuple[int, int],
    shift_zyx: tuple[int, int, int],
    values: NDArray[Any],
) -> None:
    """Read the intensities of a region.

    Args:
        image: Intensities, flat.
        image_yx: Rows and columns of the image.
        voxels: Flat indices in raster order into an array of ``shape_yx`` rows and columns.
        shape_yx: Rows and columns of that array.
        shift_zyx: What is added to coordinates there to get those of the image.
        values: Filled.
    """
    end: Any = np.int64(-1)
    shift: Any = np.int64(0)
    for place in range(np.uint64(voxels.size)):
        voxel: Any = np.int64(voxels[place])
        if voxel >= end:
            shift, end = _row_shift(voxel, shape_yx, image_yx, shift_zyx)
        values[place] = image[np.uint64(voxel + shift)]


@kernel()
def to_box(
    voxels: NDArray[np.int32],
    shape_yx: tuple[int, int],
    start_zyx: tuple[int, int, int],
    box_yx: tuple[int, int],
    places: NDArray[np.int32],
) -> None:
    """Turn flat indices of a large array into those of a box in it that is padded by one voxel."""
    shift_zyx = (1 - start_zyx[0], 1 - start_zyx[1], 1 - start_zyx[2])
    end: Any = np.int64(-1)
    shift: Any = np.int64(0)
    for place in range(np.uint64(voxels.size)):
        voxel: Any = np.int64(voxels[place])
        if voxel >= end:
            shift, end = _row_shift(voxel, shape_yx, box_yx, shift_zyx)
        places[place] = voxel + shift


@kernel()
def _row_shift(
    voxel: int,
    from_yx: tuple[int, int],
    to_yx: tuple[int, int],
    shift_zyx: tuple[int, int, int],
) -> tuple[int, int]:
    """Return what turns indices of this row into those of another array, and where the row ends."""
    row = voxel // from_yx[1]
    z = row // from_yx[0]
    y = row - z * from_yx[0]
    begin = ((z + shift_zyx[0]) * to_yx[0] + y + shift_zyx[1]) * to_yx[1] + shift_zyx[2]
    return begin - row * from_yx[1], (row + 1) * from_yx[1]


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

    def places(
        self, region: Region, of: Region | None = None
    ) -> tuple[Places, tuple[int, int, int]]:
        """Flat indices of a region in its own box, padded by one voxel, and that box's size.

        Args:
            region: The region.
            of: Another one whose box is taken, around it.
        """
        of = of or region
        size_z, size_y, size_x = (size + 2 for size in of.size_zyx)
        places = np.empty(region.n_voxels, np.int32)
        to_box(
            region.voxels,
            self.padded_zyx.shape[1:],
            of.first_zyx,
            (size_y, size_x),
            places,
        )
        return places, (size_z, size_y, size_x)


def count_labels(labels_zyx: Labels) -> Counts:
    """Count the voxels of each label; background stays 0."""
    counts = np.zeros(N_LABELS, np.int64)
    scan_rows(labels_zyx, counts, np.empty(6, np.int64))
    counts[0] = 0
    return counts


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
    """Make the labelled box again, of some regions alone."""
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
