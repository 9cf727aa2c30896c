"""How a plan wants images resampled.

A plan names functions of nnU-Net and their settings. Two of them are in use, and are done here in a
quicker way with the same results; any other is called by its name.

Source: nnU-Net 2.8, ``resample_data_or_seg_to_shape`` (skimage) and ``resample_torch_fornnunet``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch

from organome.compute.inference.resize_matrices import (
    Order,
    coordinate_matrix,
    nearest_of_torch,
)
from organome.compute.inference.resizing import resize, resize_slices
from organome.domain.inference import InputResampling

Shape = tuple[int, ...]
SKIMAGE: Final = "resample_data_or_seg_to_shape"
TORCH: Final = "resample_torch_fornnunet"
_KNOWN: Final[Mapping[str, set[str]]] = {
    SKIMAGE: {"is_seg", "order", "order_z", "force_separate_z", "separate_z_anisotropy_threshold"},
    TORCH: {
        *("is_seg", "num_threads", "memefficient_seg_resampling"),
        *("force_separate_z", "separate_z_anisotropy_threshold"),
    },
}


@dataclass(frozen=True, slots=True)
class ResamplingRule:
    """One of the two functions that are done here, with its settings.

    Attributes:
        function: Its name in the plan.
        order: Order of the spline.
        order_z: Order across slices that are resampled for themselves.
        separation: What decides whether they are: settings for nnU-Net's own decision.
    """

    function: Literal["resample_data_or_seg_to_shape", "resample_torch_fornnunet"]
    order: Order
    order_z: Order
    separation: Mapping[str, Any]

    def separate_axis(self, spacing: Sequence[float], other: Sequence[float]) -> int | None:
        """Find the axis across slices that are resampled for themselves, if any."""
        from nnunetv2.preprocessing.resampling.default_resampling import determine_do_sep_z_and_axis

        force = self.separation.get("force_separate_z", self._default_force)
        threshold = self.separation.get("separate_z_anisotropy_threshold")
        given = () if threshold is None else (threshold,)
        separate, axis = determine_do_sep_z_and_axis(force, spacing, other, *given)
        return int(axis) if separate else None

    @property
    def _default_force(self) -> bool | None:
        return False if self.function == SKIMAGE else None


def known_rule(function: str, settings: Mapping[str, Any]) -> ResamplingRule | None:
    """Give the rule that a plan describes, None where nnU-Net's own function must be called."""
    if function not in _KNOWN or not set(settings) <= _KNOWN[function] or settings.get("is_seg"):
        return None
    separation = {
        name: settings[name]
        for name in ("force_separate_z", "separate_z_anisotropy_threshold")
        if name in settings
    }
    if function == TORCH:
        return ResamplingRule(TORCH, order=1, order_z=0, separation=separation)
    order, order_z = settings.get("order", 3), settings.get("order_z", 0)
    return ResamplingRule(SKIMAGE, order=order, order_z=order_z, separation=separation)


def resample_image(
    voxels_zyx: npt.NDArray[np.float32],
    shape: Shape,
    *,
    spacings: tuple[Sequence[float], Sequence[float]],
    configuration: Any,
    resampling: InputResampling = InputResampling.EXACT,
) -> npt.NDArray[np.float32]:
    """Resample a normalised image to the spacing of the model.

    Args:
        voxels_zyx: The image; left as it is.
        shape: Wanted shape.
        spacings: Spacing of the image and of the model, in the order of the axes.
        configuration: nnU-Net's manager of the model's configuration.
        resampling: As the plan says, or linear.
    """
    plan = configuration.configuration
    rule = known_rule(plan["resampling_fn_data"], plan["resampling_fn_data_kwargs"])
    if rule is None:
        resampled = configuration.resampling_fn_data(voxels_zyx[None], shape, *spacings)
        return np.asarray(resampled[0], dtype=np.float32)
    order: Order = 1 if resampling is InputResampling.LINEAR else rule.order
    image = torch.from_numpy(voxels_zyx)
    axis = rule.separate_axis(*spacings)
    if axis is None:
        resized = resize(image, shape, order=order)
    else:
        across = _across(rule, voxels_zyx.shape[axis], shape[axis])
        resized = resize_slices(image, shape, axis=axis, order=order, across=across)
    resampled_zyx: npt.NDArray[np.float32] = resized.contiguous().numpy()
    return resampled_zyx


def _across(rule: ResamplingRule, n_in: int, n_out: int) -> torch.Tensor:
    if rule.function == SKIMAGE:
        return coordinate_matrix(n_in, n_out, rule.order_z)
    return torch.eye(n_in)[torch.from_numpy(nearest_of_torch(n_in, n_out))]
