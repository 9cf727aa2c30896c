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


REACH = 1.08  # bounding boxes are that much larger than an undeformed shape, for bumps


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


def ellipsoid(
    centre: Point,
    radii: Point,
    *,
    tilt_deg: Point = (0.0, 0.0, 0.0),
    power: float = 2.0,
    bump: float = 0.0,
    phase: float = 0.0,
) -> Shape:
    """Make a (super-)ellipsoid.

    Args:
        centre: Centre in mm.
        radii: Half axes in mm, along x, y, z before tilting.
        tilt_deg: Rotations about x, y and z in degrees, in that order.
        power: 2 for an ellipsoid, larger for a boxier shape.
        bump: Depth of surface bumps as a share of the radius.
        phase: Where the bumps lie, in radians.
    """
    rotation = _rotation(tilt_deg)
    reach = float(max(radii)) if any(tilt_deg) else None
    spans = np.array([(reach or radius) * REACH * (1.0 + bump) for radius in radii])

    def level(x: Singles, y: Singles, z: Singles) -> Singles:
        d = (x - np.float32(centre[0]), y - np.float32(centre[1]), z - np.float32(centre[2]))
        value = np.zeros((1, 1, 1), np.float32)
        for axis in range(3):
            along = d[axis] if not any(tilt_deg) else _along(d, rotation[:, axis])
            value = value + np.abs(along / np.float32(radii[axis])) ** np.float32(power)
        if bump:
            wave = 3.1 / float(np.mean(radii))
            ripple = np.sin(wave * d[0] + phase) + np.sin(wave * d[1] + 2.1 * phase)
            ripple = ripple + np.sin(wave * d[2] + 3.7 * phase)
            value = value * (1.0 + np.float32(bump * power / 3.0) * ripple)
        return value

    return Shape(level, as_point(centre - spans), as_point(centre + spans))


def tube(points: Sequence[Point], radii_mm: Sequence[float]) -> tuple[Shape, ...]:
    """Make a tube along a polyline, with a radius at every point, one shape per segment."""
    return tuple(
        _capsule(points[i], points[i + 1], radii_mm[i], radii_mm[i + 1])
        for i in range(len(points) - 1)
    )


def smooth_path(points: Sequence[Point], n_points: int) -> tuple[Point, ...]:
    """Resample a polyline through its points by a Catmull-Rom spline."""
    p = np.asarray([points[0], *points, points[-1]], dtype=np.float64)
    where = np.linspace(0.0, len(points) - 1 - 1e-9, n_points)
    out = []
    for t in where:
        i, u = int(t), t - int(t)
        p0, p1, p2, p3 = p[i : i + 4]
        out.append(
            0.5
            * (
                2 * p1
                + (p2 - p0) * u
                + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2
                + (3 * p1 - p0 - 3 * p2 + p3) * u**3
            )
        )
    return tuple(as_point(q) for q in out)


def column(
    z_mm: Sequence[float],
    x_mm: Sequence[float],
    y_mm: Sequence[float],
    half_width_mm: Sequence[float],
    half_depth_mm: Sequence[float],
    *,
    power: float = 2.0,
) -> Shape:
    """Stack ellipses along z; centre and half axes are interpolated between the given heights.

    Args:
        z_mm: Heights, ascending.
        x_mm: Centre at each height.
        y_mm: Centre at each height.
        half_width_mm: Half axis along x at each height.
        half_depth_mm: Half axis along y at each height.
        power: 2 for ellipses, larger for boxier outlines.
    """

    def level(x: Singles, y: Singles, z: Singles) -> Singles:
        def at(values: Sequence[float]) -> Singles:
            return np.interp(z, z_mm, values).astype(np.float32)

        across = np.abs((x - at(x_mm)) / at(half_width_mm)) ** np.float32(power)
        both: Singles = across + np.abs((y - at(y_mm)) / at(half_depth_mm)) ** np.float32(power)
        return both

    half_x, half_y = max(half_width_mm), max(half_depth_mm)
    return Shape(
        level,
        (min(x_mm) - half_x, min(y_mm) - half_y, z_mm[0]),
        (max(x_mm) + half_x, max(y_mm) + half_y, z_mm[-1]),
    )


def _capsule(start: Point, end: Point, start_mm: float, end_mm: float) -> Shape:
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    axis = b - a
    squared = float(axis @ axis) or 1.0

    def level(x: Singles, y: Singles, z: Singles) -> Singles:
        d = (x - a[0], y - a[1], z - a[2])
        along = np.clip(_along(d, axis) / np.float32(squared), 0.0, 1.0)
        gap = [d[k] - along * axis[k] for k in range(3)]
        radius = np.float32(start_mm) + along * np.float32(end_mm - start_mm)
        value: Singles = (gap[0] ** 2 + gap[1] ** 2 + gap[2] ** 2) / radius**2
        return value

    reach = max(start_mm, end_mm)
    low, high = np.minimum(a, b) - reach, np.maximum(a, b) + reach
    return Shape(level, as_point(low), as_point(high))


def _along(d: tuple[Singles, Singles, Singles], axis: NDArray[np.floating]) -> Singles:
    a = axis.astype(np.float32)
    along: Singles = d[0] * a[0] + d[1] * a[1] + d[2] * a[2]
    return along


def _rotation(tilt_deg: Point) -> NDArray[np.float64]:
    rx, ry, rz = np.deg2rad(tilt_deg)
    about_x = np.array([[1, 0, 0], [0, np.cos(rx), -np.sin(rx)], [0, np.sin(rx), np.cos(rx)]])
    about_y = np.array([[np.cos(ry), 0, np.sin(ry)], [0, 1, 0], [-np.sin(ry), 0, np.cos(ry)]])
    about_z = np.array([[np.cos(rz), -np.sin(rz), 0], [np.sin(rz), np.cos(rz), 0], [0, 0, 1]])
    turned: NDArray[np.float64] = about_z @ about_y @ about_x
    return turned


def as_point(values: NDArray[np.floating]) -> Point:
    """Return three numbers as a point."""
    return (float(values[0]), float(values[1]), float(values[2]))
