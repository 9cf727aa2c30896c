"""Features with settings of pyradiomics' own, but for grey levels and neighbours."""

import SimpleITK as sitk

from organome.compute.radiomics.extraction import RegionFeatures, extract_features
from organome.domain.radiomics_settings import RadiomicsSettings, TextureSettings


def measure_features(
    image: sitk.Image, labelmap: sitk.Image, texture: TextureSettings | None = None
) -> dict[int, RegionFeatures]:
    """Measure the 107 features of every label of the image as it is."""
    settings = RadiomicsSettings(texture=texture or TextureSettings())
    return extract_features(image, labelmap, settings)
