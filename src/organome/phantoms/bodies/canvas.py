"""A voxel canvas that smooth shapes are painted on.

Every shape is a function of millimetre coordinates that is at most 1 inside; a shape is evaluated
only in its bounding box. Organs never overwrite organs, and keep a thin layer of what was there
before between each other, as fat planes do in a body.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from organome.compute.geometry.arrays import Singles
from organome.phantoms.bodies.tissues import N_TISSUES, Filler, is_organ

Point = tuple[float, float, float]  # x, y, z in mm; x to the left, y to the back, z to the head
Level = Callable[[Singles, Singles, Singles], Singles]  # at most 1 inside


@dataclass(frozen=True, slots=True)
class Shape:
    """A level function and a box outside of which it is not inside.

    Attributes:
        level: Maps broadcastable x, y, z in mm to a level, at most 1 inside.
        low: Lowest corner of the box in mm.
        high: Highest corner of the box in mm.
    """

    level: Level
    low: Point
    high: Point


@dataclass
class Canvas:
    """A grid of tissue codes.

    Attributes:
        x_mm: Voxel centres along x (to the participant's left), ascending.
        y_mm: Voxel centres along y (to the back), ascending.
        z_mm: Voxel centres along z (to the head), ascending.
        tissue_zyx: Tissue codes.
        claimed_zyx: Voxels that hold an organ, or lie next to one.
    """

    x_mm: Singles
    y_mm: Singles
    z_mm: Singles
    tissue_zyx: NDArray[np.uint8] = field(init=False)
    claimed_zyx: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Start with air everywhere."""
        shape = (self.z_mm.size, self.y_mm.size, self.x_mm.size)
        self.tissue_zyx = np.zeros(shape, np.uint8)
        self.claimed_zyx = np.zeros(shape, np.bool_)

    def paint(self, code: int, shapes: Sequence[Shape], *, onto: Sequence[int] = ()) -> None:
        """Paint the union of some shapes.

        Args:
            code: Tissue code; an organ (1 to 40) leaves other organs and a margin of them free.
            shapes: What to paint.
            onto: Tissues that may be overwritten; all but organs if empty.
        """
        free = np.zeros(N_TISSUES, np.bool_)
        free[list(onto) if onto else [int(filler) for filler in Filler]] = True
        touched = [self._mask(shape) for shape in shapes]
        for box, inside in touched:
            inside &= free[self.tissue_zyx[box]]
            if is_organ(code):
                inside &= ~self.claimed_zyx[box]
        for box, inside in touched:
            self.tissue_zyx[box][inside] = code
        if is_organ(code):
            for box, _ in touched:
                self._claim(code, box)

    def volumes_voxels(self) -> NDArray[np.int64]:
        """Count voxels by tissue code; shape (N_TISSUES,)."""
        return np.bincount(self.tissue_zyx.ravel(), minlength=N_TISSUES).astype(np.int64)

    def _mask(self, shape: Shape) -> tuple[tuple[slice, slice, slice], NDArray[np.bool_]]:
        spans = [
            slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, "right")))
            for axis, low, high in zip(
                (self.z_mm, self.y_mm, self.x_mm), shape.low[::-1], shape.high[::-1], strict=True
            )
        ]
        box = (spans[0], spans[1], spans[2])
        z = self.z_mm[box[0]][:, None, None]
        y = self.y_mm[box[1]][None, :, None]
        x = self.x_mm[box[2]][None, None, :]
        size = (z.size, y.size, x.size)
        inside = np.broadcast_to(shape.level(x, y, z) <= 1.0, size).copy()
        return box, inside

    def _claim(self, code: int, box: tuple[slice, slice, slice]) -> None:
        grown = tuple(
            slice(max(span.start - 1, 0), min(span.stop + 1, n))
            for span, n in zip(box, self.tissue_zyx.shape, strict=True)
        )
        near = ndimage.binary_dilation(self.tissue_zyx[grown] == code)
        self.claimed_zyx[grown] |= near
