"""Pictures of scans: their kinds, and the table of a shard that holds them."""

from enum import StrEnum
from typing import Final

MAX_SCAN_BYTES: Final = 60_000  # of all pictures of a scan together
PICTURES_FILE: Final = "pictures.parquet"  # in results/draw_pictures/<shard>/


class PictureKind(StrEnum):
    """What a picture shows. Values stand in published files: never rename one."""

    PLANES = "planes"
    CORONAL = "coronal"
