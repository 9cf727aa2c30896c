"""All radiomics features of all labels of an image."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isnan
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.compute.radiomics.first_order import Sample
from organome.compute.radiomics.ibsi import Form, IbsiFeatures
from organome.compute.radiomics.matrices import Matrices
from organome.compute.radiomics.preparation import (
    Normalization,
    filtered_images,
    late_normalization,
    prepare,
    within_range,
)
from organome.compute.radiomics.regions import (
    LabelledBox,
    Region,
    find_regions,
    inside_box,
    only,
    part_of,
)
from organome.compute.radiomics.shape import LabelledShapes, Spacing
from organome.compute.radiomics.textures import Intensities, intensity_features
from organome.domain.features import FEATURES, ORIGINAL, FeatureClass
from organome.domain.organs import BACKGROUND
from organome.domain.outcomes import FeatureReason
from organome.domain.radiomics_settings import (
    WAVELET,
    Processing,
    RadiomicsSettings,
    TextureSettings,
)

# By label and spacing, features and points of the surface, as ``LabelledShapes`` measures them.
Shapes = dict[tuple[int, Spacing], tuple[dict[str, float], Floats]]

BYTES_PER_INTEGER_VOXEL: Final = 25
BYTES_PER_FLOAT_VOXEL: Final = 46
BYTES_PER_LEVEL_PAIR: Final = 1000


@dataclass(frozen=True, slots=True)
class RegionFeatures:
    """Features of one label.

    Attributes:
        n_voxels: Voxels of the label on the grid that was measured, less what was resegmented.
        values: Features by name, ``original_glcm_Contrast``; NaN where one is not defined for this
            region. Empty where there are none.
        reason: Why some or all are missing, None when none is.
        intensities: What features are of, by image type.
    """

    n_voxels: int
    values: Mapping[str, float] = field(default_factory=dict)
    reason: FeatureReason | None = None
    intensities: Mapping[str, Intensities] = field(default_factory=dict)


def extract_features(
    image: sitk.Image,
    labelmap: sitk.Image,
    settings: RadiomicsSettings,
    *,
    shapes: Shapes | None = None,
) -> dict[int, RegionFeatures]:
    """Measure all features of every label.

    Beyond image and labelmap this takes, where all is one label, ``BYTES_PER_INTEGER_VOXEL`` or
    ``BYTES_PER_FLOAT_VOXEL`` for each voxel of the box around all labels, less where there are
    several; and ``BYTES_PER_LEVEL_PAIR`` for the square of the number of grey levels. Preparing
    and filtering come on top, with images of their own.

    Args:
        image: Integer or float intensities, all finite.
        labelmap: uint8 labels on the grid of the image, 0 is background.
        settings: What is done before, which images, grey levels.
        shapes: What was measured of this very labelmap before, of another image; what is missing is
            added. Not used where the labels are resampled or lose voxels.

    Returns:
        Features by label; a label that no voxel holds is not in it.

    Raises:
        ValueError: If the two differ in size, or the labels are not uint8.

    Source:
        pyradiomics 3.0.1 (van Griethuysen et al. 2017), names, conventions and values.
    """
    if image.GetSize() != labelmap.GetSize():
        raise ValueError(f"image {image.GetSize()} and labelmap {labelmap.GetSize()} differ")
    if labelmap.GetPixelID() != sitk.sitkUInt8:
        raise ValueError(f"labels are {labelmap.GetPixelIDTypeAsString()}, not uint8")
    if not settings.reads_intensities:
        settings = replace(settings, preparation=replace(settings.preparation, normalize=False))
    late = late_normalization(image, settings)
    prepared, prepared_labels = (
        prepare(image, labelmap, settings.preparation) if late is None else (image, labelmap)
    )
    if shapes is None or prepared_labels is not labelmap or settings.preparation.leaves_out:
        shapes = {}
    box = find_regions(sitk.GetArrayViewFromImage(prepared_labels))
    found = {} if box is None else _Extraction(prepared, box, settings, late, shapes).run()
    if prepared_labels is not labelmap:
        labels = np.unique(sitk.GetArrayViewFromImage(labelmap)).tolist()
        for label in set(labels) - {BACKGROUND} - set(found):
            found[label] = RegionFeatures(n_voxels=0, reason=FeatureReason.RESAMPLED_AWAY)
    return dict(sorted(found.items()))


class _Extraction:
    """One prepared image and its regions."""

    def __init__(
        self,
        image: sitk.Image,
        box: LabelledBox,
        settings: RadiomicsSettings,
        late: Normalization | None,
        shapes: Shapes,
    ) -> None:
        self._image = image
        self._shapes = shapes
        self._late = late
        self._settings = settings
        x_mm, y_mm, z_mm = image.GetSpacing()
        self._spacing_zyx_mm = (z_mm, y_mm, x_mm)
        self._box = box
        self._regions: dict[int, Region] = {}
        self._reasons: dict[int, FeatureReason] = {}
        self._n_voxels: dict[int, int] = {}
        self._values: dict[int, dict[str, float]] = {}
        self._intensities: dict[int, dict[str, Intensities]] = {}
        self._forms: dict[int, Form] = {}
        self._ibsi_values: dict[int, dict[str, float]] = {}

    def run(self) -> dict[int, RegionFeatures]:
        self._choose_voxels()
        if FeatureClass.SHAPE in self._settings.classes or self._settings.ibsi.extents:
            self._measure_shapes()
        if set(self._settings.classes) - {FeatureClass.SHAPE} or self._settings.ibsi.extents:
            texture = self._settings.texture_of(WAVELET)
            for name, image in filtered_images(
                self._image,
                self._settings.filters,
                force_2d_dimension=texture.force_2d_dimension if texture.force_2d else None,
            ):
                self._measure_image(name, image)
        for label, features in self._ibsi_values.items():
            self._values[label] |= features
        return {label: self._result(label) for label in self._n_voxels}

    def _choose_voxels(self) -> None:
        """Resegment, and refuse what pyradiomics refuses."""
        image_zyx = sitk.GetArrayViewFromImage(self._image)
        preparation = self._settings.preparation
        for whole in self._box.regions:
            reason, region = refusal(whole, self._settings), whole
            if reason is None and preparation.leaves_out:
                kept = within_range(self._intensities_of(image_zyx, whole), preparation)
                part = part_of(whole, kept, self._box)
                self._n_voxels[whole.label] = part.n_voxels if part else 0
                if part is None or part.n_voxels == 1:
                    reason = FeatureReason.RESEGMENTED_AWAY
                else:
                    reason, region = refusal(part, self._settings), part
            self._n_voxels.setdefault(whole.label, whole.n_voxels)
            if reason is not None:
                self._reasons[whole.label] = reason
            else:
                self._regions[whole.label] = region
                self._values[whole.label] = {}
                self._intensities[whole.label] = {}

    def _intensities_of(self, image_zyx: NDArray[Any], region: Region) -> NDArray[Any]:
        intensities = self._box.intensities(image_zyx, region)
        return intensities if self._late is None else self._late.of(intensities)

    def _measure_shapes(self) -> None:
        box, preparation = self._box, self._settings.preparation
        if preparation.leaves_out and preparation.processing is Processing.PYRADIOMICS:
            regions = (
                self._regions[whole.label]
                if preparation.resegment_shape
                # pyradiomics keeps what was left out, but only in the box of what is left.
                else inside_box(whole, self._regions[whole.label], box)
                for whole in box.regions
                if whole.label in self._regions
            )
            box = only(box, regions)
        measured = [region for region in box.regions if region.label in self._regions]
        keys = {region.label: (region.label, self._spacing_zyx_mm) for region in measured}
        missing = [region for region in measured if keys[region.label] not in self._shapes]
        if missing:
            surfaces = LabelledShapes(box, self._spacing_zyx_mm)
            self._shapes |= {keys[one.label]: surfaces.measure(one) for one in missing}
        for region in measured:
            shape, points_mm = self._shapes[keys[region.label]]
            self._add(region.label, ORIGINAL, {FeatureClass.SHAPE: shape})
            if self._settings.ibsi.extents:
                self._forms[region.label] = Form(region, shape, points_mm)

    def _measure_image(self, name: str, image: sitk.Image) -> None:
        image_zyx = sitk.GetArrayViewFromImage(image)
        z_mm, y_mm, x_mm = self._spacing_zyx_mm
        with_ibsi = self._settings.ibsi.extents and name == ORIGINAL
        for label, region in self._regions.items():
            places, box_zyx = self._box.places(region)
            features, self._intensities[label][name] = intensity_features(
                self._intensities_of(image_zyx, region),
                places,
                box_zyx,
                settings=self._settings.texture_of(name),
                voxel_volume_mm3=x_mm * y_mm * z_mm,
                also=partial(self._measure_ibsi, region) if with_ibsi else None,
            )
            self._add(label, name, features)

    def _measure_ibsi(self, region: Region, sample: Sample, matrices: Matrices) -> None:
        features = IbsiFeatures(self._image, self._box, self._settings).measure(
            region, self._forms[region.label], sample, matrices
        )
        self._ibsi_values[region.label] = {
            f"{ORIGINAL}_{FeatureClass.IBSI}_{tag}": value for tag, value in features.items()
        }

    def _add(
        self, label: int, image_type: str, by_class: Mapping[FeatureClass, Mapping[str, float]]
    ) -> None:
        """Give features their full names, in the order of the tables."""
        self._values[label] |= {
            f"{image_type}_{of_class}_{feature}": by_class[of_class][feature]
            for of_class, features in FEATURES.items()
            if of_class in by_class and of_class in self._settings.classes
            for feature in features
            if feature in by_class[of_class]
        }

    def _result(self, label: int) -> RegionFeatures:
        values = self._values.get(label, {})
        reason = self._reasons.get(label)
        intensities = self._intensities.get(label, {})
        if any(each.too_many_levels for each in intensities.values()):
            reason = FeatureReason.TOO_MANY_LEVELS
        elif reason is None and any(map(isnan, values.values())):
            reason = FeatureReason.UNDEFINED
        return RegionFeatures(self._n_voxels[label], values, reason, intensities)


def refusal(region: Region, settings: RadiomicsSettings) -> FeatureReason | None:
    """Return why pyradiomics refuses a region, None where it does not."""
    if region.n_dimensions == 0:
        return FeatureReason.SINGLE_VOXEL
    if region.n_dimensions < settings.texture.minimum_roi_dimensions:
        return FeatureReason.TOO_FEW_DIMENSIONS
    minimum_size = settings.texture.minimum_roi_size
    if minimum_size is not None and region.n_voxels <= minimum_size:
        return FeatureReason.TOO_SMALL
    if any(_is_across(region, texture) for texture in settings.textures_of_neighbours()):
        return FeatureReason.TOO_FEW_DIMENSIONS
    return None


def _is_across(region: Region, texture: TextureSettings) -> bool:
    """Return whether neighbours are looked for in planes that the region is a point of."""
    left_out = texture.force_2d_dimension if texture.force_2d else None
    return all(size == 1 for axis, size in enumerate(region.size_zyx) if axis != left_out)
