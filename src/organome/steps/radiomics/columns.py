"""Radiomics of a cohort, some feature columns at a time: all at once do not fit into memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from organome.domain.errors import SetupError
from organome.domain.radiomics_tables import RADIOMICS, feature_columns
from organome.io.tables.parquet import column_names, read_filtered, read_table

FEATURES_AT_ONCE: Final = 16


class RadiomicsTables:
    """The part files of the cohort table ``radiomics``."""

    def __init__(self, tables: Path) -> None:
        """Find them.

        Args:
            tables: Folder that collect_tables published.

        Raises:
            SetupError: If it holds no radiomics.
        """
        self.parts = sorted((tables / RADIOMICS).glob("*.parquet"))
        if not self.parts:
            raise SetupError(f"{tables}: no radiomics; were they measured (docs/radiomics.md)?")
        self.features = feature_columns(column_names(self.parts[0]))

    def read(
        self,
        columns: Sequence[str],
        *,
        scans: Iterable[str] | None = None,
        contrast: str | None = None,
        organ: str | None = None,
    ) -> pd.DataFrame:
        """Read columns of chosen rows, all files together, in order."""
        wanted = {"scan": scans, "contrast": contrast and [contrast], "organ": organ and [organ]}
        keep = {name: values for name, values in wanted.items() if values is not None}
        rows: pd.DataFrame = pd.concat(
            [read_filtered(part, columns=columns, keep=keep).to_pandas() for part in self.parts],
            ignore_index=True,
        )
        return rows

    def groups(self) -> list[tuple[str, str]]:
        """Name what was measured: contrast and organ, each pair once, sorted."""
        found = set[tuple[str, str]]()
        for part in self.parts:
            rows = read_table(part, columns=["contrast", "organ"])
            of_part = rows.group_by(["contrast", "organ"]).aggregate([]).to_pydict()
            found |= set(zip(of_part["contrast"], of_part["organ"], strict=True))
        return sorted(found)

    def feature_groups(self) -> Iterator[tuple[str, ...]]:
        """Cut the features into groups that are read together."""
        for start in range(0, len(self.features), FEATURES_AT_ONCE):
            yield self.features[start : start + FEATURES_AT_ONCE]
