"""A model as the source of labels, loaded once in the process that labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import SimpleITK as sitk

from organome.domain.errors import SetupError
from organome.domain.inference import InferenceSettings, MemoryNeed
from organome.domain.outcomes import JsonValue
from organome.domain.scans import Scan
from organome.io.models.folders import model_digest, read_model
from organome.steps.segment.labellers import Device

if TYPE_CHECKING:
    from organome.compute.inference.preparation import PreparedImage
    from organome.compute.inference.segmenter import InferredLabels, Segmenter


class ModelLabeller:
    """A network, loaded in the process that labels: by ``start``, else with the first scan."""

    def __init__(
        self,
        folder: Path,
        *,
        digest: str,
        device: Device,
        n_threads: int,
        inference: InferenceSettings,
        gpu: int | None = None,
        n_sharing: int = 1,
    ) -> None:
        """Name a model and how it is run.

        Args:
            folder: The model folder.
            digest: Its digest.
            device: Where the network runs.
            n_threads: Threads of the network on a CPU.
            inference: How it is run.
            gpu: Which of the GPUs of this job, counted from 0; None for the first.
            n_sharing: Processes that share the memory of that GPU.
        """
        self.folder = folder
        self._digest = digest
        self._device: Device = device
        self._n_threads = n_threads
        self._inference = inference
        self._gpu = gpu
        self._n_sharing = n_sharing
        self._segmenter: Segmenter | None = None
        self.facts: Mapping[str, JsonValue] = {
            "source": "model",
            "model_name": folder.name,
            "model_digest": digest,
        }
        self.settings: Mapping[str, JsonValue] = {
            **self.facts,
            "tile_step_size": inference.tile_step_size,
            **inference.of_labels(),
        }
        # On a CPU a second thread would only take turns with the network.
        self.n_readers = 1 if device == "cpu" else 2

    def identity(self, scan: Scan) -> JsonValue:  # noqa: ARG002 the image says it all
        """Nothing besides the image."""
        return None

    def start(self) -> None:
        """Load the network, unless that has been done.

        Raises:
            SetupError: The model cannot be loaded.
            MachineFault: The GPU is missing or broken.
        """
        self._loaded()

    def prepare(self, scan: Scan, image: sitk.Image) -> "PreparedImage":  # noqa: ARG002
        """Bring the image to what the network takes."""
        return self._loaded().prepare(image)

    def infer(self, prepared: "PreparedImage") -> "InferredLabels":
        """Run the network.

        Raises:
            ScanError: The image is too large for the memory, or the network gives no numbers.
            MachineFault: The GPU is broken.
        """
        return self._loaded().infer(prepared)

    def restore(self, inferred: "InferredLabels") -> sitk.Image:
        """Give the labelmap on the grid of the image."""
        return self._loaded().restore(inferred)

    def restore_folds(self, inferred: "InferredLabels") -> Sequence[sitk.Image]:
        """Give the labelmap of each fold alone; nothing where they were not asked for."""
        return self._loaded().restore_folds(inferred)

    def memory_need(self, size_xyz: Sequence[int], spacing_xyz_mm: Sequence[float]) -> MemoryNeed:
        """Predict what labelling an image takes."""
        x, y, z = size_xyz
        x_mm, y_mm, z_mm = spacing_xyz_mm
        return self._loaded().predicted_memory_bytes((x, y, z), (x_mm, y_mm, z_mm))

    def device_room_bytes(self) -> int | None:
        """Say how much memory of its GPU it may use, None where there is none."""
        from organome.compute.inference.loading import choose_device, gpu_room_bytes

        device = choose_device(self._device, number=self._gpu)
        return gpu_room_bytes(device, n_sharing=self._n_sharing)

    def on_gpu(self, number: int) -> "ModelLabeller":
        """Give the same labeller for another GPU of this job, counted from 0."""
        return self._another(gpu=number)

    def sharing(self, n_sharing: int) -> "ModelLabeller":
        """Give the same labeller as one of several that share a GPU."""
        return self._another(n_sharing=n_sharing)

    def lean(self) -> "ModelLabeller":
        """Give a labeller that gives the same labels with the least memory, and takes longer."""
        return self._another(inference=self._inference.lean(), n_sharing=1)

    def _another(self, **changes: Any) -> "ModelLabeller":
        given: dict[str, Any] = {
            "digest": self._digest,
            "device": self._device,
            "n_threads": self._n_threads,
            "inference": self._inference,
            "gpu": self._gpu,
            "n_sharing": self._n_sharing,
        }
        return ModelLabeller(self.folder, **given | changes)

    def _loaded(self) -> "Segmenter":
        if self._segmenter is None:
            import torch

            from organome.compute.inference.loading import load_segmenter

            torch.set_num_threads(self._n_threads)
            self._segmenter = load_segmenter(
                read_model(self.folder, known_digest=self._digest),
                device=self._device,
                gpu=self._gpu,
                settings=self._inference,
            )
        return self._segmenter


def load_labeller(
    folder: Path | None,
    *,
    device: Device,
    n_threads: int,
    inference: InferenceSettings,
) -> ModelLabeller:
    """Digest a model folder; the network itself is loaded where it is used.

    Args:
        folder: The model folder.
        device: Where the network runs.
        n_threads: Threads of the network on a CPU.
        inference: How it is run.

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
        n_threads=n_threads,
        inference=inference,
    )
