"""Archives as MRSegmentator publishes them, with weights of our own networks."""

import json
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import torch

from doubles.models import tiny_plans
from doubles.plans import CONFIGURATION, phantom_dataset
from organome.compute.inference.network import build_network
from organome.domain.schemes import LabelScheme
from organome.io.models.checkpoints import CHECKPOINT
from organome.io.models.folders import read_model

RELEASED = "3d_fullres_bs8"
N_FOLDS = 5


def tiny_weights(*, n_outputs: int = 41, n_folds: int = N_FOLDS) -> list[dict[str, torch.Tensor]]:
    """Make folds of a network of two stages that were never trained, each its own."""
    made = []
    for seed in range(n_folds):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build_network(tiny_plans(), CONFIGURATION, n_outputs=n_outputs)
        made.append(network.state_dict())
    return made


def perturbed_weights(model: Path, *, share: float = 0.02) -> list[dict[str, torch.Tensor]]:
    """Make five folds of one trained network, each moved a little; shared memory stays shared."""
    made = []
    for seed in range(N_FOLDS):
        chance = torch.Generator().manual_seed(seed)
        (weights,) = read_model(model).weights
        seen = set()
        for tensor in weights.values():
            if tensor.data_ptr() not in seen:
                seen.add(tensor.data_ptr())
                noise = torch.randn(tensor.shape, generator=chance)
                tensor.add_(noise * share * tensor.abs().mean())
        made.append(dict(weights))
    return made


def old_plans(plans: Mapping[str, Any]) -> dict[str, Any]:
    """Write plans as nnU-Net before 2.3 did, with a configuration that inherits."""
    old = deepcopy(dict(plans))
    chosen = old["configurations"].pop(CONFIGURATION)
    network = chosen.pop("architecture")["arch_kwargs"]
    strides = network["strides"]
    chosen |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": network["features_per_stage"][0],
        "unet_max_num_features": max(network["features_per_stage"]),
        "n_conv_per_stage_encoder": network["n_conv_per_stage"],
        "n_conv_per_stage_decoder": network["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [sum(stride[axis] > 1 for stride in strides) for axis in range(3)],
        "pool_op_kernel_sizes": strides,
        "conv_kernel_sizes": network["kernel_sizes"],
    }
    small = deepcopy(chosen) | {"batch_size": 1}
    old["configurations"] = {
        "3d_lowres": small,
        CONFIGURATION: chosen,
        RELEASED: {"inherits_from": CONFIGURATION, "batch_size": 8},
    }
    return old


def scheme_dataset(scheme: LabelScheme) -> dict[str, Any]:
    """Write the dataset.json of a model whose classes are those of a scheme."""
    labels = {"background": 0} | {name: label for label, name in scheme.classes.items()}
    return phantom_dataset(1) | {"labels": labels}


def write_stock_checkpoint(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    *,
    configuration: str = RELEASED,
    trainer_name: str = "nnUNetTrainerNoMirroring",
    **more: Any,
) -> None:
    """Write what nnU-Net's trainer leaves: optimiser, logs with NumPy scalars, its arguments."""
    content = {
        "network_weights": dict(weights),
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(8)}}, "param_groups": []},
        "grad_scaler_state": None,
        "logging": {"train_losses": [np.float32(0.5)], "mean_fg_dice": [np.float64(0.8)]},
        "_best_ema": np.float64(0.8),
        "current_epoch": 1000,
        "init_args": {
            "configuration": configuration,
            "fold": 0,
            "unpack_dataset": True,
            "device": torch.device("cuda"),
        },
        "trainer_name": trainer_name,
        "inference_allowed_mirroring_axes": None,
    } | more
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def of_the_numpy_1_era(path: Path) -> None:
    """Call NumPy's scalars in a checkpoint as NumPy 1 did."""
    with ZipFile(path) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    name = next(one for one in members if one.endswith("/data.pkl"))
    assert b"numpy._core.multiarray" in members[name]
    members[name] = members[name].replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    with ZipFile(path, "w") as archive:
        for one, content in members.items():
            archive.writestr(one, content)


def write_release(
    folder: Path,
    *,
    plans: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    weights: Sequence[Mapping[str, torch.Tensor]] | None = None,
    version: float | None = 1.2,
    configuration: str = RELEASED,
) -> Path:
    """Write the folder that MRSegmentator's archive holds; by default of tiny networks."""
    folder.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans or old_plans(tiny_plans())))
    (folder / "dataset.json").write_text(json.dumps(dataset or phantom_dataset(1)))
    if version is not None:
        (folder / "version.json").write_text(json.dumps({"weights_version": version}))
    for fold, state in enumerate(tiny_weights() if weights is None else weights):
        path = folder / f"fold_{fold}" / CHECKPOINT
        write_stock_checkpoint(path, state, configuration=configuration)
    return folder


def pack(folder: Path, archive: Path, *, within: str = "") -> Path:
    """Zip a folder, its content in a folder of the archive or at its root."""
    with ZipFile(archive, "w", ZIP_DEFLATED) as opened:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                opened.write(path, f"{within}{path.relative_to(folder).as_posix()}")
    return archive


def copy_release(release: Path, folder: Path) -> Path:
    """Copy a release, to be spoilt."""
    return Path(shutil.copytree(release, folder))
