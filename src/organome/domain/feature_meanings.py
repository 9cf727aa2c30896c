"""What each radiomics feature says, in a few words for the person who analyses it.

Grey level means the number of the bin that an intensity falls into. Exact definitions: the IBSI
reference manual by the code of the feature, and pyradiomics' documentation.
"""

from typing import Final

from organome.domain.feature_names import FeatureClass

_LEVELS: Final = """
    GrayLevelNonUniformity: how unequally {things} are shared among grey levels; grows with size
    GrayLevelNonUniformityNormalized: how unequally {things} are shared among grey levels, 0 to 1
    GrayLevelVariance: spread of the grey levels of {things}
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
    + """
    HighGrayLevelRunEmphasis: weight of runs of high level
    LowGrayLevelRunEmphasis: weight of runs of low level
    LongRunEmphasis: weight of long runs; high where smooth
    ShortRunEmphasis: weight of short runs; high where rough
    LongRunHighGrayLevelEmphasis: long and of high level
    LongRunLowGrayLevelEmphasis: long and of low level
    ShortRunHighGrayLevelEmphasis: short and of high level
    ShortRunLowGrayLevelEmphasis: short and of low level
    RunEntropy: disorder of level and length, in bits
    RunLengthNonUniformity: how unequal lengths are; grows with size
    RunLengthNonUniformityNormalized: how unequal lengths are, 0 to 1
    RunPercentage: runs over voxels, 1 where every voxel is a run
    RunVariance: spread of the lengths
    """,
    FeatureClass.GLSZM: _LEVELS.format(things="zones")
    + """
    HighGrayLevelZoneEmphasis: weight of zones of high level
    LowGrayLevelZoneEmphasis: weight of zones of low level
    LargeAreaEmphasis: weight of large zones; high where smooth
    SmallAreaEmphasis: weight of small zones; high where rough
    LargeAreaHighGrayLevelEmphasis: large and of high level
    LargeAreaLowGrayLevelEmphasis: large and of low level
    SmallAreaHighGrayLevelEmphasis: small and of high level
    SmallAreaLowGrayLevelEmphasis: small and of low level
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
