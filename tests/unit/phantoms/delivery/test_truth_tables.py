import pytest

from organome.domain.columns import Table
from organome.phantoms.delivery.listings import (
    TRUE_COVARIATES,
    TRUE_DEFECTS,
    TRUE_SCANS,
    TRUE_VOLUMES,
)


@pytest.mark.parametrize("table", [TRUE_SCANS, TRUE_VOLUMES, TRUE_COVARIATES, TRUE_DEFECTS])
def test_keys_are_columns_that_are_never_missing(table: Table) -> None:
    required = {column.name for column in table.columns if not column.nullable}
    assert set(table.key) <= required


def test_quantities_carry_their_unit() -> None:
    (volume,) = (column for column in TRUE_VOLUMES.columns if column.name == "volume_ml")
    assert volume.unit == "mL"
