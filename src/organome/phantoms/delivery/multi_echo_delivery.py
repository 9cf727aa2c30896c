"""Deliver a slice of several echoes of a phantom, its fat fraction planted, as UK Biobank would.

No phantom cohort has one yet: tests ask for it.
"""

from collections.abc import Mapping
from pathlib import Path

from organome.domain import ukb_protocol
from organome.io.files.atomic import write_bytes_atomic
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.delivery.cohort import Visit, visit_rng
from organome.phantoms.delivery.dicom_writing import echo_header, encode_series
from organome.phantoms.delivery.ukb_delivery import encode_archive
from organome.phantoms.rendering.fields_of_view import axial_grid
from organome.phantoms.rendering.render import render_echoes

STREAM = 20  # stations use theirs, 1 to 6


def deliver_multi_echo(
    body: Body,
    visit: Visit,
    *,
    folder: Path,
    field: str,
    pdff_pct: Mapping[str, float],
    r2star_per_s: float,
    height_mm: float,
    snr: float = 50.0,
    reduce: int = 1,
) -> Path:
    """Render a slice, encode its echoes and pack them.

    Args:
        body: Who.
        visit: When.
        folder: Where the archive goes.
        field: Of UK Biobank.
        pdff_pct: Fat fraction by organ.
        r2star_per_s: Decay, everywhere.
        height_mm: Lower face of the slice, z in mm above the femoral heads.
        snr: Signal at echo time 0 over the standard deviation of the noise.
        reduce: Pixels are so many times larger in-plane.

    Returns:
        The archive.
    """
    grid = axial_grid(
        size_xyz=(*ukb_protocol.MULTI_ECHO_SIZE_XY, 1),
        pixel_mm=ukb_protocol.MULTI_ECHO_PIXEL_MM,
        slice_mm=ukb_protocol.MULTI_ECHO_SLICE_MM,
        bottom_mm=height_mm,
        reduce=reduce,
    )
    times_ms = ukb_protocol.MULTI_ECHO_TIMES_MS
    echoes = render_echoes(
        body,
        grid,
        visit_rng(visit, STREAM),
        pdff_pct=pdff_pct,
        r2star_per_s=r2star_per_s,
        echo_times_ms=times_ms,
        snr=snr,
    )
    files: dict[str, bytes] = {}
    for number, (image, time_ms) in enumerate(zip(echoes, times_ms, strict=True), start=1):
        header = echo_header(visit, body.covariates, echo=number, echo_time_ms=time_ms)
        files |= dict(encode_series(image, header))
    path = folder / f"{visit.participant}_{field}_{visit.instance}_0.zip"
    write_bytes_atomic(path, encode_archive(files))
    return path
