"""Columns and tables as plain data: the one description that schemas, dictionary and docs share."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from organome.domain.organs import ORGANS, Organ

ORGAN_PLACEHOLDER: Final = "<organ>"


class ColumnType(StrEnum):
    """Type of a column; values are the names of the Arrow types."""

    STRING = "string"
    BOOL = "bool"
    INT8 = "int8"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT64 = "double"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its name; a quantity ends in its unit.
        type: Type of its values.
        meaning: One sentence for the person who analyses the table.
        unit: Unit of its values, None where there is none.
        nullable: Whether a value may be missing. A key is never missing.
        levels: All values that can stand there, empty where the values are open.
        missing: Column of the same table that says why a value is null, None where none does.

    Raises:
        ValueError: If the meaning is not a sentence.
    """

    name: str
    type: ColumnType
    meaning: str
    unit: str | None = None
    nullable: bool = True
    levels: tuple[str, ...] = ()
    missing: str | None = None

    def __post_init__(self) -> None:
        """Refuse a column that nobody could understand."""
        if not self.meaning.endswith("."):
            raise ValueError(f"column {self.name}: the meaning is not a sentence")


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        name: Its name, and that of its folder or file.
        row: What one row is.
        key: Columns that identify a row.
        columns: Columns that are written out.
        organ_columns: Columns that stand once per organ, ``<organ>`` in their name and meaning.
        structures: The organs of a run: those of its label scheme.
        facts: What else its files say of themselves in their metadata, by name.
        sorted_by: Columns by which the rows of the cohort's table are sorted, nulls first.
    """

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    organ_columns: tuple[Column, ...] = ()
    structures: tuple[Organ, ...] = ORGANS
    facts: tuple[tuple[str, str], ...] = ()
    sorted_by: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """Name of its file in the folder of a shard."""
        return f"{self.name}.parquet"

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Every column in the order of the file, the organ columns once per organ."""
        return self.columns + tuple(
            replace(
                column,
                name=column.name.replace(ORGAN_PLACEHOLDER, organ.name),
                meaning=column.meaning.replace(ORGAN_PLACEHOLDER, organ.name),
                missing=column.missing and column.missing.replace(ORGAN_PLACEHOLDER, organ.name),
            )
            for organ in self.structures
            for column in self.organ_columns
        )
