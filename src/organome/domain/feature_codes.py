"""What a radiomics feature is: IBSI code, aggregation, unit, where we keep to pyradiomics instead.

Source: Zwanenburg et al. 2020 (IBSI reference manual) for codes; pyradiomics 3.0.1,
``featuresDict_IBSIv7.tsv``, for which feature has which, but for the inverse differences, whose
codes are exchanged in that file.
"""

from typing import Final

from organome.domain.feature_meanings import FEATURE_MEANINGS
from organome.domain.feature_names import FeatureClass

_CODES: Final[dict[FeatureClass, str]] = {
    FeatureClass.SHAPE: """
        MeshVolume RNU0, VoxelVolume YEKZ, SurfaceArea C0JK, SurfaceVolumeRatio 2PR5,
        Sphericity QCFX, Maximum3DDiameter L0JK, MajorAxisLength TDIC, MinorAxisLength P9VJ,
        LeastAxisLength 7J51, Elongation Q3CK, Flatness N17B""",
    FeatureClass.FIRSTORDER: """
        Mean Q4LE, Variance ECT3, Skewness KE2A, Kurtosis IPH6, Median Y12H, Minimum 1GSF,
        10Percentile QG58, 90Percentile 8DWT, Maximum 84IY, InterquartileRange SALO, Range 2OJQ,
        MeanAbsoluteDeviation 4FUA, RobustMeanAbsoluteDeviation 1128, Energy N8CA,
        RootMeanSquared 5ZWQ, Entropy TLU2, Uniformity BJ5W""",
    FeatureClass.GLCM: """
        MaximumProbability GYBY, JointAverage 60VM, SumSquares UR99, JointEntropy TU9B,
        DifferenceAverage TF7R, DifferenceVariance D3YU, DifferenceEntropy NTRS, SumAverage ZGXS,
        SumEntropy P6QZ, JointEnergy 8ZQL, Contrast ACUI, Id IB1Z, Idn NDRX, Idm WF0Z, Idmn 1QCO,
        InverseVariance E8JP, Correlation NI2N, Autocorrelation QWB0, ClusterTendency DG8W,
        ClusterShade 7NFM, ClusterProminence AE86, Imc1 R8DG, Imc2 JN9H""",
    FeatureClass.GLRLM: """
        ShortRunEmphasis 22OV, LongRunEmphasis W4KF, LowGrayLevelRunEmphasis V3SW,
        HighGrayLevelRunEmphasis G3QZ, ShortRunLowGrayLevelEmphasis HTZT,
        ShortRunHighGrayLevelEmphasis GD3A, LongRunLowGrayLevelEmphasis IVPO,
        LongRunHighGrayLevelEmphasis 3KUM, GrayLevelNonUniformity R5YN,
        GrayLevelNonUniformityNormalized OVBL, RunLengthNonUniformity W92Y,
        RunLengthNonUniformityNormalized IC23, RunPercentage 9ZK5, GrayLevelVariance 8CE5,
        RunVariance SXLW, RunEntropy HJ9O""",
    FeatureClass.GLSZM: """
        SmallAreaEmphasis 5QRC, LargeAreaEmphasis 48P8, LowGrayLevelZoneEmphasis XMSY,
        HighGrayLevelZoneEmphasis 5GN9, SmallAreaLowGrayLevelEmphasis 5RAI,
        SmallAreaHighGrayLevelEmphasis HW1V, LargeAreaLowGrayLevelEmphasis YH51,
        LargeAreaHighGrayLevelEmphasis J17V, GrayLevelNonUniformity JNSA,
        GrayLevelNonUniformityNormalized Y1RO, SizeZoneNonUniformity 4JP3,
        SizeZoneNonUniformityNormalized VB3A, ZonePercentage P30P, GrayLevelVariance BYLV,
        ZoneVariance 3NSA, ZoneEntropy GU8N""",
    FeatureClass.NGTDM: """
        Coarseness QCDE, Contrast 65HE, Busyness NQ30, Complexity HDEZ, Strength 1X9X""",
    FeatureClass.GLDM: """
        SmallDependenceEmphasis SODN, LargeDependenceEmphasis IMOQ, LowGrayLevelEmphasis TL9H,
        HighGrayLevelEmphasis OAE7, SmallDependenceLowGrayLevelEmphasis EQ3F,
        SmallDependenceHighGrayLevelEmphasis JA6D, LargeDependenceLowGrayLevelEmphasis NBZI,
        LargeDependenceHighGrayLevelEmphasis 9QMG, GrayLevelNonUniformity FP8K,
        DependenceNonUniformity Z87G, DependenceNonUniformityNormalized OKJI,
        GrayLevelVariance 1PFV, DependenceVariance DNX2, DependenceEntropy FCBV""",
}
IBSI_CODES: Final[dict[FeatureClass, dict[str, str]]] = {
    of_class: dict(entry.split() for entry in text.split(",")) for of_class, text in _CODES.items()
}
# Where the same name, or code, is not the same number.
DEVIATIONS: Final = {
    "firstorder_Kurtosis": "not the excess: 3 more than the IBSI's",
    "shape_MajorAxisLength": "covariance with divisor n, the IBSI has n - 1",
    "shape_MinorAxisLength": "covariance with divisor n, the IBSI has n - 1",
    "shape_LeastAxisLength": "covariance with divisor n, the IBSI has n - 1",
}
_AGGREGATION: Final = {
    FeatureClass.GLCM: "mean over directions (IBSI ITBB in 3D, JJUI in the plane)",
    FeatureClass.GLRLM: "mean over directions (IBSI ITBB in 3D, JJUI in the plane)",
    FeatureClass.GLSZM: "one matrix (IBSI KOBO in 3D, 62GR in the plane)",
    FeatureClass.GLDM: "one matrix (IBSI KOBO in 3D, 62GR in the plane)",
    FeatureClass.NGTDM: "one matrix (IBSI KOBO in 3D, 62GR in the plane)",
}
_UNITS: Final = (
    ("Volume", "mm3"),
    ("SurfaceArea", "mm2"),
    ("SurfaceVolumeRatio", "1/mm"),
    ("AxisLength", "mm"),
    ("Diameter", "mm"),
)


def feature_meaning(name: str) -> str:
    """Say what a feature is, for the data dictionary.

    Args:
        name: Full name, ``original_glcm_Contrast``.
    """
    image_type, of_class, feature = _parts(name)
    code = IBSI_CODES[of_class].get(feature)
    meaning = FEATURE_MEANINGS[of_class].get(feature)
    said = [
        f"{feature} ({of_class}) of the {image_type} image" + (f": {meaning}" if meaning else ""),
        f"IBSI {code}" if code else "not in the IBSI",
        _AGGREGATION.get(of_class, ""),
        DEVIATIONS.get(f"{of_class}_{feature}", ""),
    ]
    return "; ".join(part for part in said if part) + "."


def feature_unit(name: str) -> str | None:
    """Name the unit of a shape feature; those of the others depend on the image."""
    _, of_class, feature = _parts(name)
    if of_class is not FeatureClass.SHAPE or feature in ("Elongation", "Flatness", "Sphericity"):
        return None
    if feature == "SurfaceVolumeRatio":
        return "1/mm"
    return next(unit for word, unit in _UNITS if word in feature)


def _parts(name: str) -> tuple[str, FeatureClass, str]:
    image_type, of_class, feature = name.split("_")
    return image_type, FeatureClass(of_class), feature
