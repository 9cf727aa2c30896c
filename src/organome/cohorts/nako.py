"""NAKO as it is delivered: an archive of DICOM for each participant and sequence.

``<sequence>/<id>[_<visit>][_...].zip``, or the sequence in the name of the archive. Of these,

- ``3D_GRE_TRA_<F|W|in|opp>`` is a contrast of protocol ``dixon``, at four stations;
- the same with ``_COMPOSED``, as the scanner put it together, is protocol ``dixon_composed``;
- ``T2_HASTE`` is protocol ``haste``, contrast ``t2``.

An archive that lies in the root itself and names no sequence holds all of a participant: of it the
Dixon stations are taken. Other sequences are not listed. NAKO as TPTBox converts it has names as in
BIDS and is read by ``cohorts.bids``.

Source: folders and names as public scripts read them (TPTBox's converter for NAKO, scripts for its
zipped series); four stations, Kart et al. 2021.
"""

import re
from pathlib import PurePath
from typing import Final

from organome.cohorts.dixon import DESCRIPTION_SUFFIXES
from organome.cohorts.listing import FoundImage
from organome.domain.headers import Header
from organome.domain.scans import Contrast

STATIONS: Final = 4
ARCHIVE_SUFFIX: Final = ".zip"
DIXON: Final = "dixon"
COMPOSED: Final = "COMPOSED"
LEFT_OUT: Final = "archives of other sequences"
_PERSON: Final = re.compile(r"(?P<id>[0-9]{6})(?:_(?P<visit>[0-9]{1,2}))?(?![0-9])")
_DIXON: Final = re.compile(
    r"(?:^|_)3D_GRE_TRA(?:_[a-z0-9]+)*?_(?P<part>F|W|in|opp)(?P<composed>_COMPOSED)?(?:_[0-9]+)?$",
    re.IGNORECASE,
)
_HASTE: Final = re.compile(r"(?:^|_)T2_HASTE(?:_|$)", re.IGNORECASE)


def is_archive(path: PurePath) -> bool:
    """Return whether a file is an archive by its name."""
    return path.suffix.lower() == ARCHIVE_SUFFIX


def parse_archive(path: PurePath, *, root: PurePath) -> FoundImage | None:
    """Return what an archive holds, by its place and name.

    Args:
        path: The file, below ``root``.
        root: The folder of the cohort.

    Returns:
        The image; without a contrast where the archive holds all. None if it is not listed.
    """
    person = _PERSON.match(path.stem)
    if person is None or not is_archive(path):
        return None
    places = (path.stem, *reversed(path.relative_to(root).parts[:-1]))
    shown = next(filter(None, map(_sequence, places)), None)
    if shown is None and (len(places) > 1 or person.end() < len(path.stem)):
        return None
    contrast, protocol = shown or (None, DIXON)
    return FoundImage(
        participant=person["id"],
        instance=person["visit"] or "1",
        array="1",
        protocol=protocol,
        path=str(path),
        where="an archive",
        contrast=contrast,
    )


def is_composed(header: Header) -> bool:
    """Return whether the scanner put an image together of several stations."""
    return COMPOSED in header.series_description.upper() or COMPOSED in header.image_type


def _sequence(name: str) -> tuple[Contrast, str] | None:
    if match := _DIXON.search(name):
        composed = f"_{COMPOSED.lower()}" if match["composed"] else ""
        return DESCRIPTION_SUFFIXES[match["part"].lower()], DIXON + composed
    return (Contrast.T2, "haste") if _HASTE.search(name) else None
