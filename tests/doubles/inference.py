"""Tiny models in memory, and nnU-Net's own predictor beside them."""

from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy.ndimage import zoom

from doubles.models import tiny_plans
from doubles.plans import CONFIGURATION, phantom_dataset
from organome.compute.inference.network import build_network
from organome.domain.models import Model

N_LABELS = 41
FOLD_NOISE = 0.05  # of weights between folds
SKIMAGE = {
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {
        **{"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    },
    "resampling_fn_data_kwargs": {
        **{"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    },
}


def tiny_model(
    *,
    n_folds: int = 1,
    mirroring_axes: tuple[int, ...] | None = None,
    plans: dict[str, Any] | None = None,
    **configuration: Any,
) -> Model:
    """Make a model with random weights; their labels are everywhere in small pieces.

    Args:
        n_folds: Networks.
        mirroring_axes: Axes that inference may mirror.
        plans: Entries of the plans to replace.
        **configuration: Entries of the configuration to replace.
    """
    written = {**tiny_plans(), **deepcopy(plans or {})}
    written["configurations"][CONFIGURATION] |= deepcopy(configuration)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build_network(written, CONFIGURATION, n_outputs=N_LABELS)
        for name, parameter in network.named_parameters():
            if "seg_layers" in name:  # logits far apart, as those of a network that has learnt
                torch.nn.init.normal_(parameter, std=2.0)
        folds = [deepcopy(network) for _ in range(n_folds)]
        with torch.no_grad():
            for fold in folds:
                for parameter in fold.parameters():
                    parameter.mul_(1 + FOLD_NOISE * torch.randn(parameter.shape))
    return Model(
        name="tiny",
        digest="",
        plans=written,
        dataset=phantom_dataset(1),
        configuration=CONFIGURATION,
        mirroring_axes=mirroring_axes,
        folds=tuple(str(number) for number in range(n_folds)),
        weights=tuple(fold.state_dict() for fold in folds),
    )


def stock_predictor(model: Model, *, tile_step_size: float = 0.5) -> nnUNetPredictor:
    """Make nnU-Net's own predictor of a model."""
    predictor = nnUNetPredictor(
        tile_step_size=tile_step_size,
        use_mirroring=model.mirroring_axes is not None,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    plans = PlansManager(deepcopy(dict(model.plans)))
    predictor.manual_initialization(
        build_network(model.plans, model.configuration, n_outputs=N_LABELS),
        plans,
        plans.get_configuration(model.configuration),
        [dict(fold) for fold in model.weights],
        dict(model.dataset),
        "nnUNetTrainer",
        model.mirroring_axes,
    )
    return predictor


def stock_labels(
    image: sitk.Image, model: Model, *, tile_step_size: float = 0.5
) -> npt.NDArray[np.uint8]:
    """Label an image by nnU-Net itself, in LPS order; the labels are those of LPS order."""
    oriented = sitk.DICOMOrient(image, "LPS")
    voxels_czyx = sitk.GetArrayFromImage(oriented)[None].astype(np.float32)
    properties = {"spacing": list(oriented.GetSpacing()[::-1])}
    predictor = stock_predictor(model, tile_step_size=tile_step_size)
    labels: npt.NDArray[np.uint8] = predictor.predict_single_npy_array(voxels_czyx, properties)
    return labels


def soft_image(
    size: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    *,
    seed: int = 0,
    margin: int = 0,
) -> sitk.Image:
    """Draw smooth noise above 0, int16, with a margin of zeros."""
    rng = np.random.default_rng(seed)
    x, y, z = size
    coarse = rng.normal(300, 120, (5, 6, 7))
    fine = zoom(coarse, (z / 5, y / 6, x / 7), mode="nearest", grid_mode=True)
    voxels_zyx = np.clip(fine + rng.normal(0, 9, fine.shape), 1, 2000)
    if margin:
        inner = (slice(margin, -margin),) * 3
        kept = np.zeros_like(voxels_zyx)
        kept[inner] = voxels_zyx[inner]
        voxels_zyx = kept
    image = sitk.GetImageFromArray(voxels_zyx.astype(np.int16))
    image.SetSpacing(spacing_mm)
    image.SetOrigin((-7.0, 11.0, 5.0))
    return image
