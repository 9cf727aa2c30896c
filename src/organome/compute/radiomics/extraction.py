"""All radiomics features of all labels of an image."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.radiomics.region_kernels import N_LABELS
from organome.compute.radiomics.regions import LabelledBox, Region, find_regions
from organome.compute.radiomics.settings import TextureSettings
from organome.compute.radiomics.shape import SurfaceTable, diameters, shape_features, surface_table
from organome.compute.radiomics.shape_kernels import count_cubes
from organome.compute.radiomics.textures import TooManyLevelsError, intensity_features
from organome.domain.feature_names import FEATURES, ORIGINAL, FeatureClass
from organome.domain.outcomes import FeatureReason

Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class RegionFeatures:
    """Features of one label.

    Attributes:
        n_voxels: Voxels of the label.
        values: Features by name, ``original_glcm_Contrast``; NaN where one is not defined for this
            region. Empty where there are none.
        reason: Why some or all are missing, None when none is.
    """

    n_voxels: int
    values: Mapping[str, float] = field(default_factory=dict)
    reason: FeatureReason | None = None


def measure_features(
    image: sitk.Image, labelmap: sitk.Image, settings: TextureSettings | None = None
) -> dict[int, RegionFeatures]:
    """Measure all features of every label.

    Args:
        image: Integer or float intensities, all finite.
        labelmap: uint8 labels on the grid of the image, 0 is background.
        settings: How; pyradiomics' defaults where None.

    Returns:
        Features by label; a label that no voxel holds is not in it.

    Raises:
        ValueError: If the two differ in size, or the labels are not uint8.

    Source:
        pyradiomics 3.0.1 (van Griethuysen et al. 2017), names, conventions and values.
    """
    settings = settings or TextureSettings()
    if image.GetSize() != labelmap.GetSize():
        raise ValueError(f"image {image.GetSize()} and labelmap {labelmap.GetSize()} differ")
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    if labels_zyx.dtype != np.uint8:
        raise ValueError(f"labels are {labels_zyx.dtype}, not uint8")
    box = find_regions(labels_zyx)
    if box is None:
        return {}
    x_mm, y_mm, z_mm = image.GetSpacing()
    measuring = _Measuring(
        image_zyx=sitk.GetArrayViewFromImage(image),
        box=box,
        cubes=_count_cubes(box),
        table=surface_table((z_mm, y_mm, x_mm)),
        spacing_zyx_mm=(z_mm, y_mm, x_mm),
        settings=settings,
    )
    return {region.label: measuring.measure(region) for region in box.regions}


@dataclass(frozen=True, slots=True)
class _Measuring:
    """One image and its regions."""

    image_zyx: NDArray[np.generic]
    box: LabelledBox
    cubes: NDArray[np.int64]
    table: SurfaceTable
    spacing_zyx_mm: Spacing
    settings: TextureSettings

    def measure(self, region: Region) -> RegionFeatures:
        reason = refusal(region, self.settings)
        if reason is not None:
            return RegionFeatures(n_voxels=region.n_voxels, reason=reason)
        places, box_zyx = self.box.places(region)
        by_class = {FeatureClass.SHAPE: self._shape(region, places, box_zyx)}
        z_mm, y_mm, x_mm = self.spacing_zyx_mm
        try:
            by_class |= intensity_features(
                self.box.intensities(self.image_zyx, region),
                places,
                box_zyx,
                settings=self.settings,
                voxel_volume_mm3=x_mm * y_mm * z_mm,
            )
        except TooManyLevelsError:
            reason = FeatureReason.TOO_MANY_LEVELS
        return RegionFeatures(region.n_voxels, *named(by_class, reason))

    def _shape(
        self, region: Region, places: NDArray[np.int32], box_zyx: tuple[int, int, int]
    ) -> dict[str, float]:
        inside = np.zeros(box_zyx[0] * box_zyx[1] * box_zyx[2], np.uint8)
        inside[places] = 1
        cubes = self.cubes[region.label].copy()
        # From the padded labelmap to the region's own padded box, where pyradiomics has its origin.
        cubes[:, 1:] -= cubes[:, :1] * (np.array(region.first_zyx) - 1)
        return shape_features(
            cubes,
            self.table,
            n_voxels=region.n_voxels,
            moments=region.moments,
            diameters_mm=diameters(inside, places, box_zyx, self.spacing_zyx_mm),
            spacing_zyx_mm=self.spacing_zyx_mm,
        )


def refusal(region: Region, settings: TextureSettings) -> FeatureReason | None:
    """Say why pyradiomics refuses a region, None where it does not."""
    if region.n_dimensions == 0:
        return FeatureReason.SINGLE_VOXEL
    in_plane = [
        size
        for axis, size in enumerate(region.size_zyx)
        if not (settings.force_2d and axis == settings.force_2d_dimension)
    ]
    if region.n_dimensions < settings.minimum_roi_dimensions or max(in_plane) == 1:
        return FeatureReason.TOO_FEW_DIMENSIONS
    if settings.minimum_roi_size is not None and region.n_voxels <= settings.minimum_roi_size:
        return FeatureReason.TOO_SMALL
    return None


def named(
    by_class: Mapping[FeatureClass, Mapping[str, float]],
    reason: FeatureReason | None,
    image_type: str = ORIGINAL,
) -> tuple[dict[str, float], FeatureReason | None]:
    """Give features their full names, in the order of the tables; say if any is undefined."""
    values = {
        f"{image_type}_{of_class}_{feature}": by_class[of_class][feature]
        for of_class, features in FEATURES.items()
        if of_class in by_class
        for feature in features
    }
    if reason is None and any(np.isnan(value) for value in values.values()):
        reason = FeatureReason.UNDEFINED
    return values, reason


def _count_cubes(box: LabelledBox) -> NDArray[np.int64]:
    cubes = np.zeros((N_LABELS, 256, 4), np.int64)
    count_cubes(box.padded_zyx, np.arange(N_LABELS), cubes)
    return cubes
