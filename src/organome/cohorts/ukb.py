"""UK Biobank: names of its archives, and which series of an archive make up the scan.

An archive of field 20201 (neck-to-knee Dixon) holds 24 series: 6 stations x in-phase,
opposed-phase, fat, water. Decisions are made from DICOM headers. The manifest, which is ragged
(its dates hold commas), misspelt and known to be wrong, only serves to see whether a file is
missing. What we do about irregular deliveries:

- a station twice at the same position: the most recent complete run (flag ``duplicate_station``);
- series that are no Dixon contrast, so more than 24: left out (flag ``extra_series``);
- fewer than 6 stations: those that are there, if they leave no gap (flag ``stations_missing``),
  else ``station_missing``; more than 6 positions means the participant was moved, and which
  stations fit together cannot be decided: ``several_series``;
- a contrast missing: left out (flag ``contrast_left_out``) unless it is required; then a station
  at an end of the body counts as missing, and one within costs the scan: ``contrast_missing``;
- a contrast of another matrix or position than its station: ``grids_differ``;
- a slice missing inside a series: ``slices_missing``. Missing at an end of all contrasts it costs
  nothing, stations overlap; at an end of some contrasts the station is cropped to what all have
  (flag ``slices_cropped``);
- instance numbers that do not follow position: position counts (flag ``instances_shuffled``).

An archive of field 20202 (pancreas) holds one T1 volume, as acquired and normalised on the scanner:
the normalised one is taken (flag ``extra_series``). Two of either are ``several_series``. Dixon
series are not what the field is for, whatever a paper says: ``contrast_missing``.

Source: naming from UK Biobank's resource on bulk data; irregularities as handled in public code by
Langner (ukb_mimir), the recoh pipeline and the Broad Institute (ml4h); fields from the Showcase.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from organome.cohorts.dicom_series import LOCALIZER
from organome.cohorts.dixon import (
    Acquisition,
    Fault,
    choose_acquisition,
    disputed,
    find_stations,
    grid_fault,
    leave_gap,
    match_contrasts,
    series_contrast,
)
from organome.cohorts.series import Series, group_series
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast, Scan, Source, Stations
from organome.domain.ukb_protocol import DIXON_FIELD, PANCREAS_FIELD, STATIONS

PANCREAS: Final = "t1_pancreas"
PROTOCOLS: Final = {DIXON_FIELD: "dixon", PANCREAS_FIELD: PANCREAS}
NORMALISED: Final = "NORM"  # in ImageType, as Siemens writes it
N_CONTRASTS: Final = 4
MANIFEST_NAME: Final = re.compile(r"(^|/)manifest\.c[sv]{2}$", re.IGNORECASE)
_ARCHIVE_NAME: Final = re.compile(
    r"(?P<eid>\d+)_(?P<field>\d+)_(?P<instance>\d+)_(?P<array>\d+)\.zip",
    re.ASCII | re.IGNORECASE,
)
_DICOM_NAME: Final = re.compile(r"[^,;\s\"]+\.dcm", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a delivery makes up the scan.

    Attributes:
        stations: From head to foot, each its series by contrast on one grid.
        flags: What was odd and got handled.
    """

    stations: tuple[Mapping[Contrast, Series], ...]
    flags: frozenset[Flag]


def archive_scans(name: str, path: str, *, cohort: str, stations: Stations) -> tuple[Scan, ...]:
    """Return the scans of an archive by its name, ``<eid>_<field>_<instance>_<array>.zip``.

    Args:
        name: File name.
        path: Where it lies.
        cohort: Name of the cohort.
        stations: Whether each station is a scan of its own.

    Returns:
        The scans without keys; none if the name is another, or the field is not one that is read.
    """
    match = _ARCHIVE_NAME.fullmatch(name)
    if match is None or match["field"] not in PROTOCOLS:
        return ()
    is_kept = stations is Stations.SEPARATE and match["field"] == DIXON_FIELD
    numbers = [one.number for one in STATIONS] if is_kept else [None]
    return tuple(
        Scan(
            scan="",
            cohort=cohort,
            participant=match["eid"],
            instance=match["instance"],
            array=match["array"],
            protocol=PROTOCOLS[match["field"]],
            sources=(Source(path),),
            station=station,
        )
        for station in numbers
    )


def kind_left_out(name: str) -> str:
    """Return of which kind a file is that is not listed, in words that name nobody."""
    match = _ARCHIVE_NAME.fullmatch(name)
    return "files of other names" if match is None else f"archives of field {match['field']}"


def choose_series(
    headers: Iterable[Header],
    *,
    contrasts: Sequence[Contrast],
    required: Collection[Contrast] | None = None,
    station: int | None = None,
) -> Choice:
    """Decide which series of a Dixon archive are which station and contrast.

    Args:
        headers: All slices of the archive, in any order.
        contrasts: Contrasts that are wanted.
        required: Those of them without which a station is of no use; None, or none of them: all.
        station: The only station that is wanted, counted from the head; None for all.

    Raises:
        ScanError: If the scan cannot be made of what is there; see the policies above.
    """
    series = group_series(headers)
    dixon = [
        disputed(one) for one in series if len(one.slices) > 1 and series_contrast(one) is not None
    ]
    if not dixon:
        raise ScanError(
            Reason.CONTRAST_MISSING, f"none of {len(series)} series is a Dixon contrast"
        )
    needed = [one for one in contrasts if required is None or one in required] or list(contrasts)
    optional = [one for one in contrasts if one not in needed]
    found = _wanted(_useful(find_stations(dixon), needed), station)
    stations = _usable([_matched(one, needed, optional) for one in found])
    flags = {flag for one in stations for flag in one.flags}
    if len(dixon) < len(series):
        flags.add(Flag.EXTRA_SERIES)
    if station is None and len(stations) < len(STATIONS):
        flags.add(Flag.STATIONS_MISSING)
    whole = [one for one in contrasts if all(one in station.series for station in stations)]
    if len(whole) < len(contrasts):
        flags.add(Flag.CONTRAST_LEFT_OUT)
    return Choice(
        tuple({one: station.series[one] for one in whole} for station in stations),
        frozenset(flags),
    )


@dataclass(frozen=True, slots=True)
class _Matched:
    """A station that can be used: its series by contrast, and what was odd."""

    series: Mapping[Contrast, Series]
    flags: frozenset[Flag]


def _matched(
    acquisitions: Sequence[Acquisition], needed: Sequence[Contrast], optional: Sequence[Contrast]
) -> _Matched | Fault:
    everything = [*needed, *optional]
    with_all = any(one.is_usable(everything) for one in acquisitions)
    chosen = choose_acquisition(acquisitions, everything if with_all else needed)
    fault = grid_fault(chosen, needed)
    if fault is not None:
        return fault
    matched, flags = match_contrasts(chosen, needed, optional=optional)
    repeated = {Flag.DUPLICATE_STATION} if len(acquisitions) > 1 else set()
    return _Matched(matched, flags | repeated)


def _usable(stations: Sequence[_Matched | Fault]) -> list[_Matched]:
    """Leave out stations at the ends that are of no use; none within can be spared.

    Raises:
        ScanError: What is wrong with one within, or with all.
    """
    places = [n for n, one in enumerate(stations) if isinstance(one, _Matched)]
    usable = []
    for one in stations[places[0] : places[-1] + 1] if places else stations:
        if not isinstance(one, _Matched):
            raise ScanError(*one)
        usable.append(one)
    return usable


def _useful(
    found: Sequence[tuple[Acquisition, ...]], needed: Sequence[Contrast]
) -> Sequence[tuple[Acquisition, ...]]:
    """Pass over positions of which only other contrasts were taken, where there are too many."""
    if len(found) <= len(STATIONS):
        return found
    return [
        station
        for station in found
        if any(one in acquisition.series for acquisition in station for one in needed)
    ]


def choose_pancreas(headers: Iterable[Header]) -> Choice:
    """Decide which series of a pancreas archive is its T1 volume.

    Args:
        headers: All slices of the archive, in any order.

    Raises:
        ScanError: If there is none, or more than one; see above.
    """
    series = group_series(headers)
    volumes = [
        one
        for one in series
        if len(one.slices) > 1
        and series_contrast(one) is None
        and LOCALIZER not in one.first.image_type
    ]
    candidates = [one for one in volumes if NORMALISED in one.first.image_type] or volumes
    if not candidates:
        raise ScanError(Reason.CONTRAST_MISSING, f"none of {len(series)} series is a T1 volume")
    if len(candidates) > 1:
        raise ScanError(Reason.SEVERAL_SERIES, f"{len(candidates)} volumes where one is expected")
    (chosen,) = candidates
    chosen.check()
    extra = {Flag.EXTRA_SERIES} if len(series) > 1 else set()
    return Choice(({Contrast.T1: chosen},), chosen.flags | extra)


def manifest_flags(manifest: str, files: Iterable[str]) -> frozenset[Flag]:
    """Compare the files that the manifest names with the files that are there.

    Args:
        manifest: Text of the manifest. Only names that end in ``.dcm`` are read from it.
        files: Names of the DICOM files in the archive.
    """
    named = {name.rsplit("/", 1)[-1] for name in _DICOM_NAME.findall(manifest)}
    there = {name.rsplit("/", 1)[-1] for name in files}
    return frozenset() if named == there else frozenset({Flag.MANIFEST_DIFFERS})


def _wanted(
    found: Sequence[tuple[Acquisition, ...]], station: int | None
) -> Sequence[tuple[Acquisition, ...]]:
    n_found, n_expected = len(found), len(STATIONS)
    if n_found > n_expected:
        fact = f"{n_found} table positions for {n_expected} stations"
        raise ScanError(Reason.SEVERAL_SERIES, fact)
    if n_found == n_expected:
        return found if station is None else found[station - 1 : station]
    numbers = _station_numbers(found)
    if station in numbers:
        return [found[numbers.index(station)]]
    has_gap = any(leave_gap(upper[0], lower[0]) for upper, lower in pairwise(found))
    if station is None and not has_gap:
        return found
    absent = sorted({one.number for one in STATIONS} - set(numbers))
    which = f", {', '.join(map(str, absent))} missing" if numbers else ""
    raise ScanError(Reason.STATION_MISSING, f"{n_found} of {n_expected} stations{which}")


def _station_numbers(found: Sequence[tuple[Acquisition, ...]]) -> tuple[int, ...]:
    """Number incomplete stations by their first series, 1 to 24 from head to foot.

    Returns:
        One number per station, nothing if the series numbers do not tell.
    """
    numbers = tuple(
        (min(one.number for one in acquisitions) - 1) // N_CONTRASTS + 1 for acquisitions in found
    )
    in_order = list(numbers) == sorted(set(numbers))
    return numbers if in_order and numbers[0] >= 1 and numbers[-1] <= len(STATIONS) else ()
