"""From files found to scans: what cohorts that deliver one file per image have in common."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from organome.domain.errors import SetupError
from organome.domain.scans import Contrast, Scan, Source, Stations

IMAGE_SUFFIXES: Final = (".nii.gz", ".nii", ".nrrd", ".mha")


@dataclass(frozen=True, slots=True)
class FoundImage:
    """One image of a cohort.

    Attributes:
        participant: Pseudonym.
        instance: Visit.
        array: Repeat within the visit.
        protocol: What was acquired.
        path: The file, or the folder of a DICOM series.
        where: How an error names it: a line of a table, a file.
        contrast: What it shows; None leaves it to its DICOM header.
        station: Table position from the head, 1-based; None where there is one only.
        labelmap: A labelmap that already exists, None where there is none.
    """

    participant: str
    instance: str
    array: str
    protocol: str
    path: str
    where: str
    contrast: Contrast | None = None
    station: int | None = None
    labelmap: str | None = None


def group_images(
    images: Iterable[FoundImage], *, cohort: str, stations: Stations
) -> tuple[Scan, ...]:
    """Make one scan of all images of a protocol at a visit.

    Args:
        images: Images in any order.
        cohort: Name of the cohort.
        stations: ``separate`` makes one scan of each table position instead.

    Returns:
        Scans without keys, sorted by identity.

    Raises:
        SetupError: If two images of a scan show the same contrast at the same station, some of them
            have a station and some have none, they name different labelmaps, or an image is named
            for two participants.
    """
    images = tuple(images)
    _check_owners(images)
    groups: dict[tuple[str, str, str, str, int], list[FoundImage]] = defaultdict(list)
    for image in images:
        station = image.station or 0 if stations is Stations.SEPARATE else 0
        key = (image.participant, image.instance, image.array, image.protocol, station)
        groups[key].append(image)
    return tuple(
        _scan(sorted(group, key=_place), cohort=cohort, stations=stations)
        for _, group in sorted(groups.items())
    )


def _check_owners(images: Iterable[FoundImage]) -> None:
    """Refuse one image of two participants.

    Raises:
        SetupError: If so: one of the two rows is wrong, and nothing says which.
    """
    owners: dict[str, FoundImage] = {}
    for image in images:
        other = owners.setdefault(image.path, image)
        if other.participant != image.participant:
            raise SetupError(
                f"{image.where}: the image of {other.where}, for another participant; correct one"
            )


def _place(image: FoundImage) -> tuple[int, str]:
    return image.station or 0, image.contrast or ""


def _scan(group: list[FoundImage], *, cohort: str, stations: Stations) -> Scan:
    first = group[0]
    at: dict[tuple[int, str], FoundImage] = {}
    for image in group:
        other = at.setdefault(_place(image), image)
        if other is not image:
            raise SetupError(
                f"{image.where}: scan, station and contrast of {other.where}; keep one"
            )
        if (image.station is None) != (first.station is None):
            raise SetupError(f"{image.where}: of one scan with {first.where}, one without station")
    labelmaps = {image.labelmap: image for image in group if image.labelmap is not None}
    if len(labelmaps) > 1:
        where = " and ".join(image.where for image in labelmaps.values())
        raise SetupError(f"{where}: one scan, but different labelmaps")
    return Scan(
        scan="",
        cohort=cohort,
        participant=first.participant,
        instance=first.instance,
        array=first.array,
        protocol=first.protocol,
        sources=tuple(
            Source(path=image.path, contrast=image.contrast, station=image.station)
            for image in group
        ),
        station=first.station if stations is Stations.SEPARATE else None,
        labelmap=next(iter(labelmaps), None),
    )
