"""What the values of columns with levels mean, all in one place for dictionaries."""

from typing import Final

from organome.domain.organs import SIDE_FINDING_MEANINGS
from organome.domain.presence import PRESENCE_MEANINGS
from organome.domain.quality import (
    EXCLUDED_BY_MEANINGS,
    PAIR_REASON_MEANINGS,
    QUALITY_MEANINGS,
    RULE_MEANINGS,
    SCORE_REASON_MEANINGS,
)
from organome.domain.reasons import (
    FEATURE_REASON_MEANINGS,
    FLAG_MEANINGS,
    ORGAN_REASON_MEANINGS,
    REASON_MEANINGS,
    SLICE_REASON_MEANINGS,
)

_MEANINGS: Final[dict[str, str]] = {
    level.value: meaning
    for meanings in (  # of one word in two columns the later meaning stands
        RULE_MEANINGS,
        PAIR_REASON_MEANINGS,
        SCORE_REASON_MEANINGS,
        QUALITY_MEANINGS,
        EXCLUDED_BY_MEANINGS,
        PRESENCE_MEANINGS,
        FLAG_MEANINGS,
        SIDE_FINDING_MEANINGS,
        SLICE_REASON_MEANINGS,
        FEATURE_REASON_MEANINGS,
        ORGAN_REASON_MEANINGS,
        REASON_MEANINGS,
    )
    for level, meaning in meanings.items()
}


def level_meaning(level: str) -> str:
    """Return what a value means; empty where it says so itself, as the name of an organ does."""
    return _MEANINGS.get(level, "")
