"""Dixon stations from DICOM series: what every Dixon cohort has in common.

The contrasts of a station are brought onto one grid, or refused.

Source: suffixes of SeriesDescription in fuse-med-ml's UK Biobank data set, recoh and TPTBox's NAKO
converter; ``domain.contrast_kinds`` has them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from organome.cohorts.series import STEP_TOLERANCE, Series, same_plane
from organome.domain.contrast_kinds import CONTRAST_KINDS
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

DESCRIPTION_SUFFIXES: Final = {
    word: one.contrast for one in CONTRAST_KINDS for word in one.description_suffixes
}
IMAGE_TYPE_WORDS: Final = {word: one.contrast for one in CONTRAST_KINDS for word in one.image_types}
# Of the shorter one's extent; neighbours share 0.2 (37 mm of 192 mm), repeats all of it.
SAME_STATION_SHARE: Final = 0.5
MAX_CROPPED_SLICES: Final = 1  # at either end, to what all contrasts of a station have
SHORTER_SLICES: Final = 1  # a repeat that lacks more than one slice was broken off

Fault: TypeAlias = tuple[Reason, str]


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One run of a station: its series by contrast, each contrast once."""

    series: Mapping[Contrast, Series]

    @property
    def time(self) -> str:
        """When the last of its series was made; later times sort later."""
        return max(one.first.series_time for one in self.series.values())

    @property
    def number(self) -> int:
        """Its lowest series number, 0 if the headers give none."""
        return min(one.first.series_number or 0 for one in self.series.values())

    @property
    def n_slices(self) -> int:
        """Slices of its shortest series."""
        return min(len(one.slices) for one in self.series.values())

    @property
    def anchor(self) -> Series:
        """The series that stands for the position of the station."""
        return next(iter(self.series.values()))

    def is_usable(self, contrasts: Iterable[Contrast]) -> bool:
        """Return whether all wanted contrasts are there as regular stacks."""
        return all(one in self.series and self.series[one].fault is None for one in contrasts)


def series_contrast(series: Series) -> Contrast | None:
    """Return the Dixon contrast of a series: suffix of the description, else the image type.

    Returns:
        The contrast, None if the series is something else (a localizer, a report).
    """
    if series.n_volumes > 1:  # which share the description
        return _typed_contrast(series)
    return described_contrast(series) or _typed_contrast(series)


def disputed(series: Series) -> Series:
    """Return a series with a fault if its description and its image type name two contrasts."""
    if series.n_volumes > 1 or series.fault is not None:
        return series
    described, typed = described_contrast(series), _typed_contrast(series)
    if described is None or typed is None or described is typed:
        return series
    fact = f"{series.name} is {described} by its description and {typed} by its image type"
    return replace(series, fault=(Reason.CONTRAST_DISPUTED, fact))


def find_stations(series: Iterable[Series]) -> tuple[tuple[Acquisition, ...], ...]:
    """Find the stations of a scan, from head to foot, each with its acquisitions in time.

    Series belong to one station if they share more than half of the shorter one's extent. Within a
    station a new acquisition begins where a contrast comes a second time, in the order of series
    time and number.

    Args:
        series: Series that show a Dixon contrast, in the order of time and number.
    """
    stations: list[list[Series]] = []
    for one in series:
        near = (group for group in stations if _same_station(group[0], one))
        group = next(near, None)
        if group is None:
            stations.append([one])
        else:
            group.append(one)
    ordered = sorted(stations, key=lambda group: _height_mm(group[0]), reverse=True)
    return tuple(_acquisitions(group) for group in ordered)


def choose_acquisition(
    acquisitions: Sequence[Acquisition], contrasts: Sequence[Contrast]
) -> Acquisition:
    """Choose among repeats of a station: the most recent that is usable and whole.

    A station is repeated because something was wrong with it (Langner keeps the most recent, too);
    a repeat that was broken off must not displace the run before it.
    """
    usable = [one for one in acquisitions if one.is_usable(contrasts)] or acquisitions
    n_slices = max(one.n_slices for one in usable)
    whole = [one for one in usable if one.n_slices >= n_slices - SHORTER_SLICES]
    return max(whole, key=lambda one: (one.time, one.number))


def leave_gap(upper: Acquisition, lower: Acquisition) -> bool:
    """Return whether two neighbours, from the head, show nothing of the body between them."""
    a, b = upper.anchor, lower.anchor
    apart_mm = _height_mm(a) - _height_mm(b) - (a.extent_mm + b.extent_mm) / 2
    return apart_mm > max(a.step_mm, b.step_mm)


def described_contrast(series: Series) -> Contrast | None:
    """Return the Dixon contrast of a series from its description alone."""
    suffix = series.first.series_description.rsplit("_", 1)[-1].strip().lower()
    return DESCRIPTION_SUFFIXES.get(suffix)


def grid_fault(acquisition: Acquisition, contrasts: Sequence[Contrast]) -> Fault | None:
    """Return why contrasts of a station cannot be brought onto one grid; None if they can.

    Args:
        acquisition: The station.
        contrasts: Contrasts that must be there.
    """
    missing = [one for one in contrasts if one not in acquisition.series]
    if missing:
        fact = f"{', '.join(missing)} of the station of {acquisition.anchor.name}"
        return Reason.CONTRAST_MISSING, fact
    chosen = {contrast: acquisition.series[contrast] for contrast in contrasts}
    faults = (one.fault for one in chosen.values())
    return next(filter(None, faults), None) or _plane_fault(chosen) or _end_fault(chosen)


def match_contrasts(
    acquisition: Acquisition, contrasts: Sequence[Contrast], *, optional: Sequence[Contrast] = ()
) -> tuple[dict[Contrast, Series], frozenset[Flag]]:
    """Bring the contrasts of a station onto one grid.

    Where a contrast lacks the slice at an end of the stack, the others are cropped to what all
    have. The grids of the station must agree in everything else. An optional contrast that is not
    there, or not on that grid to the last slice, is left out.

    Args:
        acquisition: The station.
        contrasts: Contrasts that must be there.
        optional: Contrasts that are wanted if they are whole.

    Returns:
        Series by contrast, all with the same slice positions, and what was odd.

    Raises:
        ScanError: CONTRAST_MISSING, GRIDS_DIFFER, or what is wrong with a series.
    """
    fault = grid_fault(acquisition, contrasts)
    if fault is not None:
        raise ScanError(*fault)
    kept = list(contrasts)
    n_slices = _n_common(acquisition, kept)
    for one in optional:
        more = [*kept, one]
        if grid_fault(acquisition, more) is None and _n_common(acquisition, more) == n_slices:
            kept = more
    chosen = {contrast: acquisition.series[contrast] for contrast in kept}
    cropped = _crop_to_common(chosen)
    flags = {flag for one in chosen.values() for flag in one.flags}
    if any(described_contrast(one) is None for one in chosen.values()):
        flags.add(Flag.CONTRAST_FROM_IMAGE_TYPE)
    if any(len(cropped[one].slices) < len(chosen[one].slices) for one in chosen):
        flags.add(Flag.SLICES_CROPPED)
    return cropped, frozenset(flags)


def _n_common(acquisition: Acquisition, contrasts: Sequence[Contrast]) -> int:
    cropped = _crop_to_common({one: acquisition.series[one] for one in contrasts})
    return min(len(one.slices) for one in cropped.values())


def _typed_contrast(series: Series) -> Contrast | None:
    words = (IMAGE_TYPE_WORDS[word] for word in series.first.image_type if word in IMAGE_TYPE_WORDS)
    return next(words, None)


def _height_mm(series: Series) -> float:
    upwards = 1.0 if series.first.normal[2] >= 0 else -1.0  # LPS: z grows towards the head
    return upwards * series.middle_mm


def _same_station(one: Series, other: Series) -> bool:
    apart_mm = abs(_height_mm(one) - _height_mm(other))
    shared_mm = (one.extent_mm + other.extent_mm) / 2 - apart_mm
    shorter_mm = min(one.extent_mm, other.extent_mm)
    return min(shared_mm, shorter_mm) > SAME_STATION_SHARE * shorter_mm


def _acquisitions(group: Sequence[Series]) -> tuple[Acquisition, ...]:
    runs: list[dict[Contrast, Series]] = [{}]
    for one in group:
        contrast = series_contrast(one)
        if contrast is None:
            raise ValueError(f"{one.name} shows no Dixon contrast")
        if contrast in runs[-1]:
            runs.append({})
        runs[-1][contrast] = one
    return tuple(Acquisition(run) for run in runs)


def _plane_fault(chosen: Mapping[Contrast, Series]) -> Fault | None:
    (contrast, reference), *others = chosen.items()
    first = reference.first
    for other_contrast, other in others:
        names = f"{reference.name} ({contrast}) and {other.name} ({other_contrast})"
        if other.first.size_xy != first.size_xy:
            sizes = " and ".join(f"{x} x {y}" for x, y in (first.size_xy, other.first.size_xy))
            return Reason.GRIDS_DIFFER, f"{names} have {sizes} pixels"
        if not same_plane(other.first, first):
            return Reason.GRIDS_DIFFER, f"{names} differ in direction or spacing"
        if _shift_in_plane_mm(reference, other) > STEP_TOLERANCE * min(first.spacing_xy_mm):
            return Reason.GRIDS_DIFFER, f"{names} are shifted against each other"
        if abs(other.step_mm - reference.step_mm) > STEP_TOLERANCE / 10 * reference.step_mm:
            return Reason.GRIDS_DIFFER, f"{names} differ in slice spacing"
    return None


def _shift_in_plane_mm(one: Series, other: Series) -> float:
    a, b = one.first, other.first
    shift = [q - p for p, q in zip(a.position_xyz_mm, b.position_xyz_mm, strict=True)]
    axes = (a.orientation[:3], a.orientation[3:])
    return max(abs(sum(s * c for s, c in zip(shift, axis, strict=True))) for axis in axes)


def _crop_to_common(chosen: Mapping[Contrast, Series]) -> dict[Contrast, Series]:
    ends = _surplus_slices(chosen)
    return {
        contrast: replace(one, slices=one.slices[n_below : len(one.slices) - n_above])
        for (contrast, one), (n_below, n_above) in zip(chosen.items(), ends, strict=True)
    }


def _surplus_slices(chosen: Mapping[Contrast, Series]) -> list[tuple[int, int]]:
    """Count the slices of each series below and above what all have."""
    tolerance_mm = STEP_TOLERANCE * next(iter(chosen.values())).step_mm
    low_mm = max(one.slices[0].offset_mm for one in chosen.values()) - tolerance_mm
    high_mm = min(one.slices[-1].offset_mm for one in chosen.values()) + tolerance_mm
    return [
        (
            sum(header.offset_mm < low_mm for header in one.slices),
            sum(header.offset_mm > high_mm for header in one.slices),
        )
        for one in chosen.values()
    ]


def _end_fault(chosen: Mapping[Contrast, Series]) -> Fault | None:
    for (contrast, one), ends in zip(chosen.items(), _surplus_slices(chosen), strict=True):
        if max(ends) > MAX_CROPPED_SLICES:
            lacking = f"{max(ends)} slices at an end that another contrast lacks"
            return Reason.SLICES_MISSING, f"{one.name} ({contrast}) has {lacking}"
    reference, *others = _crop_to_common(chosen).values()
    for other in others:
        pairs = zip(reference.slices, other.slices, strict=False)
        tolerance_mm = STEP_TOLERANCE * reference.step_mm
        apart = any(abs(a.offset_mm - b.offset_mm) > tolerance_mm for a, b in pairs)
        if apart or len(other.slices) != len(reference.slices):
            fact = f"{reference.name} and {other.name} have slices at different positions"
            return Reason.GRIDS_DIFFER, fact
    return None
