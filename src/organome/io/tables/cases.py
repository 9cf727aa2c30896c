"""Tables of cases: ``cases.parquet``, and the lists that a cohort run and evaluation read."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Final

import pyarrow as pa

from organome.domain.cases import CASES, REFERENCE_COLUMNS, Case, Role, Unlabelled
from organome.domain.covariates import Sex
from organome.domain.errors import SetupError
from organome.domain.scans import Contrast
from organome.io.files.atomic import write_text_atomic
from organome.io.tables.parquet import parse_table, rows_to_arrow, write_table
from organome.io.tables.schemes import SCHEME_SUFFIXES

CASES_FILE: Final = "cases.parquet"
SCANS_FILE: Final = "scans.tsv"
REFERENCES_FILE: Final = "references.tsv"
_SCAN_COLUMNS: Final = (
    *("participant", "instance", "array", "protocol", "contrast", "image", "labelmap"),
)


def write_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write cases, whole or not at all."""
    write_table(path, rows_to_arrow(CASES, [asdict(case) for case in cases]))


def read_cases(path: Path) -> tuple[Case, ...]:
    """Read cases in order.

    Raises:
        SetupError: The file is missing, or not a table of cases.
    """
    try:
        rows = parse_table(path).to_pylist()
        return tuple(_case(row) for row in rows)
    except (OSError, pa.ArrowInvalid, ValueError, TypeError, KeyError) as error:
        raise SetupError(f"{path}: not a table of cases; list them again (list-cases)") from error


def _case(row: dict[str, object]) -> Case:
    typed = {
        "role": Role(str(row["role"])),
        "contrast": Contrast(str(row["contrast"])),
        "unlabelled": Unlabelled(str(row["unlabelled"])),
        "sex": None if row["sex"] is None else Sex(str(row["sex"])),
    }
    return Case(**(row | typed))  # type: ignore[arg-type]


def write_references(
    folder: Path,
    cases: Sequence[Case],
    *,
    references: Mapping[str, Path],
    predictions: Mapping[str, Path] | None = None,
    folds: Mapping[str, int] | None = None,
) -> None:
    """Write ``scans.tsv``, which a cohort of kind folder reads, and ``references.tsv`` beside it.

    Args:
        folder: Where.
        cases: One scan each; the person stands as participant, so that equal numbers of two
            biobanks are two people. Images of a visit that show the same, be it in two datasets of
            one biobank, are repeats: ``1``, ``1-2``, ...
        references: Labelmap by case.
        predictions: Labelmap that a model made, by case: the column ``labelmap``.
        folds: Fold that did not see the case in training, by case: the column ``fold``.
    """
    scans, rows = [], []
    for case, identity in zip(cases, _identities(cases), strict=True):
        predicted = str(predictions[case.case]) if predictions else ""
        scans.append((*identity, case.contrast, case.image, predicted))
        known = (case.sex or "", "" if case.age_years is None else f"{case.age_years:g}")
        about = (case.dataset, case.modality, case.contrast)
        row = (*identity, *about, str(references[case.case]), _scheme(case), *known)
        rows.append(row if folds is None else (*row, str(folds[case.case])))
    columns = REFERENCE_COLUMNS if folds is None else (*REFERENCE_COLUMNS, "fold")
    _write_tsv(folder / SCANS_FILE, _SCAN_COLUMNS, scans)
    _write_tsv(folder / REFERENCES_FILE, columns, rows)


def _identities(cases: Sequence[Case]) -> list[tuple[str, str, str, str]]:
    """Give each case its own identity: a cohort refuses a list that names a scan twice."""
    taken: dict[tuple[str, str, str, str], None] = {}
    for case in cases:
        arrays = chain((case.array,), (f"{case.array}-{n}" for n in count(2)))
        named = ((case.person, case.instance, array, case.protocol) for array in arrays)
        taken[next(one for one in named if one not in taken)] = None
    return list(taken)


def _scheme(case: Case) -> str:
    """Name the label scheme of a case; a file by its whole path, for the TSV lies elsewhere."""
    is_file = Path(case.scheme).suffix in SCHEME_SUFFIXES
    return str(Path(case.scheme).absolute()) if is_file else case.scheme


def _write_tsv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text_atomic(path, text.getvalue())
