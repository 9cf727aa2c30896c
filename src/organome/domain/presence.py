"""Whether a structure is there, in a labelmap and in the reference that it is compared with."""

from enum import StrEnum
from typing import Final


class Presence(StrEnum):
    """Which of two labelmaps has a structure. Values stand in published tables."""

    BOTH = "both"
    MISSED = "missed"
    FALSELY_ADDED = "falsely_added"
    BOTH_ABSENT = "both_absent"


PRESENCE_MEANINGS: Final[dict[Presence, str]] = {
    Presence.BOTH: "Prediction and reference have the structure.",
    Presence.MISSED: "The reference has it, the prediction lacks it.",
    Presence.FALSELY_ADDED: "The prediction has it, the reference lacks it.",
    Presence.BOTH_ABSENT: "Neither has it: nothing can be measured.",
}


def presence_of(*, predicted: bool, reference: bool) -> Presence:
    """Return which of the two has a structure."""
    if predicted:
        return Presence.BOTH if reference else Presence.FALSELY_ADDED
    return Presence.MISSED if reference else Presence.BOTH_ABSENT
