"""Radiomics features: names, meaning in a few words, IBSI code, unit, where we keep to pyradiomics.

Names are those of pyradiomics 3.0.1, in its order. Grey level means the number of the bin that an
intensity falls into. Exact definitions: the IBSI reference manual by the code of the feature, and
pyradiomics' documentation.

Source: Zwanenburg et al. 2020 (IBSI reference manual) for codes; pyradiomics 3.0.1,
``featuresDict_IBSIv7.tsv``, for which feature has which, but for the inverse differences, whose
codes are exchanged in that file.
"""

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

    Shape does not depend on intensities and is measured once, with the original image.
    """
    return tuple(
        f"{image_type}_{of_class}_{feature}"
        for of_class, features in FEATURES.items()
        if of_class is not FeatureClass.SHAPE or image_type == ORIGINAL
        for feature in features
    )


_LEVELS: Final = """
    GrayLevelNonUniformity: how unequally {things} are shared among grey levels; grows with size
    GrayLevelNonUniformityNormalized: how unequally {things} are shared among grey levels, 0 to 1
    GrayLevelVariance: spread of the grey levels of {things}
"""
_LEVELS_AND_SIZES: Final = """
    HighGrayLevel{Thing}Emphasis: weight of {things} of high level
    LowGrayLevel{Thing}Emphasis: weight of {things} of low level
    {Large}Emphasis: weight of {large} {things}; high where smooth
    {Small}Emphasis: weight of {small} {things}; high where rough
    {Large}HighGrayLevelEmphasis: {large} and of high level
    {Large}LowGrayLevelEmphasis: {large} and of low level
    {Small}HighGrayLevelEmphasis: {small} and of high level
    {Small}LowGrayLevelEmphasis: {small} and of low level
"""
_TEXTS: Final[dict[FeatureClass, str]] = {
    FeatureClass.SHAPE: """
    MeshVolume: volume within the surface of triangles
    VoxelVolume: number of voxels times the volume of one
    SurfaceArea: area of the surface of triangles
    SurfaceVolumeRatio: surface over volume; smaller organs have more
    Sphericity: 1 for a ball, less for all else
    Maximum3DDiameter: greatest distance of two points of the surface
    Maximum2DDiameterSlice: greatest diameter within planes of rows and columns
    Maximum2DDiameterColumn: greatest diameter within planes of rows and slices
    Maximum2DDiameterRow: greatest diameter within planes of columns and slices
    MajorAxisLength: length of the ellipsoid with the same spread, longest axis
    MinorAxisLength: length of the ellipsoid with the same spread, second axis
    LeastAxisLength: length of the ellipsoid with the same spread, shortest axis
    Elongation: second axis over longest, 1 where equal
    Flatness: shortest axis over longest, 1 for a ball
    """,
    FeatureClass.FIRSTORDER: """
    Mean: mean intensity
    Median: median intensity
    Minimum: least intensity
    Maximum: greatest intensity
    10Percentile: 10th percentile of intensity
    90Percentile: 90th percentile of intensity
    Range: greatest less least intensity
    InterquartileRange: 75th less 25th percentile
    Variance: variance of intensity, divisor n
    Skewness: asymmetry of the histogram, above 0 with a tail to bright
    Kurtosis: weight of the tails of the histogram, 3 for a Gaussian
    MeanAbsoluteDeviation: mean distance from the mean
    RobustMeanAbsoluteDeviation: mean distance from the mean, of 10th to 90th percentile
    RootMeanSquared: root of the mean of squared intensity
    Energy: sum of squared intensity; grows with size
    TotalEnergy: energy times the volume of a voxel
    Entropy: disorder of the histogram of grey levels, in bits
    Uniformity: sum of squared shares of the grey levels, 1 where flat
    """,
    FeatureClass.GLCM: """
    Autocorrelation: mean product of the levels of two neighbours; high where levels are
    ClusterProminence: fourth moment of the sum of both levels about its mean
    ClusterShade: third moment of the sum of both levels; asymmetry
    ClusterTendency: second moment of the sum of both levels
    Contrast: mean squared difference of neighbours; high in coarse noise and at edges
    Correlation: linear correlation of neighbours, -1 to 1
    DifferenceAverage: mean difference of neighbours
    DifferenceEntropy: disorder of differences, in bits
    DifferenceVariance: spread of differences
    Id: inverse difference, 1 where neighbours are equal
    Idm: inverse squared difference, 1 where neighbours are equal
    Idmn: inverse squared difference, over the number of levels
    Idn: inverse difference, over the number of levels
    Imc1: correlation by mutual information, 0 (none) to -1
    Imc2: correlation by mutual information, 0 (none) to 1
    InverseVariance: inverse squared difference of neighbours that are not equal
    JointAverage: mean level
    JointEnergy: sum of squared shares of pairs; high where few kinds of pairs occur
    JointEntropy: disorder of pairs, in bits
    MCC: maximal correlation coefficient, complexity of the texture, 0 to 1
    MaximumProbability: share of the most frequent pair
    SumAverage: mean sum of both levels, twice the joint average
    SumEntropy: disorder of sums, in bits
    SumSquares: variance of the level of one of a pair
    """,
    FeatureClass.GLDM: """
    GrayLevelNonUniformity: how unequally voxels are shared among grey levels; grows with size
    GrayLevelVariance: spread of the grey levels of voxels
    DependenceEntropy: disorder of level and number of like neighbours, in bits
    DependenceNonUniformity: how unequal numbers of like neighbours are; grows with size
    DependenceNonUniformityNormalized: how unequal numbers of like neighbours are, 0 to 1
    DependenceVariance: spread of the number of like neighbours
    HighGrayLevelEmphasis: weight of high levels
    LowGrayLevelEmphasis: weight of low levels
    LargeDependenceEmphasis: weight of voxels with many like neighbours; high where smooth
    SmallDependenceEmphasis: weight of voxels with few like neighbours; high where rough
    LargeDependenceHighGrayLevelEmphasis: smooth and of high level
    LargeDependenceLowGrayLevelEmphasis: smooth and of low level
    SmallDependenceHighGrayLevelEmphasis: rough and of high level
    SmallDependenceLowGrayLevelEmphasis: rough and of low level
    """,
    FeatureClass.GLRLM: _LEVELS.format(things="runs")
    + _LEVELS_AND_SIZES.format(
        Thing="Run", things="runs", Large="LongRun", large="long", Small="ShortRun", small="short"
    )
    + """
    RunEntropy: disorder of level and length, in bits
    RunLengthNonUniformity: how unequal lengths are; grows with size
    RunLengthNonUniformityNormalized: how unequal lengths are, 0 to 1
    RunPercentage: runs over voxels, 1 where every voxel is a run
    RunVariance: spread of the lengths
    """,
    FeatureClass.GLSZM: _LEVELS.format(things="zones")
    + _LEVELS_AND_SIZES.format(
        Thing="Zone",
        things="zones",
        Large="LargeArea",
        large="large",
        Small="SmallArea",
        small="small",
    )
    + """
    SizeZoneNonUniformity: how unequal sizes are; grows with size of the organ
    SizeZoneNonUniformityNormalized: how unequal sizes are, 0 to 1
    ZoneEntropy: disorder of level and size, in bits
    ZonePercentage: zones over voxels, 1 where every voxel is a zone
    ZoneVariance: spread of the sizes
    """,
    FeatureClass.NGTDM: """
    Busyness: how fast levels change from voxel to neighbours
    Coarseness: inverse of how fast levels change; high where the texture is coarse
    Complexity: many and fast changes of level
    Contrast: range of levels times change; needs both
    Strength: distinct, slowly changing patterns
    """,
}
FEATURE_MEANINGS: Final[dict[FeatureClass, dict[str, str]]] = {
    of_class: dict(
        line.strip().split(": ", 1) for line in text.strip().splitlines() if line.strip()
    )
    for of_class, text in _TEXTS.items()
}


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
    """Return what a feature is, for the data dictionary.

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
