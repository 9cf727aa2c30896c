"""The same features by pyradiomics itself, for settings that are not done natively.

Only the box of a label is handed over, unless a setting looks beyond it.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from organome.compute.radiomics.extraction import RegionFeatures
from organome.domain.errors import SetupError
from organome.domain.outcomes import FeatureReason

# Names of settings whose result depends on voxels outside the label's box.
_WIDE_SETTINGS: Final = ("normalize", "resampledPixelSpacing")
_MARGIN_VOXELS: Final = 1
_REASONS: Final = (
    ("1 segmented voxel", FeatureReason.SINGLE_VOXEL),
    ("too few dimensions", FeatureReason.TOO_FEW_DIMENSIONS),
    ("angle count", FeatureReason.TOO_FEW_DIMENSIONS),
    ("too small", FeatureReason.TOO_SMALL),
    ("excluded too many voxels", FeatureReason.RESEGMENTED_AWAY),
    ("not present in mask", FeatureReason.RESAMPLED_AWAY),
)


def extract_by_pyradiomics(
    image: sitk.Image, labelmap: sitk.Image, parameters: Mapping[str, Any]
) -> dict[int, RegionFeatures]:
    """Measure every label with pyradiomics.

    Args:
        image: Intensities.
        labelmap: Labels on the grid of the image, 0 is background.
        parameters: As in a parameter file of pyradiomics.

    Returns:
        Features by label. Features are missing with a reason where pyradiomics refuses.

    Raises:
        SetupError: If pyradiomics is not installed, or does not take the parameters.
    """
    extractor = _extractor(parameters)
    boxes = sitk.LabelShapeStatisticsImageFilter()
    boxes.Execute(labelmap)
    setting = parameters.get("setting") or {}
    types = parameters.get("imageType") or {"Original": {}}
    wide = set(types) != {"Original"} or any(setting.get(name) for name in _WIDE_SETTINGS)
    found = {}
    for label in boxes.GetLabels():
        part = (image, labelmap)
        if not wide:
            part = _crop(image, labelmap, boxes.GetBoundingBox(label))
        found[label] = _measure(extractor, *part, label, boxes.GetNumberOfPixels(label))
    return found


def _extractor(parameters: Mapping[str, Any]) -> Any:
    try:
        import radiomics
        from radiomics import featureextractor
    except ImportError as error:
        raise SetupError(
            "the engine pyradiomics is not installed; see docs/radiomics.md"
        ) from error
    if parameters.get("organome"):
        raise SetupError("the engine pyradiomics does not know the settings under 'organome'")
    radiomics.setVerbosity(60)  # it logs every label
    # Not as a parameter file: the library that checks those does not run on Python 3.12.
    extractor = featureextractor.RadiomicsFeatureExtractor(**(parameters.get("setting") or {}))
    extractor.settings["additionalInfo"] = False
    if parameters.get("imageType"):
        extractor.disableAllImageTypes()
        extractor.enableImageTypes(**{k: v or {} for k, v in parameters["imageType"].items()})
    if parameters.get("featureClass"):
        extractor.disableAllFeatures()
        for name, features in parameters["featureClass"].items():
            extractor.enableFeaturesByName(**{name: features or []})
    return extractor


def _measure(
    extractor: Any, image: sitk.Image, labelmap: sitk.Image, label: int, n_voxels: int
) -> RegionFeatures:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = extractor.execute(image, labelmap, label=label)
    except (ValueError, RuntimeError) as error:
        for words, reason in _REASONS:
            if words in str(error):
                return RegionFeatures(n_voxels=n_voxels, reason=reason)
        raise
    values = {name: float(np.real(value)) for name, value in found.items()}
    undefined = any(np.isnan(value) for value in values.values())
    return RegionFeatures(n_voxels, values, FeatureReason.UNDEFINED if undefined else None)


def _crop(
    image: sitk.Image, labelmap: sitk.Image, box: tuple[int, ...]
) -> tuple[sitk.Image, sitk.Image]:
    # A margin, because pyradiomics takes a box that the label fills for one without labels.
    span = tuple(
        slice(max(0, start - _MARGIN_VOXELS), min(size, start + extent + _MARGIN_VOXELS))
        for size, start, extent in zip(image.GetSize(), box[:3], box[3:], strict=True)
    )
    return image[span], labelmap[span]
