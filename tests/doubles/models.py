"""A tiny nnU-Net: a real model folder with weights that were never trained."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from doubles.plans import (
    CONFIGURATION,
    SPACING_ZYX_MM,
    phantom_dataset,
    phantom_plans,
    write_model,
)
from organome.compute.inference.network import build_network
from organome.domain.organs import N_ORGANS

PATCH_ZYX = (16, 32, 32)
FEATURES = (8, 16)


def write_tiny_model(folder: Path, *, seed: int = 1) -> None:
    """Write a network of two stages; what it labels means nothing, and is the same every time."""
    plans = tiny_plans()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network(plans, CONFIGURATION, n_outputs=N_ORGANS + 1)
    write_model(
        folder,
        plans=plans,
        dataset=phantom_dataset(1),
        configuration=CONFIGURATION,
        weights=[network.state_dict()],
    )


def tiny_plans(*, spacing_zyx_mm: tuple[float, float, float] = SPACING_ZYX_MM) -> dict[str, Any]:
    """Cut the plans of the phantom model down to two stages and a small patch."""
    plans = deepcopy(phantom_plans())
    configuration = plans["configurations"][CONFIGURATION]
    configuration |= {"patch_size": list(PATCH_ZYX), "spacing": list(spacing_zyx_mm)}
    arguments = configuration["architecture"]["arch_kwargs"]
    n = len(FEATURES)
    arguments |= {
        "n_stages": n,
        "features_per_stage": list(FEATURES),
        "kernel_sizes": [[3, 3, 3]] * n,
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1] * n,
        "n_conv_per_stage_decoder": [1] * (n - 1),
    }
    return plans
