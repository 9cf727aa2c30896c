"""Datasets for training and tests: which image goes with which reference, by their names alone.

- ``amos22``: ``imagesTr|Va/amos_NNNN.nii.gz`` with ``labelsTr|Va``; from 500 on MRI, below CT.
- ``totalsegmentator``: ``sNNNN/ct.nii.gz`` or ``mri.nii.gz``, with ``segmentations/`` (a mask a
  class) or one labelmap beside it.
- ``nnunet``: ``imagesTr/<case>_0000.<suffix>`` with ``labelsTr/<case>.<suffix>``.
- ``nako``: images as TPTBox names them (``bids``), with ``<image>_seg`` beside, or ``labels/`` for
  ``images/``.
- ``ukb``: ``<eid>_<field>_<instance>_<array>[_station<N>]_<in|opp|F|W|...>.<suffix>``, with
  ``_seg`` for each contrast or for all of a station.

Source: the AMOS22 paper (Ji et al. 2022) and TotalSegmentator's Zenodo records for their folders;
nnU-Net's documentation of its raw format. Names of UK Biobank's images are this package's own
choice: the biobank delivers DICOM.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeVar

from organome.cohorts import bids
from organome.cohorts.listing import IMAGE_SUFFIXES, image_suffix
from organome.domain.cases import NO_INSTANCE
from organome.domain.contrast_kinds import CONTRAST_KINDS
from organome.domain.covariates import UNKNOWN, Covariates, Sex, read_age_years, read_sex
from organome.domain.errors import SetupError
from organome.domain.names import one_spelling
from organome.domain.scans import Contrast

FIRST_AMOS_MRI: Final = 500
# Layouts that name an image by itself, and do not say whose it is.
WITHOUT_PEOPLE: Final = ("amos22", "totalsegmentator", "nnunet")
META_FILES: Final[Mapping[str, str]] = {
    "amos22": "labeled_data_meta*.csv",
    "totalsegmentator": "meta.csv",
    "ukb": "participants.tsv",
    "nako": "participants.tsv",
}
_AMOS: Final = re.compile(r"(?:.*/)?images(Tr|Va)/(amos_(\d{4}))\.nii\.gz")
_TOTALSEGMENTATOR: Final = re.compile(r"(?:.*/)?(s\d{4,})/(ct|mri)\.nii\.gz")
_ONE_LABELMAP: Final = ("segmentations", "segmentation", "labels", "label", "seg")
_NNUNET: Final = re.compile(r"(?:.*/)?imagesTr/(.+)_(\d{4})\.[a-z.]+")
_UKB: Final = re.compile(
    r"(?P<scan>(?P<participant>\d+)_(?P<field>\d{5})_(?P<instance>\d+)_(?P<array>\d+)"
    r"(?:_station(?P<station>\d+))?)_(?P<shown>[A-Za-z0-9_]+)"
)
_SHOWN: Final = {
    word: one.contrast
    for one in CONTRAST_KINDS
    for word in (one.contrast.value, *one.description_suffixes, *one.name_suffixes)
}
_REFERENCE: Final = ("_seg", "_dseg", "_labels")
_META_COLUMNS: Final = {
    "participant": ("participant", "participant_id", "image_id", "amos_id", "case", "eid"),
    "sex": ("sex", "gender", "patient's sex"),
    "age": ("age", "age_years", "patient's age"),
}

_Value = TypeVar("_Value", Sex, float)


@dataclass(frozen=True, slots=True)
class FoundCase:
    """An image with its reference, paths relative to the dataset.

    The participant is the name of the image in layouts ``WITHOUT_PEOPLE``.
    """

    participant: str
    contrast: Contrast
    image: str
    reference: str
    instance: str = NO_INSTANCE
    array: str = NO_INSTANCE
    station: int | None = None


def find_cases(layout: str, files: Sequence[str], contrast: Contrast | None) -> list[FoundCase]:
    """Find the cases of a dataset.

    Args:
        layout: How it is laid out.
        files: All its files, relative to its folder, with ``/``.
        contrast: What images show of which neither name nor layout says it.

    Returns:
        In the order of their images. Images without a reference are left out.

    Raises:
        SetupError: Nothing says what an image shows, or nnU-Net's images have several channels.
    """
    return _LAYOUTS[layout](sorted(files), frozenset(files), contrast)


def _amos22(
    files: Sequence[str], known: Collection[str], contrast: Contrast | None
) -> list[FoundCase]:
    found = []
    for image in files:
        match = _AMOS.fullmatch(image)
        reference = image.replace("images", "labels", 1) if match else ""
        if match is None or reference not in known:
            continue
        is_mri = int(match[3]) >= FIRST_AMOS_MRI
        shown = stated_contrast(contrast, "amos22: its MRI") if is_mri else Contrast.CT
        found.append(FoundCase(match[2], shown, image, reference))
    return found


def _totalsegmentator(
    files: Sequence[str], known: Collection[str], contrast: Contrast | None
) -> list[FoundCase]:
    with_masks = {
        str(PurePosixPath(file).parent)
        for file in files
        if PurePosixPath(file).parent.name == "segmentations"
    }
    found = []
    for image in files:
        match = _TOTALSEGMENTATOR.fullmatch(image)
        if match is None:
            continue
        folder = PurePosixPath(image).parent
        masks = str(folder / "segmentations")
        single = (f"{folder / name}.nii.gz" for name in _ONE_LABELMAP)
        reference = masks if masks in with_masks else next((s for s in single if s in known), None)
        if reference is not None:
            is_ct = match[2] == "ct"
            shown = Contrast.CT if is_ct else stated_contrast(contrast, "totalsegmentator: its MRI")
            found.append(FoundCase(match[1], shown, image, reference))
    return found


def _nnunet(
    files: Sequence[str], known: Collection[str], contrast: Contrast | None
) -> list[FoundCase]:
    found = []
    for image in files:
        match = _NNUNET.fullmatch(image)
        suffix = image_suffix(image)
        if match is None or suffix is None:
            continue
        if match[2] != "0000":
            raise SetupError("nnunet: its cases have several channels, and a model here takes one")
        folder = PurePosixPath(image).parent.parent
        reference = str(folder / "labelsTr" / f"{match[1]}{suffix}")
        if reference in known:
            shown = stated_contrast(contrast, "nnunet: an image")
            found.append(FoundCase(match[1], shown, image, reference))
    return found


def _nako(
    files: Sequence[str],
    known: Collection[str],
    contrast: Contrast | None,  # noqa: ARG001
) -> list[FoundCase]:
    found, root = [], PurePosixPath()
    for image in files:
        shown = bids.parse_path(PurePosixPath(image), root=root, by_name=True)
        reference = _beside(image, known)
        if shown is None or shown.contrast is None or reference is None:
            continue
        found.append(
            FoundCase(
                *(shown.participant, shown.contrast, image, reference),
                instance=shown.instance,
                array=shown.array,
                station=shown.station,
            )
        )
    return found


def _ukb(
    files: Sequence[str],
    known: Collection[str],
    contrast: Contrast | None,  # noqa: ARG001
) -> list[FoundCase]:
    found = []
    for image in files:
        suffix = image_suffix(image)
        path = PurePosixPath(image)
        match = _UKB.fullmatch(path.name.removesuffix(suffix or ""))
        shown = _SHOWN.get(match["shown"].lower()) if match else None
        if match is None or suffix is None or shown is None:
            continue
        of_station = str(path.with_name(match["scan"] + suffix))
        reference = _beside(image, known) or _beside(of_station, known)
        if reference is not None:
            station = match["station"]
            found.append(
                FoundCase(
                    *(match["participant"], shown, image, reference),
                    instance=match["instance"],
                    array=match["array"],
                    station=int(station) if station else None,
                )
            )
    return found


_LAYOUTS: Final[
    Mapping[str, Callable[[Sequence[str], Collection[str], Contrast | None], list[FoundCase]]]
] = {
    "amos22": _amos22,
    "totalsegmentator": _totalsegmentator,
    "nnunet": _nnunet,
    "nako": _nako,
    "ukb": _ukb,
}


def _beside(image: str, known: Collection[str]) -> str | None:
    """Find the reference of an image by the name of the image."""
    suffix = image_suffix(image) or ""
    stem = image.removesuffix(suffix)
    parts = PurePosixPath(image).parts
    elsewhere = ["labels" if part == "images" else part for part in parts]
    places = [f"{stem}{word}{ending}" for word in _REFERENCE for ending in IMAGE_SUFFIXES]
    if "images" in parts:
        places.append(str(PurePosixPath(*elsewhere)))
    return next((place for place in places if place in known), None)


def stated_contrast(contrast: Contrast | None, whose: str) -> Contrast:
    """Return what the configuration says that the images of a dataset show.

    Raises:
        SetupError: It says nothing.
    """
    if contrast is None:
        raise SetupError(f"{whose} does not say what it shows: give the dataset's contrast")
    return contrast


def read_people(rows: Sequence[Mapping[str, str]]) -> dict[str, Covariates]:
    """Read sex and age by participant from a table of a dataset, whatever its columns are called.

    Args:
        rows: Its rows. ``sub-``, ``amos_`` and, of AMOS22, leading zeros may be there or not.

    Returns:
        By ``person_key`` of the participant, null where rows of a person differ, as the ages of two
        visits do; empty where the table has no such column.
    """
    if not rows:
        return {}
    by_lower = {name.strip().lower(): name for name in rows[0]}
    column = {
        what: next((by_lower[name] for name in names if name in by_lower), None)
        for what, names in _META_COLUMNS.items()
    }
    if column["participant"] is None:
        return {}
    is_amos = column["participant"].strip().lower() == "amos_id"
    found: dict[str, list[Covariates]] = {}
    for row in rows:
        name = row[column["participant"]] or ""  # None: a row cut short
        key = f"amos_{int(name):04d}" if is_amos and name.strip().isdecimal() else person_key(name)
        of_row = Covariates(
            sex=read_sex(row[column["sex"]]) if column["sex"] else None,
            age_years=read_age_years(row[column["age"]]) if column["age"] else None,
        )
        found.setdefault(key, []).append(of_row)
    return {
        key: Covariates(
            sex=_agreed(one.sex for one in said), age_years=_agreed(one.age_years for one in said)
        )
        for key, said in found.items()
    }


def _agreed(values: Iterable[_Value | None]) -> _Value | None:
    """Return the one value that there is beside blanks; None where there are several."""
    known = set(values) - {None}
    return known.pop() if len(known) == 1 else None


def read_owners(rows: Sequence[Mapping[str, str]], *, name: str) -> dict[str, str]:
    """Read which participant each case is of.

    Args:
        rows: Rows of a table with the columns ``case``, as images are named, and ``participant``.
        name: Its file name, for errors.

    Returns:
        Participant by case, without ``sub-``.

    Raises:
        SetupError: A column or a cell is missing, or a case is there twice.
    """
    owners: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        cells = [(row.get(column) or "").strip() for column in ("case", "participant")]
        if not all(cells):
            raise SetupError(f"{name}: row {number}: no case, or no participant")
        if cells[0] in owners:
            raise SetupError(f"{name}: row {number}: its case is there already")
        owners[cells[0]] = one_spelling(person_key(cells[1]))
    return owners


def person_key(participant: str) -> str:
    """Return a participant without what tables put before it."""
    return participant.strip().removeprefix("sub-")


def covariates_of(people: Mapping[str, Covariates], *names: str) -> Covariates:
    """Return what is known under the first of some names that the table has."""
    known = (people[person_key(name)] for name in names if person_key(name) in people)
    return next(known, UNKNOWN)
