"""plan_training: nnU-Net's fingerprint, plans and preprocessing of the dataset.

nnU-Net decides; what the configuration replaces is worked out again by nnU-Net's own rules
(depth, strides and kernels follow from spacing and patch). A training that goes on from a model
has that model's plan, as with nnU-Net's ``move_plans_between_datasets``.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from organome.domain.errors import SetupError
from organome.domain.plans import total_strides
from organome.io.files.atomic import write_text_atomic
from organome.io.models.folders import read_json, read_model
from organome.io.models.training_folders import DATASET
from organome.steps.train.nnunet import CONFIGURATION, DATASET_ID, PLANS, Folders
from organome.steps.train.splits import SPLITS_FILE

_MIN_EDGE: Final = 4  # voxels of the deepest stage
_MAX_HALVINGS: Final = 5
_MIN_STAGES: Final = 3  # of fewer, nnU-Net's deep supervision weighs no output, and losses are NaN
_MAX_FEATURES: Final = 320


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What was planned.

    Attributes:
        spacing_zyx_mm: Grid of the network.
        patch_zyx: Patch.
        batch_size: Patches of a batch.
        n_stages: Stages of the network.
    """

    spacing_zyx_mm: tuple[float, ...]
    patch_zyx: tuple[int, ...]
    batch_size: int
    n_stages: int


def run(
    *,
    folders: Path,
    output: Path,
    start_from: Path | None = None,
    spacing_zyx_mm: Sequence[float] = (),
    patch_zyx: Sequence[int] = (),
    batch_size: int | None = None,
    n_features: int = 32,
    label_order: Literal[0, 1] = 1,
    gpu_memory_gb: float = 8.0,
    n_processes: int = 1,
) -> PlanSummary:
    """Plan a training and prepare its images.

    Args:
        folders: Folder of nnU-Net's folders.
        output: File that says what was planned, written last.
        start_from: Model folder whose plan is taken, all but batch and patch.
        spacing_zyx_mm: Grid of the network; left out: nnU-Net's choice.
        patch_zyx: Patch, rounded up to what the network can halve; left out: nnU-Net's choice, or
            the model's.
        batch_size: Patches of a batch; left out: nnU-Net's choice.
        n_features: Feature maps of the first stage.
        label_order: Order of the interpolation of labels: 1 as nnU-Net does; 0, the nearest, costs
            a tenth where there are many.
        gpu_memory_gb: GPU memory that the planner makes use of.
        n_processes: Processes of nnU-Net.

    Raises:
        SetupError: There is no dataset, or the network cannot take the patch.
    """
    places = Folders(folders)
    if start_from is not None and spacing_zyx_mm:
        raise SetupError("plan: the spacing is that of train.start_from; leave it out")
    if not (places.raw / "dataset.json").is_file():
        raise SetupError(f"{places.raw}: no dataset in it; build it first (build-dataset)")
    begun_with = _plans_of(start_from, patch_zyx) if start_from is not None else None
    shutil.rmtree(places.preprocessed, ignore_errors=True)  # nnU-Net would keep what is there
    places.at_work(n_processes)
    from nnunetv2.experiment_planning import plan_and_preprocess_api as nnunet
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (
        ExperimentPlanner,
    )

    nnunet.extract_fingerprint_dataset(
        DATASET_ID, num_processes=n_processes, verbose=False, show_progress_bar=False
    )
    path = places.preprocessed / f"{PLANS}.json"
    if begun_with is not None:
        plans = begun_with
        planned = plans["configurations"][CONFIGURATION]
    else:
        planner = ExperimentPlanner(
            DATASET_ID,
            gpu_memory_target_in_gb=gpu_memory_gb,
            plans_name=PLANS,
            overwrite_target_spacing=[float(one) for one in spacing_zyx_mm] or None,
        )
        planner.UNet_base_num_features = n_features
        planner.plan_experiment()
        plans = read_json(path)
        planned = _replaced(plans["configurations"][CONFIGURATION], patch_zyx)
    planned = _resampled(planned, batch_size, label_order)
    # No other configuration is trained; an inherited one would be refused by none and used by none.
    plans["configurations"] = {CONFIGURATION: planned}
    write_text_atomic(path, json.dumps(plans, indent=1) + "\n")
    for name in (SPLITS_FILE, "dataset.json"):
        shutil.copyfile(places.raw / name, places.preprocessed / name)
    nnunet.preprocess_dataset(
        DATASET_ID, PLANS, (CONFIGURATION,), [n_processes], show_progress_bar=False
    )
    made = PlanSummary(
        tuple(planned["spacing"]),
        tuple(planned["patch_size"]),
        planned["batch_size"],
        planned["architecture"]["arch_kwargs"]["n_stages"],
    )
    write_text_atomic(output, json.dumps(planned, indent=1) + "\n")
    return made


def _plans_of(model: Path, patch_zyx: Sequence[int]) -> dict[str, Any]:
    """Take the plans of a model as plans of this dataset: its grid, network and intensities."""
    found = read_model(model)
    configuration = _cut(found.plans["configurations"][found.configuration], patch_zyx)
    return dict(found.plans) | {
        "dataset_name": DATASET,
        "plans_name": PLANS,
        "configurations": {
            CONFIGURATION: configuration | {"data_identifier": f"{PLANS}_{CONFIGURATION}"}
        },
    }


def _cut(configuration: dict[str, Any], patch_zyx: Sequence[int]) -> dict[str, Any]:
    """Put another patch into the plan of a model, whose network stays as it is."""
    if not patch_zyx:
        return configuration
    strides = configuration["architecture"]["arch_kwargs"]["strides"]
    steps_zyx = total_strides(strides)
    if any(edge < 1 or edge % step for edge, step in zip(patch_zyx, steps_zyx, strict=True)):
        raise SetupError(
            f"plan.patch_zyx {' x '.join(map(str, patch_zyx))}: the network of train.start_from"
            f" halves it, and takes multiples of {' x '.join(map(str, steps_zyx))} voxels"
        )
    return configuration | {"patch_size": [int(one) for one in patch_zyx]}


def _resampled(
    configuration: dict[str, Any], batch_size: int | None, label_order: int
) -> dict[str, Any]:
    """Say how labels and logits are resampled, and put another batch into a configuration."""
    labels = configuration["resampling_fn_seg_kwargs"] | {"order": label_order}
    made = configuration | {
        "resampling_fn_seg_kwargs": labels,
        # The maintainers' advice for many labels: the same interpolation, several times quicker.
        "resampling_fn_probabilities": "resample_torch_fornnunet",
        "resampling_fn_probabilities_kwargs": {
            "is_seg": False,
            "force_separate_z": False,
            "memefficient_seg_resampling": False,
        },
    }
    if batch_size is not None:
        made["batch_size"] = batch_size
    return made


def _replaced(configuration: dict[str, Any], patch_zyx: Sequence[int]) -> dict[str, Any]:
    """Put another patch into a configuration; the network follows."""
    if not patch_zyx:
        return configuration
    made = dict(configuration)
    from nnunetv2.experiment_planning.experiment_planners.network_topology import (
        get_pool_and_conv_props,
    )

    _, strides, kernels, patch, _ = get_pool_and_conv_props(
        made["spacing"], [int(one) for one in patch_zyx], _MIN_EDGE, _MAX_HALVINGS
    )
    if len(strides) < _MIN_STAGES:
        patch = " x ".join(map(str, patch_zyx))
        raise SetupError(
            f"plan.patch_zyx {patch}: too small, the network would have {len(strides)} stages and"
            f" needs {_MIN_STAGES}; 16 voxels at least along axes of like spacing"
        )
    network = made["architecture"]["arch_kwargs"]
    first, n = network["features_per_stage"][0], len(strides)
    network |= {
        "n_stages": n,
        "features_per_stage": [min(_MAX_FEATURES, first * 2**stage) for stage in range(n)],
        "strides": [[int(one) for one in stride] for stride in strides],
        "kernel_sizes": [[int(one) for one in kernel] for kernel in kernels],
        "n_conv_per_stage": [2] * n,
        "n_conv_per_stage_decoder": [2] * (n - 1),
    }
    made["patch_size"] = [int(one) for one in patch]
    return made
