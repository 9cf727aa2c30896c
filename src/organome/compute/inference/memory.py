"""How much memory an image will take, predicted from its grid before it is read.

All numbers are upper bounds: what is added up never lives all at the same time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, Final

import torch
from torch import nn

from organome.compute.inference.preparation import model_shape
from organome.compute.inference.resampling import ResamplingRule, cheapest_order
from organome.compute.inference.sums import SLICES_AT_A_TIME, VOXELS_AT_A_TIME
from organome.compute.inference.tiling import Tiling, place_tiles
from organome.domain.inference import InferenceSettings, MemoryNeed
from organome.domain.plans import total_strides

_PIXEL: Final = 4  # bytes of a voxel of the image: no more than single precision is expected
_SINGLE: Final = 4
_HALF: Final = 2
_LONG: Final = 8  # of an index in torch
# Bytes of a voxel whose norm is that of a mask: the voxels in it, those less their mean, and masks.
# Measured: 11.
_MASKED: Final = 12
_RESAMPLED: Final = 16  # bytes of a logit that nnU-Net resamples: in double precision, and a copy
_N_INTERPOLATED: Final = 16  # sets of logits that live while voxels are interpolated on a GPU
# Tensors as large as the largest between two layers of a U-Net that live at the same time where it
# is widest: what was skipped, what came up, both together, the result before and after its norm,
# and what a convolution lays out again. Measured on a processor: 6.9.
_N_WIDEST: Final = 8
# The last layer instead: its input and a copy, its output and copies. Measured: 1.8 to 2.9 outputs.
_N_LAST: Final = 2
_N_LOGITS: Final = 2.5
_OVERHEAD_BYTES: Final = 32 << 20  # buffers of libraries


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What the memory of a model depends on.

    Attributes:
        n_labels: Outputs of the network.
        n_folds: Networks.
        patch: Shape of a tile.
        spacing_zyx_mm: Spacing of the model, in the order of axes of its plans.
        transpose_forward: That order.
        image_rule: How an image is resampled; None: by a function of nnU-Net that is called.
        is_norm_masked: Whether the norm is that of the voxels that are not 0.
        interpolates_labels: Whether logits are interpolated where labels meet; else nnU-Net
            resamples all of them.
        n_activations: Numbers in the largest tensor between two layers, for one tile.
        n_parameters: Numbers in the weights of one network.
        is_mirrored: Whether tiles are mirrored.
        batch_bytes: What a batch of tiles was seen to take on this GPU with the settings that the
            model was loaded with, besides weights that stay there.
    """

    n_labels: int
    n_folds: int
    patch: tuple[int, ...]
    spacing_zyx_mm: tuple[float, ...]
    transpose_forward: tuple[int, ...]
    image_rule: ResamplingRule | None
    is_norm_masked: bool
    interpolates_labels: bool
    n_activations: int
    n_parameters: int
    is_mirrored: bool
    batch_bytes: int | None = None


def predict_memory(
    size: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    *,
    model: ModelSize,
    device: torch.device,
    settings: InferenceSettings,
) -> MemoryNeed:
    """Predict what an image takes.

    Args:
        size: Voxels along x, y, z.
        spacing_mm: Along x, y, z.
        model: The model.
        device: Where the network runs.
        settings: How it is run; those that it was loaded with, where a batch was measured.
    """
    order = [2 - axis for axis in model.transpose_forward]
    native, spacing = [size[axis] for axis in order], [spacing_mm[axis] for axis in order]
    n_native = prod(native)
    shape = model_shape(native, spacing, model.spacing_zyx_mm)
    tiling = place_tiles(shape, model.patch, settings.tile_step_size)
    n_wholes = 1 + (model.n_folds if settings.fold_labels else 0)
    n_sums = settings.n_sums(model.n_folds)
    rule = model.image_rule
    separate = rule.separate_axis(spacing, model.spacing_zyx_mm) if rule is not None else None
    resized = _resized_bytes(native, shape, separate)
    masked = _MASKED * n_native if model.is_norm_masked else 0
    labels = n_native * n_wholes
    sums = n_sums * _sums_bytes(tiling, model.n_labels) + _SINGLE * prod(tiling.shape)
    if not model.interpolates_labels:
        sums = model.n_labels * (n_sums * _HALF * prod(tiling.shape) + _RESAMPLED * n_native)
    on_gpu = device.type == "cuda"
    sums_on_gpu = on_gpu and settings.sums_on_device
    network = _tiles_bytes(model, settings)
    if sums_on_gpu:
        network = max(network, _labels_bytes(tiling, model.n_labels, native))
    # On a processor weights are there since the model was loaded, but layers lay them out again;
    # on a GPU they are there, or come fold by fold, which a batch that was measured has shown.
    if not (on_gpu and (settings.folds_resident or model.batch_bytes is not None)):
        network += _SINGLE * model.n_parameters
    on_host = (0 if on_gpu else network) + (0 if sums_on_gpu else sums)
    if on_gpu and not sums_on_gpu:
        on_host += _SINGLE * model.n_labels * prod(model.patch)  # of a tile, on its way
    on_device = (network if on_gpu else 0) + (sums if sums_on_gpu else 0)
    image, prepared = _PIXEL * n_native, _SINGLE * prod(shape)
    return MemoryNeed(
        prepare_bytes=n_native * (_PIXEL + _SINGLE) + max(masked, resized) + _OVERHEAD_BYTES,
        infer_bytes=image + prepared + labels + on_host + _OVERHEAD_BYTES,
        restore_bytes=image + labels + 2 * n_native * n_wholes,
        device_bytes=on_device + (_OVERHEAD_BYTES if on_gpu else 0),
    )


def _resized_bytes(present: Sequence[int], wanted: Sequence[int], separate: int | None) -> int:
    """Bound the images between products of matrices, of which two live at a time.

    Args:
        present: Shape that is there.
        wanted: Shape that is wanted.
        separate: The axis across slices that are resized for themselves, before it; None: the order
            that takes the least work.
    """
    within = [present[axis] if axis == separate else n for axis, n in enumerate(wanted)]
    order = cheapest_order(tuple(present), tuple(within))
    shape, sizes = list(present), [0]
    for axis in order if separate is None else (*order, separate):
        shape[axis] = wanted[axis]
        sizes.append(prod(shape))
    return _SINGLE * max((one + other for one, other in pairwise(sizes)), default=0)


def _sums_bytes(tiling: Tiling, n_labels: int) -> int:
    n_voxels = tiling.n_rows_held * tiling.shape[1] * tiling.shape[2]
    return n_voxels * (_HALF * (n_labels + 1) + 1)


def _labels_bytes(tiling: Tiling, n_labels: int, native: Sequence[int]) -> int:
    """Bound what a GPU takes to make labels of sums; no tile goes through the network meanwhile."""
    # The places of the highest logits, and where no tile was.
    finish = (_LONG + 1) * tiling.patch[0] * tiling.shape[1] * tiling.shape[2]
    # Labels of some slices at the corners, and where they differ; their logits, 8 corners and more.
    export = (3 * _LONG + 4) * SLICES_AT_A_TIME * native[1] * native[2]
    export += _N_INTERPOLATED * _SINGLE * n_labels * VOXELS_AT_A_TIME
    return max(finish, export)


def _tiles_bytes(model: ModelSize, settings: InferenceSettings) -> int:
    if model.batch_bytes is not None:
        return model.batch_bytes
    n_logits = model.n_labels * prod(model.patch)
    n_averaged = 1 if model.n_folds > 1 or model.is_mirrored else 0
    tile = max(
        _N_WIDEST * model.n_activations + n_averaged * n_logits,
        _N_LAST * model.n_activations + int((_N_LOGITS + n_averaged) * n_logits),
    )
    return _SINGLE * max(1, settings.tile_batch) * tile


def count_activations(
    network: nn.Module, patch: Sequence[int], *, strides: Sequence[Sequence[int]]
) -> int:
    """Count the numbers in the largest tensor between two layers of a network, for one tile.

    Its output does not count.

    The network is run on the smallest tile that it takes: all tensors grow with the tile.

    Args:
        network: On any device.
        patch: Shape of a tile.
        strides: Of each stage of the network, by axis.
    """
    sizes = [0]

    def note(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and not list(module.children()):
            sizes.append(output.numel())

    hooks = [module.register_forward_hook(note) for module in network.modules()]
    device = next(network.parameters()).device
    tile = _smallest_tile(patch, strides)
    with torch.inference_mode():
        network(torch.zeros((1, 1, *tile), device=device))
    for hook in hooks:
        hook.remove()
    *between, _last = sizes
    return max(between) * prod(patch) // prod(tile)


def _smallest_tile(patch: Sequence[int], strides: Sequence[Sequence[int]]) -> list[int]:
    """Shrink a patch until its deepest stage has one voxel, or two: no norm is of a single one."""
    tile = total_strides(strides)
    roomy = [axis for axis, n in enumerate(tile) if patch[axis] > n]
    for axis in roomy[:1]:
        tile[axis] *= 2
    return tile
