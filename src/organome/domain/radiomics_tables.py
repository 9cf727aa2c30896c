"""The table of radiomics features: its feature columns are those of the settings."""

from collections.abc import Sequence
from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.features import FeatureClass, feature_meaning, feature_unit
from organome.domain.outcomes import FeatureReason, OrganReason, Reason, Status
from organome.domain.scans import Contrast
from organome.domain.tables import ORGAN_ROWS, SCAN_KEY

RADIOMICS: Final = "radiomics"  # name of the table
FAT_FRACTION: Final = "fat_fraction"  # measured like a contrast, in percent
# What shows another tissue where fat and water are exchanged.
EXCHANGEABLE: Final = frozenset({FAT_FRACTION, Contrast.FAT, Contrast.WATER})

_STRING, _BOOL, _INT8, _INT32, _INT64, _FLOAT = ColumnType
_REASONS: Final = (*FeatureReason, *OrganReason, *Reason)

# All but the features.
RADIOMICS_KEYS: Final = (
    *SCAN_KEY,
    Column(
        "contrast",
        _STRING,
        "Image that was measured: a contrast, or fat_fraction in percent.",
        nullable=False,
    ),
    Column("label", _INT8, "Label of the organ.", nullable=False),
    Column("organ", _STRING, "Name of the organ.", nullable=False),
    Column("status", _STRING, "Status of the scan in radiomics.", None, False, tuple(Status)),
    Column(
        "truncated",
        _BOOL,
        "The organ reaches an end of what was seen: all features are of the part in view, and "
        "those of shape say little.",
    ),
    Column(
        "resampled",
        _BOOL,
        "The organ reaches a station whose slices were resampled between those of its neighbours "
        "before stitching, which smooths them: its textures are not those of organs elsewhere.",
    ),
    Column(
        "n_voxels",
        _INT64,
        "Voxels that features are of: after resampling and resegmentation where these are asked "
        "for; 0: looked for, not found.",
        "voxels",
    ),
    Column(
        "share_with_signal",
        _FLOAT,
        "Share of these voxels that have signal and so a fat fraction: all features but those of "
        "shape are of them; null for other images.",
        "fraction, 0 to 1",
    ),
    Column(
        "n_grey_levels",
        _INT32,
        "Grey levels that occur in the organ; with too_many_levels, those that its intensities "
        "span. Of the first image type that is measured, usually the original; null where the "
        "engine is pyradiomics, which does not say.",
        "levels",
    ),
    Column("intensity_min", _FLOAT, "Least intensity of the same image, after preparing it."),
    Column("intensity_p999", _FLOAT, "99.9th percentile of its intensities."),
    Column("intensity_max", _FLOAT, "Greatest of its intensities."),
    Column(
        "na_reason",
        _STRING,
        "Why features are null that the settings ask for of this image: all, or those of "
        "na_features; null: none is.",
        levels=_REASONS,
    ),
    Column(
        "na_features",
        _STRING,
        "Which features are null why, where some are and others not: how their names begin (image "
        "type, or image type and class) = reason, joined by ';'; null: none, or all.",
    ),
    Column("engine", _STRING, "What computed the features.", nullable=False),
    Column(
        "settings_digest",
        _STRING,
        "SHA-256 of engine and settings of this contrast, first 16 digits.",
        nullable=False,
    ),
)


def radiomics_table(features: Sequence[str]) -> Table:
    """Describe the table for settings that make these features."""
    return Table(
        name=RADIOMICS,
        row="One row per listed scan, measured image and organ, whatever became of it.",
        key=("scan", "contrast", "label"),
        columns=(
            *RADIOMICS_KEYS,
            *(
                Column(name, _FLOAT, feature_meaning(name), feature_unit(name), missing="na_reason")
                for name in features
            ),
        ),
        sorted_by=(*ORGAN_ROWS.sorted_by[:-1], "contrast", "label"),
    )


def feature_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """Pick the features out of the columns of such a table: ``original_glcm_Contrast``."""
    classes = tuple(f"_{of_class}_" for of_class in FeatureClass)
    return tuple(name for name in columns if any(word in name for word in classes))
