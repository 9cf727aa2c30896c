"""Scans: the unit of work, and the images of which one consists."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from organome.domain.flags import Flag


class Contrast(StrEnum):
    """What the intensity of an image shows."""

    IN_PHASE = "in_phase"
    OPPOSED_PHASE = "opposed_phase"
    FAT = "fat"
    WATER = "water"
    T1 = "t1"
    T2 = "t2"
    T1FS = "t1fs"
    CT = "ct"


DIXON_CONTRASTS: Final = (Contrast.IN_PHASE, Contrast.OPPOSED_PHASE, Contrast.FAT, Contrast.WATER)


CohortKind: TypeAlias = Literal["ukb", "nako", "bids", "folder"]


class Modality(StrEnum):
    """Kind of scanner."""

    MRI = "mri"
    CT = "ct"


class MissingRescale(StrEnum):
    """What becomes of a CT whose header does not say how values become Hounsfield units."""

    REFUSE = "refuse"
    HOUNSFIELD = "hounsfield"


class Stations(StrEnum):
    """Whether the stations of a scan become one image or are kept, one row of the list each."""

    STITCH = "stitch"
    SEPARATE = "separate"


@dataclass(frozen=True, slots=True)
class Source:
    """One file or folder of a scan, as delivered.

    Attributes:
        path: Where it lies.
        contrast: What it shows; None for an archive that holds several.
        station: Table position counted from the head, 1-based; None where the cohort does not say.
    """

    path: str
    contrast: Contrast | None = None
    station: int | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """One protocol at one instance of one participant; the unit of work.

    Attributes:
        scan: Key ``SSSS-NNNN``: shard, and place in the shard. It names all files and log lines of
            the scan, so that no participant is named there. Given once, never changed.
        cohort: Name of the cohort, as configured.
        participant: Pseudonym, always a string (leading zeros count).
        instance: Visit as the biobank counts it, as a string.
        array: Repeat within the visit, as the biobank counts it, as a string.
        protocol: What was acquired: ``dixon``, ``ct``, ...
        station: Table position counted from the head when stations are kept, else None.
        sources: Files as delivered.
        labelmap: A labelmap that already exists for this scan, None where there is none.
        flags: What listing found odd and handled.
    """

    scan: str
    cohort: str
    participant: str
    instance: str
    array: str
    protocol: str
    sources: tuple[Source, ...]
    station: int | None = None
    labelmap: str | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def identity(self) -> tuple[str, str, str, str, str, int]:
        """What makes it this scan and no other; independent of where its files lie."""
        return (
            self.cohort,
            self.participant,
            self.instance,
            self.array,
            self.protocol,
            self.station or 0,
        )


def scan_key(shard: int, place: int) -> str:
    """Name a scan by its shard and its place in the shard, both counted from 0."""
    return f"{shard:04d}-{place:04d}"
