"""Segmentation by nnU-Net's networks, on the very grid of the image.

Source: Isensee et al. 2021 (sliding window, Gaussian weighting). Labels are those of nnU-Net's own
predictor; why it is not used stands in ``docs/decisions/0018``.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import SimpleITK as sitk
import torch
from llvmlite import binding
from torch import nn

from organome.compute.inference.batches import Batch, choose_batch
from organome.compute.inference.gpu_faults import (
    check_device,
    gpu_faults_stop_the_job,
    lacks_memory,
)
from organome.compute.inference.logits_interpolation import interpolates_labels
from organome.compute.inference.memory import ModelSize, count_activations
from organome.compute.inference.network import FoldNetworks, load_networks
from organome.compute.inference.preparation import Preparation
from organome.compute.inference.resampling import image_rule
from organome.compute.inference.segmenter import Segmenter
from organome.domain.errors import MachineFault, SetupError
from organome.domain.inference import Device, InferenceSettings, Precision
from organome.domain.models import Model, model_classes

_BFLOAT16_FEATURES: Final = ("avx512bf16", "amx-bf16", "bf16")  # the last one is ARM's


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


def load_segmenter(
    model: Model,
    *,
    device: Device,
    tile_step_size: float | None = None,
    gpu: int | None = None,
    n_sharing: int = 1,
    settings: InferenceSettings | None = None,
) -> Segmenter:
    """Load a model, ready for any number of images.

    Args:
        model: Plans and the weights of one or more folds; the logits of the folds are averaged.
        device: Where to run. A GPU must pass a small check.
        tile_step_size: Step of the sliding window, in place of the one in the settings.
        gpu: Which of the GPUs of this job, counted from 0; None for the first.
        n_sharing: Processes of this job that share the GPU.
        settings: How it is run; None for as nnU-Net does.

    Raises:
        SetupError: The model cannot be run, as ``load_networks`` says; or bfloat16 is wanted where
            the device has no instructions for it.
        MachineFault: The GPU is missing or broken.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    networks = load_networks(model)
    settings = settings or InferenceSettings()
    if tile_step_size is not None:
        settings = replace(settings, tile_step_size=tile_step_size)
    where = choose_device(device, number=gpu)
    if where.type == "cuda":
        check_device(where)
        _set_cudnn()
    if settings.precision is Precision.BFLOAT16:
        check_bfloat16(where)
    plans = PlansManager(dict(model.plans))
    configuration = plans.get_configuration(model.configuration)
    # Before the layers are changed for the device: what is counted are the plan's own.
    size = _measure(model, plans.transpose_forward, configuration, networks[0].eval())
    folds = _brought_to(where, networks, model, settings)
    batch = Batch(settings.tile_batch or 1, None)
    if where.type == "cuda":
        with gpu_faults_stop_the_job():
            room = gpu_budget_bytes(where, n_sharing=n_sharing) or 0
            patch, wanted = configuration.patch_size, settings.tile_batch
            batch = choose_batch(folds, patch, wanted=wanted, room_bytes=room)
    return Segmenter(
        folds,
        Preparation(plans, configuration, settings.resampling),
        dataset=model.dataset,
        model_size=replace(size, batch_bytes=batch.n_bytes),
        settings=replace(settings, tile_batch=batch.n_tiles),
    )


def _brought_to(
    where: torch.device, networks: Sequence[nn.Module], model: Model, settings: InferenceSettings
) -> FoldNetworks:
    axes = model.mirroring_axes or ()
    try:
        with gpu_faults_stop_the_job():
            return FoldNetworks(networks, device=where, mirroring_axes=axes, settings=settings)
    except RuntimeError as error:
        if where.type == "cpu" or not lacks_memory(error):
            raise
        raise MachineFault(f"{where}: too little memory is free to load the model") from error


def _set_cudnn() -> None:
    """Have cuDNN choose its way for each shape by rule, among those that repeat to the last bit.

    A choice by the clock, as nnU-Net has it made, differs from process to process, and so do labels
    at some boundaries. Single precision is what it says: no rounding of what is multiplied.
    """
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False


def check_bfloat16(device: torch.device) -> None:
    """Refuse bfloat16 where it would have to be emulated, which takes longer than what it replaces.

    Raises:
        SetupError: The device has no instructions for it.
    """
    if device.type == "cuda":
        known = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = binding.get_host_cpu_features()
        known = any(features.get(name) for name in _BFLOAT16_FEATURES)
    if not known:
        kind = "GPU" if device.type == "cuda" else "processor"
        raise SetupError(
            f"segment.precision is bfloat16, but this {kind} has no instructions for it: ask for"
            " nodes that have them, or leave it at stock"
        )


def segment(image: sitk.Image, segmenter: Segmenter) -> sitk.Image:
    """Label every voxel of an image.

    Args:
        image: 3D, any orientation, any pixel type.
        segmenter: From ``load_segmenter``.

    Returns:
        A uint8 labelmap of the model's own labels on the grid of the image.

    Raises:
        ScanError: OUT_OF_MEMORY; NOT_FINITE if the network gives no numbers for this image.
        MachineFault: The GPU is at fault.
    """
    return segmenter.restore(segmenter.infer(segmenter.prepare(image)))


def _measure(
    model: Model, order: Sequence[int], configuration: Any, network: nn.Module
) -> ModelSize:
    n_labels = len(model_classes(model.dataset, model=model.name)) + 1
    patch = tuple(configuration.patch_size)
    encoder: Any = network.encoder
    return ModelSize(
        n_labels=n_labels,
        n_folds=len(model.weights),
        patch=patch,
        spacing_zyx_mm=tuple(configuration.spacing),
        transpose_forward=tuple(order),
        image_rule=image_rule(configuration),
        is_norm_masked=configuration.use_mask_for_norm[0],
        interpolates_labels=interpolates_labels(configuration),
        n_activations=count_activations(network, patch, strides=encoder.strides),
        n_parameters=sum(one.numel() for one in network.parameters()),
        is_mirrored=bool(model.mirroring_axes),
    )


def gpu_budget_bytes(device: torch.device, *, n_sharing: int = 1) -> int | None:
    """Return how much more memory of its GPU this process may take.

    Args:
        device: Where it computes.
        n_sharing: Processes of this job that share the GPU.

    Returns:
        Its share of the GPU, or what is free now where that is less, without what it has taken;
        None for a processor.
    """
    if device.type != "cuda":
        return None

    free, total = torch.cuda.mem_get_info(device)
    reachable = free + torch.cuda.memory_reserved(device)
    return max(0, min(total // n_sharing, reachable) - torch.cuda.memory_allocated(device))
