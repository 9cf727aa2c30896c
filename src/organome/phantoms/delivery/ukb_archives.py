"""Write archives as UK Biobank delivers them: a flat zip of DICOM files and a manifest.

The manifest is as odd as the real one: named ``manifest.cvs``, a heading spelt ``series
discription``, and dates with a comma that nothing quotes, so that rows are longer than the heading.

Source: archives as described in the public code that reads them (Bai's ``ukbb_cardiac``, fuse-med-
ml, Langner's ``ukb_mimir``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

MANIFEST: Final = "manifest.cvs"
MANIFEST_HEADING: Final = "filename,patientid,seriesid,date,series discription"
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# The earliest time that zip knows: archives with the same members are the same bytes.
MEMBER_TIME: Final = (1980, 1, 1, 0, 0, 0)
# Noise hardly compresses: higher levels cost three times the time for a few per cent.
DEFLATE_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One DICOM file in the manifest.

    Attributes:
        filename: Name of the member.
        participant: Pseudonym, under the heading ``patientid``.
        series_uid: SeriesInstanceUID.
        date: Day of the examination.
        series_description: SeriesDescription.
    """

    filename: str
    participant: str
    series_uid: str
    date: datetime
    series_description: str


def encode_manifest(rows: Iterable[ManifestRow]) -> bytes:
    """Encode the manifest, rows in the order of their file names."""
    lines = [
        f"{row.filename},{row.participant},{row.series_uid},"
        f"{MONTHS[row.date.month - 1]} {row.date.day:02d}, {row.date.year},{row.series_description}"
        for row in sorted(rows, key=lambda row: row.filename)
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
            entry = ZipInfo(name, date_time=MEMBER_TIME)
            entry.create_system = 3  # unix, whatever machine writes it
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, members[name], ZIP_DEFLATED, DEFLATE_LEVEL)
    return buffer.getvalue()
