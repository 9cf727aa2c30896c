"""From files found to scans: what cohorts that deliver one file per image have in common."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from posixpath import normpath
from typing import Final, TypeAlias

from organome.domain.errors import SetupError
from organome.domain.flags import Flag
from organome.domain.scans import Contrast, Scan, Source, Stations

Groups: TypeAlias = "dict[tuple[str, str, str, str], list[FoundImage]]"
IMAGE_SUFFIXES: Final = (".nii.gz", ".nii", ".nrrd", ".mha")


def image_suffix(name: str) -> str | None:
    """Return the suffix by which a name is that of an image, as it is written there, or None."""
    lower = name.lower()
    known = next((one for one in IMAGE_SUFFIXES if lower.endswith(one)), None)
    return None if known is None else name[-len(known) :]


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
        station: Table position from the head, as the cohort counts; None where there is one only.
        labelmap: A labelmap that already exists, None where there is none.
        repeat: Number that grows with each repeat, 0 where the cohort gives none.
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
    repeat: int = 0


def group_images(
    images: Iterable[FoundImage],
    *,
    cohort: str,
    stations: Stations,
    is_table: bool = True,
    first_station: int = 1,
    n_stations: int = 0,
) -> tuple[Scan, ...]:
    """Make one scan of all images of a protocol at a visit.

    Of repeats of a station the most recent whole one is taken (flag ``duplicate_station``); repeats
    of a scan that has no stations are scans of their own. A scan that lacks stations is flagged
    (``stations_missing``). Nothing about a scan depends on what others of the cohort have: it would
    change with the next delivery.

    Args:
        images: Images in any order.
        cohort: Name of the cohort.
        stations: ``separate`` makes one scan of each table position instead.
        is_table: A person wrote the list and can correct it. Files as delivered cannot be
            corrected: images that do not go together stay in their scan, whose row they are.
        first_station: Number of the first station, 0 or 1; a scan that has a station 0 is counted
            from 0 in any case.
        n_stations: Stations that a whole scan of several has; 0: as many as its own highest number.

    Returns:
        Scans without keys, sorted by identity.

    Raises:
        SetupError: In a table, if two images of a scan show the same contrast at the same station,
            some of them have a station and some have none, they name different labelmaps, or an
            image or labelmap is named for two participants or visits.
    """
    images = tuple(images)
    _check_owners(images)
    groups: Groups = defaultdict(list)
    for image in images:
        groups[image.participant, image.instance, image.array, image.protocol].append(image)
    if is_table:
        for group in groups.values():
            _check_group(sorted(group, key=_place), stations)
    scans = [
        scan
        for group in groups.values()
        for scan in _scans(
            _numbered_from_1(group, first_station),
            cohort=cohort,
            stations=stations,
            n_expected=n_stations,
        )
    ]
    return tuple(sorted(scans, key=lambda scan: scan.identity))


def _check_owners(images: Iterable[FoundImage]) -> None:
    """Refuse one image, or one labelmap, of two participants or of two visits.

    Raises:
        SetupError: If so: one of the two rows is wrong, and nothing says which.
    """
    owners: dict[str, FoundImage] = {}
    for image in images:
        for kind, path in (("image", image.path), ("labelmap", image.labelmap)):
            if path is None:
                continue
            other = owners.setdefault(normpath(path), image)
            if other.participant != image.participant or other.instance != image.instance:
                whose = "visit" if other.participant == image.participant else "participant"
                raise SetupError(
                    f"{image.where}: the {kind} of {other.where}, for another {whose}; correct one"
                )


def _check_group(group: Sequence[FoundImage], stations: Stations) -> None:
    first = group[0]
    at: dict[tuple[int, str], FoundImage] = {}
    labelled: dict[int, FoundImage] = {}
    for image in group:
        other = at.setdefault((image.station or 0, image.contrast or ""), image)
        if other is not image:
            raise SetupError(
                f"{image.where}: scan, station and contrast of {other.where}; keep one"
            )
        if (image.station is None) != (first.station is None):
            raise SetupError(f"{image.where}: of one scan with {first.where}, one without station")
        if image.labelmap is not None:
            place = (image.station or 0) if stations is Stations.SEPARATE else 0
            other = labelled.setdefault(place, image)
            if other.labelmap != image.labelmap:
                where = f"{other.where} and {image.where}"
                raise SetupError(f"{where}: one scan, but different labelmaps")


def _place(image: FoundImage) -> tuple[int, str, int]:
    station = -1 if image.station is None else image.station
    return station, image.contrast or "", image.repeat


def _numbered_from_1(group: Sequence[FoundImage], first: int) -> list[FoundImage]:
    """Number the stations of a scan from 1 on where they count from 0."""
    numbers = [one.station for one in group if one.station is not None]
    shift = 1 - min(first, *numbers, 1)
    return [
        one if one.station is None or not shift else replace(one, station=one.station + shift)
        for one in group
    ]


def _scans(
    group: Sequence[FoundImage], *, cohort: str, stations: Stations, n_expected: int
) -> Iterator[Scan]:
    if all(image.station is None for image in group):
        runs = _acquisitions(group)
        for run in runs:
            array = run[0].array if len(runs) == 1 else f"{run[0].array}-{run[0].repeat}"
            yield _scan(run, cohort=cohort, array=array)
        return
    at: dict[int | None, list[FoundImage]] = defaultdict(list)
    for image in group:
        at[image.station].append(image)
    flags: set[Flag] = set()
    chosen: list[FoundImage] = []
    for station in sorted(at, key=lambda one: one or 0):
        runs = _acquisitions(at[station])
        images = _latest_whole(runs)
        odd = {Flag.DUPLICATE_STATION} if len(runs) > 1 else set()
        if stations is Stations.SEPARATE:
            yield _scan(images, cohort=cohort, station=station, flags=odd)
        chosen += images
        flags |= odd
    if stations is Stations.STITCH:
        highest = n_expected or max(one for one in at if one is not None)
        if not set(range(1, highest + 1)) <= set(at):
            flags.add(Flag.STATIONS_MISSING)
        yield _scan(chosen, cohort=cohort, flags=flags)


def _acquisitions(images: Iterable[FoundImage]) -> list[list[FoundImage]]:
    """Split images at one place into runs: a new one begins where a contrast comes again."""
    runs: list[list[FoundImage]] = [[]]
    for image in sorted(images, key=lambda one: (one.repeat, *_place(one))):
        if any(one.contrast is image.contrast and one.repeat < image.repeat for one in runs[-1]):
            runs.append([])
        runs[-1].append(image)
    return [sorted(run, key=_place) for run in runs]


def _latest_whole(runs: Sequence[list[FoundImage]]) -> list[FoundImage]:
    """Choose among repeats as `dixon.choose_acquisition` does; only names are known here."""
    n_contrasts = [len({image.contrast for image in run}) for run in runs]
    return next(
        run
        for run, n in zip(reversed(runs), reversed(n_contrasts), strict=True)
        if n == max(n_contrasts)
    )


def _scan(
    group: Sequence[FoundImage],
    *,
    cohort: str,
    array: str | None = None,
    station: int | None = None,
    flags: Iterable[Flag] = (),
) -> Scan:
    first = group[0]
    return Scan(
        scan="",
        cohort=cohort,
        participant=first.participant,
        instance=first.instance,
        array=array or first.array,
        protocol=first.protocol,
        sources=tuple(
            Source(path=image.path, contrast=image.contrast, station=image.station)
            for image in group
        ),
        station=station,
        labelmap=next((image.labelmap for image in group if image.labelmap is not None), None),
        flags=tuple(sorted(flags)),
    )
