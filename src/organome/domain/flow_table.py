"""The table of what became of the scans: the numbers of a flow chart."""

from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.outcomes import Reason, Status

_STRING, _, _, _INT32, _, _ = ColumnType

WITHDRAWN: Final = "withdrawn"

FLOW: Final = Table(
    name="flow",
    row="One row per protocol, instance, status, step and reason; the rows add up to all scans "
    "that were ever listed, those of withdrawn participants among them.",
    key=("cohort", "protocol", "instance", "status"),
    columns=(
        Column("cohort", _STRING, "Biobank, as configured.", nullable=False),
        Column("protocol", _STRING, "What was acquired: dixon, ct, ...", nullable=False),
        Column("instance", _STRING, "Visit, as the biobank counts it.", nullable=False),
        Column(
            "status",
            _STRING,
            "Status of the scans; 'withdrawn': taken out with their participants, only counted.",
            nullable=False,
            levels=(*Status, WITHDRAWN),
        ),
        Column("failed_step", _STRING, "Step in which they failed; null unless failed."),
        Column(
            "reason",
            _STRING,
            "Why they are not done; null when done or withdrawn.",
            levels=tuple(Reason),
        ),
        Column("n_scans", _INT32, "Scans, stations one by one.", "scans", nullable=False),
        Column("n_participants", _INT32, "Participants of these.", "participants", nullable=False),
    ),
    sorted_by=("cohort", "protocol", "instance", "status", "failed_step", "reason"),
)
