"""Shape by the IBSI, from the surface and the moments that pyradiomics' features are made of."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import scipy

from organome.compute.geometry.arrays import Floats
from organome.compute.radiomics.regions import Region

Spacing = tuple[float, float, float]
N_TERMS: Final = 20


def shape_features(
    shape: Mapping[str, float], hull_points_mm: Floats, region: Region, spacing_zyx_mm: Spacing
) -> dict[str, float]:
    """Compute the features of shape that need no intensity.

    Args:
        shape: Features of pyradiomics.
        hull_points_mm: Points of the surface, all corners of its convex hull among them.
        region: The region, all of it.
        spacing_zyx_mm: Of its voxels.
    """
    volume, area = shape["MeshVolume"], shape["SurfaceArea"]
    of_ball = (36 * math.pi * volume**2) ** (1 / 3)
    z_mm, y_mm, x_mm = np.array(region.size_zyx) * np.array(spacing_zyx_mm)
    # The covariance has the divisor n - 1.
    unbiased = math.sqrt(region.n_voxels / (region.n_voxels - 1))
    major, minor, least = (
        shape[f"{name}AxisLength"] * unbiased for name in ("Major", "Minor", "Least")
    )
    a, b, c = major / 2, minor / 2, least / 2
    ellipsoid_mm3 = 4 / 3 * math.pi * a * b * c
    ellipsoid_mm2 = 4 * math.pi * a * b * _series(1 - (b / a) ** 2, 1 - (c / a) ** 2)
    hull = scipy.spatial.ConvexHull(hull_points_mm)
    features = {
        "volume": volume,
        "vol_approx": shape["VoxelVolume"],
        "area_mesh": area,
        "av": shape["SurfaceVolumeRatio"],
        "comp_1": volume / (math.sqrt(math.pi) * area**1.5),
        "comp_2": 36 * math.pi * volume**2 / area**3,
        "sph_dispr": area / of_ball if of_ball else math.nan,
        "sphericity": shape["Sphericity"],
        "asphericity": (area**3 / (36 * math.pi * volume**2)) ** (1 / 3) - 1
        if volume
        else math.nan,
        "diam": shape["Maximum3DDiameter"],
        "pca_maj_axis": major,
        "pca_min_axis": minor,
        "pca_least_axis": least,
        "pca_elongation": shape["Elongation"],
        "pca_flatness": shape["Flatness"],
        "vol_dens_aabb": volume / (z_mm * y_mm * x_mm),
        "area_dens_aabb": area / (2 * (z_mm * y_mm + z_mm * x_mm + y_mm * x_mm)),
        "vol_dens_aee": volume / ellipsoid_mm3 if ellipsoid_mm3 else math.nan,
        "area_dens_aee": area / ellipsoid_mm2 if ellipsoid_mm2 else math.nan,
        "vol_dens_conv_hull": volume / hull.volume,
        "area_dens_conv_hull": area / hull.area,
    }
    return {name: float(value) for name, value in features.items()}


def _series(alpha_squared: float, beta_squared: float) -> float:
    """Sum the IBSI's series of Legendre polynomials for the area of an ellipsoid.

    Its consensus is made of it, though the true area is greater (by 4 % on the digital phantom).
    Polynomials are multiplied by the power of alpha and beta that stands before them, so that a
    ball, where both are 0, is no exception.
    """
    half_sum, product = (alpha_squared + beta_squared) / 2, alpha_squared * beta_squared
    before, now, total = 1.0, half_sum, 1.0
    for n in range(1, N_TERMS + 1):
        total += now / (1 - 4 * n**2)
        before, now = now, ((2 * n + 1) * half_sum * now - n * product * before) / (n + 1)
    return total
