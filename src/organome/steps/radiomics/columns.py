"""Tables of a cohort as data frames, some features at a time: all do not fit into memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from organome.domain.errors import SetupError
from organome.domain.radiomics_tables import RADIOMICS, feature_columns
from organome.domain.tables import SCANS
from organome.io.tables.parquet import column_names, read_filtered, read_table

FEATURES_AT_ONCE: Final = 16
_ABSENT: Final = {
    SCANS.name: "no tables, collect them first",
    RADIOMICS: "no radiomics; were they measured (docs/radiomics.md)?",
}


def find_parts(tables: Path, name: str) -> list[Path]:
    """Find the files of a cohort table, ``scans`` or ``radiomics``.

    Args:
        tables: Folder that collect_tables published.
        name: Which table.

    Raises:
        SetupError: If there are none.
    """
    parts = sorted((tables / name).glob("*.parquet"))
    if not parts:
        raise SetupError(f"{tables}: {_ABSENT[name]}")
    return parts


def read_rows(parts: Iterable[Path], columns: Sequence[str], **keep: Iterable[str]) -> pd.DataFrame:
    """Read columns of several files, in order; ``keep`` holds the wanted values of some columns."""
    tables = (read_filtered(part, columns=columns, keep=keep) for part in parts)
    rows: pd.DataFrame = pd.concat([table.to_pandas() for table in tables], ignore_index=True)
    return rows


def measured_groups(parts: Iterable[Path]) -> list[tuple[str, str]]:
    """Name what was measured: contrast and organ, each pair once, sorted."""
    found = set[tuple[str, str]]()
    for part in parts:
        rows = read_table(part, columns=["contrast", "organ"])
        of_part = rows.group_by(["contrast", "organ"]).aggregate([]).to_pydict()
        found |= set(zip(of_part["contrast"], of_part["organ"], strict=True))
    return sorted(found)


def features_of(part: Path) -> tuple[str, ...]:
    """Name the features of a table."""
    return feature_columns(column_names(part))


def feature_groups(part: Path) -> Iterator[tuple[str, ...]]:
    """Cut the features of a table into groups that are read together."""
    features = features_of(part)
    for start in range(0, len(features), FEATURES_AT_ONCE):
        yield features[start : start + FEATURES_AT_ONCE]
