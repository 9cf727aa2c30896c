"""The list of references: a TSV with one row per scan that a reference labelmap exists for.

``write_references`` (``cases``) writes it of the cases of a training; anybody can by hand.

| column | | |
|---|---|---|
| ``participant``, ``protocol`` | required | as in the list of scans |
| ``instance``, ``array`` | ``1`` | likewise |
| ``station`` | none | likewise, where stations are scans of their own |
| ``dataset`` | required | scans of one dataset are summarised together |
| ``modality`` | required | ``mri`` or ``ct`` |
| ``contrast`` | what was labelled | a word of ``Contrast`` |
| ``reference`` | required | labelmap: NIfTI, NRRD or MHA |
| ``scheme`` | required | name or file of its label scheme |
| ``sex``, ``age_years`` | none | of the participant, at the scan |
| ``fold`` | none | fold of a cross-validation that predicted the scan |

Paths are relative to the folder of the TSV.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from organome.domain.cases import REFERENCE_COLUMNS
from organome.domain.covariates import read_age_years, read_sex
from organome.domain.errors import SetupError
from organome.domain.evaluations import Reference
from organome.domain.names import one_spelling
from organome.domain.scans import Contrast, Modality
from organome.io.tables.participants import tsv_lines
from organome.io.tables.schemes import SCHEME_SUFFIXES

REQUIRED: Final = ("participant", "protocol", "dataset", "modality", "reference", "scheme")
OPTIONAL: Final = (*(set(REFERENCE_COLUMNS) - set(REQUIRED)), "station", "fold")
MISSPELT: Final = 0.8  # similarity from which a column is taken for one of ours
_UNKNOWN: Final = ("", "n/a")

Word = TypeVar("Word", bound=StrEnum)


def read_references(path: Path) -> tuple[Reference, ...]:
    """Read a list of references.

    Raises:
        SetupError: Naming the line, if a column or a value is wrong, or a scan has two references.
    """
    try:
        rows = csv.DictReader(tsv_lines(path), delimiter="\t", strict=True)
        _check_columns(rows.fieldnames or (), path.name)
        references = tuple(_references(rows, path))
    except OSError as error:
        raise SetupError(f"{path}: cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise SetupError(f"{path.name}: not a table separated by tabs ({error})") from error
    if not references:
        raise SetupError(f"{path.name}: no references in it")
    return references


def _references(rows: "csv.DictReader[str]", path: Path) -> Iterator[Reference]:
    seen: dict[object, str] = {}
    for row in rows:
        where = f"{path.name}, line {rows.line_num}"
        if None in row:
            raise SetupError(f"{where}: more fields than columns")
        cells = {name: (value or "").strip() for name, value in row.items() if name}
        if not any(cells.values()):
            continue
        reference = _reference(cells, where=where, folder=path.parent)
        first = seen.setdefault(reference.identity, where)
        if first != where:
            raise SetupError(f"{where}: the scan of {first} once more")
        yield reference


def _reference(cells: Mapping[str, str], *, where: str, folder: Path) -> Reference:
    for name in REQUIRED:
        if not cells[name]:
            raise SetupError(f"{where}: no {name}")
    station = cells.get("station", "")
    if station and not station.isdecimal():
        raise SetupError(f"{where}: station {station!r} is not a number")
    sex, age = cells.get("sex", ""), cells.get("age_years", "")
    if sex not in _UNKNOWN and read_sex(sex) is None:
        raise SetupError(f"{where}: sex {sex!r} must be female or male, or empty")
    if age not in _UNKNOWN and read_age_years(age) is None:
        raise SetupError(f"{where}: age_years {age!r} is not an age in years")
    is_file = Path(cells["scheme"]).suffix in SCHEME_SUFFIXES
    return Reference(
        participant=one_spelling(cells["participant"]),
        instance=one_spelling(cells.get("instance") or "1"),
        array=one_spelling(cells.get("array") or "1"),
        protocol=one_spelling(cells["protocol"]),
        station=int(station) if station else None,
        labelmap=str(folder / cells["reference"]),
        scheme=str(folder / cells["scheme"]) if is_file else cells["scheme"],
        dataset=cells["dataset"],
        modality=_word(cells["modality"], Modality, "modality", where),
        contrast=_word(cells["contrast"], Contrast, "contrast", where)
        if cells.get("contrast")
        else None,
        sex=read_sex(sex),
        age_years=read_age_years(age),
        fold=cells.get("fold") or None,
    )


def _word(text: str, words: type[Word], name: str, where: str) -> Word:
    if text not in tuple(words):
        raise SetupError(f"{where}: {name} {text!r} must be one of {', '.join(words)}")
    return words(text)


def _check_columns(columns: Sequence[str], name: str) -> None:
    if absent := [column for column in REQUIRED if column not in columns]:
        raise SetupError(
            f"{name}: no column {' and '.join(absent)} (are the columns separated by tabs?)"
        )
    for column in set(columns) - {*REQUIRED, *OPTIONAL, ""}:
        if close := get_close_matches(column.lower(), (*REQUIRED, *OPTIONAL), 1, MISSPELT):
            raise SetupError(f"{name}: column {column!r}: did you mean {close[0]!r}?")
    named = [column for column in columns if column]
    if len(set(named)) < len(named):
        raise SetupError(f"{name}: two columns have the same name")
