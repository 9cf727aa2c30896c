"""DICOM series from the headers of their slices, for every cohort that delivers DICOM.

Slices are ordered by their position along the normal, never by instance number or file name.
A series that is not a regular stack of slices has a fault; it is the caller's choice whether that
matters, because a faulty repeat or localizer may not be needed at all.

One SeriesInstanceUID may hold several volumes: acquisitions, echoes, phases, image types. They are
taken apart before anything is stacked, so that no image is spliced from two.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import atan2, cos, degrees, radians
from statistics import median
from typing import Final

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import CONDITIONS, Header
from organome.domain.outcomes import Reason

# Share of a slice step; decimal strings in headers round to far less, a lost slice shifts by 1.
STEP_TOLERANCE: Final = 0.1
# From even steps, which an image has: small errors of steps add up.
MAX_OFF_STEP_SHARE: Final = 0.25
MAX_OFF_STEP_MM: Final = 1.0
UNEVEN_SHARE: Final = 0.02  # of a step; rounding is less
SAME_POSITION_MM: Final = 0.01
COSINE_TOLERANCE: Final = 1e-3  # 0.06 degrees: half a millimetre over half a metre
SPACING_TOLERANCE_MM: Final = 1e-3
MAX_TURN_DEG: Final = 20.0  # of the planes of one body; those of a localizer are at right angles
# Of the positions of the largest volume; what has fewer was broken off or is something else.
WHOLE_SHARE: Final = 0.75
# Of all positions; more that are there twice are a second volume, not slices sent again.
MAX_REPEATED_SHARE: Final = 0.25
# Of the slices of a stack: more beyond its ends may be the rest of the body, fewer are a localizer
# or odd slices. Either way an organ that goes on there is truncated.
MAX_BEYOND_SHARE: Final = 0.1
MAX_PLANES: Final = 64  # of one series; a rotating one has thousands
GAP_RATIO: Final = 1.5  # 2D protocols leave gaps of 10 to 30 % by design, a lost slice is 100 %
TILT_SHARE: Final = 0.2  # of the drift: slices of a tilted gantry lie on a line
MAX_PASSES: Final = 4  # through one range of the body, one after the other
CLEAR_PAUSE: Final = 2.0  # times the next longest
MIN_REGULAR: Final = 3  # two slices have but one step
# Conditions that slices of one image may differ in.
_WHEN: Final = frozenset({"acquisition number", "temporal position", "trigger time"})
_TIME: Final = re.compile(r"(?:\d{8})?(\d\d)(\d\d)(\d\d(?:\.\d+)?)")  # DA and TM of PS3.5 6.2

Slices = Sequence[Header]


@dataclass(frozen=True)
class Series:
    """One volume of a DICOM series.

    Attributes:
        slices: Headers in order along the normal, one per position.
        flags: What was odd and got handled.
        fault: Why it is not a regular stack of slices, None if it is one.
        n_volumes: Whole volumes that its DICOM series holds; if more than one, only their image
            types tell them apart.
    """

    slices: tuple[Header, ...]
    flags: frozenset[Flag]
    fault: tuple[Reason, str] | None
    n_volumes: int = 1

    @property
    def first(self) -> Header:
        """The slice that stands for what all slices share."""
        return self.slices[0]

    @property
    def name(self) -> str:
        """How errors call it; holds no header text."""
        number = self.first.series_number
        return "a series without a number" if number is None else f"series {number}"

    @cached_property
    def step_mm(self) -> float:
        """Median distance between neighbouring slices; 0 for a single slice."""
        steps_mm = [b.offset_mm - a.offset_mm for a, b in pairwise(self.slices)]
        return median(steps_mm) if steps_mm else 0.0

    @property
    def middle_mm(self) -> float:
        """Middle of the stack along the normal."""
        return (self.slices[0].offset_mm + self.slices[-1].offset_mm) / 2

    @property
    def extent_mm(self) -> float:
        """Length of the stack along the normal, from outer face to outer face."""
        return len(self.slices) * self.step_mm

    def check(self) -> None:
        """Refuse a series that is not a regular stack of slices.

        Raises:
            ScanError: SLICES_MISSING, GRIDS_DIFFER, NOT_3D or GEOMETRY_IMPLAUSIBLE.
        """
        if self.fault is not None:
            raise ScanError(*self.fault)


def group_series(headers: Iterable[Header]) -> tuple[Series, ...]:
    """Group slices into series, in the order of series time and number.

    Volumes of one DICOM series are told apart by plane, then by the conditions of acquisition,
    image type and time. If one of them is whole, it is taken (flag ``volumes_left_out``), unless
    what is left out goes on beyond its ends, by more than one slice and a tenth of its slices.
    Several whole ones are a fault, unless their image types differ: then each is a series. A few
    slices that are there twice, and nothing tells apart, are repeats: the one with the highest
    instance number is kept (flag ``duplicate_slices``).

    Args:
        headers: Slices in any order.
    """
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_uid[header.series_uid].append(header)
    series = [one for _, slices in sorted(by_uid.items()) for one in _series(slices)]
    return tuple(
        sorted(series, key=lambda one: (one.first.series_time, one.first.series_number or 0))
    )


def same_plane(one: Header, other: Header) -> bool:
    """Return whether two slices have the same directions and pixel spacing."""
    cosines = zip(one.orientation, other.orientation, strict=True)
    spacings = zip(one.spacing_xy_mm, other.spacing_xy_mm, strict=True)
    return all(abs(a - b) <= COSINE_TOLERANCE for a, b in cosines) and all(
        abs(a - b) <= SPACING_TOLERANCE_MM for a, b in spacings
    )


def share_direction(normal: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether slices of these normals, of either sense, are cuts of one direction."""
    cosine = sum(a * b for a, b in zip(normal, other, strict=True))
    return abs(cosine) >= cos(radians(MAX_TURN_DEG))


def _series(headers: Slices) -> list[Series]:
    """Make the series of one UID."""
    planes = _by_plane(headers)
    volumes = [volume for plane in planes for volume in _volumes(plane)]
    if len(volumes) == 1:
        return [_stacked(headers)]
    n_largest = max(map(_n_positions, volumes))
    whole = [
        _stacked(one, Flag.VOLUMES_LEFT_OUT)
        for one in volumes
        if _n_positions(one) >= WHOLE_SHARE * n_largest
    ]
    parts = [one for one in volumes if _n_positions(one) < WHOLE_SHARE * n_largest]
    beyond = {at for part in parts for at in min((_beyond(one, part) for one in whole), key=len)}
    is_covered = len(beyond) <= max(1, MAX_BEYOND_SHARE * n_largest)
    if len(whole) == 1 and whole[0].fault is None and is_covered:
        return whole
    n_types = len({one.first.image_type for one in whole})
    if n_types == len(whole) > 1 and all(one.fault is None for one in whole) and is_covered:
        left_out = {Flag.VOLUMES_LEFT_OUT} if len(whole) < len(volumes) else set()
        return [
            replace(one, n_volumes=n_types, flags=one.flags - {Flag.VOLUMES_LEFT_OUT} | left_out)
            for one in whole
        ]
    together = _stacked(headers)
    if len(planes) == 1 and (len(whole) > 1 or not is_covered):
        n_volumes = len(whole) if is_covered else len(volumes)
        fault = Reason.NOT_3D, f"{together.name} holds {n_volumes} volumes"
        return [replace(together, fault=fault)]
    return [together]


def _beyond(series: Series, part: Slices) -> set[int]:
    """Return where slices of a part lie beyond the ends of a series, each place once.

    There may be the rest of the body, in another matrix or field of view; slices of another
    direction are a localizer's.
    """
    first, last = series.slices[0], series.slices[-1]
    if not share_direction(first.normal, part[0].normal):
        return set()
    low_mm, high_mm = first.offset_mm - series.step_mm / 2, last.offset_mm + series.step_mm / 2
    along_mm = (
        sum(p * n for p, n in zip(one.position_xyz_mm, first.normal, strict=True)) for one in part
    )
    return {round(one / SAME_POSITION_MM) for one in along_mm if not low_mm <= one <= high_mm}


def _by_plane(headers: Slices) -> list[list[Header]]:
    """Partition slices by size, direction and pixel spacing; not at all if each has its own."""
    planes: list[list[Header]] = []
    for header in headers:
        plane = next(
            (
                one
                for one in planes
                if one[0].size_xy == header.size_xy and same_plane(one[0], header)
            ),
            None,
        )
        if plane is None and len(planes) == MAX_PLANES:
            return [list(headers)]
        if plane is None:
            planes.append([header])
        else:
            plane.append(header)
    return planes


def _volumes(headers: Slices) -> list[Slices]:
    """Take volumes apart that lie in one plane, as far as the headers tell them apart."""
    repeats = max(map(len, _positions(headers)))
    if repeats > 1:
        apart = _told_apart(headers, repeats)
        return [volume for part in apart for volume in _volumes(part)] if apart else [headers]
    if len(headers) == 1:
        return [headers]
    headers = _ordered(headers)
    if _gap_fault(headers, "") is None:
        return _interleaved(headers) or [headers]
    for _, part in _partitions(headers):
        n_largest = max(map(len, part))
        whole = [one for one in part if len(one) >= WHOLE_SHARE * n_largest]
        if _overlap(part) and all(map(_is_regular, whole)):
            return part
    return [headers]


def _interleaved(headers: Slices) -> list[Slices] | None:
    """Take volumes apart whose slices alternate at even steps, and so look like one.

    Every second slice is acquired first in 2D protocols, often in a breath-hold of its own, or in
    packages whose trigger times repeat. So acquisition and time alone make two volumes only of
    slices that are thicker than their steps.
    """
    is_overlapping = _overlapping(headers)
    for condition, part in _partitions(headers):
        if (condition not in _WHEN or is_overlapping) and _alternate(part):
            return part
    if is_overlapping and all(one.acquired_at for one in headers):
        in_time = sorted(headers, key=lambda one: (one.acquired_at, one.instance_number or 0))
        for n_passes in range(2, MAX_PASSES + 1):
            length, rest = divmod(len(in_time), n_passes)
            part = [in_time[at : at + length] for at in range(0, len(in_time), length)]
            if rest == 0 and _alternate(part):
                return part
    return None


def _alternate(parts: Sequence[Slices]) -> bool:
    """Return whether slices are equal stacks of one range of the body."""
    lengths = [len(one) for one in parts]
    return max(lengths) - min(lengths) <= 1 and _overlap(parts) and all(map(_is_regular, parts))


def _is_regular(headers: Slices) -> bool:
    return len(headers) >= MIN_REGULAR and _gap_fault(_ordered(headers), "") is None


def _overlapping(ordered: Slices) -> bool:
    """Return whether slices are to lie much farther apart than they do."""
    first, last = ordered[0], ordered[-1]
    stated_mm = first.slice_spacing_mm or first.slice_thickness_mm or 0.0
    return stated_mm >= GAP_RATIO * (last.offset_mm - first.offset_mm) / (len(ordered) - 1)


def _told_apart(headers: Slices, repeats: int) -> list[Slices] | None:
    """Partition slices so that no position, or fewer ones, are there several times."""
    n_before = _n_repeated(headers)
    fewer = []
    for _, part in _partitions(headers):
        n_repeated = sum(map(_n_repeated, part))
        if n_repeated == 0:
            return part
        if n_repeated < n_before:
            fewer.append((n_repeated, part))
    runs = _runs_in_time(headers)
    if runs is not None and 1 < len(runs) <= repeats:
        return runs
    return min(fewer, key=lambda one: one[0])[1] if fewer else None


def _partitions(headers: Slices) -> Iterator[tuple[str, list[Slices]]]:
    """Partition slices by each condition, and by image type, into parts of two slices and more."""
    for place, condition in enumerate((*CONDITIONS, "image type")):
        parts: dict[Hashable, list[Header]] = defaultdict(list)
        for header in headers:
            parts[(*header.conditions, header.image_type)[place]].append(header)
        if 1 < len(parts) <= len(headers) / 2:
            yield condition, list(parts.values())


def _runs_in_time(headers: Slices) -> list[Slices] | None:
    """Cut slices in the order of their acquisition where a position comes again.

    Where the cut may lie at several places, because the first run lacks positions or the second
    one does, it lies in the longest pause, if one is clearly the longest.

    Returns:
        The runs, None if the times do not tell.
    """
    if not all(one.acquired_at for one in headers):
        return None
    in_time = sorted(
        headers, key=lambda one: (one.acquired_at, one.instance_number or 0, one.offset_mm)
    )
    forwards = _cuts(in_time)
    backwards = sorted(len(in_time) - cut for cut in _cuts(in_time[::-1]))
    if forwards == backwards:
        return [in_time[a:b] for a, b in pairwise([0, *forwards, len(in_time)])]
    if len(forwards) != 1:
        return None
    pauses_s = {
        cut: _pause_s(in_time[cut - 1], in_time[cut])
        for cut in range(backwards[0], forwards[0] + 1)
    }
    *_, second, cut = sorted(pauses_s, key=pauses_s.__getitem__)
    is_clear = pauses_s[cut] > CLEAR_PAUSE * pauses_s[second]
    return [in_time[:cut], in_time[cut:]] if is_clear else None


def _cuts(in_time: Slices) -> list[int]:
    """Return where slices must be cut, at the latest, so that no position comes twice in a run."""
    cuts = []
    seen: set[int] = set()
    for place, header in enumerate(in_time):
        position = round(header.offset_mm / SAME_POSITION_MM)
        if position in seen:
            cuts.append(place)
            seen = set()
        seen.add(position)
    return cuts


def _pause_s(before: Header, after: Header) -> float:
    """Return the seconds between two slices, by whichever of their times differ more."""
    pairs = zip(before.acquired_at.split("/"), after.acquired_at.split("/"), strict=False)
    return max(abs(_seconds(b) - _seconds(a)) for a, b in pairs)


def _seconds(time: str) -> float:
    match = _TIME.match(time)
    if match is None:
        return 0.0
    hours, minutes, seconds = map(float, match.groups())
    return 3600 * hours + 60 * minutes + seconds


def _overlap(parts: Iterable[Slices]) -> bool:
    """Return whether volumes lie in each other's range: two that follow may be one."""
    ranges = sorted(
        (min(one.offset_mm for one in part), max(one.offset_mm for one in part)) for part in parts
    )
    return any(after[0] < before[1] for before, after in pairwise(ranges))


def _ordered(headers: Slices) -> list[Header]:
    return sorted(
        headers, key=lambda one: (one.offset_mm, one.instance_number or 0, one.file, one.frame)
    )


def _positions(headers: Slices) -> list[list[Header]]:
    positions: list[list[Header]] = []
    for header in _ordered(headers):
        if positions and header.offset_mm - positions[-1][0].offset_mm < SAME_POSITION_MM:
            positions[-1].append(header)
        else:
            positions.append([header])
    return positions


def _n_positions(headers: Slices) -> int:
    return len(_positions(headers))


def _n_repeated(headers: Slices) -> int:
    return len(headers) - _n_positions(headers)


def _stacked(headers: Slices, *flags: Flag) -> Series:
    """Stack slices, one at each position, and say what is wrong with the stack."""
    positions = _positions(headers)
    slices = tuple(repeats[-1] for repeats in positions)
    series = Series(slices=slices, flags=frozenset(), fault=None)
    found = {*flags, *(flag for one in slices for flag in one.flags)}
    n_twice = sum(len(repeats) > 1 for repeats in positions)
    if n_twice:
        found.add(Flag.DUPLICATE_SLICES)
    if _shuffled(slices):
        found.add(Flag.INSTANCES_SHUFFLED)
    if _mixed(slices):
        found.add(Flag.ACQUISITIONS_MIXED)
    if _has_gaps(series):
        found.add(Flag.GAPS_BETWEEN_SLICES)
    if len(slices) > 1 and max(_off_steps_mm(slices)) > UNEVEN_SHARE * series.step_mm:
        found.add(Flag.SLICES_UNEVEN)
    fault = next((one.fault for one in slices if one.fault is not None), None)
    fault = fault or _stack_fault(slices, series.name)
    if fault is None and n_twice > MAX_REPEATED_SHARE * len(positions):
        n_volumes = max(map(len, positions))
        fact = f"{series.name} holds {n_volumes} volumes"
        if n_twice < len(positions):
            fact = f"{series.name} has {n_twice} of {len(positions)} positions more than once"
        fault = Reason.NOT_3D, fact
    return replace(series, flags=frozenset(found), fault=fault)


def _shuffled(slices: Slices) -> bool:
    numbers = [one.instance_number for one in slices if one.instance_number is not None]
    return numbers not in (sorted(numbers), sorted(numbers, reverse=True))


def _mixed(slices: Slices) -> bool:
    """Return whether slices were acquired otherwise than their neighbours, triggers apart."""
    n_timeless = CONDITIONS.index("trigger time")
    return len({(one.conditions[:n_timeless], one.image_type) for one in slices}) > 1


def _has_gaps(series: Series) -> bool:
    thin_mm = [
        one
        for one in (series.first.slice_thickness_mm, series.first.slice_spacing_mm)
        if one is not None and one > 0
    ]
    return bool(thin_mm) and series.step_mm >= GAP_RATIO * min(thin_mm)


def _stack_fault(slices: Slices, name: str) -> tuple[Reason, str] | None:
    first = slices[0]
    for one in slices[1:]:
        if one.size_xy != first.size_xy:
            sizes = (
                f"{one.size_xy[0]} x {one.size_xy[1]} and {first.size_xy[0]} x {first.size_xy[1]}"
            )
            return Reason.GRIDS_DIFFER, f"{name} has slices of {sizes} pixels"
        if not same_plane(one, first):
            return Reason.GRIDS_DIFFER, f"{name} has slices that differ in direction or spacing"
    if len(slices) == 1:
        return Reason.NOT_3D, f"{name} is a single slice"
    return _gap_fault(slices, name) or _drift_fault(slices, name) or _unevenness_fault(slices, name)


def _gap_fault(slices: Slices, name: str) -> tuple[Reason, str] | None:
    steps_mm = [b.offset_mm - a.offset_mm for a, b in pairwise(slices)]
    usual_mm = median(steps_mm)
    for place, step_mm in enumerate(steps_mm, start=1):
        if abs(step_mm - usual_mm) > STEP_TOLERANCE * usual_mm:
            fact = f"{name} steps {step_mm:.2f} mm after slice {place} of {len(slices)}"
            return Reason.SLICES_MISSING, f"{fact}, {usual_mm:.2f} mm elsewhere"
    return None


def _unevenness_fault(slices: Slices, name: str) -> tuple[Reason, str] | None:
    """Refuse a stack whose slices do not lie where even steps would have them."""
    off_mm = _off_steps_mm(slices)
    furthest = max(range(len(slices)), key=off_mm.__getitem__)
    step_mm = (slices[-1].offset_mm - slices[0].offset_mm) / (len(slices) - 1)
    if off_mm[furthest] <= min(MAX_OFF_STEP_MM, MAX_OFF_STEP_SHARE * step_mm):
        return None
    fact = f"{name} has slice {furthest + 1} of {len(slices)} {off_mm[furthest]:.2f} mm off"
    return Reason.GEOMETRY_IMPLAUSIBLE, f"{fact} even steps of {step_mm:.2f} mm"


def _off_steps_mm(slices: Slices) -> list[float]:
    """Return by how much each slice lies beside even steps from the first to the last."""
    start_mm = slices[0].offset_mm
    step_mm = (slices[-1].offset_mm - start_mm) / (len(slices) - 1)
    return [abs(one.offset_mm - start_mm - n * step_mm) for n, one in enumerate(slices)]


def _drift_fault(slices: Slices, name: str) -> tuple[Reason, str] | None:
    """Refuse a stack whose slices do not lie straight above each other, each by its own place."""
    first, last = slices[0], slices[-1]
    drifts_mm = [_drift_mm(first, one) for one in slices]
    furthest = max(range(len(slices)), key=lambda place: _length(drifts_mm[place]))
    furthest_mm = _length(drifts_mm[furthest])
    if furthest_mm <= min(first.spacing_xy_mm):
        return None
    along_mm = last.offset_mm - first.offset_mm
    shares = [(one.offset_mm - first.offset_mm) / along_mm for one in slices]
    off_line_mm = max(
        _length([a - share * b for a, b in zip(drift, drifts_mm[-1], strict=True)])
        for share, drift in zip(shares, drifts_mm, strict=True)
    )
    if off_line_mm <= TILT_SHARE * furthest_mm:
        tilt_deg = degrees(atan2(furthest_mm, along_mm))
        fact = (
            f"{name} is sheared by {furthest_mm:.1f} mm over its length: a gantry tilted by "
            f"{tilt_deg:.1f} degrees"
        )
    else:
        fact = f"{name} has slice {furthest + 1} of {len(slices)} {furthest_mm:.1f} mm aside"
    return Reason.GEOMETRY_IMPLAUSIBLE, fact


def _drift_mm(one: Header, other: Header) -> list[float]:
    """Return by how much a slice lies beside the normal through the first pixel of another."""
    along_mm = other.offset_mm - one.offset_mm
    return [
        b - a - along_mm * n
        for a, b, n in zip(one.position_xyz_mm, other.position_xyz_mm, one.normal, strict=True)
    ]


def _length(vector: Iterable[float]) -> float:
    return float(sum(value**2 for value in vector) ** 0.5)
