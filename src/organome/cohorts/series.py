"""DICOM series from the headers of their slices, for every cohort that delivers DICOM.

Slices are ordered by their position along the normal, never by instance number or file name.
A series that is not a regular stack of slices has a fault; it is the caller's choice whether that
matters, because a faulty repeat or localizer may not be needed at all.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import Reason

# Share of a slice step; decimal strings in headers round to far less, a lost slice shifts by 1.
STEP_TOLERANCE: Final = 0.1
SAME_POSITION_MM: Final = 0.01
COSINE_TOLERANCE: Final = 1e-3  # 0.06 degrees: half a millimetre over half a metre
SPACING_TOLERANCE_MM: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Series:
    """One DICOM series.

    Attributes:
        slices: Headers in order along the normal, one per position.
        flags: What was odd and got handled.
        fault: Why it is not a regular stack of slices, None if it is one.
    """

    slices: tuple[Header, ...]
    flags: frozenset[Flag]
    fault: tuple[Reason, str] | None

    @property
    def first(self) -> Header:
        """The slice that stands for what all slices share."""
        return self.slices[0]

    @property
    def name(self) -> str:
        """How errors call it; holds no header text."""
        number = self.first.series_number
        return "a series without a number" if number is None else f"series {number}"

    @property
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

    Several slices at one position are repeats: the one with the highest instance number is kept
    and the series is flagged. If *every* position is there several times, the series holds several
    volumes (phases, echoes) and which one is meant cannot be decided: that is a fault.

    Args:
        headers: Slices in any order.
    """
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_uid[header.series_uid].append(header)
    series = [_series(slices) for _, slices in sorted(by_uid.items())]
    return tuple(
        sorted(series, key=lambda one: (one.first.series_time, one.first.series_number or 0))
    )


def _series(headers: list[Header]) -> Series:
    ordered = sorted(headers, key=lambda one: (one.offset_mm, one.instance_number or 0, one.file))
    positions: list[list[Header]] = []
    for header in ordered:
        if positions and header.offset_mm - positions[-1][0].offset_mm < SAME_POSITION_MM:
            positions[-1].append(header)
        else:
            positions.append([header])
    slices = tuple(repeats[-1] for repeats in positions)
    name = f"series {slices[0].series_number}"
    n_volumes = min(len(repeats) for repeats in positions)
    flags = set()
    if len(slices) < len(headers):
        flags.add(Flag.DUPLICATE_SLICES)
    if _shuffled(slices):
        flags.add(Flag.INSTANCES_SHUFFLED)
    fault = (
        (Reason.NOT_3D, f"{name} holds {n_volumes} volumes")
        if n_volumes > 1
        else _stack_fault(slices, name)
    )
    return Series(slices=slices, flags=frozenset(flags), fault=fault)


def _shuffled(slices: tuple[Header, ...]) -> bool:
    numbers = [one.instance_number for one in slices if one.instance_number is not None]
    return numbers not in (sorted(numbers), sorted(numbers, reverse=True))


def _stack_fault(slices: tuple[Header, ...], name: str) -> tuple[Reason, str] | None:
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
    return _gap_fault(slices, name) or _tilt_fault(slices, name)


def _gap_fault(slices: tuple[Header, ...], name: str) -> tuple[Reason, str] | None:
    steps_mm = [b.offset_mm - a.offset_mm for a, b in pairwise(slices)]
    usual_mm = median(steps_mm)
    for place, step_mm in enumerate(steps_mm, start=1):
        if abs(step_mm - usual_mm) > STEP_TOLERANCE * usual_mm:
            fact = f"{name} steps {step_mm:.2f} mm after slice {place} of {len(slices)}"
            return Reason.SLICES_MISSING, f"{fact}, {usual_mm:.2f} mm elsewhere"
    return None


def _tilt_fault(slices: tuple[Header, ...], name: str) -> tuple[Reason, str] | None:
    first, last = slices[0], slices[-1]
    along_mm = last.offset_mm - first.offset_mm
    drift_xyz_mm = [
        b - a - along_mm * n
        for a, b, n in zip(first.position_xyz_mm, last.position_xyz_mm, first.normal, strict=True)
    ]
    drift_mm = sum(value**2 for value in drift_xyz_mm) ** 0.5
    if drift_mm <= min(first.spacing_xy_mm):
        return None
    fact = f"{name} is sheared by {drift_mm:.1f} mm over its length (tilted gantry)"
    return Reason.GEOMETRY_IMPLAUSIBLE, fact


def same_plane(one: Header, other: Header) -> bool:
    """Return whether two slices have the same directions and pixel spacing."""
    cosines = zip(one.orientation, other.orientation, strict=True)
    spacings = zip(one.spacing_xy_mm, other.spacing_xy_mm, strict=True)
    return all(abs(a - b) <= COSINE_TOLERANCE for a, b in cosines) and all(
        abs(a - b) <= SPACING_TOLERANCE_MM for a, b in spacings
    )
