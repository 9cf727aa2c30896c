"""Whether an organ that was not found should be in view, by the organs that were found.

An organ has its place along the trunk in everybody, in levels of the spine. The organs that a scan
shows, whole or cut, say which levels it covers: it needs no protocol for that, and no header.

Source: levels as textbooks of anatomy have them (Gray's), half a vertebra wide; they order organs
along the body, and measure nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

from organome.domain.geometry import Face
from organome.domain.organs import ORGANS, Region
from organome.domain.outcomes import OrganReason
from organome.domain.volume_bounds import implausible_size, volume_bounds_ml

# Upper and lower end: T1 to T12 are 1 to 12, L1 to L5 13 to 17, S1 to S5 18 to 22; hip joints are
# at 24, knees at 42. Fat is everywhere and stands for no level.
_LEVELS: Final[dict[str, tuple[float, float]]] = {
    "lung": (0.5, 11.0),
    "esophagus": (0.5, 11.0),
    "autochthonous_muscle": (1.0, 20.0),
    "spine": (1.0, 18.0),
    "aorta": (3.5, 17.0),
    "heart": (5.0, 10.0),
    "inferior_vena_cava": (8.5, 17.5),
    "liver": (9.5, 15.0),
    "spleen": (10.0, 14.0),
    "stomach": (10.0, 15.0),
    "adrenal_gland": (11.5, 13.5),
    "kidney": (12.0, 15.5),
    "colon": (12.0, 21.0),
    "portal_vein_and_splenic_vein": (12.0, 15.0),
    "quadratus_lumborum": (12.5, 17.0),
    "iliopsoas_muscle": (12.5, 25.0),
    "gallbladder": (13.0, 15.0),
    "pancreas": (13.0, 15.0),
    "duodenum": (13.0, 16.0),
    "small_bowel": (13.5, 21.0),
    "hip": (17.0, 26.0),
    "gluteus_medius": (17.0, 24.0),
    "iliac_artery": (17.0, 23.5),
    "iliac_vena": (17.5, 23.5),
    "sacrum": (18.0, 23.0),
    "gluteus_maximus": (18.0, 26.0),
    "gluteus_minimus": (18.5, 24.0),
    "urinary_bladder": (21.0, 24.5),
    "femur": (23.0, 42.0),
}
_SIDEWAYS: Final = frozenset({Face.LEFT, Face.RIGHT, Face.ANTERIOR, Face.POSTERIOR})
# Large people are often cut at muscles and fat; at these organs, where the view is narrow.
_DEEP: Final = frozenset(one.name for one in ORGANS if one.region is not Region.MUSCULOSKELETAL)
MIN_CUT_SHARE: Final = 0.1  # of the least volume: less may be stray voxels


def absence_reason(name: str, measures: Mapping[str, Mapping[str, Any]]) -> OrganReason:
    """Return why an organ was not found.

    Args:
        name: Name of the organ.
        measures: What was measured of the organs that were found, by name.

    Returns:
        OUTSIDE_VIEW if an organ that is cut shows that the scan ends before it; REMOVED_OR_MISSED
        if the scan goes on, above it and below, to where other organs end; else NOT_FOUND.
    """
    levels = _levels_of(name)
    if levels is None:
        return OrganReason.NOT_FOUND
    starts, ends = [], []  # of organs that end in view
    above, below = float("-inf"), float("inf")  # what lies beyond is out of view
    is_narrow = False
    for other, measure in measures.items():
        place, touches = _levels_of(other), set(measure["touches"])
        if place is None or not _is_landmark(other, measure["volume_observed_ml"], bool(touches)):
            continue
        if Face.SUPERIOR in touches:
            above = max(above, place[0])
        else:
            starts.append(place[0])
        if Face.INFERIOR in touches:
            below = min(below, place[1])
        else:
            ends.append(place[1])
        is_narrow |= other in _DEEP and bool(touches & _SIDEWAYS)
    if levels[1] <= above or levels[0] >= below:
        return OrganReason.OUTSIDE_VIEW
    if starts and ends and min(starts) <= levels[0] and levels[1] <= max(ends) and not is_narrow:
        return OrganReason.REMOVED_OR_MISSED
    return OrganReason.NOT_FOUND


def _levels_of(name: str) -> tuple[float, float] | None:
    return _LEVELS.get(name.removeprefix("left_").removeprefix("right_"))


def _is_landmark(name: str, volume_ml: float, is_cut: bool) -> bool:
    if is_cut:
        return volume_ml >= MIN_CUT_SHARE * volume_bounds_ml(name)[0]
    return implausible_size(name, volume_ml) is None
