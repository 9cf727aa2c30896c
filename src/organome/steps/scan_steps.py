"""What the shard runner asks of a step."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from organome.domain.outcomes import JsonValue, Outcome
from organome.domain.scans import Scan


class ScanStep(Protocol):
    """What a step does with one scan.

    Attributes:
        name: Name of the step: ``prepare_images``.
        version: Raised when the same input would give another result.
    """

    name: str
    version: int

    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change results."""

    def input_identity(self, scan: Scan, upstream: Outcome | None) -> JsonValue:
        """What the outcome of this scan depends on."""

    def run_scan(
        self, scan: Scan, upstream: Outcome | None, place: Callable[[str], Path]
    ) -> Mapping[str, JsonValue]:
        """Do one scan.

        Args:
            scan: The scan.
            upstream: Its outcome in the step before.
            place: Says where to write a file; ``place("labels.nii.gz")`` becomes
                ``<scan>_labels.nii.gz`` beside the ledger. What is placed must be written.

        Returns:
            Reproducible facts.

        Raises:
            ScanError: If this scan cannot be done.
        """

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write the step's own tables beside the ledger."""
