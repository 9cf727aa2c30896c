"""Steps whose outcomes another step must recognise."""

from typing import Final

SEGMENT_ORGANS: Final = "segment_organs"
SEGMENT_ORGANS_VERSION: Final = 2  # raised when the same input would give another result
