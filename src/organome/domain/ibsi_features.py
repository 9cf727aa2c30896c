"""Features of the IBSI's first part: tags, codes, meaning in a few words.

They are made beside those of pyradiomics, by the IBSI's definitions, under the tags of its own
consensus tables: ``original_ibsi_cm_joint_max_3D_avg``. What has no consensus value is not made:
boxes and ellipsoids of minimum volume, and the area under the intensity-volume curve.

Source: Zwanenburg et al. 2020 (IBSI reference manual), codes and aggregations; tags of its tables.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Final


class Extent(StrEnum):
    """Where textures look for neighbours, and what is merged."""

    SLICES = "2D"  # each slice on its own, features averaged
    MERGED_SLICES = "2_5D"  # in the slice, matrices of all slices merged
    VOLUME = "3D"


_PLAIN: Final = """
morph_volume RNU0 volume within the surface of triangles
morph_vol_approx YEKZ number of voxels times the volume of one
morph_area_mesh C0JK area of the surface of triangles
morph_av 2PR5 surface over volume
morph_comp_1 SKGS compactness 1: volume over surface to the power of 1.5
morph_comp_2 BQWJ compactness 2: squared volume over surface cubed, 1 for a ball
morph_sph_dispr KRCK surface over that of a ball of the same volume
morph_sphericity QCFX 1 for a ball, less for all else
morph_asphericity 25C7 how much more surface than a ball
morph_com KLMA distance from the centre of the shape to that of intensity
morph_diam L0JK greatest distance of two points of the surface
morph_pca_maj_axis TDIC longest axis of the ellipsoid with the same spread
morph_pca_min_axis P9VJ second axis of the ellipsoid with the same spread
morph_pca_least_axis 7J51 shortest axis of the ellipsoid with the same spread
morph_pca_elongation Q3CK second axis over longest
morph_pca_flatness N17B shortest axis over longest
morph_vol_dens_aabb PBX1 volume over that of the box along the axes
morph_area_dens_aabb R59B surface over that of the box along the axes
morph_vol_dens_aee 6BDE volume over that of the ellipsoid with the same spread
morph_area_dens_aee RDD2 surface over that of the ellipsoid with the same spread
morph_vol_dens_conv_hull R3ER volume over that of the convex hull
morph_area_dens_conv_hull 7T7F surface over that of the convex hull
morph_integ_int 99N0 volume times mean intensity
morph_moran_i N365 spatial autocorrelation of intensity, weighted by inverse distance
morph_geary_c NPT7 spatial contrast of intensity, weighted by inverse distance
loc_peak_loc VJGA mean within 1 cm3 around the greatest intensity
loc_peak_glob 0F91 greatest mean within 1 cm3 around any voxel
stat_mean Q4LE mean intensity
stat_var ECT3 variance, divisor n
stat_skew KE2A asymmetry of the histogram
stat_kurt IPH6 weight of the tails of the histogram, 0 for a Gaussian
stat_median Y12H median
stat_min 1GSF least intensity
stat_p10 QG58 10th percentile
stat_p90 8DWT 90th percentile
stat_max 84IY greatest intensity
stat_iqr SALO 75th less 25th percentile
stat_range 2OJQ greatest less least intensity
stat_mad 4FUA mean distance from the mean
stat_rmad 1128 mean distance from the mean, of 10th to 90th percentile
stat_medad N72L mean distance from the median
stat_cov 7TET standard deviation over mean
stat_qcod 9S40 75th less 25th percentile, over their sum
stat_energy N8CA sum of squared intensity
stat_rms 5ZWQ root of the mean of squared intensity
ih_mean X6K6 mean grey level
ih_var CH89 variance of grey levels
ih_skew 88K1 asymmetry of the histogram of grey levels
ih_kurt C3I7 weight of its tails, 0 for a Gaussian
ih_median WIFQ median grey level
ih_min 1PR8 least grey level
ih_p10 GPMT 10th percentile of grey levels
ih_p90 OZ0C 90th percentile of grey levels
ih_max 3NCY greatest grey level
ih_mode AMMC most frequent grey level
ih_iqr WR0O 75th less 25th percentile of grey levels
ih_range 5Z3W greatest less least grey level
ih_mad D2ZX mean distance from the mean grey level
ih_rmad WRZB mean distance from the mean, of 10th to 90th percentile
ih_medad 4RNL mean distance from the median grey level
ih_cov CWYJ standard deviation over mean of grey levels
ih_qcod SLWD 75th less 25th percentile of grey levels, over their sum
ih_entropy TLU2 disorder of the histogram, in bits
ih_uniformity BJ5W sum of squared shares of the grey levels
ih_max_grad 12CE steepest rise of the histogram
ih_max_grad_g 8E6O grey level of the steepest rise
ih_min_grad VQB3 steepest fall of the histogram
ih_min_grad_g RHQZ grey level of the steepest fall
ivh_v10 NK6P share of volume with at least 10 % of the intensity range
ivh_v90 4279 share of volume with at least 90 % of the intensity range
ivh_i10 PWN1 least intensity that at most 10 % of the volume reach
ivh_i90 BOHI least intensity that at most 90 % of the volume reach
ivh_diff_v10_v90 WITY difference of those shares of volume
ivh_diff_i10_i90 JXJA difference of those intensities
"""
# Textures, by the beginning of their tags: what follows it, code, meaning.
_TEXTURES: Final = {
    "cm": """
    joint_max GYBY share of the most frequent pair
    joint_avg 60VM mean level
    joint_var UR99 variance of the level of one of a pair
    joint_entr TU9B disorder of pairs, in bits
    diff_avg TF7R mean difference of neighbours
    diff_var D3YU spread of differences
    diff_entr NTRS disorder of differences, in bits
    sum_avg ZGXS mean sum of both levels
    sum_var OEEB spread of sums
    sum_entr P6QZ disorder of sums, in bits
    energy 8ZQL sum of squared shares of pairs
    contrast ACUI mean squared difference of neighbours
    dissimilarity 8S9J mean difference of neighbours
    inv_diff IB1Z inverse difference, 1 where neighbours are equal
    inv_diff_norm NDRX inverse difference, over the number of levels
    inv_diff_mom WF0Z inverse squared difference, 1 where neighbours are equal
    inv_diff_mom_norm 1QCO inverse squared difference, over the number of levels
    inv_var E8JP inverse squared difference of neighbours that are not equal
    corr NI2N linear correlation of neighbours
    auto_corr QWB0 mean product of the levels of two neighbours
    clust_tend DG8W second moment of the sum of both levels
    clust_shade 7NFM third moment of the sum of both levels
    clust_prom AE86 fourth moment of the sum of both levels
    info_corr1 R8DG correlation by mutual information, 0 (none) to -1
    info_corr2 JN9H correlation by mutual information, 0 (none) to 1
    """,
    "rlm": """
    sre 22OV weight of short runs
    lre W4KF weight of long runs
    lgre V3SW weight of runs of low level
    hgre G3QZ weight of runs of high level
    srlge HTZT short and of low level
    srhge GD3A short and of high level
    lrlge IVPO long and of low level
    lrhge 3KUM long and of high level
    glnu R5YN how unequally runs are shared among levels; grows with size
    glnu_norm OVBL how unequally runs are shared among levels, 0 to 1
    rlnu W92Y how unequal lengths are; grows with size
    rlnu_norm IC23 how unequal lengths are, 0 to 1
    r_perc 9ZK5 runs over voxels
    gl_var 8CE5 spread of the levels of runs
    rl_var SXLW spread of the lengths
    rl_entr HJ9O disorder of level and length, in bits
    """,
    "szm": """
    sze 5QRC weight of small zones
    lze 48P8 weight of large zones
    lgze XMSY weight of zones of low level
    hgze 5GN9 weight of zones of high level
    szlge 5RAI small and of low level
    szhge HW1V small and of high level
    lzlge YH51 large and of low level
    lzhge J17V large and of high level
    glnu JNSA how unequally zones are shared among levels; grows with size
    glnu_norm Y1RO how unequally zones are shared among levels, 0 to 1
    zsnu 4JP3 how unequal sizes are; grows with size
    zsnu_norm VB3A how unequal sizes are, 0 to 1
    z_perc P30P zones over voxels
    gl_var BYLV spread of the levels of zones
    zs_var 3NSA spread of the sizes
    zs_entr GU8N disorder of level and size, in bits
    """,
    "dzm": """
    sde 0GBI weight of zones near the surface
    lde MB4I weight of zones far from the surface
    lgze S1RA weight of zones of low level
    hgze K26C weight of zones of high level
    sdlge RUVG near the surface and of low level
    sdhge DKNJ near the surface and of high level
    ldlge A7WM far from the surface and of low level
    ldhge KLTH far from the surface and of high level
    glnu VFT7 how unequally zones are shared among levels; grows with size
    glnu_norm 7HP3 how unequally zones are shared among levels, 0 to 1
    zdnu V294 how unequal distances are; grows with size
    zdnu_norm IATH how unequal distances are, 0 to 1
    z_perc VIWW zones over voxels
    gl_var QK93 spread of the levels of zones
    zd_var 7WT1 spread of the distances
    zd_entr GBDU disorder of level and distance, in bits
    """,
    "ngt": """
    coarseness QCDE inverse of how fast levels change
    contrast 65HE range of levels times change
    busyness NQ30 how fast levels change from voxel to neighbours
    complexity HDEZ many and fast changes of level
    strength 1X9X distinct, slowly changing patterns
    """,
    "ngl": """
    lde SODN weight of voxels with few like neighbours
    hde IMOQ weight of voxels with many like neighbours
    lgce TL9H weight of low levels
    hgce OAE7 weight of high levels
    ldlge EQ3F few like neighbours and of low level
    ldhge JA6D few like neighbours and of high level
    hdlge NBZI many like neighbours and of low level
    hdhge 9QMG many like neighbours and of high level
    glnu FP8K how unequally voxels are shared among levels; grows with size
    glnu_norm 5SPA how unequally voxels are shared among levels, 0 to 1
    dcnu Z87G how unequal numbers of like neighbours are; grows with size
    dcnu_norm OKJI how unequal numbers of like neighbours are, 0 to 1
    dc_perc 6XV8 voxels with a number of like neighbours, over all: 1
    gl_var 1PFV spread of the levels of voxels
    dc_var DNX2 spread of the number of like neighbours
    dc_entr FCBV disorder of level and number of like neighbours, in bits
    dc_energy CAS9 sum of squared shares of level and number of like neighbours
    """,
}
FAMILIES_OF_LEVELS: Final = ("ih", *_TEXTURES)
DIRECTED: Final = ("cm", "rlm")  # one matrix for each direction
# How the matrices of directions and slices become a feature: code, meaning.
_AGGREGATIONS: Final = {
    "2D_avg": ("BTW3", "mean over directions and slices"),
    "2D_comb": ("SUJT", "mean over slices, directions merged"),
    "2_5D_avg": ("JJUI", "mean over directions, slices merged"),
    "2_5D_comb": ("ZW7Z", "directions and slices merged"),
    "3D_avg": ("ITBB", "mean over directions"),
    "3D_comb": ("IAZD", "directions merged"),
    "2D": ("8QNN", "mean over slices"),
    "2_5D": ("62GR", "slices merged"),
    "3D": ("KOBO", "one matrix"),
}
_UNITS: Final = {
    **dict.fromkeys(("morph_volume", "morph_vol_approx"), "mm3"),
    **dict.fromkeys(("morph_com", "morph_diam"), "mm"),
    **dict.fromkeys((f"morph_pca_{axis}_axis" for axis in ("maj", "min", "least")), "mm"),
    "morph_area_mesh": "mm2",
    "morph_av": "1/mm",
}


def _rows(text: str) -> list[list[str]]:
    return [line.strip().split(maxsplit=2) for line in text.strip().splitlines()]


_PLAIN_ROWS: Final = {name: (code, meaning) for name, code, meaning in _rows(_PLAIN)}
_TEXTURE_ROWS: Final = {
    family: {name: (code, meaning) for name, code, meaning in _rows(text)}
    for family, text in _TEXTURES.items()
}
PLAIN_TAGS: Final = tuple(_PLAIN_ROWS)
_AUTOCORRELATION: Final = ("morph_moran_i", "morph_geary_c")
TEXTURE_NAMES: Final = {family: tuple(rows) for family, rows in _TEXTURE_ROWS.items()}


@lru_cache(maxsize=16)
def ibsi_tags(extents: tuple[Extent, ...], *, autocorrelation: bool) -> tuple[str, ...]:
    """Name all features, in the order of the IBSI's tables.

    Args:
        extents: Of the textures; none: no feature at all.
        autocorrelation: Whether Moran's I and Geary's C are among them.
    """
    if not extents:
        return ()
    plain = (tag for tag in PLAIN_TAGS if autocorrelation or tag not in _AUTOCORRELATION)
    chosen = [extent for extent in Extent if extent in extents]
    textures = (
        f"{family}_{name}_{extent}{suffix}"
        for family, names in TEXTURE_NAMES.items()
        for extent in chosen
        for suffix in (("_avg", "_comb") if family in DIRECTED else ("",))
        for name in names
    )
    return (*plain, *textures)


def describe_tag(tag: str) -> tuple[str, str, str | None]:
    """Return the meaning of a feature, its code with that of its aggregation, and its unit.

    Raises:
        KeyError: If there is no such feature.
    """
    if tag in _PLAIN_ROWS:
        code, meaning = _PLAIN_ROWS[tag]
        return meaning, code, _UNITS.get(tag)
    family, rest = tag.split("_", 1)
    suffix = next(suffix for suffix in _AGGREGATIONS if rest.endswith(f"_{suffix}"))
    code, meaning = _TEXTURE_ROWS[family][rest.removesuffix(f"_{suffix}")]
    aggregation_code, aggregation = _AGGREGATIONS[suffix]
    return f"{meaning}; {aggregation}", f"{code}, {aggregation_code}", None
