"""A small model in nnU-Net's own format: its plans, its dataset, its folder."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from organome.domain.organs import BACKGROUND, ORGANS
from organome.io.files.atomic import write_bytes_atomic, write_text_atomic
from organome.io.models.checkpoints import CHECKPOINT, minimal_checkpoint

CONFIGURATION: Final = "3d_fullres"
SPACING_ZYX_MM: Final = (4.0, 3.5, 3.5)
PATCH_ZYX: Final = (32, 64, 96)  # 128 x 224 x 336 mm: wide enough to see both sides of a body
_FEATURES: Final = (16, 32, 64, 128, 160)
_STRIDES: Final = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))


def phantom_plans() -> dict[str, Any]:
    """Write the plans: one configuration, z-scored input, no cascade."""
    resampling = {"force_separate_z": False, "is_seg": False}
    configuration = {
        "data_identifier": "organome_phantom_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(PATCH_ZYX),
        "median_image_size_in_voxels": [278.0, 111.0, 143.0],
        "spacing": list(SPACING_ZYX_MM),
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling | {"order": 3, "order_z": 0},
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True, "order": 1, "order_z": 0},
        # the maintainers' advice for many labels: the same interpolation, several times quicker
        "resampling_fn_probabilities": "resample_torch_fornnunet",
        "resampling_fn_probabilities_kwargs": resampling | {"memefficient_seg_resampling": False},
        "batch_dice": True,
        "architecture": _architecture(),
    }
    return {
        "dataset_name": "Dataset001_OrganomePhantom",
        "plans_name": "organomePlans",
        "original_median_spacing_after_transp": [3.0, 2.232142857, 2.232142857],
        "original_median_shape_after_transp": [370, 174, 224],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        # not used by the z-score of each image, but nnU-Net looks it up
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 0.0, "std": 1.0, "percentile_00_5": -3.0, "percentile_99_5": 3.0}
        },
    }


def phantom_dataset(n_cases: int) -> dict[str, Any]:
    """Write ``dataset.json``: one channel, the 40 organs by MRSegmentator's ids."""
    return {
        "channel_names": {"0": "MR_or_CT"},
        "labels": {"background": BACKGROUND} | {organ.name: organ.label for organ in ORGANS},
        "numTraining": n_cases,
        "file_ending": ".nii.gz",
    }


def write_model(
    folder: Path,
    *,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    configuration: str,
    weights: Sequence[Mapping[str, Any]],
) -> None:
    """Write a model folder that stock nnU-Net runs: no optimiser state, no mirroring.

    Args:
        folder: Made if absent; existing files are replaced one by one.
        plans: Content of plans.json.
        dataset: Content of dataset.json.
        configuration: Configuration the weights belong to.
        weights: State of the network, one mapping a fold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "plans.json", json.dumps(plans, indent=2) + "\n")
    write_text_atomic(folder / "dataset.json", json.dumps(dataset, indent=2) + "\n")
    for fold, state in enumerate(weights):
        buffer = io.BytesIO()
        torch.save(minimal_checkpoint(state, configuration=configuration), buffer)
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        write_bytes_atomic(folder / f"fold_{fold}" / CHECKPOINT, buffer.getvalue())


def _architecture() -> dict[str, Any]:
    n = len(_FEATURES)
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": n,
            "features_per_stage": list(_FEATURES),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * n,
            "strides": [list(stride) for stride in _STRIDES],
            "n_conv_per_stage": [1, 1, 2, 2, 2],
            "n_conv_per_stage_decoder": [1] * (n - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
