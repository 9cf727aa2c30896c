"""A model that is loaded, and the three stages in which it labels an image."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import SimpleITK as sitk
import torch
from torch import nn

from organome.compute.geometry.arrays import Labels
from organome.compute.geometry.grids import Grid
from organome.compute.inference.gpu_faults import (
    NotFiniteError,
    check_device,
    gpu_faults_stop_the_job,
    lacks_memory,
    out_of_memory_fails_the_scan,
)
from organome.compute.inference.labelling import label_by_stock, label_image
from organome.compute.inference.logits_interpolation import interpolate_logits
from organome.compute.inference.memory import ModelSize, predict_memory
from organome.compute.inference.network import FoldNetworks
from organome.compute.inference.preparation import Preparation, PreparedImage
from organome.compute.inference.tiling import place_tiles
from organome.domain.errors import MachineFault, ScanError
from organome.domain.inference import FoldAverage, InferenceSettings, MemoryNeed
from organome.domain.outcomes import Reason


@dataclass(frozen=True, slots=True)
class InferredLabels:
    """Labels of an image in the axes of the model.

    Attributes:
        labels_zyx: The model's own labels, in its own axes.
        fold_labels_zyx: Those of each fold alone, if they were asked for.
        grid: Grid of the image.
        fold_average: How several folds were averaged; None where there is one.
    """

    labels_zyx: Labels
    fold_labels_zyx: tuple[Labels, ...]
    grid: Grid
    fold_average: FoldAverage | None


class Segmenter:
    """A model that is loaded, ready for any number of images.

    Attributes:
        settings: How it is run.
    """

    def __init__(
        self,
        folds: FoldNetworks,
        preparation: Preparation,
        *,
        dataset: Mapping[str, Any],
        model_size: ModelSize,
        settings: InferenceSettings,
    ) -> None:
        """Put a model together; ``load_segmenter`` does.

        Args:
            folds: The networks of its folds.
            preparation: What is done to an image before.
            dataset: Content of the model's ``dataset.json``.
            model_size: What its memory depends on.
            settings: How it is run.
        """
        self._folds = folds
        self.settings = settings
        self._preparation = preparation
        self._dataset = dict(dataset)
        self._model_size = model_size

    @property
    def networks(self) -> list[nn.Module]:
        """The networks of its folds, from tiles (n, 1, z, y, x) to logits (n, label, z, y, x).

        Others may be put in their place. One that gives logits made beforehand shows what all else
        costs.
        """
        return self._folds.networks

    def prepare(self, image: sitk.Image) -> PreparedImage:
        """Bring an image to what the network takes; by the processor, in any thread.

        Args:
            image: 3D, any orientation, any type of pixel; left as it is.

        Raises:
            ScanError: OUT_OF_MEMORY.
        """
        with out_of_memory_fails_the_scan():
            return self._preparation(image)

    def infer(self, prepared: PreparedImage) -> InferredLabels:
        """Run the network, one image at a time.

        What does not fit into memory is tried once more with lean settings, and with several folds
        once more with those that average them in less memory. Weights stay where they are: only a
        model that is loaded with lean settings has them come fold by fold.

        Raises:
            ScanError: OUT_OF_MEMORY; NOT_FINITE if the network gives no numbers for this image.
            MachineFault: The GPU is at fault.
        """
        with gpu_faults_stop_the_job(), out_of_memory_fails_the_scan(), torch.inference_mode():
            found, settings = self._label(prepared)
            back = self._preparation.plans.transpose_backward
            labels_zyx, *of_folds = (self._preparation.turned(one.transpose(back)) for one in found)
        averaged = settings.fold_average if len(self.networks) > 1 else None
        return InferredLabels(labels_zyx, tuple(of_folds), prepared.grid, averaged)

    def restore(self, inferred: InferredLabels) -> sitk.Image:
        """Return the labelmap, uint8, on the very grid of the image; in any thread.

        Raises:
            ScanError: OUT_OF_MEMORY.
        """
        with out_of_memory_fails_the_scan():
            return inferred.grid.labelmap(inferred.labels_zyx)

    def restore_folds(self, inferred: InferredLabels) -> list[sitk.Image]:
        """Return the labelmap of each fold; none unless the settings ask for them.

        Raises:
            ScanError: OUT_OF_MEMORY.
        """
        with out_of_memory_fails_the_scan():
            return [inferred.grid.labelmap(one) for one in inferred.fold_labels_zyx]

    def predicted_memory_bytes(
        self, size: tuple[int, int, int], spacing_mm: tuple[float, float, float]
    ) -> MemoryNeed:
        """Predict what an image takes, before it is read; upper bounds.

        Args:
            size: Voxels along x, y, z.
            spacing_mm: Along x, y, z.
        """
        return predict_memory(
            size,
            spacing_mm,
            model=self._model_size,
            device=self._folds.device,
            settings=self.settings,
        )

    def _label(self, prepared: PreparedImage) -> tuple[list[Labels], InferenceSettings]:
        """Label, and return with what settings; again after NaN: bad scan or bad GPU?"""
        try:
            return self._label_in_memory(prepared)
        except NotFiniteError:
            check_device(self._folds.device)
        try:
            self._label_in_memory(prepared)
        except NotFiniteError as error:
            fact = "the network gives NaN or infinite logits for this image"
            raise ScanError(Reason.NOT_FINITE, fact) from error
        raise MachineFault(f"{self._folds.device}: NaN at first and numbers the second time")

    def _label_in_memory(self, prepared: PreparedImage) -> tuple[list[Labels], InferenceSettings]:
        *richer, leanest = _ever_leaner(self.settings, n_folds=len(self.networks))
        for settings in richer:
            try:
                return self._label_as_set(prepared, settings), settings
            except (RuntimeError, MemoryError) as error:
                if not lacks_memory(error):
                    raise
            # Behind the except clause: the error holds on to the memory that the next try needs.
            if self._folds.device.type == "cuda":
                torch.cuda.empty_cache()
        return self._label_as_set(prepared, leanest), leanest

    def _label_as_set(self, prepared: PreparedImage, settings: InferenceSettings) -> list[Labels]:
        configuration = self._preparation.configuration
        shape = prepared.voxels_zyx.shape
        tiling = place_tiles(shape, configuration.patch_size, settings.tile_step_size)
        interpolation = interpolate_logits(
            shape,
            prepared.cropped_shape_zyx,
            spacings=(prepared.model_spacing_zyx_mm, prepared.spacing_zyx_mm),
            configuration=configuration,
        )
        if interpolation is None:
            return label_by_stock(
                prepared,
                tiling,
                self._folds,
                self._preparation,
                dataset=self._dataset,
                settings=settings,
            )
        return label_image(
            prepared,
            tiling,
            self._folds,
            interpolation,
            n_labels=self._model_size.n_labels,
            settings=settings,
        )


def _ever_leaner(settings: InferenceSettings, *, n_folds: int) -> list[InferenceSettings]:
    """List settings and those that need less memory with the weights where they are, each once."""
    found = [settings]
    while (leaner := found[-1].lean(n_folds)) != found[-1]:
        found.append(leaner)
    where = settings.folds_resident
    return list(dict.fromkeys(replace(one, folds_resident=where) for one in found))
