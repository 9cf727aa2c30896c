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

Archives of fields 20203, 20254 and 20260 hold one slice, or a few, at several echo times, magnitude
and phase. No network labels a slice: they go with the Dixon scan of their visit, as further sources
of it (decision 40), and what is wrong with them costs the scan nothing. Of an archive

- phase, real, imaginary and derived images are left out (flag ``extra_series``), and all that are
  not marked as magnitudes where some are; without marks nothing may be there twice
  (``several_series``), since it may be the phase;
- of several series the one with most echoes counts, of equal ones the most recent;
- slices at several positions are measured together; those with fewer echoes than others are left
  out (flag ``volumes_left_out``); a position for every echo is ``grids_differ``;
- an echo that is there again counts in its last instance (flag ``duplicate_slices``);
- echo numbers with a gap: the others count (flag ``echoes_missing``).

Source: naming from UK Biobank's resource on bulk data; irregularities as handled in public code by
Langner (ukb_mimir), the recoh pipeline and the Broad Institute (ml4h); fields from the Showcase;
what multi-echo archives hold (10 magnitudes of 160 x 160; 36 images of 232 x 256) from ml4h.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from organome.cohorts.series import SAME_POSITION_MM, Series, group_series, same_plane
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import CONDITIONS, Header
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast, Scan, Source, Stations
from organome.domain.ukb_protocol import (
    DIXON_FIELD,
    MULTI_ECHO_FIELDS,
    PANCREAS_FIELD,
    STATIONS,
)

PANCREAS: Final = "t1_pancreas"
DIXON: Final = "dixon"
PROTOCOLS: Final = {DIXON_FIELD: DIXON, PANCREAS_FIELD: PANCREAS, **MULTI_ECHO_FIELDS}
SAME_ECHO_MS: Final = 0.05  # echoes lie a millisecond apart, roundings of one hundredths
MAX_SLICES: Final = 12  # more are a volume; an archive of field 20254 holds 36 images
MAX_ECHO_IMAGES: Final = 600
MAGNITUDE: Final = frozenset({"M", "MAGNITUDE"})
NOT_MAGNITUDE: Final = frozenset({"P", "PHASE", "R", "REAL", "I", "IMAGINARY", "DERIVED"})
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


def multi_echo_protocol(path: str) -> str | None:
    """Return the protocol of an archive of several echoes, None if it is something else."""
    match = _ARCHIVE_NAME.fullmatch(path.rsplit("/", 1)[-1])
    return None if match is None else MULTI_ECHO_FIELDS.get(match["field"])


def own_sources(scan: Scan) -> tuple[Source, ...]:
    """Return the sources of a scan without slices of several echoes that go with it."""
    return tuple(one for one in scan.sources if multi_echo_protocol(one.path) is None)


def slice_sources(scan: Scan, view: str) -> Iterator[tuple[str, tuple[Source, ...]]]:
    """Yield the archives of several echoes of a view, the one to try first at the beginning.

    IDEAL comes before the older sequence, a later repeat before an earlier one.

    Yields:
        Protocol, and the places where the archive lies.
    """
    found: dict[tuple[int, int, str], list[Source]] = defaultdict(list)
    protocols = list(MULTI_ECHO_FIELDS.values())
    for source in scan.sources:
        name = source.path.rsplit("/", 1)[-1]
        match, protocol = _ARCHIVE_NAME.fullmatch(name), multi_echo_protocol(name)
        if match is not None and protocol is not None and protocol.split("_")[1] == view:
            found[protocols.index(protocol), -int(match["array"]), protocol].append(source)
    for (*_, protocol), sources in sorted(found.items(), key=lambda one: one[0]):
        yield protocol, tuple(sources)


def with_slices(scans: Iterable[Scan], left_out: Counter[str]) -> list[Scan]:
    """Attach archives of several echoes to the Dixon scans of their visit, whose labels they need.

    Args:
        scans: Scans as listed.
        left_out: Where archives without a Dixon scan are counted, by kind.
    """
    scans = tuple(scans)
    protocols = set(MULTI_ECHO_FIELDS.values())
    slices: dict[tuple[str, str], list[Source]] = defaultdict(list)
    for scan in sorted(scans, key=lambda one: one.identity):
        if scan.protocol in protocols:
            slices[scan.participant, scan.instance] += scan.sources
    with_dixon = {(one.participant, one.instance) for one in scans if one.protocol == DIXON}
    left_out.update(
        f"scans of {one.protocol} without a Dixon scan of the visit"
        for one in scans
        if one.protocol in protocols and (one.participant, one.instance) not in with_dixon
    )
    return [
        replace(one, sources=(*one.sources, *slices[one.participant, one.instance]))
        if one.protocol == DIXON
        else one
        for one in scans
        if one.protocol not in protocols
    ]


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
    n_stations: int = len(STATIONS),
) -> Choice:
    """Decide which series of a Dixon archive are which station and contrast.

    Args:
        headers: All slices of the archive, in any order.
        contrasts: Contrasts that are wanted.
        required: Those of them without which a station is of no use; None, or none of them: all.
        station: The only station that is wanted, counted from the head; None for all.
        n_stations: Stations of a whole scan.

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
    found = _wanted(_useful(find_stations(dixon), needed, n_stations), station, n_stations)
    stations = _usable([_matched(one, needed, optional) for one in found])
    flags = {flag for one in stations for flag in one.flags}
    if len(dixon) < len(series):
        flags.add(Flag.EXTRA_SERIES)
    if station is None and len(stations) < n_stations:
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
    found: Sequence[tuple[Acquisition, ...]], needed: Sequence[Contrast], n_expected: int
) -> Sequence[tuple[Acquisition, ...]]:
    """Pass over positions of which only other contrasts were taken, where there are too many."""
    if len(found) <= n_expected:
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


@dataclass(frozen=True, slots=True)
class Echoes:
    """Slices of several echoes that make up a fat fraction.

    Attributes:
        slices: For each position its images in the order of echo times, which are the same for all.
        flags: What was odd and got handled.
    """

    slices: tuple[tuple[Header, ...], ...]
    flags: frozenset[Flag]

    @property
    def echo_times_ms(self) -> tuple[float, ...]:
        """Echo times of each slice."""
        return tuple(float(one.echo_time_ms or 0) for one in self.slices[0])


def choose_echoes(headers: Iterable[Header]) -> Echoes:
    """Decide which images of an archive are the magnitudes of its echoes.

    Args:
        headers: All slices of the archive, in any order.

    Raises:
        ScanError: CONTRAST_MISSING, ECHOES_UNSUITABLE or GRIDS_DIFFER; see above.
    """
    headers = tuple(headers)
    magnitudes = [
        one for one in headers if not NOT_MAGNITUDE & set(one.image_type) and one.modality == "MR"
    ]
    if not magnitudes:
        raise ScanError(
            Reason.CONTRAST_MISSING, f"none of {len(headers)} images is a magnitude of an echo"
        )
    if len(magnitudes) > MAX_ECHO_IMAGES:
        fact = f"{len(magnitudes)} images where the echoes of one slice, or a few, are expected"
        raise ScanError(Reason.SEVERAL_SERIES, fact)
    timed = [one for one in magnitudes if one.echo_time_ms]
    if not timed:
        raise ScanError(
            Reason.ECHOES_UNSUITABLE, f"none of {len(magnitudes)} images has an echo time"
        )
    faults = [one.fault for one in timed if one.fault is not None]
    if faults:
        raise ScanError(*faults[0])
    marked = [one for one in timed if MAGNITUDE & set(one.image_type)]
    chosen = _chosen_run(marked or timed, is_marked=bool(marked))
    n_echoes = max(map(_n_echoes, chosen))
    if n_echoes == 1 and len(chosen) > 1:
        raise ScanError(Reason.GRIDS_DIFFER, f"echoes at {len(chosen)} positions, one at each")
    flags = {flag for position in chosen for one in position for flag in one.flags}
    first, *others = (_echoes(one) for one in chosen if _n_echoes(one) == n_echoes)
    slices = [first, *(one for one in others if _same_times(first, one))]
    if len(slices) > MAX_SLICES:
        fact = f"{len(slices)} positions where one slice, or a few, is expected"
        raise ScanError(Reason.SEVERAL_SERIES, fact)
    if len(slices) < len(chosen):
        flags.add(Flag.VOLUMES_LEFT_OUT)
    n_chosen = sum(map(len, chosen))
    if n_chosen < len(headers):
        flags.add(Flag.EXTRA_SERIES)
    if n_chosen > sum(map(_n_echoes, chosen)):
        flags.add(Flag.DUPLICATE_SLICES)
    numbers = {one.conditions[CONDITIONS.index("echo number")] for one in first} - {None}
    if numbers and (len(numbers) == n_echoes) and max(map(float, numbers)) > n_echoes:  # type: ignore[arg-type]
        flags.add(Flag.ECHOES_MISSING)
    return Echoes(tuple(slices), frozenset(flags))


def _chosen_run(headers: Sequence[Header], *, is_marked: bool) -> list[list[Header]]:
    """Choose the run with most echoes, of equal ones the most recent.

    Raises:
        ScanError: SEVERAL_SERIES if one may be the phase of another.
    """
    runs = _runs(headers)
    most = max(max(map(_n_echoes, run)) for run in runs)
    whole = [run for run in runs if max(map(_n_echoes, run)) == most]
    is_repeated = any(len(position) > _n_echoes(position) for position in whole[0])
    if not is_marked and (len(whole) > 1 or is_repeated):
        fact = "echoes are there more than once, and none is marked as a magnitude"
        raise ScanError(Reason.SEVERAL_SERIES, fact)
    return max(whole, key=lambda run: (run[0][0].series_time, run[0][0].series_number or 0))


def _runs(headers: Sequence[Header]) -> list[list[list[Header]]]:
    """Group images by series, where one holds several echoes, and by position.

    Returns:
        The acquisitions, each its images by position, from one end to the other.
    """
    by_series: dict[str, list[Header]] = defaultdict(list)
    for one in headers:
        by_series[one.series_uid].append(one)
    found = [_by_position(one) for one in by_series.values()]
    with_echoes = [run for run in found if max(map(_n_echoes, run)) > 1]
    return with_echoes or [_by_position(headers)]


def _by_position(headers: Iterable[Header]) -> list[list[Header]]:
    positions: list[list[Header]] = []
    for one in sorted(headers, key=lambda header: header.offset_mm):
        for position in positions:
            if _at_one_place(position[0], one):
                position.append(one)
                break
        else:
            positions.append([one])
    return positions


def _at_one_place(one: Header, other: Header) -> bool:
    places = zip(one.position_xyz_mm, other.position_xyz_mm, strict=True)
    return (
        one.size_xy == other.size_xy
        and same_plane(one, other)
        and all(abs(a - b) < SAME_POSITION_MM for a, b in places)
    )


def _echoes(position: Sequence[Header]) -> tuple[Header, ...]:
    """Return one image for each echo time, the last instance of each."""
    echoes: list[Header] = []
    for one in sorted(position, key=lambda header: header.echo_time_ms or 0.0):
        if echoes and (one.echo_time_ms or 0.0) - (echoes[-1].echo_time_ms or 0.0) < SAME_ECHO_MS:
            echoes[-1] = max(echoes[-1], one, key=_order)
        else:
            echoes.append(one)
    return tuple(echoes)


def _order(header: Header) -> tuple[str, int]:
    return header.acquired_at, header.instance_number or 0


def _n_echoes(position: Sequence[Header]) -> int:
    return len(_echoes(position))


def _same_times(one: Sequence[Header], other: Sequence[Header]) -> bool:
    return all(
        abs((a.echo_time_ms or 0.0) - (b.echo_time_ms or 0.0)) < SAME_ECHO_MS
        for a, b in zip(one, other, strict=True)
    )


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
    found: Sequence[tuple[Acquisition, ...]], station: int | None, n_expected: int
) -> Sequence[tuple[Acquisition, ...]]:
    n_found = len(found)
    if n_found > n_expected:
        fact = f"{n_found} table positions for {n_expected} stations"
        raise ScanError(Reason.SEVERAL_SERIES, fact)
    if n_found == n_expected:
        return found if station is None else found[station - 1 : station]
    numbers = _station_numbers(found) if n_expected == len(STATIONS) else ()
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
