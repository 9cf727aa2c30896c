"""Slices of several echoes that go with a scan -> maps of fat fraction, on grids of their own.

Nothing that is wrong with them costs the scan itself anything: it is a reason in columns of theirs.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import SimpleITK as sitk

from organome.cohorts.ukb import MANIFEST_NAME, Echoes, choose_echoes, slice_sources
from organome.compute.dixon.multi_echo import (
    MAX_T1_WEIGHTING,
    FatFractionMaps,
    echoes_fault,
    fit_fat_fraction,
    t1_weighting,
)
from organome.domain.contrasts import PDFF_MAPS, PDFF_VIEWS, pdff_map_name
from organome.domain.errors import ScanError
from organome.domain.flags import Flag
from organome.domain.headers import Header
from organome.domain.outcomes import JsonValue, Reason
from organome.domain.scans import Scan, Source
from organome.io.dicom.slices import DicomFiles, parse_files
from organome.io.dicom.voxels import rescaled_voxels, set_grid
from organome.io.files.archives import read_members
from organome.io.files.identity import input_identity
from organome.io.images.image_files import write_image
from organome.shards.faults import lacks_memory, machine_fault, scrubbed_traceback
from organome.shards.log import log_event

MAX_PIXELS: Final = 512 * 1024  # of all slices; each is fitted, half a minute at the most

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Slices:
    """Maps of an archive, a triple a slice, and what was odd about it."""

    maps: tuple[tuple[sitk.Image, ...], ...]
    n_echoes: int
    flags: frozenset[Flag]


def write_slices(
    scan: Scan, *, frame_uid: str, place: Callable[[str], Path], check_root: Callable[[], None]
) -> dict[str, JsonValue]:
    """Make the maps of all views that go with a scan, and write them.

    Args:
        scan: The scan.
        frame_uid: Frame of reference of its own images, empty if not known.
        place: Where a file of the scan is to be written.
        check_root: Raises where a file is missing because the whole cohort is.

    Returns:
        Facts by the names of their columns; none of a view that was not delivered.

    Raises:
        MachineFault: If the cohort is gone.
        OSError: If the machine is at fault.
    """
    facts: dict[str, JsonValue] = {}
    for view in PDFF_VIEWS:
        failed: dict[str, JsonValue] = {}
        for protocol, sources in slice_sources(scan, view):
            try:
                slices = _read(sources, frame_uid)
            except Exception as error:
                if machine_fault(error) or lacks_memory(error):
                    raise
                check_root()
                failed = failed or _failed(scan, view, protocol, error)
                continue
            for number, maps in enumerate(slices.maps, start=1):
                for which, image in zip(PDFF_MAPS, maps, strict=True):
                    write_image(place(f"{pdff_map_name(view, number, which)}.nii.gz"), image)
            failed = {}
            facts |= _facts(
                view,
                protocol=protocol,
                n_slices=len(slices.maps),
                n_echoes=slices.n_echoes,
                flags=sorted(slices.flags),
            )
            break
        facts |= failed
    return facts


def _failed(scan: Scan, view: str, protocol: str, error: Exception) -> dict[str, JsonValue]:
    if isinstance(error, ScanError):
        reason, fact = error.reason, error.fact
    else:
        reason, fact = Reason.UNEXPECTED_ERROR, type(error).__name__
        shard = scan.scan.partition("-")[0]
        log_event(
            _logger, "slices_failed", step="prepare_images", shard=shard, scan=scan.scan, view=view
        )
        _logger.warning(scrubbed_traceback(error))
    return _facts(view, protocol=protocol, na_reason=reason.value, fact=fact)


def _facts(view: str, **facts: JsonValue) -> dict[str, JsonValue]:
    return {f"pdff_{view}_{name}": fact for name, fact in facts.items()}


def _read(sources: Sequence[Source], frame_uid: str) -> _Slices:
    """Read an archive and fit its slices.

    Raises:
        ScanError: If they cannot be made of what is there.
    """
    first, *copies = (input_identity(Path(one.path)) for one in sources)
    if any(one != first for one in copies):
        fact = f"{len(sources)} archives of one name, which differ"
        raise ScanError(Reason.SEVERAL_SERIES, fact)
    files = parse_files(
        (name, content)
        for name, content in read_members(Path(sources[0].path))
        if not MANIFEST_NAME.search(name)
    )
    echoes = choose_echoes(one.header for one in files.slices)
    header = echoes.slices[0][0]
    if header.field_strength_t is None:
        raise ScanError(Reason.ECHOES_UNSUITABLE, "no field strength in the header")
    n_pixels = len(echoes.slices) * prod(header.size_xy)
    if n_pixels > MAX_PIXELS:
        raise ScanError(Reason.GEOMETRY_IMPLAUSIBLE, f"slices of {n_pixels} pixels together")
    fault = echoes_fault(echoes.echo_times_ms, header.field_strength_t)
    if fault is not None:
        raise ScanError(Reason.ECHOES_UNSUITABLE, fault)
    flags = set(files.flags | echoes.flags)
    if copies:
        flags.add(Flag.DELIVERED_TWICE)
    if _is_t1_weighted(header, header.field_strength_t):
        flags.add(Flag.PDFF_T1_WEIGHTED)
    if frame_uid and header.frame_of_reference_uid not in ("", frame_uid):
        flags.add(Flag.FRAME_DIFFERS)
    return _Slices(
        maps=tuple(_maps(files, echoes, header.field_strength_t)),
        n_echoes=len(echoes.echo_times_ms),
        flags=frozenset(flags),
    )


def _maps(
    files: DicomFiles, echoes: Echoes, field_strength_t: float
) -> Iterable[tuple[sitk.Image, ...]]:
    slices = {one.header: one for one in files.slices}
    for headers in echoes.slices:
        voxels_eyx = rescaled_voxels([slices[one] for one in headers])
        if voxels_eyx.min() < 0:
            fact = "magnitudes below zero: phases, or values without their rescaling"
            raise ScanError(Reason.CONTRAST_MISSING, fact)
        fitted = fit_fat_fraction(voxels_eyx, echoes.echo_times_ms, field_strength_t)
        yield tuple(_images(fitted, headers[0]))


def _images(fitted: FatFractionMaps, header: Header) -> Iterable[sitk.Image]:
    for voxels_yx in (fitted.pdff_pct_yx, fitted.r2star_per_s_yx, fitted.fat_evidence_yx):
        image = sitk.GetImageFromArray(voxels_yx[None])
        set_grid(image, [header])
        yield image


def _is_t1_weighted(header: Header, field_strength_t: float) -> bool:
    repetition_time_ms, flip_angle_deg = header.repetition_time_ms or 0, header.flip_angle_deg or 0
    if min(repetition_time_ms, flip_angle_deg) <= 0:  # 0 is how headers write that it is not known
        return True
    ratio = t1_weighting(repetition_time_ms, flip_angle_deg, field_strength_t)
    return ratio > MAX_T1_WEIGHTING
