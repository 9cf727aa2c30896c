"""The digital phantom of the Image Biomarker Standardisation Initiative and its consensus values.

Source: Zwanenburg et al. 2020, "The Image Biomarker Standardization Initiative", Radiology 295; the
phantom is CC BY 4.0. Values are those of 3D matrices, features averaged over directions.
"""

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.features import measure_features
from organome.domain.radiomics_settings import TextureSettings

# Slices of 4 rows and 5 columns; a dot lies outside of the region.
PHANTOM = """
1 4 4 1 1 / 1 4 6 1 1 / 4 1 6 4 1 / 4 4 6 4 1
1 4 4 1 1 / 1 1 6 1 1 / . 1 3 1 1 / 4 4 6 1 1
1 4 4 . . / 1 1 1 1 1 / 1 1 . 1 1 / 1 1 6 1 1
1 4 4 . . / 1 1 1 1 1 / 1 1 1 1 1 / 1 1 6 1 1
"""
SPACING_MM = 2.0

# Value and half of its last digit, or the tolerance where the consensus has one.
CONSENSUS = {
    "shape_MeshVolume": (556, 4),
    "shape_VoxelVolume": (592, 4),
    "shape_SurfaceArea": (388, 3),
    "shape_SurfaceVolumeRatio": (0.698, 0.004),
    "shape_Sphericity": (0.843, 0.005),
    "shape_Maximum3DDiameter": (13.1, 0.1),
    "shape_MajorAxisLength": (11.4, 0.1),
    "shape_Elongation": (0.816, 0.005),
    "shape_Flatness": (0.749, 0.005),
    "firstorder_Mean": (2.15, 0.005),
    "firstorder_Variance": (3.05, 0.005),
    "firstorder_Skewness": (1.08, 0.005),
    "firstorder_Kurtosis": (-0.355 + 3, 0.0005),  # ours is not the excess
    "firstorder_Median": (1, 0),
    "firstorder_Minimum": (1, 0),
    "firstorder_10Percentile": (1, 0),
    "firstorder_90Percentile": (4, 0),
    "firstorder_Maximum": (6, 0),
    "firstorder_InterquartileRange": (3, 0),
    "firstorder_Range": (5, 0),
    "firstorder_MeanAbsoluteDeviation": (1.55, 0.005),
    "firstorder_RobustMeanAbsoluteDeviation": (1.11, 0.005),
    "firstorder_Energy": (567, 0.5),
    "firstorder_RootMeanSquared": (2.77, 0.005),
    "firstorder_Entropy": (1.27, 0.005),
    "firstorder_Uniformity": (0.512, 0.0005),
    "glcm_MaximumProbability": (0.503, 0.0005),
    "glcm_JointAverage": (2.14, 0.005),
    "glcm_SumSquares": (3.1, 0.05),
    "glcm_JointEntropy": (2.4, 0.05),
    "glcm_DifferenceAverage": (1.43, 0.005),
    "glcm_DifferenceVariance": (3.06, 0.005),
    "glcm_DifferenceEntropy": (1.56, 0.005),
    "glcm_SumAverage": (4.29, 0.005),
    "glcm_SumEntropy": (1.92, 0.005),
    "glcm_JointEnergy": (0.303, 0.0005),
    "glcm_Contrast": (5.32, 0.005),
    "glcm_Id": (0.677, 0.0005),
    "glcm_Idn": (0.851, 0.0005),
    "glcm_Idm": (0.618, 0.0005),
    "glcm_Idmn": (0.898, 0.0005),
    "glcm_InverseVariance": (0.0604, 0.00005),
    "glcm_Correlation": (0.157, 0.0005),
    "glcm_Autocorrelation": (5.06, 0.005),
    "glcm_ClusterTendency": (7.07, 0.005),
    "glcm_ClusterShade": (16.6, 0.05),
    "glcm_ClusterProminence": (145, 0.5),
    "glcm_Imc1": (-0.157, 0.0005),
    "glcm_Imc2": (0.52, 0.005),
    "glrlm_ShortRunEmphasis": (0.705, 0.0005),
    "glrlm_LongRunEmphasis": (3.06, 0.005),
    "glrlm_LowGrayLevelRunEmphasis": (0.603, 0.0005),
    "glrlm_HighGrayLevelRunEmphasis": (9.7, 0.05),
    "glrlm_ShortRunLowGrayLevelEmphasis": (0.352, 0.0005),
    "glrlm_ShortRunHighGrayLevelEmphasis": (8.54, 0.005),
    "glrlm_LongRunLowGrayLevelEmphasis": (2.39, 0.005),
    "glrlm_LongRunHighGrayLevelEmphasis": (17.6, 0.05),
    "glrlm_GrayLevelNonUniformity": (21.8, 0.05),
    "glrlm_GrayLevelNonUniformityNormalized": (0.43, 0.005),
    "glrlm_RunLengthNonUniformity": (26.9, 0.05),
    "glrlm_RunLengthNonUniformityNormalized": (0.513, 0.0005),
    "glrlm_RunPercentage": (0.68, 0.005),
    "glrlm_GrayLevelVariance": (3.46, 0.005),
    "glrlm_RunVariance": (0.574, 0.0005),
    "glrlm_RunEntropy": (2.43, 0.005),
    "glszm_SmallAreaEmphasis": (0.255, 0.0005),
    "glszm_LargeAreaEmphasis": (550, 0.5),
    "glszm_LowGrayLevelZoneEmphasis": (0.253, 0.0005),
    "glszm_HighGrayLevelZoneEmphasis": (15.6, 0.05),
    "glszm_SmallAreaLowGrayLevelEmphasis": (0.0256, 0.00005),
    "glszm_SmallAreaHighGrayLevelEmphasis": (2.76, 0.005),
    "glszm_LargeAreaLowGrayLevelEmphasis": (503, 0.5),
    "glszm_LargeAreaHighGrayLevelEmphasis": (1490, 5),
    "glszm_GrayLevelNonUniformity": (1.4, 0.05),
    "glszm_GrayLevelNonUniformityNormalized": (0.28, 0.005),
    "glszm_SizeZoneNonUniformity": (1, 0),
    "glszm_SizeZoneNonUniformityNormalized": (0.2, 0),
    "glszm_ZonePercentage": (0.0676, 0.00005),
    "glszm_GrayLevelVariance": (2.64, 0.005),
    "glszm_ZoneVariance": (331, 0.5),
    "glszm_ZoneEntropy": (2.32, 0.005),
    "ngtdm_Coarseness": (0.0296, 0.00005),
    "ngtdm_Contrast": (0.584, 0.0005),
    "ngtdm_Busyness": (6.54, 0.005),
    "ngtdm_Complexity": (13.5, 0.05),
    "ngtdm_Strength": (0.763, 0.0005),
    "gldm_SmallDependenceEmphasis": (0.045, 0.0005),
    "gldm_LargeDependenceEmphasis": (109, 0.5),
    "gldm_LowGrayLevelEmphasis": (0.693, 0.0005),
    "gldm_HighGrayLevelEmphasis": (7.66, 0.005),
    "gldm_SmallDependenceLowGrayLevelEmphasis": (0.00963, 0.000005),
    "gldm_SmallDependenceHighGrayLevelEmphasis": (0.736, 0.0005),
    "gldm_LargeDependenceLowGrayLevelEmphasis": (102, 0.5),
    "gldm_LargeDependenceHighGrayLevelEmphasis": (235, 0.5),
    "gldm_GrayLevelNonUniformity": (37.9, 0.05),
    "gldm_DependenceNonUniformity": (4.86, 0.005),
    "gldm_DependenceNonUniformityNormalized": (0.0657, 0.00005),
    "gldm_GrayLevelVariance": (3.05, 0.005),
    "gldm_DependenceVariance": (22.1, 0.05),
    "gldm_DependenceEntropy": (4.4, 0.05),
}


@pytest.fixture(scope="module")
def features() -> dict[str, float]:
    words = [line.replace("/", " ").split() for line in PHANTOM.strip().splitlines()]
    voxels_zyx = np.array(
        [[0 if word == "." else int(word) for word in of_slice] for of_slice in words], np.int16
    ).reshape(4, 4, 5)
    image = sitk.GetImageFromArray(voxels_zyx)
    image.SetSpacing((SPACING_MM,) * 3)
    labelmap = sitk.Cast(image > 0, sitk.sitkUInt8)
    found = measure_features(image, labelmap, TextureSettings(bin_width=1))[1]
    assert found.n_voxels == 74
    return {name.removeprefix("original_"): value for name, value in found.values.items()}


@pytest.mark.parametrize("name", CONSENSUS)
def test_phantom_has_the_consensus_value(features: dict[str, float], name: str) -> None:
    value, tolerance = CONSENSUS[name]
    assert features[name] == pytest.approx(value, abs=tolerance * (1 + 1e-9) + 1e-12)


def test_axes_divide_by_n_as_pyradiomics_does_and_the_consensus_does_not(
    features: dict[str, float],
) -> None:
    # The consensus has 9.31 and 8.54: covariance with divisor n - 1.
    to_consensus = (74 / 73) ** 0.5
    assert features["shape_MinorAxisLength"] * to_consensus == pytest.approx(9.31, abs=0.005)
    assert features["shape_LeastAxisLength"] * to_consensus == pytest.approx(8.54, abs=0.005)
