"""What became of the scans, counted from the table of scans."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from organome.domain.flow_table import FLOW
from organome.io.tables.parquet import fit_rows, read_table, write_table


def write_flow(path: Path, scans: Sequence[Path]) -> None:
    """Count scans and participants by what became of them.

    Args:
        path: The file to write.
        scans: The files of the table of scans.
    """
    key = list(FLOW.sorted_by)
    rows = pa.concat_tables(
        read_table(one, columns=[*key, "participant", "scan"]).replace_schema_metadata()
        for one in scans
    )
    counts = rows.group_by(key).aggregate([("scan", "count"), ("participant", "count_distinct")])
    named = {"scan_count": "n_scans", "participant_count_distinct": "n_participants"}
    counts = counts.rename_columns([named.get(name, name) for name in counts.column_names])
    order = [(name, "ascending", "at_start") for name in key]
    made = fit_rows(counts.take(pc.sort_indices(counts, sort_keys=order)), FLOW)
    write_table(path, made, sorted_by=FLOW.sorted_by)
