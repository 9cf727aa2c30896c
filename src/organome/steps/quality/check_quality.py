"""check_quality: the tables of a cohort -> what is odd, what is usual, and what changed.

Nothing in the collected tables is changed. First what is usual in the whole cohort is found, column
by column; then file by file, as the tables were collected, organs and scans are judged; then norms
are fitted to what did not fail, and volumes are scored by them. So memory is that of one column or
one file, whatever the cohort.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from organome.compute.geometry.arrays import Floats
from organome.domain.quality import Thresholds
from organome.domain.quality_tables import (
    COVARIATES,
    EXCLUSIONS,
    INDICES,
    NORMS,
    ORGAN_QUALITY,
    PAIRS,
    QUALITY,
    QUALITY_TABLES,
    ROC,
    RULES,
    structure_names,
)
from organome.domain.tables import COHORT_TABLES
from organome.io.files.atomic import ATTEMPT, recover_folder, replace_folder
from organome.io.tables.codebooks import write_codebooks
from organome.io.tables.parquet import MADE_OF, arrow_schema, tables_digest, write_dictionary
from organome.io.tables.ratings import read_exclusions, read_ratings
from organome.io.tables.thresholds import read_thresholds
from organome.shards.faults import machine_faults_stop_the_job
from organome.steps.quality.collected import Collected, Writer, open_collected
from organome.steps.quality.covariates import VISIT, visit_covariates
from organome.steps.quality.indices import (
    VISIT_COLUMNS,
    index_columns,
    read_volumes,
    volumes_ml,
)
from organome.steps.quality.judged_parts import (
    Hand,
    excluded_rows,
    judge_part,
    know_scans,
    visit_quality,
)
from organome.steps.quality.judging import FAIL, WARN, Levels
from organome.steps.quality.norm_tables import Norms, fit_norms, norm_rows, read_norms
from organome.steps.quality.pairs import SeveralVisits, pair_rows, read_detectable
from organome.steps.quality.rule_rates import RuleRates

_logger = logging.getLogger(__name__)

DICTIONARY: Final = "dictionary.json"
_NAMED: Final = ["scan", "participant", "instance"]  # what lines of people name


@dataclass(frozen=True, slots=True)
class QualitySummary:
    """What was found: scans by quality, norms, rows of pairs with a change."""

    n_scans: int
    n_warn: int
    n_fail: int
    n_norms: int
    n_changes: int


def run(
    *,
    tables: Path,
    output: Path,
    thresholds: Path,
    participants: Path | None = None,
    ratings: Sequence[Path] = (),
    exclusions: Sequence[Path] = (),
    norms: Path | None = None,
    repeatability: Path | None = None,
) -> QualitySummary:
    """Judge organs and scans, index and score volumes, and pair visits.

    Args:
        tables: Folder that collect_tables published.
        output: Folder to publish: a folder a table, and ``dictionary.json``.
        thresholds: YAML of the rules, as ``config/quality/default.yaml``.
        participants: File of sex, age, height, weight and centre (TSV, CSV, Parquet).
        ratings: TSV files of ratings by hand.
        exclusions: TSV files of what is to be left out.
        norms: Norms of another cohort, a folder ``norms`` that this step made there; without, they
            are fitted to this cohort.
        repeatability: ``repeatability.csv`` of ``organome repeatability``.

    Raises:
        SetupError: There are no tables, or one of the files is not what it should be.
    """
    collected = open_collected(tables)
    made_of = tables_digest(tables, [table.name for table in COHORT_TABLES])
    organs = [one.name for one in collected.structures]
    rules = read_thresholds(thresholds, organs)
    hand = Hand(read_ratings(ratings, organs), read_exclusions(exclusions, organs))
    given_norms = None if norms is None else read_norms(norms)
    detectable_pct = {} if repeatability is None else read_detectable(repeatability)
    temporary = output.with_name(f".{output.name}.{ATTEMPT}.tmp")
    writer = Writer(temporary, collected)
    with machine_faults_stop_the_job():
        recover_folder(output)
        try:
            people = visit_covariates(collected, participants)
            writer.write(COVARIATES, _covariate_table(people))
            judged = _judge_all(collected, people, hand, rules, writer)
            cohort = str(people["cohort"].iloc[0])
            used, cohort = given_norms or (_fit_all(collected, judged), cohort)
            writer.write_rows(NORMS, norm_rows(used, cohort))
            several = _index_all(collected, judged, used, writer)
            names = structure_names(collected.structures)
            reasons = writer.write_many(
                PAIRS, pair_rows(several, names, detectable_pct), "na_reason"
            )
            described = [writer.described(table) for table in QUALITY_TABLES]
            facts = collected.facts | {MADE_OF: made_of}
            write_dictionary(temporary / DICTIONARY, described, facts)
            files = {one.name: _files_of(temporary, one.name) for one in described}
            write_codebooks(temporary, described, files)
            replace_folder(temporary, output)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    _note_unmatched(hand, judged.scans)
    return QualitySummary(
        n_scans=len(judged.scans),
        n_warn=int((judged.scan_quality == WARN).sum()),
        n_fail=int((judged.scan_quality == FAIL).sum()),
        n_norms=len(used),
        n_changes=reasons.null_count,
    )


def _files_of(folder: Path, table: str) -> list[str]:
    return sorted(f"{table}/{path.name}" for path in (folder / table).iterdir())


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is known of the cohort once it is judged.

    Attributes:
        scans: Scan, participant and instance of the scans.
        scan_quality: Level of each.
        visits: Columns of the visits, what is known of them, and what pairs are compared by.
        quality: Level of each structure at each visit.
        places: First and last visit of each part.
    """

    scans: pd.DataFrame
    scan_quality: Levels
    visits: pd.DataFrame
    quality: Levels
    places: tuple[slice, ...]


def _covariate_table(people: pd.DataFrame) -> pa.Table:
    names = [column.name for column in COVARIATES.columns]
    rows = people[names].assign(scan_date=people["scan_date"].dt.strftime("%Y-%m-%d"))
    return pa.Table.from_pandas(rows, arrow_schema(COVARIATES), preserve_index=False)


def _judge_all(
    collected: Collected, people: pd.DataFrame, hand: Hand, thresholds: Thresholds, writer: Writer
) -> _Judged:
    known = know_scans(collected, people, thresholds)
    rates = (RuleRates("organ"), RuleRates("scan"))
    scans, scan_quality, visits, quality = [], [], [], []
    for part in collected.parts:
        found = judge_part(collected, part, known, hand, thresholds)
        for table, rate, rows in zip((ORGAN_QUALITY, QUALITY), rates, found, strict=True):
            writer.write_columns(table, part, rows.keys, rows.columns())
            rate.add(rows.scores, rows.judged)
        writer.write(EXCLUSIONS, excluded_rows(*found), part)
        of_visits, levels = visit_quality(collected, part, *(rows.judged for rows in found))
        scans.append(found[1].keys.select(_NAMED).to_pandas())
        scan_quality.append(found[1].judged.final)
        visits.append(of_visits)
        quality.append(levels)
    writer.write_rows(RULES, [row for rate in rates for row in rate.rows()])
    writer.write_rows(ROC, [row for rate in rates for row in rate.curves()])
    ends = np.cumsum([0, *map(len, visits)]).tolist()
    return _Judged(
        pd.concat(scans),
        np.concatenate(scan_quality),
        pd.concat(visits, ignore_index=True).merge(people, on=VISIT, how="left"),
        np.concatenate(quality),
        tuple(slice(*pair) for pair in pairwise(ends)),
    )


def _fit_all(collected: Collected, judged: _Judged) -> Norms:
    """Fit the norms of all structures to volumes that do not fail."""
    volume_ml = volumes_ml(collected, collected.parts)
    volume_ml[judged.quality == FAIL] = np.nan
    return fit_norms(structure_names(collected.structures), judged.visits, volume_ml)


def _index_all(
    collected: Collected, judged: _Judged, norms: Norms, writer: Writer
) -> SeveralVisits:
    """Write the indices of all visits; return the visits of those who came several times."""
    names = structure_names(collected.structures)
    comes_again = judged.visits.groupby(VISIT[:2])["instance"].transform("nunique") > 1
    kept: list[Floats] = []
    for part, here in zip(collected.parts, judged.places, strict=True):
        volumes = read_volumes(collected, part)
        visits, quality = judged.visits[here], judged.quality[here]
        columns = index_columns(collected, visits, volumes, quality, norms)
        keys = collected.visits(part, VISIT_COLUMNS)
        of_each = keys.take(pa.array(np.repeat(np.arange(len(keys)), len(names))))
        writer.write_columns(INDICES, part, of_each, columns)
        kept.append(volumes.volume_ml[comes_again[here]])
    return SeveralVisits(
        judged.visits[comes_again], np.concatenate(kept), judged.quality[comes_again]
    )


def _note_unmatched(hand: Hand, scans: pd.DataFrame) -> None:
    """Count the lines of people that match no scan; nothing of them is used."""
    wanted = [
        {name: value for name in _NAMED if (value := getattr(one, name)) is not None}
        for one in hand.exclusions
    ]
    wanted_names = {("scan",), *map(tuple, wanted)}
    listed = {names: {*zip(*(scans[one] for one in names), strict=True)} for names in wanted_names}
    n_ratings = sum((scan,) not in listed["scan",] for scan, _ in hand.ratings)
    n_exclusions = sum(tuple(one.values()) not in listed[tuple(one)] for one in wanted)
    if n_ratings or n_exclusions:
        _logger.warning(
            "%d ratings and %d exclusions match no listed scan, so do nothing",
            n_ratings,
            n_exclusions,
        )
