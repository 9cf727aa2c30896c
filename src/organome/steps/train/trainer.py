"""nnU-Net's trainer, its loop left alone: without mirroring, and safe against a kill anywhere.

Import it after ``nnunet.Folders.at_work``: nnU-Net reads its folders when it is imported.

Source: nnU-Net's ``nnUNetTrainer`` and its variant ``nnUNetTrainerNoMirroring``. It is not found by
name: that imports every trainer of nnU-Net, and one needs a torchvision that fits torch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from organome.io.files.atomic import atomic_path

_COSTLY = (GaussianBlurTransform, SimulateLowResolutionTransform)


class OrganomeTrainer(nnUNetTrainer):  # type: ignore[misc]
    """Left and right are told apart, so images are never mirrored, in training or inference.

    Attributes:
        is_light: Whether augmentation leaves out what costs most.
        stop_if_asked: Called before each epoch: nnU-Net swallows some exceptions, and with them a
            signal.
    """

    # nnU-Net looks the names of these arguments up.
    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.save_every = 1
        self.is_light = False
        self.stop_if_asked: Callable[[], None] | None = None

    def on_epoch_start(self) -> None:
        """Begin an epoch, unless asked to stop."""
        if self.stop_if_asked:
            self.stop_if_asked()
        super().on_epoch_start()

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:  # noqa: N802
        """Keep nnU-Net's choice but for the mirrored axes; cut no more than the patch if light."""
        rotation, is_dummy_2d, initial_patch, _ = (
            super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        )
        self.inference_allowed_mirroring_axes = None
        if self.is_light:
            return (0.0, 0.0), False, self.configuration_manager.patch_size, None
        return rotation, is_dummy_2d, initial_patch, None

    def get_dataloaders(self) -> Any:
        """Build nnU-Net's loaders, with a shorter chain of transforms if light."""
        if not self.is_light:
            return super().get_dataloaders()
        stock = nnUNetTrainer.get_training_transforms  # a static method, which knows no trainer
        self.get_training_transforms: Any = lambda *args, **kwargs: lighten(stock(*args, **kwargs))
        return super().get_dataloaders()

    def save_checkpoint(self, filename: str) -> None:
        """Write a checkpoint, whole or not at all: a kill leaves the one before."""
        with atomic_path(Path(filename)) as temporary:
            super().save_checkpoint(str(temporary))


def lighten(chain: Any) -> Any:
    """Take turning, scaling, blurring, coarsening and one of two gammas out of a chain."""
    kept, has_gamma = [], False
    for one in chain.transforms:
        inner = getattr(one, "transform", one)
        if isinstance(inner, _COSTLY) or (isinstance(inner, GammaTransform) and has_gamma):
            continue
        has_gamma = has_gamma or isinstance(inner, GammaTransform)
        if isinstance(inner, SpatialTransform):
            inner.p_rotation = inner.p_scaling = inner.p_elastic_deform = 0
        kept.append(one)
    chain.transforms = kept
    return chain
