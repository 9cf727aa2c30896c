"""Deliver the Dixon stations of a phantom as a UK Biobank archive: a flat zip of DICOM files.

The manifest is as odd as the real one: named ``manifest.cvs``, a heading spelt ``series
discription``, and dates with a comma that nothing quotes, so that rows are longer than the heading.

Source: archives as described in the public code that reads them (Bai's ``ukbb_cardiac``, fuse-med-
ml, Langner's ``ukb_mimir``).
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile

from organome.domain.scans import DIXON_CONTRASTS
from organome.domain.ukb_protocol import DIXON_FIELD, STATIONS
from organome.io.files.atomic import write_bytes_atomic
from organome.io.files.packs import dateless
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.delivery.cohort import (
    DeliveredImage,
    DeliveredScan,
    Visit,
    planted,
    visit_rng,
)
from organome.phantoms.delivery.defects import (
    Format,
    PhantomSeries,
    spoil_archive,
    spoil_files,
    spoil_series,
)
from organome.phantoms.delivery.dicom_writing import dixon_header, encode_series
from organome.phantoms.rendering import render as rendering
from organome.phantoms.rendering.fields_of_view import station_grids

MANIFEST: Final = "manifest.cvs"
MANIFEST_HEADING: Final = "filename,patientid,seriesid,date,series discription"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Noise hardly compresses: higher levels cost three times the time for a few per cent.
DEFLATE_LEVEL: Final = 1
DEFECT_STREAM = 0  # stations use theirs, 1 to 6


def encode_manifest(visit: Visit, series: Mapping[str, tuple[str, str]]) -> bytes:
    """Encode the manifest, files in the order of their names.

    Args:
        visit: Whose files they are.
        series: SeriesInstanceUID and SeriesDescription by name of the file.
    """
    started = visit.started
    day = f"{MONTHS[started.month - 1]} {started.day:02d}, {started.year}"
    lines = [
        f"{name},{visit.participant},{uid},{day},{description}"
        for name, (uid, description) in sorted(series.items())
    ]
    return "\n".join((MANIFEST_HEADING, *lines, "")).encode()


def encode_archive(members: Mapping[str, bytes]) -> bytes:
    """Encode a zip archive, members in the order of their names, without any real date.

    Args:
        members: Content by name; no member gives the 22 bytes of an empty archive.
    """
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            archive.writestr(dateless(name), members[name], ZIP_DEFLATED, DEFLATE_LEVEL)
    return buffer.getvalue()


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
    files: dict[str, bytes] = {}
    listed: dict[str, tuple[str, str]] = {}
    for one in series:
        header = dixon_header(visit, body.covariates, one)
        for name, content in encode_series(one.image, header, slice_order=one.slice_order):
            files[name] = content
            listed[name] = (header["SeriesInstanceUID"], header["SeriesDescription"])
    return files | {MANIFEST: encode_manifest(visit, listed)}
