"""What the shard runner asks of a step."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

from organome.domain.inference import MemoryNeed
from organome.domain.outcomes import JsonValue, Outcome, Status
from organome.domain.scans import Scan


class Task(NamedTuple):
    """A scan, and its outcome in the step before; None for the first step."""

    scan: Scan
    before: Outcome | None

    @property
    def key(self) -> str:
        """Key of the scan."""
        return self.scan.scan


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
            place: Returns where to write a file; ``place("labels.nii.gz")`` becomes
                ``<scan>_labels.nii.gz`` beside the ledger. What is placed must be written.

        Returns:
            Reproducible facts.

        Raises:
            ScanError: If this scan cannot be done.
        """

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write the step's own tables beside the ledger."""


class StagedStep(ScanStep, Protocol):
    """A step whose scans go through three stages, each in threads of its own.

    While one scan is worked on, the next one is read and the last one is written. ``run_scan`` is
    the three in a row. What one stage hands to the next stays in the process.

    Attributes:
        n_readers: Scans that are read at the same time.
    """

    n_readers: int

    def start(self) -> None:
        """Load what all scans need, in the main thread, before the first scan."""

    def memory_need(self, scan: Scan, before: Outcome | None) -> MemoryNeed | None:
        """Predict what a scan takes before anything of it is read; None where nothing is known."""

    def device_free_bytes(self) -> int | None:
        """Return how much memory of a GPU a scan may take; None without a GPU."""

    def alone(self) -> "StagedStep":
        """Return the step for a process with no other beside it; its results are equal."""

    def lean(self) -> "StagedStep":
        """Return the step with settings that need less memory, itself if it knows none.

        Its results are equal, unless it is lean already: what does not fit by any other means may
        be done in another way, and says so.
        """

    def read(self, scan: Scan, before: Outcome | None) -> Any:
        """Read a scan and prepare it, on the CPU.

        Args:
            scan: The scan.
            before: Its outcome in the step before.

        Raises:
            ScanError: If this scan cannot be done; each stage may find that.
        """

    def work(self, item: Any) -> Any:
        """Do what there is one device for; always in the main thread."""

    def write(self, item: Any, place: Callable[[str], Path]) -> Mapping[str, JsonValue]:
        """Finish a scan, write its files, and return its facts."""


class IdentityStep:
    """A step that looks at the files of its scans and does nothing else.

    So the fingerprints of earlier outcomes are checked where files from outside may do no harm.
    """

    def __init__(self, step: ScanStep) -> None:
        self.name = step.name
        self.version = step.version
        self.settings = step.settings
        self.input_identity = step.input_identity

    def run_scan(
        self,
        scan: Scan,  # noqa: ARG002
        upstream: Outcome | None,  # noqa: ARG002
        place: Callable[[str], Path],  # noqa: ARG002
    ) -> Mapping[str, JsonValue]:
        """Do nothing: the runner has taken the fingerprint."""
        return {}

    def finish(self, outcomes: Sequence[Outcome], folder: Path) -> None:
        """Write nothing."""


@runtime_checkable
class FilesStep(ScanStep, Protocol):
    """A step that leaves out files which nobody reads, whatever its results."""

    def has_left(self, outcome: Outcome, names: Collection[str]) -> bool:
        """Return whether the files of an earlier outcome are all that are wanted now.

        Args:
            outcome: Of a scan that went through.
            names: Of the files that are there.
        """


def has_left(step: ScanStep, outcome: Outcome, names: Collection[str]) -> bool:
    """Return whether an earlier outcome left all files that a step would leave now."""
    if not isinstance(step, FilesStep) or outcome.status is not Status.DONE:
        return True
    return step.has_left(outcome, names)


def has_stages(step: ScanStep) -> TypeGuard[StagedStep]:
    """Whether a step declares stages."""
    return hasattr(step, "read")


def alone_step(step: ScanStep) -> ScanStep:
    """Return a step for a process with no other beside it."""
    return step.alone() if has_stages(step) else step


def lean_steps(step: ScanStep) -> list[ScanStep]:
    """List a step with settings that need less and less memory; alone itself if it knows none."""
    if not has_stages(step):
        return [step]
    found = [step.lean()]
    while (leaner := found[-1].lean()) is not found[-1]:
        found.append(leaner)
    return [*found]
