"""What became of the scans, counted from the table of scans."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from organome.domain.flow_table import FLOW, WITHDRAWN
from organome.io.tables.parquet import fit_rows, read_table, write_table
from organome.io.tables.withdrawn import Removed


def write_flow(path: Path, scans: Sequence[Path], removed: Sequence[Removed]) -> None:
    """Count scans and participants by what became of them.

    Args:
        path: The file to write.
        scans: The files of the table of scans.
        removed: What was removed with participants who withdrew.
    """
    key = list(FLOW.sorted_by)
    rows = pa.concat_tables(
        read_table(one, columns=[*key, "participant", "scan"]).replace_schema_metadata()
        for one in scans
    )
    counts = rows.group_by(key).aggregate([("scan", "count"), ("participant", "count_distinct")])
    named = {"scan_count": "n_scans", "participant_count_distinct": "n_participants"}
    counts = counts.rename_columns([named.get(name, name) for name in counts.column_names])
    gone: dict[tuple[str, ...], list[int]] = {}
    for _, cohort, protocol, instance, *numbers in removed:
        place = gone.setdefault((cohort, protocol, instance), [0, 0])
        place[:] = (old + new for old, new in zip(place, numbers, strict=True))
    rows_of_gone = [
        dict(zip((*key, *named.values()), (*of, WITHDRAWN, None, None, *numbers), strict=True))
        for of, numbers in gone.items()
    ]
    counts = pa.concat_tables([counts, pa.Table.from_pylist(rows_of_gone, schema=counts.schema)])
    order = [(name, "ascending", "at_start") for name in key]
    made = fit_rows(counts.take(pc.sort_indices(counts, sort_keys=order)), FLOW)
    write_table(path, made, sorted_by=FLOW.sorted_by)
