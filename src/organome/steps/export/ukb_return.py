"""What UK Biobank asks researchers to return: a row per participant, names as fields have them.

Columns are ``<name>-<instance>.<array>`` behind ``eid``, the encoded id of the application that
returns them. The dictionary and the codings beside it have the columns of the Showcase.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from organome import __version__
from organome.domain.columns import Column, ColumnType, Table
from organome.domain.errors import SetupError
from organome.io.files.atomic import write_text_atomic

_KEY: Final = ("cohort", "participant", "instance", "protocol", "array")
_EID: Final = Column(
    "eid", ColumnType.STRING, "Encoded id of the participant in the returning application.",
    nullable=False,
)  # fmt: skip


def returned(table: Table, rows: pa.Table) -> tuple[Table, pa.Table]:
    """Put the visits of a participant side by side.

    Raises:
        SetupError: A visit has several rows.
    """
    keys = rows.select(["participant", "instance", "array"]).to_pandas()
    if keys.duplicated(["participant", "instance"]).any():
        raise SetupError("a visit has several protocols; name one by --protocol")
    people = pd.Index(sorted(keys["participant"].unique()))
    columns, values = [_EID], [pa.array(people)]
    described = [column for column in table.all_columns if column.name not in _KEY]
    for (instance, array), of_field in keys.groupby(["instance", "array"], sort=True):
        found = pd.Index(of_field["participant"]).get_indexer(people)
        places = pa.array(of_field.index.to_numpy()[found], mask=np.asarray(found < 0))
        for column in described:
            name = f"{column.name}-{instance}.{array}"
            missing = column.missing and f"{column.missing}-{instance}.{array}"
            columns.append(replace(column, name=name, nullable=True, missing=missing))
            values.append(rows.column(column.name).take(places))
    made = replace(
        table,
        name="returned",
        row="One row per participant.",
        key=("eid",),
        columns=tuple(columns),
        sorted_by=("eid",),
    )
    return made, pa.table(values, names=[column.name for column in columns])


def write_readme(folder: Path, table: Table, rows: pa.Table) -> None:
    """Write the page that goes with a return; what only its author knows is left to fill in."""
    facts = dict(table.facts)
    text = f"""\
Returned variables of organ volumes
===================================

Application, title, principal investigator: (fill in)
Paper, DOI: (fill in)

{table.name}.csv     {rows.num_rows} participants, {len(table.columns) - 1} variables
dictionary.csv   every variable: meaning, unit, type, coding
codings.csv      every coded value and its meaning

Variables are named <name>-<instance>.<array>. An empty value is missing; the variable
<organ>_na_reason says why. No value is 0 for missing.

Made by Organome {__version__}, schema version {facts.get("schema_version", "?")}.
Model (digest of its files): {facts.get("models") or "none: labelmaps were given"}
Method: automated segmentation of organs; volumes are counted on the grid of the image, organs
that are cut by the field of view have none. Code and description: the repository of Organome.
"""
    write_text_atomic(folder / "README.txt", text)
