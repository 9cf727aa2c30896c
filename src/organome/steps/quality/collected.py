"""The collected tables, read column by column: memory is that of one column, or of one part."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.domain.organs import Organ
from organome.domain.rows import Row
from organome.domain.tables import ORGAN_ROWS, SCANS, VISITS, with_structures
from organome.io.tables.parquet import (
    arrow_schema,
    parse_table,
    read_structures,
    rows_to_arrow,
    write_pieces,
    write_table,
)
from organome.io.tables.part_facts import Facts, fact_texts, joined_facts

Texts = NDArray[Any]  # of texts and None
_ONE_PART: Final = "part-0000.parquet"
_ROWS_AT_ONCE: Final = 8_000
# What files say of themselves; all else is said of the collection, and of tables made of it, too.
_OF_FILE: Final = ("schema_version", "version", "structures")


@dataclass(frozen=True, slots=True)
class Collected:
    """The tables of a cohort.

    Attributes:
        folder: Where they lie.
        parts: Names of the files that each table has.
        structures: The organs of the run.
        facts: What their files say together.
    """

    folder: Path
    parts: tuple[str, ...]
    structures: tuple[Organ, ...]
    facts: Facts

    def scans(self, part: str, columns: Sequence[str]) -> pa.Table:
        """Read columns of the scans of a part."""
        return parse_table(self.folder / SCANS.name / part, columns=columns)

    def all_scans(self, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns of all scans."""
        parts = [self.scans(part, columns) for part in self.parts]
        found: pd.DataFrame = pa.concat_tables(parts).to_pandas()
        return found

    def visits(self, part: str, columns: Sequence[str]) -> pa.Table:
        """Read columns of the visits of a part."""
        return parse_table(self.folder / VISITS.name / part, columns=columns)

    def organs(self, part: str, columns: Sequence[str]) -> pa.Table:
        """Read columns of the organs of a part."""
        return parse_table(self.folder / ORGAN_ROWS.name / part, columns=columns)

    def organ_values(self, column: str) -> Floats:
        """Read a column of numbers of all organs, array (scans, organs)."""
        return np.concatenate(
            [self.matrix(self.organs(one, [column]), column) for one in self.parts]
        )

    def matrix(self, rows: pa.Table, column: str) -> Floats:
        """Return numbers of organs, array (scans, organs); NaN: null."""
        return numbers(rows, column).reshape(-1, len(self.structures))

    def texts(self, rows: pa.Table, column: str) -> Texts:
        """Return texts of organs, array (scans, organs); None: null."""
        found: Texts = rows.column(column).to_numpy().astype(object)
        return found.reshape(-1, len(self.structures))


def open_collected(folder: Path) -> Collected:
    """Find the tables.

    Raises:
        SetupError: There are none.
    """
    paths = sorted((folder / ORGAN_ROWS.name).glob("part-*.parquet"))
    if not paths:
        raise SetupError(f"{folder}: no tables yet; `organome run` makes them")
    facts = {name: fact for name, fact in joined_facts(paths).items() if name not in _OF_FILE}
    parts = tuple(path.name for path in paths)
    return Collected(folder, parts, read_structures(paths[0]), facts)


def numbers(rows: pa.Table, column: str) -> Floats:
    """Return a column of numbers or of true and false; NaN: null."""
    values = rows.column(column)
    return np.asarray(values.cast(pa.float64()).to_numpy(), np.float64)


class Writer:
    """Writes files of tables, described as those of this run."""

    def __init__(self, folder: Path, collected: Collected) -> None:
        """Begin.

        Args:
            folder: Folder of the folders of the tables.
            collected: The tables of the run.
        """
        self._folder = folder
        self._collected = collected

    def described(self, table: Table) -> Table:
        """Return a table as it is in this run: with its organs, and what its files say.

        Counts stand in the dictionary alone: those of files add up.
        """
        of_run = with_structures(table, self._collected.structures)
        facts = fact_texts(self._collected.facts)
        return replace(of_run, facts=tuple(one for one in facts if not one[0].startswith("n_")))

    def write(self, table: Table, content: pa.Table, part: str = _ONE_PART) -> None:
        """Write a file."""
        rows = content.cast(arrow_schema(self.described(table)))
        write_table(self._folder / table.name / part, rows, sorted_by=table.sorted_by)

    def write_rows(self, table: Table, rows: Iterable[Row]) -> None:
        """Write a table of one file."""
        self.write(table, rows_to_arrow(self.described(table), list(rows)))

    def write_many(self, table: Table, rows: Iterable[Row], column: str) -> Any:
        """Write a table of one file, few rows in memory at a time; return one of its columns."""
        path, of_run, left = (
            self._folder / table.name / _ONE_PART,
            self.described(table),
            iter(rows),
        )
        pieces = iter(lambda: rows_to_arrow(of_run, list(islice(left, _ROWS_AT_ONCE))), None)
        write_pieces(path, of_run, takewhile(len, pieces))
        return parse_table(path, columns=[column]).column(column)

    def write_columns(
        self, table: Table, part: str, keys: pa.Table, values: Mapping[str, Any]
    ) -> None:
        """Write a file, some columns of which are those of another table."""
        names = [column.name for column in table.columns]
        arrays = [values[name] if name in values else keys.column(name) for name in names]
        self.write(table, pa.table(arrays, names=names), part)
