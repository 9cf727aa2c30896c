"""Shape of regions: surface, volume, axes, diameters. Intensities have no part in it.

The surfaces of all labels are found together, in one pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True)
class SurfaceTable:
    """What a cube of each configuration adds to area and volume.

    Attributes:
        areas_mm2: Area of its triangles.
        volumes_mm3: Signed volume of the cones from the origin, that at the cube's first corner.
        gradients_mm3: How that changes with each step of the cube along z, y, x.
    """

    areas_mm2: Floats
    volumes_mm3: Floats
    gradients_mm3: Floats


def surface_table(spacing_zyx_mm: Spacing) -> SurfaceTable:
    """Compute the table for a grid."""
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
    return SurfaceTable(
        areas_mm2=np.concatenate((areas, areas[::-1])),
        volumes_mm3=np.concatenate((volumes, -volumes[::-1])),
        gradients_mm3=np.concatenate((gradients, -gradients[::-1])),
    )


def shape_features(
    cubes: NDArray[np.int64],
    table: SurfaceTable,
    *,
    n_voxels: int,
    moments: Sequence[int],
    diameters_mm: Floats,
    spacing_zyx_mm: Spacing,
) -> dict[str, float]:
    """Compute the 14 shape features.

    Args:
        cubes: (configuration, 4): cubes of the surface, sums of their first corners' z, y, x,
            counted from the voxel before the region's box: the mesh of pyradiomics has holes, so
            that its volume depends on the origin.
        table: What each configuration adds.
        n_voxels: Voxels of the region.
        moments: Sums of z, y, x, zz, yy, xx, zy, zx, yx over its voxels.
        diameters_mm: In planes of equal z, y, x, and in space.
        spacing_zyx_mm: Voxel spacing.

    Returns:
        Features by name; NaN where the mesh encloses nothing.
    """
    area = float(cubes[:, 0] @ table.areas_mm2)
    volume = float(cubes[:, 0] @ table.volumes_mm3 + np.sum(cubes[:, 1:] * table.gradients_mm3))
    least, minor, major = _eigenvalues(n_voxels, moments, spacing_zyx_mm)
    z_mm, y_mm, x_mm = spacing_zyx_mm
    return {
        "Elongation": float(np.sqrt(minor / major)),
        "Flatness": float(np.sqrt(least / major)),
        "LeastAxisLength": float(np.sqrt(least)) * _AXIS_FACTOR,
        "MajorAxisLength": float(np.sqrt(major)) * _AXIS_FACTOR,
        "Maximum2DDiameterColumn": float(diameters_mm[1]),
        "Maximum2DDiameterRow": float(diameters_mm[2]),
        "Maximum2DDiameterSlice": float(diameters_mm[0]),
        "Maximum3DDiameter": float(diameters_mm[3]),
        "MeshVolume": volume,
        "MinorAxisLength": float(np.sqrt(minor)) * _AXIS_FACTOR,
        "Sphericity": (36 * np.pi * volume**2) ** (1.0 / 3.0) / area,
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume if volume else float("nan"),
        "VoxelVolume": n_voxels * (z_mm * x_mm * y_mm),
    }


def diameters(
    inside: NDArray[np.uint8],
    places: NDArray[np.int32],
    box_zyx: tuple[int, int, int],
    spacing_zyx_mm: Spacing,
) -> Floats:
    """Find the diameters of the surface of a region, exactly: only corners of hulls are compared.

    Args:
        inside: Flat box with a layer of zeros around, 1 inside the region.
        places: The voxels of the region.
        box_zyx: Size of the padded box.
        spacing_zyx_mm: Voxel spacing.

    Returns:
        In planes of equal z, y, x, and in space, in mm.
    """
    n_z, n_y, n_x = box_zyx
    along_x = np.empty((2 * n_z, 2 * n_y, 2), np.int32)
    along_y = np.empty((2 * n_z, 2 * n_x, 2), np.int32)
    row_extremes(inside, places, box_zyx, along_x, along_y)
    half_mm = (spacing_zyx_mm[0] / 2, spacing_zyx_mm[1] / 2, spacing_zyx_mm[2] / 2)
    squared = np.empty(4)
    points_mm = region_diameters(along_x, along_y, half_mm, squared)
    from_middle_mm = np.linalg.norm(points_mm - points_mm.mean(axis=0), axis=1)
    order = np.argsort(-from_middle_mm, kind="stable")
    squared[3] = point_diameter(points_mm[order], from_middle_mm[order])
    found: Floats = np.sqrt(squared)
    return found


def _eigenvalues(
    n_voxels: int, moments: Sequence[int], spacing_zyx_mm: Spacing
) -> tuple[float, float, float]:
    """Eigenvalues of the covariance of voxel positions, rising, in mm2.

    The integer part is exact, so that a flat region has an eigenvalue of exactly 0.
    """
    sums, products = moments[:3], moments[3:]
    covariance = np.empty((3, 3))
    for (i, j), product in zip(
        ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)), products, strict=True
    ):
        exact = (n_voxels * product - sums[i] * sums[j]) / (n_voxels * n_voxels)
        covariance[i, j] = covariance[j, i] = exact * spacing_zyx_mm[i] * spacing_zyx_mm[j]
    least, minor, major = np.maximum(np.linalg.eigvalsh(covariance), 0.0).tolist()
    return least, minor, major


class LabelledShapes:
    """The surfaces of all labels of a box."""

    def __init__(self, box: LabelledBox, spacing_zyx_mm: Spacing) -> None:
        self._box = box
        self._spacing_zyx_mm = spacing_zyx_mm
        self._table = surface_table(spacing_zyx_mm)
        self._cubes = np.zeros((N_LABELS, N_CONFIGURATIONS, _N_SUMS), np.int64)
        count_cubes(box.padded_zyx, np.arange(N_LABELS), self._cubes)

    def measure(self, region: Region) -> dict[str, float]:
        """Compute the shape features of one of the box's regions."""
        places, box_zyx = self._box.places(region)
        inside = np.zeros(box_zyx[0] * box_zyx[1] * box_zyx[2], np.uint8)
        inside[places] = 1
        cubes = self._cubes[region.label].copy()
        # From the padded labelmap to the region's own padded box, where pyradiomics has its origin.
        cubes[:, 1:] -= cubes[:, :1] * (np.array(region.first_zyx) - 1)
        return shape_features(
            cubes,
            self._table,
            n_voxels=region.n_voxels,
            moments=region.moments,
            diameters_mm=diameters(inside, places, box_zyx, self._spacing_zyx_mm),
            spacing_zyx_mm=self._spacing_zyx_mm,
        )
