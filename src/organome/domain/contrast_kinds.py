"""What each contrast is, and by which words it is delivered: one table for cohorts and docs.

Source: BIDS 1.10 (suffixes); TPTBox (``part-``, ``T2haste``); suffixes of SeriesDescription as UK
Biobank and NAKO deliver them; values of ImageType as Siemens, GE and Philips write them, from
memory of their conformance statements.
"""

from dataclasses import dataclass
from typing import Final

from organome.domain.scans import Contrast, Modality


@dataclass(frozen=True, slots=True)
class ContrastKind:
    """One contrast.

    Attributes:
        contrast: Its value in tables and configuration.
        modality: Kind of scanner.
        meaning: What it shows.
        unit: Of its intensities; None: arbitrary, another for each scan.
        is_quantitative: Whether intensities of two scans may be compared as they are.
        name_words: Of ``part-`` or ``acq-`` in names of files, in lower case.
        name_suffixes: Of names in BIDS, in lower case.
        description_suffixes: Last words of SeriesDescription, in lower case.
        image_types: Values of ImageType, in upper case.
    """

    contrast: Contrast
    modality: Modality
    meaning: str
    unit: str | None = None
    is_quantitative: bool = False
    name_words: tuple[str, ...] = ()
    name_suffixes: tuple[str, ...] = ()
    description_suffixes: tuple[str, ...] = ()
    image_types: tuple[str, ...] = ()


CONTRAST_KINDS: Final = (
    ContrastKind(
        contrast=Contrast.IN_PHASE,
        modality=Modality.MRI,
        meaning="Dixon: fat and water add up.",
        name_words=("inphase", "in"),
        description_suffixes=("in",),
        image_types=("IN_PHASE", "IP"),
    ),
    ContrastKind(
        contrast=Contrast.OPPOSED_PHASE,
        modality=Modality.MRI,
        meaning="Dixon: fat and water cancel each other.",
        name_words=("outphase", "opposedphase", "opp"),
        description_suffixes=("opp",),
        image_types=("OPP_PHASE", "OUT_PHASE", "OP"),
    ),
    ContrastKind(
        contrast=Contrast.FAT,
        modality=Modality.MRI,
        meaning="Dixon: fat.",
        name_words=("fat", "f"),
        description_suffixes=("f",),
        image_types=("FAT", "F"),
    ),
    ContrastKind(
        contrast=Contrast.WATER,
        modality=Modality.MRI,
        meaning="Dixon: water.",
        name_words=("water", "w"),
        description_suffixes=("w",),
        image_types=("WATER", "W"),
    ),
    ContrastKind(
        contrast=Contrast.T1,
        modality=Modality.MRI,
        meaning="Weighted by T1.",
        name_suffixes=("t1w",),
    ),
    ContrastKind(
        contrast=Contrast.T2,
        modality=Modality.MRI,
        meaning="Weighted by T2.",
        name_suffixes=("t2w", "t2haste"),
    ),
    ContrastKind(
        contrast=Contrast.T1FS,
        modality=Modality.MRI,
        meaning="Weighted by T1, fat suppressed: T1w with acq-fs.",
    ),
    ContrastKind(
        contrast=Contrast.CT,
        modality=Modality.CT,
        meaning="Attenuation of X-rays.",
        unit="HU",
        is_quantitative=True,
        name_suffixes=("ct",),
    ),
)
_MODALITIES: Final = {one.contrast: one.modality for one in CONTRAST_KINDS}


def modality_of(contrast: Contrast) -> Modality:
    """Return which kind of scanner makes images of this contrast."""
    return _MODALITIES[contrast]
