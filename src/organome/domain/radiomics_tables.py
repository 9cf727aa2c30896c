"""The table of radiomics features: its feature columns are those of the settings."""

from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.feature_codes import feature_meaning, feature_unit
from organome.domain.organs import ORGANS
from organome.domain.outcomes import FeatureReason, OrganReason, Reason, Status

FAT_FRACTION: Final = "fat_fraction"  # measured like a contrast, in percent

_STRING, _INT8, _INT64, _FLOAT = (
    ColumnType.STRING,
    ColumnType.INT8,
    ColumnType.INT64,
    ColumnType.FLOAT64,
)
_REASONS: Final = (*FeatureReason, *OrganReason, *Reason)


def radiomics_table(features: tuple[str, ...]) -> Table:
    """Describe the table for settings that make these features."""
    return Table(
        name="radiomics",
        row="One row per listed scan, organ and measured image, whatever became of it.",
        key=("scan", "label", "contrast"),
        columns=(
            Column("scan", _STRING, "Key of the scan.", nullable=False),
            Column("label", _INT8, "Label of the organ, 1 to 40.", nullable=False),
            Column(
                "organ", _STRING, "Name of the organ.", None, False, tuple(o.name for o in ORGANS)
            ),
            Column(
                "contrast",
                _STRING,
                "Image that was measured: a contrast, or fat_fraction in percent.",
                nullable=False,
            ),
            Column("status", _STRING, "Whether the scan was measured.", None, False, tuple(Status)),
            Column(
                "n_voxels",
                _INT64,
                "Voxels that features are of: after resampling and resegmentation where these are "
                "asked for; 0: looked for, not found.",
                "voxels",
            ),
            Column(
                "na_reason",
                _STRING,
                "Why features are null: all of them, or with 'undefined' those that this region "
                "does not define.",
                levels=_REASONS,
            ),
            Column("engine", _STRING, "What computed the features.", nullable=False),
            Column(
                "settings_digest",
                _STRING,
                "SHA-256 of the settings of this contrast, first 16 digits.",
                nullable=False,
            ),
            *(Column(name, _FLOAT, feature_meaning(name), feature_unit(name)) for name in features),
        ),
    )
