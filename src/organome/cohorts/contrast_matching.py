"""The contrasts of one station, brought onto one grid or refused."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from organome.cohorts.dixon import Acquisition, described_contrast
from organome.cohorts.series import STEP_TOLERANCE, Series, same_plane
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.outcomes import Reason
from organome.domain.scans import Contrast

MAX_CROPPED_SLICES: Final = 1  # at either end, to what all contrasts of a station have


def match_contrasts(
    acquisition: Acquisition, contrasts: Sequence[Contrast]
) -> tuple[dict[Contrast, Series], frozenset[Flag]]:
    """Bring the contrasts of a station onto one grid.

    Where a contrast lacks the slice at an end of the stack, the others are cropped to what all
    have. The grids of the station must agree in everything else.

    Args:
        acquisition: The station.
        contrasts: Contrasts that are wanted.

    Returns:
        Series by contrast, all with the same slice positions, and what was odd.

    Raises:
        ScanError: CONTRAST_MISSING, GRIDS_DIFFER, or what is wrong with a series.
    """
    missing = [one for one in contrasts if one not in acquisition.series]
    if missing:
        raise ScanError(
            Reason.CONTRAST_MISSING,
            f"{', '.join(missing)} of the station of {acquisition.anchor.name}",
        )
    chosen = {contrast: acquisition.series[contrast] for contrast in contrasts}
    flags: set[Flag] = set()
    for one in chosen.values():
        one.check()
        flags |= one.flags
        if described_contrast(one) is None:
            flags.add(Flag.CONTRAST_FROM_IMAGE_TYPE)
    _check_planes(chosen)
    cropped = _crop_to_common(chosen)
    if any(len(cropped[one].slices) < len(chosen[one].slices) for one in chosen):
        flags.add(Flag.SLICES_CROPPED)
    return cropped, frozenset(flags)


def _check_planes(chosen: Mapping[Contrast, Series]) -> None:
    (contrast, reference), *others = chosen.items()
    first = reference.first
    for other_contrast, other in others:
        names = f"{reference.name} ({contrast}) and {other.name} ({other_contrast})"
        if other.first.size_xy != first.size_xy:
            sizes = " and ".join(f"{x} x {y}" for x, y in (first.size_xy, other.first.size_xy))
            raise ScanError(Reason.GRIDS_DIFFER, f"{names} have {sizes} pixels")
        if not same_plane(other.first, first):
            raise ScanError(Reason.GRIDS_DIFFER, f"{names} differ in direction or spacing")
        if _shift_in_plane_mm(reference, other) > STEP_TOLERANCE * min(first.spacing_xy_mm):
            raise ScanError(Reason.GRIDS_DIFFER, f"{names} are shifted against each other")
        if abs(other.step_mm - reference.step_mm) > STEP_TOLERANCE / 10 * reference.step_mm:
            raise ScanError(Reason.GRIDS_DIFFER, f"{names} differ in slice spacing")


def _shift_in_plane_mm(one: Series, other: Series) -> float:
    a, b = one.first, other.first
    shift = [q - p for p, q in zip(a.position_xyz_mm, b.position_xyz_mm, strict=True)]
    axes = (a.orientation[:3], a.orientation[3:])
    return max(abs(sum(s * c for s, c in zip(shift, axis, strict=True))) for axis in axes)


def _crop_to_common(chosen: Mapping[Contrast, Series]) -> dict[Contrast, Series]:
    step_mm = next(iter(chosen.values())).step_mm
    tolerance_mm = STEP_TOLERANCE * step_mm
    low_mm = max(one.slices[0].offset_mm for one in chosen.values()) - tolerance_mm
    high_mm = min(one.slices[-1].offset_mm for one in chosen.values()) + tolerance_mm
    cropped = {}
    for contrast, one in chosen.items():
        n_below = sum(header.offset_mm < low_mm for header in one.slices)
        n_above = sum(header.offset_mm > high_mm for header in one.slices)
        if max(n_below, n_above) > MAX_CROPPED_SLICES:
            n_more = max(n_below, n_above)
            fact = (
                f"{one.name} ({contrast}) has {n_more} slices at an end that another contrast lacks"
            )
            raise ScanError(Reason.SLICES_MISSING, fact)
        cropped[contrast] = replace(one, slices=one.slices[n_below : len(one.slices) - n_above])
    _check_positions(cropped, tolerance_mm)
    return cropped


def _check_positions(cropped: Mapping[Contrast, Series], tolerance_mm: float) -> None:
    reference, *others = cropped.values()
    for other in others:
        pairs = zip(reference.slices, other.slices, strict=False)
        apart = any(abs(a.offset_mm - b.offset_mm) > tolerance_mm for a, b in pairs)
        if apart or len(other.slices) != len(reference.slices):
            raise ScanError(
                Reason.GRIDS_DIFFER,
                f"{reference.name} and {other.name} have slices at different positions",
            )
