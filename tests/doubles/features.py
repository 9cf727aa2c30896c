"""Features with settings of pyradiomics' own, but for grey levels and neighbours."""

from collections.abc import Mapping, Sequence
from typing import Any

import SimpleITK as sitk

from organome.compute.radiomics.extraction import RegionFeatures, extract_features
from organome.domain.radiomics_settings import RadiomicsSettings, TextureSettings


def measure_features(
    image: sitk.Image, labelmap: sitk.Image, texture: TextureSettings | None = None
) -> dict[int, RegionFeatures]:
    """Measure the 107 features of every label of the image as it is."""
    settings = RadiomicsSettings(texture=texture or TextureSettings())
    return extract_features(image, labelmap, settings)


def unexplained(row: Mapping[str, Any], features: Sequence[str]) -> list[str]:
    """Name the features of a row that are null without a reason, as a reader of the table would."""
    missing = [name for name in features if row[name] is None]
    if row["na_reason"] is not None and row.get("na_features") is None:
        return [] if len(missing) == len(features) else missing
    beginnings = dict(each.split("=") for each in (row.get("na_features") or "").split(";") if each)

    def is_explained(name: str) -> bool:
        parts = name.split("_")
        return any("_".join(parts[:n]) in beginnings for n in (1, 2, 3))

    return [name for name in missing if not is_explained(name)]
