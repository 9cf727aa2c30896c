"""The table of radiomics features: its feature columns are those of the settings."""

from collections.abc import Sequence
from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.features import FeatureClass, feature_meaning, feature_unit
from organome.domain.outcomes import FeatureReason, OrganReason, Reason, Status
from organome.domain.tables import ORGAN_ROWS, SCAN_KEY

RADIOMICS: Final = "radiomics"  # name of the table
FAT_FRACTION: Final = "fat_fraction"  # measured like a contrast, in percent

_STRING, _BOOL, _INT8, _, _INT64, _FLOAT = ColumnType
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
        "n_voxels",
        _INT64,
        "Voxels that features are of: after resampling and resegmentation where these are asked "
        "for; 0: looked for, not found.",
        "voxels",
    ),
    Column(
        "na_reason",
        _STRING,
        "Why features are null: all of them, or with 'undefined' those that this region does not "
        "define.",
        levels=_REASONS,
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
