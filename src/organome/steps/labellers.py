"""Where labels come from: a model that is loaded once, or labelmaps that a cohort brings along."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import SimpleITK as sitk

from organome.domain.errors import ScanError, SetupError
from organome.domain.outcomes import JsonValue, Reason
from organome.domain.scans import Scan
from organome.io.identity import MISSING, input_identity
from organome.io.images import read_image
from organome.io.models import model_digest, read_model
from organome.steps.cohort_roots import ANYWHERE, CohortRoot

Device = Literal["auto", "cpu", "cuda"]


class Labeller(Protocol):
    """Where labels come from.

    Attributes:
        facts: What the tables say of the source.
        settings: All settings that change labels.
    """

    facts: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue]

    def identity(self, scan: Scan) -> JsonValue:
        """What the labels of this scan depend on besides image and settings."""

    def label(self, scan: Scan, image: sitk.Image) -> sitk.Image:
        """Label a scan in the source's own labels, on any grid."""


class ListedLabelmaps:
    """Labelmaps that the cohort brings along."""

    facts: Mapping[str, JsonValue] = {"source": "labelmaps"}
    settings: Mapping[str, JsonValue] = {"source": "labelmaps"}

    def __init__(self, root: CohortRoot = ANYWHERE) -> None:
        self._root = root

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

    def label(self, scan: Scan, image: sitk.Image) -> sitk.Image:  # noqa: ARG002 nothing to infer
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


class ModelLabeller:
    """A network, loaded when the first scan comes, in the process that labels it."""

    def __init__(
        self,
        folder: Path,
        *,
        digest: str,
        device: Device,
        tile_step_size: float,
        n_threads: int,
        gpu: int | None,
    ) -> None:
        self._folder = folder
        self._digest = digest
        self._device: Device = device
        self._tile_step_size = tile_step_size
        self._n_threads = n_threads
        self._gpu = gpu
        self._predictor: Any = None
        self.facts: Mapping[str, JsonValue] = {
            "source": "model",
            "model_name": folder.name,
            "model_digest": digest,
        }
        self.settings: Mapping[str, JsonValue] = {**self.facts, "tile_step_size": tile_step_size}

    def identity(self, scan: Scan) -> JsonValue:  # noqa: ARG002 the image says it all
        """Nothing besides the image."""
        return None

    def label(self, scan: Scan, image: sitk.Image) -> sitk.Image:  # noqa: ARG002
        """Run the network.

        Raises:
            ScanError: The image is too large for the memory, or the network gives no numbers.
            SetupError: The model cannot be loaded.
            MachineFault: The GPU is missing or broken.
        """
        from organome.compute.segmentation import segment

        if self._predictor is None:
            self._predictor = self._load()
        return segment(image, self._predictor)

    def on_gpu(self, number: int) -> "ModelLabeller":
        """Give the same labeller for another GPU of this job, counted from 0."""
        return ModelLabeller(
            self._folder,
            digest=self._digest,
            device=self._device,
            tile_step_size=self._tile_step_size,
            n_threads=self._n_threads,
            gpu=number,
        )

    def _load(self) -> Any:
        import torch

        from organome.compute.segmentation import load_predictor

        torch.set_num_threads(self._n_threads)
        return load_predictor(
            read_model(self._folder, known_digest=self._digest),
            device=self._device,
            tile_step_size=self._tile_step_size,
            gpu=self._gpu,
        )


def load_labeller(
    folder: Path | None, *, device: Device, tile_step_size: float, n_threads: int
) -> ModelLabeller:
    """Digest a model folder; the network itself is loaded with the first scan.

    Args:
        folder: The model folder.
        device: Where the network runs.
        tile_step_size: Step of the sliding window as a share of the patch.
        n_threads: Threads of the network on a CPU.

    Raises:
        SetupError: No folder is given, or it is no model folder.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    if folder is None:
        raise SetupError("segment source is 'model', but no model folder is given")
    return ModelLabeller(
        folder,
        digest=model_digest(folder),
        device=device,
        tile_step_size=tile_step_size,
        n_threads=n_threads,
        gpu=None,
    )
