"""A model that labels images, loaded once in the process that labels."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from organome.domain.inference import Device, FoldAverage, InferenceSettings, MemoryNeed
from organome.domain.outcomes import JsonValue
from organome.domain.plans import is_trained_in_ras
from organome.io.models.folders import fold_names, read_model, read_plans

if TYPE_CHECKING:
    from organome.compute.inference.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class ModelLabeller:
    """A model and how it is run; loaded by ``start``, else with the first image.

    Attributes:
        folder: The model folder.
        digest: Its digest.
        device: Where the network runs.
        n_threads: Threads of the network on a CPU.
        inference: How it is run.
        gpu: Which of the GPUs of this job, counted from 0; None for the first.
        n_sharing: Processes that share the memory of that GPU.
        for_phantoms: Whether its labels of people mean nothing.
    """

    folder: Path
    digest: str
    device: Device
    n_threads: int
    inference: InferenceSettings
    gpu: int | None = None
    n_sharing: int = 1
    for_phantoms: bool = False

    @property
    def facts(self) -> Mapping[str, JsonValue]:
        """What the tables say of the model."""
        return {
            "source": "model",
            "model_name": self.folder.name,
            "model_digest": self.digest,
            "model_folds": list(self.folds),
            **({"for_phantoms": True} if self.for_phantoms else {}),
        }

    @property
    def settings(self) -> Mapping[str, JsonValue]:
        """All settings that change labels."""
        is_average = len(self.folds) > 1
        return {
            **{name: value for name, value in self.facts.items() if name != "model_folds"},
            "tile_step_size": self.inference.tile_step_size,
            **({"orientation": "RAS"} if self._is_trained_in_ras else {}),
            **({"fold_average": FoldAverage.AS_NNUNET.value} if is_average else {}),
            **self.inference.of_labels(),
        }

    @cached_property
    def _is_trained_in_ras(self) -> bool:
        return is_trained_in_ras(read_plans(self.folder))

    @cached_property
    def folds(self) -> tuple[str, ...]:
        """Names of the folds of the model."""
        return fold_names(self.folder)

    @property
    def n_readers(self) -> int:
        """Images that are prepared at the same time."""
        # On a CPU a second thread would only take turns with the network.
        return 1 if self.device == "cpu" else 2

    def start(self) -> None:
        """Load the network, unless that has been done.

        Raises:
            SetupError: The model cannot be loaded.
            MachineFault: The GPU is missing or broken.
        """
        _ = self.segmenter

    def memory_need(self, size_xyz: Sequence[int], spacing_xyz_mm: Sequence[float]) -> MemoryNeed:
        """Predict what labelling an image takes."""
        x, y, z = size_xyz
        x_mm, y_mm, z_mm = spacing_xyz_mm
        return self.segmenter.predicted_memory_bytes((x, y, z), (x_mm, y_mm, z_mm))

    def device_free_bytes(self) -> int | None:
        """Return how much memory of its GPU it may use, None where there is none."""
        from organome.compute.inference.loading import choose_device, gpu_budget_bytes

        device = choose_device(self.device, number=self.gpu)
        return gpu_budget_bytes(device, n_sharing=self.n_sharing)

    def on_all_gpus(self, n_gpus: int) -> "list[ModelLabeller]":
        """Return a labeller for each GPU, itself where there is one GPU or none.

        Raises:
            MachineFault: There are fewer GPUs than asked for.
        """
        if n_gpus == 1 or self.device == "cpu":
            return [self]
        if self.device == "auto":  # else each process finds its GPU or says that there is none
            from organome.compute.inference.loading import choose_device

            if choose_device(self.device, number=n_gpus - 1).type == "cpu":
                return [self]
        return [replace(self, gpu=number) for number in range(n_gpus)]

    def alone(self) -> "ModelLabeller":
        """Return one that has the memory of its GPU for itself."""
        return replace(self, n_sharing=1)

    def lean(self) -> "ModelLabeller":
        """Return one that needs less memory and takes longer, itself if there is none.

        Labels are the same, unless it is lean already and has several folds.
        """
        leaner = replace(self, inference=self.inference.lean(len(self.folds)), n_sharing=1)
        return self if leaner == self else leaner

    @cached_property
    def segmenter(self) -> "Segmenter":
        """The network, loaded when it is first asked for."""
        ask_for_large_pages()
        import torch

        from organome.compute.inference.loading import load_segmenter

        torch.set_num_threads(self.n_threads)
        return load_segmenter(
            read_model(self.folder, known_digest=self.digest),
            device=self.device,
            gpu=self.gpu,
            n_sharing=self.n_sharing,
            settings=self.inference,
        )


def ask_for_large_pages() -> None:
    """Have torch lay large tensors in pages of 2 MB (Linux), unless the environment says otherwise.

    Pages of 4 KB cost a processor up to a quarter of the time of a network. torch reads this once,
    before its first tensor.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
