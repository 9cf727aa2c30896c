"""The table of what became of the scans: the numbers of a flow chart."""

from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.outcomes import Reason, Status

_STRING, _, _, _INT32, _, _ = ColumnType

FLOW: Final = Table(
    name="flow",
    row="One row per protocol, instance, status, step and reason; the rows add up to what is "
    "listed.",
    key=("cohort", "protocol", "instance", "status"),
    columns=(
        Column("cohort", _STRING, "Biobank, as configured.", nullable=False),
        Column("protocol", _STRING, "What was acquired: dixon, ct, ...", nullable=False),
        Column("instance", _STRING, "Visit, as the biobank counts it.", nullable=False),
        Column("status", _STRING, "Status of the scans.", nullable=False, levels=tuple(Status)),
        Column("failed_step", _STRING, "Step in which they failed; null unless failed."),
        Column("reason", _STRING, "Why they are not done; null when done.", levels=tuple(Reason)),
        Column("n_scans", _INT32, "Scans, stations one by one.", "scans", nullable=False),
        Column("n_participants", _INT32, "Participants of these.", "participants", nullable=False),
    ),
    sorted_by=("cohort", "protocol", "instance", "status", "failed_step", "reason"),
)
