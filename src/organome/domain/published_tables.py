"""Every table that a run publishes, named once.

A table is declared as a ``Table`` in a module of its own and named here. From that come the Arrow
schema and its metadata, the dictionaries beside the tables, ``docs/tables.md``, and the tests that
every column is described.
"""

from typing import Final

from organome.domain.columns import Table
from organome.domain.features import feature_names
from organome.domain.flow_table import FLOW
from organome.domain.quality_tables import QUALITY_TABLES
from organome.domain.radiomics_tables import radiomics_table
from organome.domain.stability_tables import STABILITY
from organome.domain.tables import COHORT_TABLES

PUBLISHED_TABLES: Final[tuple[Table, ...]] = (
    *COHORT_TABLES,
    FLOW,
    radiomics_table(feature_names()),
    STABILITY,
    *QUALITY_TABLES,
)
