"""Any folder of images, described by a TSV with one row per image.

| column | | |
|---|---|---|
| ``participant`` | required | pseudonym, taken as text |
| ``image`` | required | NIfTI, NRRD, MHA; a folder, or a zip, of one DICOM series |
| ``instance``, ``array`` | ``1`` | visit, and repeat within the visit |
| ``protocol`` | ``dixon`` for Dixon contrasts, else the contrast | what was acquired |
| ``contrast`` | see below | a word of ``Contrast`` |
| ``station`` | none | table position from the head, from 1 on |
| ``labelmap`` | none | a labelmap that already exists |

Paths are relative to the folder of the TSV. Rows that differ in contrast or station only are one
scan. Without a contrast, a protocol that is a contrast word (``ct``) gives it; else DICOM headers
must: they know CT and the Dixon contrasts. Further columns (age, sex) are ignored; one that looks
like a misspelt one of ours is an error.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Final

from organome.cohorts.listing import FoundImage, image_suffix
from organome.domain.errors import SetupError
from organome.domain.names import is_readable, one_spelling
from organome.domain.scans import DIXON_CONTRASTS, Contrast

REQUIRED: Final = ("participant", "image")
OPTIONAL: Final = ("instance", "array", "protocol", "contrast", "station", "labelmap")
MISSPELT: Final = 0.8  # similarity from which a column is taken for one of ours
# What spreadsheets make of identifiers: 12.0, 1.2E+06, 1E+05. They write the sign; a pseudonym of
# hexadecimal digits (7e123456) has none.
_SPOILT_NUMBER: Final = re.compile(r"\d+\.0+|\d+[.,]\d+[eE][+-]?\d+|\d+[eE]\+\d+")
_NAMES: Final = ("participant", "instance", "array", "protocol")


def parse_table(lines: Iterable[str], *, name: str, root: PurePath) -> tuple[FoundImage, ...]:
    """Read the rows of the TSV.

    Args:
        lines: Its lines, with their ends: a cell in quotes may go on in the next one.
        name: Its file name, for errors.
        root: Its folder.

    Raises:
        SetupError: Naming the line, if a column, a contrast, a station or a participant is wrong.
    """
    rows = csv.DictReader(lines, delimiter="\t", strict=True)
    try:
        _check_columns(rows.fieldnames or (), name)
        images = tuple(_images(rows, name=name, root=root))
    except csv.Error as error:
        raise SetupError(f"{name}, line {rows.reader.line_num}: {error}") from error
    _check_lost_zeros(images)
    return images


def _images(rows: "csv.DictReader[str]", *, name: str, root: PurePath) -> Iterator[FoundImage]:
    for row in rows:
        where = f"{name}, line {rows.line_num}"
        if None in row:
            raise SetupError(f"{where}: more fields than columns")
        cells = {column: (value or "").strip() for column, value in row.items()}
        if any(cells.values()):
            yield _image(cells, where=where, root=root)


def _image(cells: Mapping[str, str], *, where: str, root: PurePath) -> FoundImage:
    for column in REQUIRED:
        if not cells[column]:
            raise SetupError(f"{where}: no {column}")
    for column in _NAMES:
        if not is_readable(cells.get(column, "")):
            raise SetupError(f"{where}: {column} holds characters that cannot be seen")
    if _SPOILT_NUMBER.fullmatch(cells["participant"]):
        raise SetupError(
            f"{where}: participant is a number that a spreadsheet has rewritten;"
            " export the column as text"
        )
    protocol = cells.get("protocol", "")
    contrast = _contrast(cells.get("contrast", ""), protocol, where)
    if contrast is None and image_suffix(cells["image"]):
        raise SetupError(
            f"{where}: no contrast, and {PurePath(cells['image']).suffix} does not say"
        )
    labelmap = cells.get("labelmap", "")
    return FoundImage(
        participant=one_spelling(cells["participant"]),
        instance=one_spelling(cells.get("instance") or "1"),
        array=one_spelling(cells.get("array") or "1"),
        protocol=one_spelling(protocol) or _usual_protocol(contrast, where),
        path=str(root / cells["image"]),
        where=where,
        contrast=contrast,
        station=_station(cells.get("station", ""), where),
        labelmap=str(root / labelmap) if labelmap else None,
    )


def _contrast(text: str, protocol: str, where: str) -> Contrast | None:
    if not text:
        return Contrast(protocol) if protocol in set(Contrast) else None
    if text not in set(Contrast):
        raise SetupError(f"{where}: contrast {text!r} must be one of {', '.join(Contrast)}")
    return Contrast(text)


def _usual_protocol(contrast: Contrast | None, where: str) -> str:
    if contrast is None:
        raise SetupError(f"{where}: neither protocol nor contrast")
    return "dixon" if contrast in DIXON_CONTRASTS else contrast.value


def _station(text: str, where: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise SetupError(f"{where}: station {text!r} is not a number from 1 to 100")
    return int(text)


def _check_columns(columns: Sequence[str], name: str) -> None:
    absent = [column for column in REQUIRED if column not in columns]
    if absent:
        raise SetupError(
            f"{name}: no column {' and '.join(absent)} (are the columns separated by tabs?)"
        )
    for column in columns:
        if column not in (*REQUIRED, *OPTIONAL):
            close = get_close_matches(column.lower(), (*REQUIRED, *OPTIONAL), 1, MISSPELT)
            if close:
                raise SetupError(f"{name}: column {column!r}: did you mean {close[0]!r}?")
    named = [column for column in columns if column]  # spreadsheets add empty ones
    if len(set(named)) < len(named):
        raise SetupError(f"{name}: two columns have the same name")


def _check_lost_zeros(images: Sequence[FoundImage]) -> None:
    """Refuse 12 beside 0034: a spreadsheet took leading zeros from some participants.

    Raises:
        SetupError: If so; two people may have become one.
    """
    numbers = [image for image in images if image.participant.isdecimal()]
    padded = [image for image in numbers if image.participant.startswith("0")]
    if not padded:
        return
    n_digits = max(len(image.participant) for image in padded)
    for image in numbers:
        if len(image.participant) < n_digits:
            raise SetupError(
                f"{image.where}: participant has {len(image.participant)} digits, that of "
                f"{padded[0].where} has {n_digits}: were leading zeros lost?"
            )
