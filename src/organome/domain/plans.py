"""Plans of nnU-Net: which of them may be built from.

Plans name Python classes, and nnU-Net calls what they name with the arguments that they give:
whoever writes plans can run anything. So plans of others are read with an allow-list: networks of
nnU-Net's own package of architectures, layers of torch.
"""

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

from organome.domain.errors import SetupError

_NETWORK: Final = re.compile(r"dynamic_network_architectures\.architectures\.[a-z_]+\.[A-Z]\w*")
_LAYER: Final = re.compile(
    r"(torch\.nn\.(modules\.[a-z_]+\.)?|dynamic_network_architectures\.building_blocks\.[a-z_]+\.)"
    r"[A-Z]\w*"
)
_PER_STAGE: Final = {  # old networks, and what they call their depth
    "PlainConvUNet": "n_conv_per_stage",
    "ResidualEncoderUNet": "n_blocks_per_stage",
}
_OLD_KEYS: Final = frozenset(
    {
        *("UNet_class_name", "UNet_base_num_features", "unet_max_num_features"),
        *("n_conv_per_stage_encoder", "n_conv_per_stage_decoder"),
        *("num_pool_per_axis", "pool_op_kernel_sizes", "conv_kernel_sizes"),
    }
)
_N_AXES: Final = 3
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*")
# RGBTo01Normalization is for photographs: it takes nothing but whole numbers from 0 to 255.
_NORMALISATIONS: Final = frozenset(
    {
        *("ZScoreNormalization", "CTNormalization"),
        *("NoNormalization", "RescaleTo01Normalization"),
    }
)
_FOUND_BY_NAME: Final = (
    "preprocessor_name",
    "resampling_fn_data",
    "resampling_fn_seg",
    "resampling_fn_probabilities",
)


def configuration_of(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Read a configuration, with what it inherits.

    Args:
        plans: Content of ``plans.json``.
        name: Its name, ``3d_fullres`` for instance.

    Raises:
        SetupError: There is none of this name, or it inherits from itself.
    """
    found: dict[str, Any] = {}
    wanted, seen = name, [name]
    while True:
        try:
            one = plans["configurations"][wanted]
            found = {**one, **found}
            inherited = one.get("inherits_from")
        except (KeyError, TypeError, AttributeError) as error:
            raise SetupError(f"plans: no configuration {wanted!r}") from error
        if inherited is None:
            return found
        if inherited in seen:
            raise SetupError(f"plans: configuration {name!r} inherits from itself")
        seen.append(inherited)
        wanted = inherited


def current_plans(plans: Mapping[str, Any], configuration: str) -> dict[str, Any]:
    """Bring a configuration into the format of nnU-Net 2.3 and later, with all that it inherits.

    Args:
        plans: Content of ``plans.json``, current or older.
        configuration: The one that is used; where there is none of this name nothing is changed.

    Raises:
        SetupError: Something that it needs is missing.
    """
    if configuration not in plans.get("configurations", {}):
        return dict(plans)
    chosen = configuration_of(plans, configuration)
    chosen.pop("inherits_from", None)
    if "architecture" not in chosen and chosen.get("UNet_class_name") in _PER_STAGE:
        try:
            chosen["architecture"] = _architecture(chosen)
        except (KeyError, TypeError) as error:
            raise SetupError(f"plans: {configuration!r} is not whole ({error})") from error
        chosen = {key: value for key, value in chosen.items() if key not in _OLD_KEYS}
    return {**plans, "configurations": {**plans["configurations"], configuration: chosen}}


def check_plans(plans: Mapping[str, Any], configuration: str) -> None:
    """Refuse plans that name anything but networks and layers, or are not for scans.

    Args:
        plans: Content of ``plans.json``, current or pre-2.3 format.
        configuration: Configuration that is used.

    Raises:
        SetupError: If so, with what they name; or if there is no such configuration.
    """
    chosen = configuration_of(plans, configuration)
    if chosen.get("previous_stage"):
        raise SetupError(f"plans: {configuration!r} is the second stage of a cascade")
    patch = chosen.get("patch_size")
    if not isinstance(patch, Sequence) or len(patch) != _N_AXES:
        raise SetupError(f"plans: {configuration!r} is for no 3D images (patch_size {patch})")
    if "architecture" not in chosen:
        if chosen.get("UNet_class_name") not in _PER_STAGE:
            raise SetupError(f"plans: network {chosen.get('UNet_class_name')!r} is none of ours")
    else:
        _check_architecture(chosen["architecture"])
    for name in chosen.get("normalization_schemes", ()):
        if name not in _NORMALISATIONS:
            raise SetupError(f"plans: normalisation {name!r} is for no scans of ours")
    for name in (*(chosen.get(key) for key in _FOUND_BY_NAME), plans.get("label_manager")):
        if name is not None and not _PLAIN_NAME.fullmatch(str(name)):
            raise SetupError(f"plans: {name!r} is not the name of a function")


def total_strides(strides: Sequence[Sequence[int]]) -> list[int]:
    """Multiply the strides of all stages of a network, by axis: its patch is a multiple of them."""
    return [prod(along) for along in zip(*strides, strict=True)]


def is_trained_in_ras(plans: Mapping[str, Any]) -> bool:
    """Whether images were turned to RAS for the training: two readers of nnU-Net do.

    All others leave arrays as they are; then LPS is assumed, as in MRSegmentator.
    """
    return str(plans.get("image_reader_writer", "")).endswith("WithReorient")


def _architecture(old: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the network of an old plan: widths double from stage to stage up to a limit."""
    network = old["UNet_class_name"]
    per_stage = old["n_conv_per_stage_encoder"]
    n_axes = len(old["patch_size"])
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{network}",
        "arch_kwargs": {
            "n_stages": len(per_stage),
            "features_per_stage": [
                min(old["UNet_base_num_features"] * 2**stage, old["unet_max_num_features"])
                for stage in range(len(per_stage))
            ],
            "conv_op": f"torch.nn.modules.conv.Conv{n_axes}d",
            "kernel_sizes": old["conv_kernel_sizes"],
            "strides": old["pool_op_kernel_sizes"],
            _PER_STAGE[network]: per_stage,
            "n_conv_per_stage_decoder": old["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{n_axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _check_architecture(architecture: Any) -> None:
    try:
        network = architecture["network_class_name"]
        arguments = architecture["arch_kwargs"]
        imported = {key: arguments[key] for key in architecture["_kw_requires_import"]}
    except (KeyError, TypeError) as error:
        raise SetupError("plans: the architecture is not described as nnU-Net does") from error
    if not isinstance(network, str) or not _NETWORK.fullmatch(network):
        raise SetupError(f"plans: network {network!r} is none of nnU-Net's architectures")
    for key, name in imported.items():
        if name is not None and not (isinstance(name, str) and _LAYER.fullmatch(name)):
            raise SetupError(f"plans: {key} {name!r} is not a layer of torch")
