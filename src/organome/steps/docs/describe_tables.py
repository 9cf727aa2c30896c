"""describe_tables: ``docs/tables.md`` from the same columns as the tables themselves."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from organome.domain.columns import Table
from organome.domain.contrast_kinds import CONTRAST_KINDS
from organome.domain.organs import ORGANS, SIDE_FINDING_MEANINGS
from organome.domain.published_tables import PUBLISHED_TABLES
from organome.domain.quality import PAIR_REASON_MEANINGS, RULE_MEANINGS, SCORE_REASON_MEANINGS
from organome.domain.reasons import (
    FEATURE_REASON_MEANINGS,
    FLAG_MEANINGS,
    ORGAN_REASON_MEANINGS,
    REASON_MEANINGS,
    SLICE_REASON_MEANINGS,
)
from organome.domain.schemes import SCHEMES
from organome.domain.tables import SCHEMA_VERSION
from organome.io.files.atomic import write_text_atomic

_INTRODUCTION = f"""\
# The tables

<!-- Made by `organome dev describe-tables`; edit src/organome/domain/tables.py instead. -->

Parquet files under `results/tables/`, schema version {SCHEMA_VERSION}. Unit and meaning of every
column stand in the files too (Arrow field metadata: `unit`, `meaning`, `levels`, and `missing`, the
column that says why a value is null) and in `dictionary.json`; `dictionary.csv` and `codings.csv`
are the same as UK Biobank's Showcase has it, `datapackage.json` as Frictionless, `<table>.json` as
BIDS. For other programs: [export.md](export.md).

- A missing number is null, never 0, and `na_reason` says why it is missing.
- Each file holds the rows of a few shards, sorted by cohort, participant, instance, array,
  protocol, station and label; those of radiomics by contrast before the label. A visit is never in
  two files.
- The same input gives the same bytes: no time, no host, no attempt stands in a table. Collected
  again, files whose rows are made of the very same are kept (`organome.inputs`); remove
  `results/tables` to have all of them made anew.
- The metadata of a file name the release that collected it (`organome.version`), the models
  (`organome.models`), and for each step behind the rows a digest of its version and settings
  (`organome.settings.<step>`).
- Tables are collected from what is there. A scan whose shard a step has not been through, or whose
  shard's files are damaged, has its rows too, with the `status` `not_measured` and the reason. As
  long as there are such scans, `dictionary.json` says `"complete": false` and how many there are
  (`n_not_measured`, and `n_radiomics_not_measured`), and so does every Parquet file of its own rows
  in its metadata (`organome.complete`, ...). Collected again, these rows become what the others
  are: leave them out of an analysis, or wait; they are not failures.
- Where a model that was trained on phantoms had a part in the labels, every table says so in its
  metadata (`organome.phantom_model`), `dictionary.json` too, and `flags` says for which scans.
"""


def run(*, output: Path) -> None:
    """Write the description of all cohort tables as Markdown.

    Args:
        output: The file, usually ``docs/tables.md``.
    """
    parts = [
        _INTRODUCTION,
        *(_table_section(table) for table in PUBLISHED_TABLES),
        _reasons_section(),
        _contrasts_section(),
        _schemes_section(),
        _structures_section(),
    ]
    write_text_atomic(output, "\n".join(parts))


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = (f"| {' | '.join(map(str, row))} |" for row in rows)
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines]


def _meanings(column: str, meanings: Mapping[Any, str]) -> list[str]:
    return _table([column, "means"], ((f"`{name}`", means) for name, means in meanings.items()))


def _section(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def _reasons_section() -> str:
    return _section(
        "## Why a volume is null",
        "",
        "In `na_reason` of an organ of a scan that went through:",
        "",
        *_meanings("na_reason", ORGAN_REASON_MEANINGS),
        "",
        "In `reason` of a scan that failed or is not measured yet (`status`), and in `na_reason` of"
        " all its organs; `failed_step` and `fact` say more:",
        "",
        *_meanings("reason", REASON_MEANINGS),
        "",
        "In `na_reason` of radiomics there are more, of organs that were found:",
        "",
        *_meanings("na_reason", FEATURE_REASON_MEANINGS),
        "",
        "In `pdff_liver_na_reason` and `pdff_pancreas_na_reason` of an organ that was found:",
        "",
        *_meanings("na_reason", SLICE_REASON_MEANINGS),
        "",
        "In `flags` of a scan, whether it went through or not: odd, but handled.",
        "",
        *_meanings("flag", FLAG_MEANINGS),
        "",
        "In `side_finding` of an organ whose side is suspect; nothing is changed for it.",
        "",
        *_meanings("side_finding", SIDE_FINDING_MEANINGS),
        "",
        "The rules of `quality` and `organ_quality`:",
        "",
        *_meanings("rule", RULE_MEANINGS),
        "",
        "In `index_na_reason` and `z_na_reason` of indices:",
        "",
        *_meanings("reason", SCORE_REASON_MEANINGS),
        "",
        "In `na_reason` of pairs:",
        "",
        *_meanings("na_reason", PAIR_REASON_MEANINGS),
    )


def _table_section(table: Table) -> str:
    return _section(
        f"## {table.name}",
        "",
        f"{table.row} Key: {', '.join(f'`{name}`' for name in table.key)}.",
        "",
        *_table(
            ["column", "type", "unit", "null", "meaning"],
            (
                (
                    f"`{one.name}`",
                    one.type,
                    one.unit or "",
                    "yes" if one.nullable else "no",
                    escape(one.meaning, quote=False),  # "<organ>" would be taken for HTML
                )
                for one in (*table.columns, *table.organ_columns)
            ),
        ),
    )


def _contrasts_section() -> str:
    return _section(
        "## Contrasts",
        "",
        "Intensities without a unit are arbitrary: do not compare those of two scans as they are.",
        "",
        *_table(
            ["contrast", "scanner", "unit", "quantitative", "meaning", "in names", "in headers"],
            (
                (
                    f"`{one.contrast}`",
                    one.modality,
                    one.unit or "",
                    "yes" if one.is_quantitative else "no",
                    one.meaning,
                    _words(*one.name_words, *one.name_suffixes),
                    _words(*one.description_suffixes, *one.image_types),
                )
                for one in CONTRAST_KINDS
            ),
        ),
    )


def _words(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _schemes_section() -> str:
    return _section(
        "## Label schemes",
        "",
        "Where an organ of a tool is not quite what its name says. Organs that are not named here",
        "are taken over as they are.",
        "",
        *_table(
            ["scheme", "organ", "difference"],
            (
                (scheme.name, organ, note)
                for scheme in SCHEMES.values()
                for organ, note in scheme.notes.items()
            ),
        ),
    )


def _structures_section() -> str:
    return _section(
        "## Structures of other schemes",
        "",
        "A run whose label scheme has structures of its own has these in place of the 40 organs,",
        "in `organs` as in `visits`; [models.md](models.md) says how to write a scheme.",
        "",
        *_table(
            ["scheme", "label", "organ", "region", "side"],
            (
                (scheme.name, one.label, one.name, one.region, one.side)
                for scheme in SCHEMES.values()
                if scheme.structures != ORGANS
                for one in scheme.structures
            ),
        ),
    )
