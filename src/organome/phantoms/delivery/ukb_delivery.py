"""Deliver the Dixon stations of a phantom as a UK Biobank archive."""

from pathlib import Path

from organome.domain.scans import DIXON_CONTRASTS
from organome.domain.ukb_protocol import DIXON_FIELD, STATIONS
from organome.io.files.atomic import write_bytes_atomic
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import spoil_archive, spoil_files, spoil_series
from organome.phantoms.delivery.dicom_headers import dixon_header, mri_examination
from organome.phantoms.delivery.dicom_writing import encode_series
from organome.phantoms.delivery.formats import Format
from organome.phantoms.delivery.records import (
    DeliveredImage,
    DeliveredScan,
    planted,
    visit_rng,
)
from organome.phantoms.delivery.series import PhantomSeries
from organome.phantoms.delivery.ukb_archives import (
    MANIFEST,
    ManifestRow,
    encode_archive,
    encode_manifest,
)
from organome.phantoms.rendering import render as rendering
from organome.phantoms.rendering.stations import station_grids

DEFECT_STREAM = 0  # stations use theirs, 1 to 6


def deliver_archive(body: Body, visit: Visit, *, output: Path, reduce: int) -> DeliveredScan:
    """Render, encode and pack all stations of a visit.

    Args:
        body: Who.
        visit: When, and what goes wrong.
        output: The phantom folder; the archive lies below ``ukb/<first two digits>/``.
        reduce: In-plane reduction of the matrix.
    """
    defect = planted(visit, Format.UKB)
    series = spoil_series(
        defect, render_stations(body, visit, reduce=reduce), visit_rng(visit, DEFECT_STREAM)
    )
    files = spoil_files(defect, _encode_files(body, visit, series))
    archive = spoil_archive(defect, encode_archive(files))
    path = Path(
        Format.UKB,
        visit.participant[:2],
        f"{visit.participant}_{DIXON_FIELD}_{visit.instance}_{Format.UKB.array}.zip",
    )
    write_bytes_atomic(output / path, archive)
    return DeliveredScan(Format.UKB, "dixon", (DeliveredImage(path.as_posix()),), defect)


def render_stations(body: Body, visit: Visit, *, reduce: int) -> tuple[PhantomSeries, ...]:
    """Render the 24 series in the order of their series numbers.

    Each station has its own bias field and gain, as each is an acquisition of its own.
    """
    return tuple(
        PhantomSeries(contrast=contrast, image=images[contrast], station=station.number)
        for station, grid in zip(STATIONS, station_grids(reduce=reduce), strict=True)
        for images in [rendering.render_dixon(body, grid, visit_rng(visit, station.number))]
        for contrast in DIXON_CONTRASTS
    )


def _encode_files(body: Body, visit: Visit, series: tuple[PhantomSeries, ...]) -> dict[str, bytes]:
    examination = mri_examination(visit, body.covariates)
    files, rows = {}, []
    for one in series:
        header = dixon_header(examination, one)
        for file in encode_series(one.image, header, slice_order=one.slice_order):
            files[file.name] = file.content
            rows.append(
                ManifestRow(
                    filename=file.name,
                    participant=visit.participant,
                    series_uid=file.series_uid,
                    date=visit.started,
                    series_description=header.description,
                )
            )
    return files | {MANIFEST: encode_manifest(rows)}
