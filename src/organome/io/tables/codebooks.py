"""What the columns of tables mean, in the forms that other tools read.

``dictionary.csv`` and ``codings.csv`` have the columns of UK Biobank's Showcase,
``datapackage.json`` is a Frictionless Data Package, ``<table>.json`` a sidecar as BIDS has it.
"""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from organome import __version__
from organome.domain.columns import Column, ColumnType, Table
from organome.domain.level_meanings import level_meaning
from organome.domain.tables import SCHEMA_VERSION
from organome.io.files.atomic import write_text_atomic

DICTIONARY_CSV, CODINGS_CSV = "dictionary.csv", "codings.csv"
DATA_PACKAGE: Final = "datapackage.json"
STATA_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_STATA_NAME: Final = 32
_SHOWCASE: Final = (
    *("Path", "Category", "FieldID", "Field", "ValueType", "Units", "ItemType", "Instances"),
    *("Array", "Coding", "Notes", "StataName", "MissingCoding"),
)
_VALUE_TYPES: Final = {
    ColumnType.STRING: "Text",
    ColumnType.BOOL: "Categorical single",
    ColumnType.FLOAT64: "Continuous",
}
_FRICTIONLESS_TYPES: Final = {
    ColumnType.STRING: "string",
    ColumnType.BOOL: "boolean",
    ColumnType.FLOAT64: "number",
}


def stata_name(name: str) -> str:
    """Shorten a name to the 32 characters that Stata takes; the same name gives the same."""
    if len(name) <= _STATA_NAME:
        return name
    return f"{name[: _STATA_NAME - 5]}_{hashlib.sha256(name.encode()).hexdigest()[:4]}"


def missing_codes(reasons: Sequence[str]) -> dict[str, str]:
    """Give each reason for a null one of Stata's letters; the last stands for all that are left."""
    last = len(STATA_LETTERS) - 1
    return {reason: STATA_LETTERS[min(place, last)] for place, reason in enumerate(reasons)}


def missing_labels(reasons: Sequence[str]) -> dict[str, str]:
    """Return what each of these letters stands for."""
    labels: dict[str, str] = {}
    for reason, letter in missing_codes(reasons).items():
        labels[letter] = "other reason, see the column" if letter in labels else reason
    return labels


def write_codebooks(
    folder: Path, tables: Sequence[Table], files: Mapping[str, Sequence[str]]
) -> None:
    """Write all forms of the dictionary of some tables.

    Args:
        folder: Where.
        tables: The tables.
        files: Paths of the files of each table, relative to the folder.
    """
    rows = [row for table in tables for row in _showcase_rows(table)]
    write_text_atomic(folder / DICTIONARY_CSV, _csv([_SHOWCASE, *rows]))
    write_text_atomic(folder / CODINGS_CSV, _csv(_coding_rows(tables)))
    write_text_atomic(folder / DATA_PACKAGE, _json(_data_package(tables, files)))
    for table in tables:
        write_text_atomic(folder / f"{table.name}.json", _json(_sidecar(table)))


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _showcase_rows(table: Table) -> list[tuple[object, ...]]:
    return [
        (
            *(f"Organome > {table.name}", table.name, place, column.name),
            _value_type(column),
            *(column.unit or "", "Data", 1, 1),
            _coding(table, column.name) if column.levels else "",
            column.meaning,
            stata_name(column.name),
            _coding(table, column.missing) if column.missing else "",
        )
        for place, column in enumerate(table.all_columns, start=1)
    ]


def _value_type(column: Column) -> str:
    if column.levels:
        return "Categorical single"
    return _VALUE_TYPES.get(column.type, "Integer")


def _coding(table: Table, name: str) -> str:
    return f"{table.name}.{name}"


def _coding_rows(tables: Sequence[Table]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("Coding", "Value", "Meaning", "StataMissing")]
    for table in tables:
        explaining = {column.missing for column in table.all_columns}
        for column in table.all_columns:
            codes = missing_codes(column.levels) if column.name in explaining else {}
            rows += [
                (
                    *(_coding(table, column.name), level, level_meaning(level)),
                    f".{codes[level]}" if level in codes else "",
                )
                for level in column.levels
            ]
    return rows


def _sidecar(table: Table) -> dict[str, Any]:
    return {
        column.name: {
            "Description": column.meaning,
            **({"Units": column.unit} if column.unit else {}),
            **(
                {"Levels": {level: level_meaning(level) or level for level in column.levels}}
                if column.levels
                else {}
            ),
        }
        for column in table.all_columns
    }


def _data_package(tables: Sequence[Table], files: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        "profile": "data-package",
        "name": "organome-tables",
        "version": __version__,
        "schema_version": SCHEMA_VERSION,
        "resources": [_resource(table, files[table.name]) for table in tables],
    }


def _resource(table: Table, files: Sequence[str]) -> dict[str, Any]:
    names = {column.name for column in table.all_columns}
    kind = Path(files[0]).suffix.removeprefix(".")
    return {
        "name": table.name.replace("_", "-"),
        "description": table.row,
        "path": files[0] if len(files) == 1 else list(files),
        "format": kind,
        **({"profile": "tabular-data-resource", "encoding": "utf-8"} if kind == "csv" else {}),
        "schema": {
            "fields": [_frictionless_field(column) for column in table.all_columns],
            "missingValues": [""],
            **({"primaryKey": list(table.key)} if table.key and {*table.key} <= names else {}),
        },
    }


def _frictionless_field(column: Column) -> dict[str, Any]:
    constraints: dict[str, Any] = {} if column.nullable else {"required": True}
    if column.levels:
        constraints["enum"] = list(column.levels)
    return {
        "name": column.name,
        "type": _FRICTIONLESS_TYPES.get(column.type, "integer"),
        "description": column.meaning,
        **({"unit": column.unit} if column.unit else {}),
        **({"missing": column.missing} if column.missing else {}),
        **({"constraints": constraints} if constraints else {}),
    }
