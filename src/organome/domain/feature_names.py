"""Names of the radiomics features, as pyradiomics 3.0.1 has them, in its order."""

from enum import StrEnum
from typing import Final


class FeatureClass(StrEnum):
    """A family of features; values are those of pyradiomics."""

    SHAPE = "shape"
    FIRSTORDER = "firstorder"
    GLCM = "glcm"
    GLDM = "gldm"
    GLRLM = "glrlm"
    GLSZM = "glszm"
    NGTDM = "ngtdm"


SHAPE: Final = (
    "Elongation",
    "Flatness",
    "LeastAxisLength",
    "MajorAxisLength",
    "Maximum2DDiameterColumn",
    "Maximum2DDiameterRow",
    "Maximum2DDiameterSlice",
    "Maximum3DDiameter",
    "MeshVolume",
    "MinorAxisLength",
    "Sphericity",
    "SurfaceArea",
    "SurfaceVolumeRatio",
    "VoxelVolume",
)
FIRSTORDER: Final = (
    "10Percentile",
    "90Percentile",
    "Energy",
    "Entropy",
    "InterquartileRange",
    "Kurtosis",
    "Maximum",
    "MeanAbsoluteDeviation",
    "Mean",
    "Median",
    "Minimum",
    "Range",
    "RobustMeanAbsoluteDeviation",
    "RootMeanSquared",
    "Skewness",
    "TotalEnergy",
    "Uniformity",
    "Variance",
)
GLCM: Final = (
    "Autocorrelation",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "Id",
    "Idm",
    "Idmn",
    "Idn",
    "Imc1",
    "Imc2",
    "InverseVariance",
    "JointAverage",
    "JointEnergy",
    "JointEntropy",
    "MCC",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
)
GLDM: Final = (
    "DependenceEntropy",
    "DependenceNonUniformity",
    "DependenceNonUniformityNormalized",
    "DependenceVariance",
    "GrayLevelNonUniformity",
    "GrayLevelVariance",
    "HighGrayLevelEmphasis",
    "LargeDependenceEmphasis",
    "LargeDependenceHighGrayLevelEmphasis",
    "LargeDependenceLowGrayLevelEmphasis",
    "LowGrayLevelEmphasis",
    "SmallDependenceEmphasis",
    "SmallDependenceHighGrayLevelEmphasis",
    "SmallDependenceLowGrayLevelEmphasis",
)
GLRLM: Final = (
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "GrayLevelVariance",
    "HighGrayLevelRunEmphasis",
    "LongRunEmphasis",
    "LongRunHighGrayLevelEmphasis",
    "LongRunLowGrayLevelEmphasis",
    "LowGrayLevelRunEmphasis",
    "RunEntropy",
    "RunLengthNonUniformity",
    "RunLengthNonUniformityNormalized",
    "RunPercentage",
    "RunVariance",
    "ShortRunEmphasis",
    "ShortRunHighGrayLevelEmphasis",
    "ShortRunLowGrayLevelEmphasis",
)
GLSZM: Final = (
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "GrayLevelVariance",
    "HighGrayLevelZoneEmphasis",
    "LargeAreaEmphasis",
    "LargeAreaHighGrayLevelEmphasis",
    "LargeAreaLowGrayLevelEmphasis",
    "LowGrayLevelZoneEmphasis",
    "SizeZoneNonUniformity",
    "SizeZoneNonUniformityNormalized",
    "SmallAreaEmphasis",
    "SmallAreaHighGrayLevelEmphasis",
    "SmallAreaLowGrayLevelEmphasis",
    "ZoneEntropy",
    "ZonePercentage",
    "ZoneVariance",
)
NGTDM: Final = ("Busyness", "Coarseness", "Complexity", "Contrast", "Strength")

FEATURES: Final[dict[FeatureClass, tuple[str, ...]]] = {
    FeatureClass.SHAPE: SHAPE,
    FeatureClass.FIRSTORDER: FIRSTORDER,
    FeatureClass.GLCM: GLCM,
    FeatureClass.GLDM: GLDM,
    FeatureClass.GLRLM: GLRLM,
    FeatureClass.GLSZM: GLSZM,
    FeatureClass.NGTDM: NGTDM,
}
ORIGINAL: Final = "original"


def feature_names(image_type: str = ORIGINAL) -> tuple[str, ...]:
    """Name all features of one image type, 107 of the original image, 93 of a filtered one.

    Shape does not depend on intensities and is told once, with the original image.
    """
    return tuple(
        f"{image_type}_{of_class}_{feature}"
        for of_class, features in FEATURES.items()
        if of_class is not FeatureClass.SHAPE or image_type == ORIGINAL
        for feature in features
    )
