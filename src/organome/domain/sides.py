"""Left and right: which organs lie in the middle, and what a check of sides can find."""

from enum import StrEnum
from typing import Final

from organome.domain.organs import Side

# Unpaired and in the middle in everybody. Not the aorta: it lies left of the middle.
MIDLINE_ORGANS: Final = frozenset({"spine", "sacrum"})
# Unpaired, and on this side in all but one in ten thousand people (situs inversus).
USUAL_SIDES: Final = {"liver": Side.RIGHT, "spleen": Side.LEFT}


class SideFinding(StrEnum):
    """Why the side of an organ is suspect. Values stand in published tables: never rename one."""

    CROSSED = "crossed"
    OTHER_SIDE = "other_side"
    PIECES_ACROSS = "pieces_across"
    REACHES_ACROSS = "reaches_across"


SIDE_FINDING_MEANINGS: Final[dict[SideFinding, str]] = {
    SideFinding.CROSSED: "The left one of the pair lies to the right of the right one.",
    SideFinding.OTHER_SIDE: (
        "The middle of the organ lies on the other side of the body; for liver and spleen: on "
        "the side where hardly anybody has it."
    ),
    SideFinding.PIECES_ACROSS: "Separate pieces of the organ lie clearly on the other side.",
    SideFinding.REACHES_ACROSS: (
        "A large part of the organ lies on the other side, in one piece with the rest."
    ),
}
