"""Names of the tables that a measured shard holds."""

from typing import Final

from organome.domain.radiomics_tables import RADIOMICS
from organome.domain.tables import ORGAN_ROWS, SCANS

FILES: Final = {
    SCANS.name: "scans.parquet",
    ORGAN_ROWS.name: "organs.parquet",
    RADIOMICS: "radiomics.parquet",  # by another step, in a folder of its own
}
