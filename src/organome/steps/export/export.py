"""export: a table of a run for R, Stata, SPSS, PLINK and regenie, for UK Biobank, or as statistics.

Beside it lie the dictionary, the codings and a Data Package. What is written holds rows of
people, except for the statistics of ``--aggregate``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from organome.domain.columns import Table
from organome.domain.errors import SetupError
from organome.io.tables.codebooks import write_codebooks
from organome.io.tables.exports import write_export
from organome.steps.export.aggregate import aggregated
from organome.steps.export.genetics import write_phenotypes
from organome.steps.export.ukb_return import returned, write_readme
from organome.steps.export.wide import Width, read_columns, wide_visits

_VISITS = "visits"
_VALUES = ("volume_ml",)


class Format(StrEnum):
    """What is written."""

    CSV = "csv"
    DTA = "dta"
    PARQUET = "parquet"
    RDS = "rds"
    SAV = "sav"
    REGENIE = "regenie"
    UKB_RETURN = "ukb-return"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        file: The file.
        n_rows: Its rows.
        n_columns: Its columns.
        note: What to know before using it; empty: nothing.
    """

    file: Path
    n_rows: int
    n_columns: int
    note: str = ""

    def __str__(self) -> str:
        """Format the result in a line or two."""
        line = f"{self.file}: {self.n_rows} rows, {self.n_columns} columns"
        return f"{line}\n{self.note}" if self.note else line


def run(
    *,
    tables: Path = Path("results/tables"),
    quality: Path | None = None,
    output: Path = Path("exported"),
    table: str = _VISITS,
    format: Format = Format.CSV,
    columns: Sequence[str] = (),
    organs: Sequence[str] = (),
    values: Sequence[str] = _VALUES,
    scan_columns: Sequence[str] = (),
    radiomics: Sequence[str] = (),
    contrasts: Sequence[str] = (),
    protocol: str | None = None,
    instance: str | None = None,
    inverse_normal: bool = False,
    aggregate: bool = False,
    by: Sequence[str] = (),
    min_count: int = 10,
) -> Written:
    """Write a table with its dictionary beside it.

    Args:
        tables: Folder that collect_tables published.
        quality: Folder that check_quality published; when not given, ``quality`` beside the tables.
        output: Folder to write, one file a table.
        table: Name of the table. ``visits`` can be widened by the flags below.
        format: ``csv``, ``dta`` (Stata), ``sav`` (SPSS), ``rds`` (R) or ``parquet``; ``regenie``
            writes phenotypes for regenie and PLINK, ``ukb-return`` what UK Biobank asks for.
        columns: Columns of a table other than visits; all when none is named.
        organs: Organs of visits; all when none is named.
        values: Columns of ``organs`` that each organ has, such as ``fat_fraction_mean``, and of
            ``indices`` and ``organ_quality``, such as ``quality``, ``z``, ``centile_pct``,
            ``asymmetry_pct``.
        scan_columns: Columns of ``scans``, such as ``flags``, ``model_digest``, ``acq_month``, and
            of ``quality`` and ``covariates``, such as ``rules``, ``scan_date`` and ``bsa_m2``.
        radiomics: Features that each organ has.
        contrasts: Images that the features are of.
        protocol: Rows of this protocol only.
        instance: Rows of this instance only.
        inverse_normal: Phenotypes are brought to a normal distribution by rank.
        aggregate: Write statistics of groups without small cells, and no row of a person.
        by: Columns that make the groups; ``age_years:10`` in bands of ten.
        min_count: Participants that a cell of ``--aggregate`` must have.

    Raises:
        SetupError: A table, column or organ is not there, or a flag does not go with another.
    """
    if table != _VISITS and (aggregate or format in (Format.REGENIE, Format.UKB_RETURN)):
        raise SetupError(f"--table {table}: this is made of visits")
    widening = {"organs": organs, "values": tuple(values) != _VALUES, "radiomics": radiomics}
    widening |= {"scan-columns": scan_columns, "contrasts": contrasts}
    if table != _VISITS and (flag := next((one for one in widening if widening[one]), None)):
        raise SetupError(f"--{flag}: widens visits, not --table {table}; name its --columns")
    if aggregate and format not in (Format.CSV, Format.PARQUET):
        raise SetupError("--aggregate: written as csv or parquet")
    if radiomics and not contrasts:
        raise SetupError("--radiomics: name the image that features are of by --contrasts")
    groups = [name.partition(":")[0] for name in by]
    wanted = tuple(dict.fromkeys([*scan_columns, *groups]))
    judged = quality or tables.with_name("quality")
    width = Width(
        *(tuple(organs), tuple(values), wanted, tuple(radiomics), tuple(contrasts), protocol),
        quality=judged,
    )
    is_judged = (judged / table).is_dir() and not (tables / table).is_dir()
    if table == _VISITS:
        described, rows = wide_visits(tables, width)
        if instance is not None:
            rows = rows.filter(pc.equal(rows.column("instance"), instance))
    else:
        named = {"protocol": protocol, "instance": instance}
        where = {name: value for name, value in named.items() if value is not None}
        described, rows = read_columns(judged if is_judged else tables, table, columns, where)
    note = _note(described)
    if format is Format.REGENIE:
        path = write_phenotypes(output, described, rows, scan_columns, is_normal=inverse_normal)
        return Written(path, rows.num_rows, rows.num_columns, note)
    if aggregate:
        described, rows = aggregated(described, rows, by, min_count=min_count)
    if format is Format.UKB_RETURN:
        described, rows = returned(described, rows)
        write_readme(output, described, rows)
    suffix = Format.CSV if format is Format.UKB_RETURN else format
    return _write(output, described, rows, suffix, note)


def _write(output: Path, table: Table, rows: pa.Table, suffix: str, note: str) -> Written:
    path = output / f"{table.name}.{suffix}"
    write_export(path, table, rows)
    write_codebooks(output, [table], {table.name: [path.name]})
    return Written(path, rows.num_rows, rows.num_columns, note)


def _note(table: Table) -> str:
    facts = dict(table.facts)
    notes = []
    if facts.get("phantom_model") == "true":
        notes.append("labelled by a model of phantoms: of people these numbers mean nothing")
    if facts.get("complete") == "false":
        notes.append("not complete: leave out scans that are not measured, or collect again")
    return "\n".join(notes)
