"""Which contrasts of a scan are labelled, and whether its fat and water images can be trusted.

Source: Häntze et al. 2024, "MRSegmentator", mean Dice over classes by sequence in cross-validation.
"""

from enum import StrEnum
from typing import Final

from organome.domain.scans import DIXON_CONTRASTS, Contrast

# Mean over classes, as in the first preprint (weights 1.0). On NAKO, which that release had not
# seen, opposed-phase and fat reached 0.86 and water 0.84: the order within Dixon is not a law.
PAPER_DICE: Final[dict[Contrast, float]] = {
    Contrast.CT: 0.91,
    Contrast.T1FS: 0.85,
    Contrast.T1: 0.84,
    Contrast.WATER: 0.82,
    Contrast.OPPOSED_PHASE: 0.79,
    Contrast.FAT: 0.78,
    Contrast.T2: 0.77,
    Contrast.IN_PHASE: 0.76,
}
BEST_CONTRASTS: Final = tuple(PAPER_DICE)  # best first, in every modality
# What slices of several echoes are planned on; they may show any organ.
PDFF_VIEWS: Final = ("liver", "pancreas")
PDFF_MAPS: Final = ("pdff", "r2star", "fat_evidence")  # percent, 1/s, variances of the noise
SWAPPABLE: Final = frozenset({Contrast.FAT, Contrast.WATER})


class Combine(StrEnum):
    """What becomes of several contrasts of one scan."""

    FIRST = "first"
    CONSENSUS = "consensus"


class ChoiceReason(StrEnum):
    """Why a contrast was labelled. Values stand in published tables: never rename one."""

    PREFERRED = "preferred"
    PREFERRED_MISSING = "preferred_missing"
    PREFERRED_SWAPPED = "preferred_swapped"
    SWAPPED_NO_ALTERNATIVE = "swapped_no_alternative"
    ONLY_IMAGE = "only_image"


class ArrayChoice(StrEnum):
    """Why one of several repeats stands for a visit. Values stand in published tables."""

    ONLY = "only"
    LATEST = "latest"
    LATEST_MEASURED = "latest_measured"


class LeftOut(StrEnum):
    """Why a contrast of the list took no part in a consensus."""

    MISSING = "missing"
    SWAPPED = "swapped"
    OTHER_GRID = "other_grid"


class FatWater(StrEnum):
    """Whether fat and water images show what they are called."""

    SOUND = "sound"
    SWAPPED = "swapped"
    UNKNOWN = "unknown"


def pdff_map_name(view: str, number: int, which: str) -> str:
    """Name a map of a slice, without the key of its scan."""
    return f"pdff_{view}_{number}_{which}"


def acquired_together(one: Contrast, other: Contrast) -> bool:
    """Return whether a scan that has one of two contrasts is bound to have the other."""
    return one is other or {one, other} <= set(DIXON_CONTRASTS)
