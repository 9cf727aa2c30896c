"""Segmentation by nnU-Net's own predictor, on the very grid of the image.

nnU-Net itself ignores orientation: it sees arrays. Every image is therefore brought into the axis
order that the models were trained in (LPS) and the labelmap is brought back; spacing is read after
the reorientation, together with the voxels.

Source: Isensee et al. 2021 (sliding window, Gaussian weighting); MRSegmentator 2.0 for the order
of axes.
"""

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import SimpleITK as sitk
import torch

from organome.compute.network import build_network
from organome.domain.errors import SetupError
from organome.domain.models import Model

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

MODEL_AXES: Final = "LPS"
Device = Literal["auto", "cpu", "cuda"]


def choose_device(device: Device) -> torch.device:
    """Find the device to run on; ``auto`` takes a GPU where there is one.

    Raises:
        SetupError: ``cuda`` was asked for and there is none: a GPU job must not crawl on a CPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise SetupError("device cuda was asked for, but torch sees no GPU on this machine")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def load_predictor(model: Model, *, device: Device, tile_step_size: float) -> "nnUNetPredictor":
    """Make a predictor that holds the network of a model, ready for any number of images.

    Args:
        model: Plans and the weights of one or more folds; the logits of the folds are averaged.
        device: Where to run.
        tile_step_size: Step of the sliding window as a share of the patch, 0 to 1.

    Raises:
        SetupError: The plans and the weights of the model do not belong together.
    """
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    where = choose_device(device)
    predictor = nnUNetPredictor(
        tile_step_size=tile_step_size,
        use_mirroring=model.mirroring_axes is not None,
        perform_everything_on_device=where.type == "cuda",
        device=where,
        allow_tqdm=False,
    )
    plans = PlansManager(dict(model.plans))
    labels = plans.get_label_manager(dict(model.dataset))
    network = build_network(
        model.plans, model.configuration, n_outputs=labels.num_segmentation_heads
    )
    try:
        network.load_state_dict(dict(model.weights[0]))
    except RuntimeError as error:
        raise SetupError(f"model {model.name}: the weights do not fit the plans") from error
    predictor.manual_initialization(
        network,
        plans,
        plans.get_configuration(model.configuration),
        [dict(fold) for fold in model.weights],
        dict(model.dataset),
        "nnUNetTrainer",
        model.mirroring_axes,
    )
    return predictor


def segment(image: sitk.Image, predictor: "nnUNetPredictor") -> sitk.Image:
    """Label every voxel of an image.

    Args:
        image: 3D, any orientation, any pixel type.
        predictor: From ``load_predictor``.

    Returns:
        A uint8 labelmap of the model's own labels on the grid of the image.
    """
    stored_axes = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        image.GetDirection()
    )
    oriented = sitk.DICOMOrient(image, MODEL_AXES)
    voxels_czyx = sitk.GetArrayFromImage(oriented)[None].astype(np.float32)
    labels_zyx = predictor.predict_single_npy_array(
        voxels_czyx, {"spacing": list(oriented.GetSpacing()[::-1])}
    )
    labelmap = sitk.GetImageFromArray(np.asarray(labels_zyx, dtype=np.uint8))
    labelmap.CopyInformation(oriented)
    restored: sitk.Image = sitk.DICOMOrient(labelmap, stored_axes)
    restored.CopyInformation(image)  # the same grid to the last bit, not up to rounding
    return restored
