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

from organome.domain.ibsi_features import describe_tag


class FeatureClass(StrEnum):
    """A family of features; values are those of pyradiomics, but for the last."""

    SHAPE = "shape"
    FIRSTORDER = "firstorder"
    GLCM = "glcm"
    GLDM = "gldm"
    GLRLM = "glrlm"
    GLSZM = "glszm"
    NGTDM = "ngtdm"
    IBSI = "ibsi"  # of the IBSI, by its own definitions and tags: ``ibsi_features``


# Of every class in the order of the tables: name, IBSI code (- for none), meaning.
_TABLE: Final[dict[FeatureClass, str]] = {
    FeatureClass.SHAPE: """
    Elongation Q3CK second axis over longest, 1 where equal
    Flatness N17B shortest axis over longest, 1 for a ball
    LeastAxisLength 7J51 length of the ellipsoid with the same spread, shortest axis
    MajorAxisLength TDIC length of the ellipsoid with the same spread, longest axis
    Maximum2DDiameterColumn - greatest diameter within planes of rows and slices
    Maximum2DDiameterRow - greatest diameter within planes of columns and slices
    Maximum2DDiameterSlice - greatest diameter within planes of rows and columns
    Maximum3DDiameter L0JK greatest distance of two points of the surface
    MeshVolume RNU0 volume within the surface of triangles
    MinorAxisLength P9VJ length of the ellipsoid with the same spread, second axis
    Sphericity QCFX 1 for a ball, less for all else
    SurfaceArea C0JK area of the surface of triangles
    SurfaceVolumeRatio 2PR5 surface over volume; smaller organs have more
    VoxelVolume YEKZ number of voxels times the volume of one
    """,
    FeatureClass.FIRSTORDER: """
    10Percentile QG58 10th percentile of intensity
    90Percentile 8DWT 90th percentile of intensity
    Energy N8CA sum of squared intensity; grows with size
    Entropy TLU2 disorder of the histogram of grey levels, in bits
    InterquartileRange SALO 75th less 25th percentile
    Kurtosis IPH6 weight of the tails of the histogram, 3 for a Gaussian
    Maximum 84IY greatest intensity
    MeanAbsoluteDeviation 4FUA mean distance from the mean
    Mean Q4LE mean intensity
    Median Y12H median intensity
    Minimum 1GSF least intensity
    Range 2OJQ greatest less least intensity
    RobustMeanAbsoluteDeviation 1128 mean distance from the mean, of 10th to 90th percentile
    RootMeanSquared 5ZWQ root of the mean of squared intensity
    Skewness KE2A asymmetry of the histogram, above 0 with a tail to bright
    TotalEnergy - energy times the volume of a voxel
    Uniformity BJ5W sum of squared shares of the grey levels, 1 where flat
    Variance ECT3 variance of intensity, divisor n
    """,
    FeatureClass.GLCM: """
    Autocorrelation QWB0 mean product of the levels of two neighbours; high where levels are
    ClusterProminence AE86 fourth moment of the sum of both levels about its mean
    ClusterShade 7NFM third moment of the sum of both levels; asymmetry
    ClusterTendency DG8W second moment of the sum of both levels
    Contrast ACUI mean squared difference of neighbours; high in coarse noise and at edges
    Correlation NI2N linear correlation of neighbours, -1 to 1
    DifferenceAverage TF7R mean difference of neighbours
    DifferenceEntropy NTRS disorder of differences, in bits
    DifferenceVariance D3YU spread of differences
    Id IB1Z inverse difference, 1 where neighbours are equal
    Idm WF0Z inverse squared difference, 1 where neighbours are equal
    Idmn 1QCO inverse squared difference, over the number of levels
    Idn NDRX inverse difference, over the number of levels
    Imc1 R8DG correlation by mutual information, 0 (none) to -1
    Imc2 JN9H correlation by mutual information, 0 (none) to 1
    InverseVariance E8JP inverse squared difference of neighbours that are not equal
    JointAverage 60VM mean level
    JointEnergy 8ZQL sum of squared shares of pairs; high where few kinds of pairs occur
    JointEntropy TU9B disorder of pairs, in bits
    MCC - maximal correlation coefficient, complexity of the texture, 0 to 1
    MaximumProbability GYBY share of the most frequent pair
    SumAverage ZGXS mean sum of both levels, twice the joint average
    SumEntropy P6QZ disorder of sums, in bits
    SumSquares UR99 variance of the level of one of a pair
    """,
    FeatureClass.GLDM: """
    DependenceEntropy FCBV disorder of level and number of like neighbours, in bits
    DependenceNonUniformity Z87G how unequal numbers of like neighbours are; grows with size
    DependenceNonUniformityNormalized OKJI how unequal numbers of like neighbours are, 0 to 1
    DependenceVariance DNX2 spread of the number of like neighbours
    GrayLevelNonUniformity FP8K how unequally voxels are shared among grey levels; grows with size
    GrayLevelVariance 1PFV spread of the grey levels of voxels
    HighGrayLevelEmphasis OAE7 weight of high levels
    LargeDependenceEmphasis IMOQ weight of voxels with many like neighbours; high where smooth
    LargeDependenceHighGrayLevelEmphasis 9QMG smooth and of high level
    LargeDependenceLowGrayLevelEmphasis NBZI smooth and of low level
    LowGrayLevelEmphasis TL9H weight of low levels
    SmallDependenceEmphasis SODN weight of voxels with few like neighbours; high where rough
    SmallDependenceHighGrayLevelEmphasis JA6D rough and of high level
    SmallDependenceLowGrayLevelEmphasis EQ3F rough and of low level
    """,
    FeatureClass.GLRLM: """
    GrayLevelNonUniformity R5YN how unequally runs are shared among grey levels; grows with size
    GrayLevelNonUniformityNormalized OVBL how unequally runs are shared among grey levels, 0 to 1
    GrayLevelVariance 8CE5 spread of the grey levels of runs
    HighGrayLevelRunEmphasis G3QZ weight of runs of high level
    LongRunEmphasis W4KF weight of long runs; high where smooth
    LongRunHighGrayLevelEmphasis 3KUM long and of high level
    LongRunLowGrayLevelEmphasis IVPO long and of low level
    LowGrayLevelRunEmphasis V3SW weight of runs of low level
    RunEntropy HJ9O disorder of level and length, in bits
    RunLengthNonUniformity W92Y how unequal lengths are; grows with size
    RunLengthNonUniformityNormalized IC23 how unequal lengths are, 0 to 1
    RunPercentage 9ZK5 runs over voxels, 1 where every voxel is a run
    RunVariance SXLW spread of the lengths
    ShortRunEmphasis 22OV weight of short runs; high where rough
    ShortRunHighGrayLevelEmphasis GD3A short and of high level
    ShortRunLowGrayLevelEmphasis HTZT short and of low level
    """,
    FeatureClass.GLSZM: """
    GrayLevelNonUniformity JNSA how unequally zones are shared among grey levels; grows with size
    GrayLevelNonUniformityNormalized Y1RO how unequally zones are shared among grey levels, 0 to 1
    GrayLevelVariance BYLV spread of the grey levels of zones
    HighGrayLevelZoneEmphasis 5GN9 weight of zones of high level
    LargeAreaEmphasis 48P8 weight of large zones; high where smooth
    LargeAreaHighGrayLevelEmphasis J17V large and of high level
    LargeAreaLowGrayLevelEmphasis YH51 large and of low level
    LowGrayLevelZoneEmphasis XMSY weight of zones of low level
    SizeZoneNonUniformity 4JP3 how unequal sizes are; grows with size of the organ
    SizeZoneNonUniformityNormalized VB3A how unequal sizes are, 0 to 1
    SmallAreaEmphasis 5QRC weight of small zones; high where rough
    SmallAreaHighGrayLevelEmphasis HW1V small and of high level
    SmallAreaLowGrayLevelEmphasis 5RAI small and of low level
    ZoneEntropy GU8N disorder of level and size, in bits
    ZonePercentage P30P zones over voxels, 1 where every voxel is a zone
    ZoneVariance 3NSA spread of the sizes
    """,
    FeatureClass.NGTDM: """
    Busyness NQ30 how fast levels change from voxel to neighbours
    Coarseness QCDE inverse of how fast levels change; high where the texture is coarse
    Complexity HDEZ many and fast changes of level
    Contrast 65HE range of levels times change; needs both
    Strength 1X9X distinct, slowly changing patterns
    """,
}
_ROWS: Final = {
    of_class: [line.strip().split(maxsplit=2) for line in text.strip().splitlines()]
    for of_class, text in _TABLE.items()
}
FEATURES: Final = {of_class: tuple(name for name, _, _ in rows) for of_class, rows in _ROWS.items()}
FEATURE_MEANINGS: Final = {
    of_class: {name: meaning for name, _, meaning in rows} for of_class, rows in _ROWS.items()
}
IBSI_CODES: Final = {
    of_class: {name: code for name, code, _ in rows if code != "-"}
    for of_class, rows in _ROWS.items()
}
ORIGINAL: Final = "original"
# First-order features of grey levels; the others are of intensities as they are.
FIRST_ORDER_OF_LEVELS: Final = ("Entropy", "Uniformity")


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
    ("SurfaceVolumeRatio", "1/mm"),
    ("SurfaceArea", "mm2"),
    ("Volume", "mm3"),
    ("AxisLength", "mm"),
    ("Diameter", "mm"),
)


def feature_meaning(name: str) -> str:
    """Return what a feature is, for the data dictionary.

    Args:
        name: Full name, ``original_glcm_Contrast``.
    """
    image_type, of_class, feature = name_parts(name)
    if of_class is FeatureClass.IBSI:
        said_there, codes, _ = describe_tag(feature)
        return f"{feature} of the {image_type} image: {said_there}; IBSI {codes}, as it defines it."
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
    _, of_class, feature = name_parts(name)
    if of_class is FeatureClass.IBSI:
        return describe_tag(feature)[2]
    if of_class is not FeatureClass.SHAPE:
        return None
    return next((unit for word, unit in _UNITS if word in feature), None)


def name_parts(name: str) -> tuple[str, FeatureClass, str]:
    """Split the full name of a feature into image type, class and feature."""
    image_type, of_class, feature = name.split("_", 2)
    return image_type, FeatureClass(of_class), feature
