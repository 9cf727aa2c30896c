"""Rules over scans: a score a rule and scan; NaN where there is nothing to check."""

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Floats
from organome.domain.contrasts import FatWater
from organome.domain.flags import Flag
from organome.domain.outcomes import Status
from organome.domain.quality import Rule
from organome.domain.tables import SCAN_KEY
from organome.steps.quality.judging import FAIL, Levels

COLUMNS: Final = (
    *(column.name for column in SCAN_KEY),
    *("status", "contrast", "flags", "fat_water", "n_stations"),
)
_SEAMS: Final = (Flag.SEAM_GAIN_UNKNOWN, Flag.SEAM_GAIN_LIMITED, Flag.GAPS_BETWEEN_SLICES)
_TURNED: Final = (Flag.MIRRORED, Flag.UPSIDE_DOWN)


def score_scans(
    rows: pa.Table, organs: Levels, sexes: tuple[NDArray[Any], NDArray[Any]]
) -> tuple[dict[Rule, Floats], NDArray[np.bool_]]:
    """Apply the rules to scans.

    Args:
        rows: ``COLUMNS`` of the scans.
        organs: Quality of their organs, array (scans, organs).
        sexes: Sex as the file of participants has it, and as the images have it; None: unknown.

    Returns:
        Score by rule, and which scans were measured.
    """
    is_done = np.array([status == Status.DONE for status in rows.column("status").to_pylist()])
    fat_water = rows.column("fat_water").to_pylist()
    flags = [(text or "").split(";") for text in rows.column("flags").to_pylist()]
    n_stations = rows.column("n_stations").to_pylist()
    has_several = np.array([(n or 0) > 1 for n in n_stations])
    both_known = np.array([None not in pair for pair in zip(*sexes, strict=True)], dtype=bool)

    def has(wanted: Collection[Flag]) -> NDArray[np.bool_]:
        return np.array([any(flag in wanted for flag in of_one) for of_one in flags], dtype=bool)

    def held(holds: Any, is_checked: Any = True) -> Floats:
        return np.where(is_done & is_checked, np.asarray(holds, np.float64), np.nan)

    is_swapped = [one == FatWater.SWAPPED for one in fat_water]
    scores = {
        Rule.ORGANS_FAIL: held((organs == FAIL).sum(axis=1)),
        Rule.FAT_WATER_SWAPPED: held(is_swapped, [one is not None for one in fat_water]),
        Rule.SEAM_DOUBTFUL: held(has(_SEAMS), has_several),
        Rule.STATIONS_MISSING: held(has([Flag.STATIONS_MISSING])),
        Rule.BODY_TURNED: held(has(_TURNED)),
        Rule.SEX_DIFFERS: held(sexes[0] != sexes[1], both_known),
    }
    return scores, is_done
