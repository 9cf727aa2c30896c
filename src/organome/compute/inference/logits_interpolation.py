"""How a plan wants logits brought to the image's grid: linear interpolation, axis by axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from organome.compute.inference.resampling import (
    SKIMAGE,
    ResamplingRule,
    centres,
    known_rule,
    nearest_of_scipy,
    nearest_of_torch,
)

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AxisInterpolation:
    """Linear interpolation along one axis: what each wanted voxel is made from.

    Attributes:
        lower: Index of the voxel before it.
        upper: Index of the voxel after it; the one before where that has all the weight.
        weight: Weight of the voxel after it, 0 to 1.
    """

    lower: npt.NDArray[np.int64]
    upper: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float32]

    def moved(self, n_voxels: int) -> "AxisInterpolation":
        """Return the same within an array that has more voxels in front."""
        return AxisInterpolation(self.lower + n_voxels, self.upper + n_voxels, self.weight)


@dataclass(frozen=True, slots=True)
class LogitsInterpolation:
    """How logits become those of the image's voxels.

    Attributes:
        axes: Interpolation along z, y, x.
        rounds_to_half: Whether interpolated logits are rounded to half precision before they are
            compared, as nnU-Net's default does.
    """

    axes: tuple[AxisInterpolation, AxisInterpolation, AxisInterpolation]
    rounds_to_half: bool


def interpolate_logits(
    n_in: Shape,
    n_out: Shape,
    *,
    spacings: tuple[Sequence[float], Sequence[float]],
    configuration: Any,
) -> LogitsInterpolation | None:
    """Return how the logits are brought to the image's grid.

    Args:
        n_in: Shape of the logits.
        n_out: Shape of the image.
        spacings: Spacing of the model and of the image, in the order of the axes.
        configuration: nnU-Net's manager of the model's configuration.

    Returns:
        None where that is not a linear interpolation that is known here.
    """
    rule = _linear_rule(configuration)
    if rule is None:
        return None
    separate = rule.separate_axis(*spacings)
    if separate is not None and rule.order_z != 0:
        return None
    nearest = nearest_of_scipy if rule.function == SKIMAGE else nearest_of_torch
    z, y, x = (
        _nearest(nearest(n_in[axis], n_out[axis]))
        if axis == separate
        else linear(n_in[axis], n_out[axis])
        for axis in range(3)
    )
    return LogitsInterpolation((z, y, x), rounds_to_half=rule.function == SKIMAGE)


def interpolates_labels(configuration: Any) -> bool:
    """Whether logits are interpolated where labels meet, and not all of them by nnU-Net itself.

    Args:
        configuration: nnU-Net's manager of the model's configuration.
    """
    rule = _linear_rule(configuration)
    return rule is not None and rule.order_z == 0


def _linear_rule(configuration: Any) -> ResamplingRule | None:
    plan = configuration.configuration
    rule = known_rule(
        plan["resampling_fn_probabilities"], plan["resampling_fn_probabilities_kwargs"]
    )
    return rule if rule is not None and rule.order == 1 else None


def linear(n_in: int, n_out: int) -> AxisInterpolation:
    """Interpolate between centres of voxels; what lies beyond the outermost is repeated."""
    places = np.clip(centres(n_in, n_out), 0, n_in - 1)
    lower = places.astype(np.int64)
    weight = (places - lower).astype(np.float32)
    return AxisInterpolation(lower, np.where(weight > 0, lower + 1, lower), weight)


def _nearest(indices: npt.NDArray[np.int64]) -> AxisInterpolation:
    return AxisInterpolation(indices, indices, np.zeros(len(indices), dtype=np.float32))
