"""Smooth shapes: ellipsoids, tubes and stacks of ellipses, in millimetres."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Singles
from organome.phantoms.bodies.canvas import Point, Shape

REACH = 1.08  # bounding boxes are that much larger than an undeformed shape, for bumps


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
    spans = [(reach or radius) * REACH * (1.0 + bump) for radius in radii]

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

    return Shape(level, _shift(centre, spans, -1.0), _shift(centre, spans, 1.0))


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
    return tuple((float(q[0]), float(q[1]), float(q[2])) for q in out)


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
    return Shape(level, _point(low), _point(high))


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


def _shift(centre: Point, spans: Sequence[float], sign: float) -> Point:
    return (
        centre[0] + sign * spans[0],
        centre[1] + sign * spans[1],
        centre[2] + sign * spans[2],
    )


def _point(values: NDArray[np.floating]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
