"""Shape of regions: surface, volume, axes, diameters. Intensities have no part in it.

The surfaces of all labels are found together, in one pass.
"""

from typing import Final

import numpy as np

from organome.compute.geometry.arrays import Floats
from organome.compute.radiomics.regions import N_LABELS, LabelledBox, Region
from organome.compute.radiomics.shape_kernels import (
    CONFIGURATIONS,
    N_CONFIGURATIONS,
    TRIANGLES_ZYX,
    count_cubes,
    point_diameter,
    region_diameters,
    row_extremes,
)

Spacing = tuple[float, float, float]

_AXIS_FACTOR: Final = 4.0  # the axis of an ellipsoid is four standard deviations along it


_N_SUMS: Final = 4


class LabelledShapes:
    """The surfaces of all labels of a box."""

    def __init__(self, box: LabelledBox, spacing_zyx_mm: Spacing) -> None:
        self._box = box
        self._spacing_zyx_mm = spacing_zyx_mm
        self._areas_mm2, self._volumes_mm3, self._gradients_mm3 = _surface_table(spacing_zyx_mm)
        self._cubes = np.zeros((N_LABELS, N_CONFIGURATIONS, _N_SUMS), np.int64)
        count_cubes(box.padded_zyx, np.arange(N_LABELS), self._cubes)

    def measure(self, region: Region) -> tuple[dict[str, float], Floats]:
        """Compute the 14 shape features of one of the box's regions.

        Returns:
            Features by name, NaN where the mesh encloses nothing; points of the surface in mm, all
            corners of its convex hull among them.
        """
        cubes = self._cubes[region.label].copy()
        # From the padded labelmap to the region's own padded box, where pyradiomics has its origin:
        # its mesh has holes, so that the volume depends on that.
        cubes[:, 1:] -= cubes[:, :1] * (np.array(region.first_zyx) - 1)
        area = float(cubes[:, 0] @ self._areas_mm2)
        volume = float(cubes[:, 0] @ self._volumes_mm3 + np.sum(cubes[:, 1:] * self._gradients_mm3))
        least, minor, major = _eigenvalues(region, self._spacing_zyx_mm)
        (slice_mm, column_mm, row_mm, space_mm), points_mm = self._diameters_mm(region)
        z_mm, y_mm, x_mm = self._spacing_zyx_mm
        features = {
            "Elongation": float(np.sqrt(minor / major)),
            "Flatness": float(np.sqrt(least / major)),
            "LeastAxisLength": float(np.sqrt(least)) * _AXIS_FACTOR,
            "MajorAxisLength": float(np.sqrt(major)) * _AXIS_FACTOR,
            "Maximum2DDiameterColumn": column_mm,
            "Maximum2DDiameterRow": row_mm,
            "Maximum2DDiameterSlice": slice_mm,
            "Maximum3DDiameter": space_mm,
            "MeshVolume": volume,
            "MinorAxisLength": float(np.sqrt(minor)) * _AXIS_FACTOR,
            "Sphericity": (36 * np.pi * volume**2) ** (1.0 / 3.0) / area,
            "SurfaceArea": area,
            "SurfaceVolumeRatio": area / volume if volume else float("nan"),
            "VoxelVolume": region.n_voxels * (z_mm * x_mm * y_mm),
        }
        return features, points_mm

    def _diameters_mm(self, region: Region) -> tuple[list[float], Floats]:
        """Find the diameters of the surface in planes of equal z, y, x, and in space.

        They are exact, though only corners of hulls are compared.
        """
        places, box_zyx = self._box.places(region)
        n_z, n_y, n_x = box_zyx
        inside = np.zeros(n_z * n_y * n_x, np.uint8)
        inside[places] = 1
        along_x = np.empty((2 * n_z, 2 * n_y, 2), np.int32)
        along_y = np.empty((2 * n_z, 2 * n_x, 2), np.int32)
        row_extremes(inside, places, box_zyx, along_x, along_y)
        z_mm, y_mm, x_mm = self._spacing_zyx_mm
        squared = np.empty(4)
        points_mm = region_diameters(along_x, along_y, (z_mm / 2, y_mm / 2, x_mm / 2), squared)
        from_middle_mm = np.linalg.norm(points_mm - points_mm.mean(axis=0), axis=1)
        order = np.argsort(-from_middle_mm, kind="stable")
        squared[3] = point_diameter(points_mm[order], from_middle_mm[order])
        diameters_mm: list[float] = np.sqrt(squared).tolist()
        return diameters_mm, points_mm


def _surface_table(spacing_zyx_mm: Spacing) -> tuple[Floats, Floats, Floats]:
    """Compute what a cube of each configuration adds to area and volume.

    Returns:
        Area of its triangles in mm2; signed volume in mm3 of the cones from the origin, that at the
        cube's first corner; how that changes with each step of the cube along z, y, x.
    """
    spacing = np.array(spacing_zyx_mm)
    a, b, c = np.moveaxis(TRIANGLES_ZYX * spacing, 1, 0)
    area = np.linalg.norm(np.cross(a - c, b - c), axis=1) / 2
    volume = np.einsum("ij,ij->i", np.cross(a, b), c) / 6
    gradient = (np.cross(a, b) + np.cross(b, c) + np.cross(c, a)) * spacing / 6
    half = N_CONFIGURATIONS // 2
    areas, volumes, gradients = np.zeros(half), np.zeros(half), np.zeros((half, 3))
    for table, of_triangle in ((areas, area), (volumes, volume), (gradients, gradient)):
        np.add.at(table, CONFIGURATIONS, of_triangle)
    # The other half are complements, in reverse order: the same triangles turned inside out.
    return (
        np.concatenate((areas, areas[::-1])),
        np.concatenate((volumes, -volumes[::-1])),
        np.concatenate((gradients, -gradients[::-1])),
    )


def _eigenvalues(region: Region, spacing_zyx_mm: Spacing) -> tuple[float, float, float]:
    """Eigenvalues of the covariance of voxel positions, rising, in mm2.

    The integer part is exact, so that a flat region has an eigenvalue of exactly 0.
    """
    n, sums, products = region.n_voxels, region.moments[:3], region.moments[3:]
    covariance = np.empty((3, 3))
    for (i, j), product in zip(
        ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), products, strict=True
    ):
        exact = (n * product - sums[i] * sums[j]) / (n * n)
        covariance[i, j] = covariance[j, i] = exact * spacing_zyx_mm[i] * spacing_zyx_mm[j]
    least, minor, major = np.maximum(np.linalg.eigvalsh(covariance), 0.0).tolist()
    return least, minor, major
