"""The table of statistics of groups: no row of it is about a person."""

from collections.abc import Sequence
from typing import Final

from organome.domain.columns import Column, ColumnType, Table

ALL: Final = "all"
_STRING, _, _, _INT32, _, _FLOAT = ColumnType
_UNIT: Final = "that of the quantity"


def group_table(by: Sequence[str]) -> Table:
    """Describe the table for groups by these columns."""
    suppressed = "null where the cell is suppressed"
    return Table(
        name="groups",
        row="One row per protocol, instance, group and quantity.",
        key=("protocol", "instance", *by, "quantity"),
        columns=(
            Column("protocol", _STRING, "What was acquired.", nullable=False),
            Column("instance", _STRING, "Visit, as the biobank counts it.", nullable=False),
            *(
                Column(name, _STRING, f"Group by {name}; '{ALL}': whatever it is.", nullable=False)
                for name in by
            ),
            Column("quantity", _STRING, "Column of visits that was summarised.", nullable=False),
            Column("unit", _STRING, "Unit of the quantity."),
            Column("n", _INT32, f"Participants with a value; {suppressed}.", "participants"),
            Column("mean", _FLOAT, f"Mean; {suppressed}.", _UNIT),
            Column("sd", _FLOAT, f"Standard deviation, divisor n - 1; {suppressed}.", _UNIT),
            *(
                Column(
                    f"p{percent:02d}",
                    _FLOAT,
                    f"Percentile {percent}, interpolated linearly; null, too, where fewer than the "
                    "least number of participants lie on either side of it.",
                    _UNIT,
                )
                for percent in PERCENTILES
            ),
            Column(
                "is_suppressed",
                ColumnType.BOOL,
                "The cell has fewer participants than may be shown, or would give away one that "
                "has.",
                nullable=False,
            ),
        ),
    )


PERCENTILES: Final = (5, 25, 50, 75, 95)
