"""Shapes of all labels: their surfaces are found together, in one pass."""

from typing import Final

import numpy as np

from organome.compute.radiomics.mesh_table import N_CONFIGURATIONS
from organome.compute.radiomics.region_kernels import N_LABELS
from organome.compute.radiomics.regions import LabelledBox, Region
from organome.compute.radiomics.shape import Spacing, diameters, shape_features, surface_table
from organome.compute.radiomics.shape_kernels import count_cubes

_N_SUMS: Final = 4


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
