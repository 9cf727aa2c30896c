"""pyradiomics itself, asked for one label, and how its numbers are compared with ours."""

import logging
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

RELATIVE = 1e-6
# What is zero but for rounding (the shade of a symmetric histogram) has no digits to compare, and
# what is the root of such a zero (an axis of a plane) has its rounding at half as many.
NOISE = 1e-9
ROOT_NOISE = 1e-6
ROOTS = ("LeastAxisLength", "MinorAxisLength", "Elongation", "Flatness")


def reference_features(
    image: sitk.Image,
    labelmap: sitk.Image,
    label: int,
    parameters: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, float] | str:
    """Compute what pyradiomics says of one label: its features, or why it refuses."""
    pytest.importorskip("radiomics", reason="pyradiomics is not installed (make setup)")
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL + 1)
    parameters = parameters or {}
    settings = {**parameters.get("setting", {}), **settings, "additionalInfo": False}
    extractor = featureextractor.RadiomicsFeatureExtractor(**settings)
    # Not as a parameter file: the library that checks those does not run without warnings.
    if "imageType" in parameters:
        extractor.disableAllImageTypes()
        extractor.enableImageTypes(**parameters["imageType"])
    if "featureClass" in parameters:
        extractor.disableAllFeatures()
        for name in parameters["featureClass"]:
            extractor.enableFeatureClassByName(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = extractor.execute(image, labelmap, label=label)
        except (ValueError, RuntimeError) as error:
            return str(error)
    # Rounding makes some eigenvalues complex.
    return {name: float(np.real(value)) for name, value in found.items()}


def differences(reference: Mapping[str, float], ours: Mapping[str, float]) -> list[str]:
    """Name the features that differ, with both values."""
    assert set(reference) == set(ours)
    return [
        f"{name}: pyradiomics {value!r}, ours {ours[name]!r}"
        for name, value in reference.items()
        if not (
            (math.isnan(value) and math.isnan(ours[name]))
            or math.isclose(ours[name], value, rel_tol=RELATIVE, abs_tol=_noise(name))
        )
    ]


def _noise(name: str) -> float:
    return ROOT_NOISE if name.endswith(ROOTS) else NOISE
