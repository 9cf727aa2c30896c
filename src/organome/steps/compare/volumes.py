"""Volumes as two commands compare them: a frame with participant, instance, organ, volume_ml."""

from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow.dataset as ds

from organome.domain.errors import SetupError
from organome.domain.tables import ORGAN_ROWS
from organome.io.runs import open_run

KEY: Final = ["participant", "instance", "organ"]
_COLUMNS: Final = [*KEY, "array", "protocol", "station", "volume_ml", "status"]


def read_volumes(run_folder: Path, protocol: str | None = None) -> pd.DataFrame:
    """Read the organs of a run: every repeat, with null where there is no number.

    Args:
        run_folder: A run whose tables are collected.
        protocol: Only what was acquired so.

    Raises:
        SetupError: There are no tables, or none of that protocol.
    """
    table = open_run(run_folder).tables / ORGAN_ROWS.name
    if not any(table.glob("*.parquet")):
        raise SetupError(f"{run_folder}: no tables yet; `organome run` makes them")
    read = ds.dataset(table, format="parquet").to_table(columns=_COLUMNS)
    rows: pd.DataFrame = read.to_pandas()
    known = sorted(rows["protocol"].unique())
    if protocol is not None:
        rows = rows[rows["protocol"] == protocol]
    if rows.empty:
        raise SetupError(f"{run_folder}: no protocol {protocol}; it has {', '.join(known)}")
    return rows


def one_a_visit(rows: pd.DataFrame, run_folder: Path) -> pd.DataFrame:
    """Take one row a visit and organ: of repeats the first that has a number.

    Raises:
        SetupError: A visit has several protocols or stations: which one is meant?
    """
    for name, several in (("protocol", "protocols"), ("station", "stations")):
        n_each = rows.groupby(["participant", "instance"])[name].nunique()
        if (n_each > 1).any():
            words = ", ".join(sorted(map(str, rows[name].dropna().unique())))
            advice = (
                "--protocol names one" if name == "protocol" else "run it with stations: stitch"
            )
            raise SetupError(f"{run_folder}: visits have several {several} ({words}); {advice}")
    ranked = rows.assign(has_none=rows["volume_ml"].isna(), repeat=by_number(rows["array"]))
    ranked = ranked.sort_values(["has_none", "repeat"])
    return ranked.drop_duplicates(KEY).drop(columns=["has_none", "repeat"])


def by_number(arrays: "pd.Series[str]") -> "pd.Series[str]":
    """Spell repeats so that they sort by their numbers: 2 before 10, 1-5 before 1-12."""
    return arrays.str.replace(r"[0-9]+", lambda found: found[0].zfill(20), regex=True)
