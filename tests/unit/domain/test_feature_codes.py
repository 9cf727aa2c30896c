import pytest

from organome.domain.features import (
    FEATURE_MEANINGS,
    FEATURES,
    IBSI_CODES,
    FeatureClass,
    feature_meaning,
    feature_names,
    feature_unit,
)
from organome.domain.ibsi_features import Extent, ibsi_tags
from organome.domain.radiomics_settings import log_image_type, wavelet_image_type


@pytest.mark.parametrize("of_class", FEATURES)
def test_every_feature_is_explained_and_nothing_else(of_class: FeatureClass) -> None:
    assert set(FEATURE_MEANINGS[of_class]) == set(FEATURES[of_class])
    assert set(IBSI_CODES[of_class]) <= set(FEATURES[of_class])


def test_codes_are_those_of_one_feature_each() -> None:
    codes = [code for of_class in IBSI_CODES.values() for code in of_class.values()]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == 4 for code in codes)


def test_dictionary_says_code_aggregation_and_where_we_differ() -> None:
    said = feature_meaning("original_glcm_Contrast")
    assert "mean squared difference of neighbours" in said
    assert "IBSI ACUI" in said
    assert "mean over directions" in said
    assert "3 more than the IBSI's" in feature_meaning("original_firstorder_Kurtosis")
    assert "not in the IBSI" in feature_meaning("original_glcm_MCC")


def test_names_of_filtered_images_are_understood() -> None:
    for image_type in (log_image_type(3.0), wavelet_image_type(1, "LLH")):
        for name in feature_names(image_type):
            assert image_type in feature_meaning(name)


def test_shape_has_units() -> None:
    units = {name: feature_unit(name) for name in feature_names()}
    assert units["original_shape_MeshVolume"] == "mm3"
    assert units["original_shape_SurfaceVolumeRatio"] == "1/mm"
    assert units["original_shape_Sphericity"] is None
    assert units["original_glcm_Contrast"] is None


def test_features_of_the_ibsi_say_code_and_aggregation() -> None:
    tags = ibsi_tags(tuple(Extent), autocorrelation=True)
    said = [feature_meaning(f"original_ibsi_{tag}") for tag in tags]
    assert len(set(tags)) == len(set(said)) == 482
    assert (
        "mean over directions, slices merged; IBSI GYBY, JJUI"
        in said[tags.index("cm_joint_max_2_5D_avg")]
    )
    assert feature_unit("original_ibsi_morph_volume") == "mm3"
    assert feature_unit("original_ibsi_morph_vol_dens_aabb") is None
    assert ibsi_tags((), autocorrelation=True) == ()
    fewer = ibsi_tags(tuple(Extent), autocorrelation=False)
    assert set(tags) - set(fewer) == {"morph_moran_i", "morph_geary_c"}
