"""Segmentation by nnU-Net's own predictor, on the very grid of the image.

nnU-Net itself ignores orientation: it sees arrays. Every image is therefore brought into the axis
order that the models were trained in (LPS) and the labelmap is brought back; spacing is read after
the reorientation, together with the voxels.

Source: Isensee et al. 2021 (sliding window, Gaussian weighting); MRSegmentator 2.0 for the order
of axes.
"""

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

from organome.compute.gpu_faults import (
    NotFiniteError,
    check_device,
    gpu_faults_stop_the_job,
    out_of_memory_fails_the_scan,
)
from organome.compute.network import build_network
from organome.domain.errors import MachineFault, ScanError, SetupError
from organome.domain.models import Model
from organome.domain.outcomes import Reason

if TYPE_CHECKING:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

MODEL_AXES: Final = "LPS"
Voxels = npt.NDArray[Any]
Device = Literal["auto", "cpu", "cuda"]


def choose_device(device: Device, *, number: int | None = None) -> torch.device:
    """Find the device to run on; ``auto`` takes a GPU where there is one.

    Args:
        device: The kind of device.
        number: Which of the GPUs of this job, counted from 0; None for the first.

    Raises:
        MachineFault: ``cuda`` was asked for and there is none, or fewer than asked for: a GPU job
            must not crawl on a CPU.
    """
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and not n_gpus):
        return torch.device("cpu")
    if not n_gpus:
        raise MachineFault("device cuda was asked for, but torch sees no GPU on this machine")
    if number is not None and number >= n_gpus:
        raise MachineFault(f"{number + 1} GPUs were asked for, but torch sees {n_gpus} of them")
    return torch.device("cuda") if number is None else torch.device("cuda", number)


def load_predictor(
    model: Model, *, device: Device, tile_step_size: float, gpu: int | None = None
) -> "nnUNetPredictor":
    """Make a predictor that holds the network of a model, ready for any number of images.

    Args:
        model: Plans and the weights of one or more folds; the logits of the folds are averaged.
        device: Where to run. A GPU must pass a small check.
        tile_step_size: Step of the sliding window as a share of the patch, 0 to 1.
        gpu: Which of the GPUs of this job, counted from 0; None for the first.

    Raises:
        SetupError: The plans and the weights of the model do not belong together.
        MachineFault: The GPU is missing or broken.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from organome.compute.sliding_window import SlidingWindow

    where = choose_device(device, number=gpu)
    if where.type == "cuda":
        check_device(where)
    predictor = SlidingWindow(
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

    Raises:
        ScanError: OUT_OF_MEMORY; NOT_FINITE if the network gives no numbers for this image.
        MachineFault: The GPU is at fault.
    """
    stored_axes = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(
        image.GetDirection()
    )
    oriented = sitk.DICOMOrient(image, MODEL_AXES)
    voxels_czyx = sitk.GetArrayFromImage(oriented)[None].astype(np.float32)
    with gpu_faults_stop_the_job(), out_of_memory_fails_the_scan():
        labels_zyx = _predict(predictor, voxels_czyx, oriented.GetSpacing()[::-1])
    labelmap = sitk.GetImageFromArray(np.asarray(labels_zyx, dtype=np.uint8))
    labelmap.CopyInformation(oriented)
    restored: sitk.Image = sitk.DICOMOrient(labelmap, stored_axes)
    restored.CopyInformation(image)  # the same grid to the last bit, not up to rounding
    return restored


def _predict(
    predictor: "nnUNetPredictor", voxels_czyx: Voxels, spacing_zyx_mm: tuple[float, ...]
) -> Voxels:
    """Predict; twice where the first result is no numbers, to tell a bad scan from a bad GPU."""
    properties = {"spacing": list(spacing_zyx_mm)}
    try:
        labels_zyx: Voxels = predictor.predict_single_npy_array(voxels_czyx, properties)
        return labels_zyx
    except NotFiniteError:
        check_device(predictor.device)
    try:
        predictor.predict_single_npy_array(voxels_czyx, properties)
    except NotFiniteError as error:
        fact = "the network gives NaN or infinite logits for this image"
        raise ScanError(Reason.NOT_FINITE, fact) from error
    raise MachineFault(f"{predictor.device}: NaN at first and numbers the second time")
