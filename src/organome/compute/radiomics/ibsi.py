"""All features of a region by the IBSI's own definitions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.radiomics.autocorrelation import moran_and_geary
from organome.compute.radiomics.first_order import Sample
from organome.compute.radiomics.ibsi_intensities import (
    Spacing,
    histogram,
    local_peaks,
    statistics,
    volume_curve,
    weigh_places,
)
from organome.compute.radiomics.ibsi_shape import shape_features
from organome.compute.radiomics.ibsi_textures import (
    distances_inside,
    slice_textures,
    volume_textures,
)
from organome.compute.radiomics.matrices import Matrices, fill_matrices
from organome.compute.radiomics.regions import LabelledBox, Region
from organome.domain.ibsi_features import Extent, ibsi_tags
from organome.domain.radiomics_settings import RadiomicsSettings, ResegmentMode


@dataclass(frozen=True, slots=True)
class Form:
    """The shape of a region, before voxels were left out for their intensity.

    Attributes:
        region: The region.
        shape: Its features of shape.
        hull_points_mm: Points of its surface, see ``LabelledShapes``.
    """

    region: Region
    shape: Mapping[str, float]
    hull_points_mm: Floats


@dataclass(frozen=True, slots=True)
class IbsiFeatures:
    """One image and its regions.

    Attributes:
        image: The prepared image.
        box: Its labels.
        settings: Which features.
    """

    image: sitk.Image
    box: LabelledBox
    settings: RadiomicsSettings

    def measure(
        self, region: Region, form: Form, sample: Sample, matrices: Matrices
    ) -> dict[str, float]:
        """Compute the features of a region.

        Args:
            region: Its voxels whose intensity counts.
            form: Its shape.
            sample: Intensities.
            matrices: Texture matrices.

        Returns:
            Features by tag, in the order of the tables; NaN where one is not defined.
        """
        image_zyx = sitk.GetArrayViewFromImage(self.image)
        x_mm, y_mm, z_mm = self.image.GetSpacing()
        spacing_zyx_mm = (z_mm, y_mm, x_mm)
        intensities = self.box.intensities(image_zyx, region)
        morph = shape_features(form.shape, form.hull_points_mm, form.region, spacing_zyx_mm)
        morph["com"] = self._shift_mm(form.region, region, intensities, spacing_zyx_mm)
        morph["integ_int"] = morph["volume"] * sample.mean
        ibsi = self.settings.ibsi
        if ibsi.autocorrelation:
            morph["moran_i"], morph["geary_c"] = moran_and_geary(
                intensities, matrices.places, matrices.box_zyx, spacing_zyx_mm
            )
        peaks = local_peaks(intensities, image_zyx, region, self.box, spacing_zyx_mm)
        curve = volume_curve(
            sample,
            self._limits(),
            is_integer=np.issubdtype(intensities.dtype, np.integer),
            width=ibsi.ivh_bin_width,
            n_bins=ibsi.ivh_bin_count,
        )
        plain = {
            **{f"morph_{name}": value for name, value in morph.items()},
            **{f"loc_peak_{name}": value for name, value in peaks.items()},
            **{f"stat_{name}": value for name, value in statistics(sample).items()},
            **{f"ih_{name}": value for name, value in histogram(matrices.level_counts).items()},
            **{f"ivh_{name}": value for name, value in curve.items()},
        }
        found = plain | self._textures(region, form.region, matrices)
        return {
            tag: found[tag] for tag in ibsi_tags(ibsi.extents, autocorrelation=ibsi.autocorrelation)
        }

    def _shift_mm(
        self, whole: Region, region: Region, intensities: NDArray[Any], spacing_zyx_mm: Spacing
    ) -> float:
        """Distance between the centre of the shape and that of intensity."""
        sums = np.zeros(4)
        weigh_places(region.voxels, self.box.padded_zyx.shape[1:], intensities, sums)
        if sums[0] == 0:
            return float("nan")
        steps = np.array(whole.moments[:3]) / whole.n_voxels - sums[1:] / sums[0]
        return float(np.linalg.norm(steps * np.array(spacing_zyx_mm)))

    def _limits(self) -> tuple[float | None, float | None]:
        preparation = self.settings.preparation
        if preparation.resegment_range is None or (
            preparation.resegment_mode is not ResegmentMode.ABSOLUTE
        ):
            return None, None
        limits: list[float | None] = [*sorted(preparation.resegment_range), None]
        return limits[0], limits[1]

    def _textures(self, region: Region, whole: Region, matrices: Matrices) -> dict[str, float]:
        extents, texture = self.settings.ibsi.extents, self.settings.texture
        features: dict[str, float] = {}
        if set(extents) - {Extent.VOLUME}:
            axis = texture.force_2d_dimension
            distances_zyx = self._distances(region, whole, matrices, axis)
            features |= slice_textures(
                np.ascontiguousarray(
                    np.moveaxis(matrices.levels.reshape(matrices.box_zyx), axis, 0)
                ),
                np.ascontiguousarray(np.moveaxis(distances_zyx, axis, 0)),
                matrices.level_counts,
                texture.gldm_a,
            )
        if Extent.VOLUME in extents:
            distances_zyx = self._distances(region, whole, matrices, None)
            if texture.force_2d:
                matrices = fill_matrices(
                    matrices.levels,
                    matrices.places,
                    matrices.box_zyx,
                    matrices.level_counts,
                    replace(texture, force_2d=False),
                )
            features |= volume_textures(matrices, distances_zyx.reshape(-1))
        return features

    def _distances(
        self, region: Region, whole: Region, matrices: Matrices, axis: int | None
    ) -> NDArray[np.uint16]:
        """Count steps to the outside of the whole region, in the box of what is left of it."""
        places, box_zyx = self.box.places(whole)
        inside = np.zeros(box_zyx, np.uint8)
        inside.reshape(-1)[places] = 1
        distances = distances_inside(inside, axis).reshape(-1)
        if region is whole:
            return distances.reshape(box_zyx)
        kept, _ = self.box.places(region, whole)
        of_part = np.zeros(matrices.levels.size, np.uint16)
        of_part[matrices.places] = distances[kept]
        return of_part.reshape(matrices.box_zyx)
