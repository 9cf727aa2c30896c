"""Where labels come from: a model that is loaded once, or labelmaps that a cohort brings along."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import SimpleITK as sitk

from organome.domain.errors import ScanError
from organome.domain.inference import MemoryNeed
from organome.domain.outcomes import JsonValue, Reason
from organome.domain.scans import Scan
from organome.io.files.cohort_roots import ANYWHERE, CohortRoot
from organome.io.files.identity import MISSING, input_identity
from organome.io.images.image_files import read_image

Device = Literal["auto", "cpu", "cuda"]


class Labeller(Protocol):
    """Where labels come from, in three stages that may run in three threads.

    Attributes:
        facts: What the tables say of the source.
        settings: All settings that change labels.
        n_readers: Scans that are prepared at the same time.
    """

    facts: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue]
    n_readers: int

    def identity(self, scan: Scan) -> JsonValue:
        """What the labels of this scan depend on besides image and settings."""

    def start(self) -> None:
        """Load what all scans need."""

    def prepare(self, scan: Scan, image: sitk.Image) -> Any:
        """Read and prepare what the labels are made from, on the CPU."""

    def infer(self, prepared: Any) -> Any:
        """Make the labels, where they have to be made."""

    def restore(self, inferred: Any) -> sitk.Image:
        """Give a labelmap of the source's own labels, on any grid."""

    def restore_folds(self, inferred: Any) -> Sequence[sitk.Image]:
        """Give the labelmap of each fold alone; nothing where they were not asked for."""

    def memory_need(
        self, size_xyz: Sequence[int], spacing_xyz_mm: Sequence[float]
    ) -> MemoryNeed | None:
        """Predict what labelling an image takes; None where that is no question."""

    def device_room_bytes(self) -> int | None:
        """Say how much memory of a GPU it may use, None where there is none."""

    def lean(self) -> "Labeller":
        """Give a labeller that gives the same labels with the least memory."""


class ListedLabelmaps:
    """Labelmaps that the cohort brings along."""

    facts: Mapping[str, JsonValue] = {"source": "labelmaps"}
    settings: Mapping[str, JsonValue] = {"source": "labelmaps"}
    n_readers = 1

    def __init__(self, root: CohortRoot = ANYWHERE) -> None:
        self._root = root

    def start(self) -> None:
        """Load nothing: each labelmap is read with its scan."""

    def identity(self, scan: Scan) -> JsonValue:
        """The identity of the listed file.

        Raises:
            MachineFault: It is missing because the whole cohort is.
        """
        if scan.labelmap is None:
            return None
        identity = input_identity(Path(scan.labelmap))
        if identity == MISSING:
            self._root.check()
        return identity

    def prepare(self, scan: Scan, image: sitk.Image) -> sitk.Image:  # noqa: ARG002
        """Read the listed labelmap.

        Raises:
            ScanError: None is listed, or it cannot be read.
            MachineFault: It cannot be read because the whole cohort is gone.
        """
        if scan.labelmap is None:
            raise ScanError(Reason.LABELMAP_MISSING, "no labelmap is listed for this scan")
        path = Path(scan.labelmap)
        try:
            if not path.exists():
                raise ScanError(Reason.LABELMAP_MISSING, "the listed labelmap does not exist")
            return read_image(path, constant=True)
        except (ScanError, OSError):
            self._root.check()
            raise

    def infer(self, prepared: sitk.Image) -> sitk.Image:
        """Give the labelmap as it was read: there is nothing to infer."""
        return prepared

    def restore(self, inferred: sitk.Image) -> sitk.Image:
        """Give the labelmap as it was read."""
        return inferred

    def restore_folds(self, inferred: sitk.Image) -> Sequence[sitk.Image]:  # noqa: ARG002
        """Give nothing: a given labelmap has no folds."""
        return ()

    def memory_need(self, size_xyz: Sequence[int], spacing_xyz_mm: Sequence[float]) -> None:
        """Predict nothing: a labelmap is small beside its image."""

    def device_room_bytes(self) -> None:
        """Use no GPU."""

    def lean(self) -> "ListedLabelmaps":
        """Give itself."""
        return self
