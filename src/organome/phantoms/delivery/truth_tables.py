"""The tables that lie beside a phantom cohort and say what is true of it."""

from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.organs import ORGANS

_TEXT, _NUMBER = ColumnType.STRING, ColumnType.FLOAT64
_VISIT_KEY: Final = (
    Column("participant", _TEXT, "Pseudonym.", nullable=False),
    Column("instance", _TEXT, "Visit, as the biobank counts it.", nullable=False),
)
_SCAN_KEY: Final = (
    Column("cohort", _TEXT, "Cohort in which it is delivered: phantom_ukb, ...", nullable=False),
    *_VISIT_KEY,
    Column("array", _TEXT, "Repeat within the visit.", nullable=False),
    Column("protocol", _TEXT, "What was acquired: dixon, ct, t1, t2.", nullable=False),
)
_SCAN_KEY_NAMES: Final = tuple(column.name for column in _SCAN_KEY)

TRUE_SCANS: Final = Table(
    name="scans",
    row="one scan as delivered",
    key=_SCAN_KEY_NAMES,
    columns=(
        *_SCAN_KEY,
        Column("delivered", _TEXT, "Files or folders, relative to the output, joined by ';'."),
        Column(
            "labelmap",
            _TEXT,
            "True labelmap, relative to the truth folder, on the grid of the undamaged scan.",
            nullable=False,
        ),
        Column("defect", _TEXT, "What was planted in this scan; null: nothing."),
    ),
)
TRUE_VOLUMES: Final = Table(
    name="volumes",
    row="one organ of one participant at one instance; absent organs have no row",
    key=("participant", "instance", "organ"),
    columns=(
        *_VISIT_KEY,
        Column(
            "organ",
            _TEXT,
            "Organ by name.",
            nullable=False,
            levels=tuple(organ.name for organ in ORGANS),
        ),
        Column("volume_ml", _NUMBER, "Volume of the whole organ, in view or not.", "mL", False),
    ),
)
TRUE_COVARIATES: Final = Table(
    name="covariates",
    row="one participant at one instance",
    key=("participant", "instance"),
    columns=(
        *_VISIT_KEY,
        Column("sex", _TEXT, "Sex.", nullable=False, levels=("female", "male")),
        Column("age_years", _NUMBER, "Age on the day of the visit.", "years", False),
        Column("height_m", _NUMBER, "Height.", "m", False),
        Column("weight_kg", _NUMBER, "Weight.", "kg", False),
    ),
)
TRUE_DEFECTS: Final = Table(
    name="defects",
    row="one scan with a defect",
    key=_SCAN_KEY_NAMES,
    columns=(
        *_SCAN_KEY,
        Column("defect", _TEXT, "What was planted.", nullable=False),
        Column("expected", _TEXT, "Reason with which the scan shall fail; null: it goes through."),
        Column("promise", _TEXT, "What the pipeline shall do.", nullable=False),
    ),
)
