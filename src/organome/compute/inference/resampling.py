"""Resampling of images, equal to nnU-Net's own and several times quicker.

Interpolation by splines is linear in the voxels and separable in the axes. What it does to the unit
vectors of one axis is a matrix, and resizing an image is three products with such matrices, many
times quicker than the spline filter itself. A plan names functions of nnU-Net and their settings.
Two of them are in use and are done here; any other is called by its name.

Source: nnU-Net 2.8, ``resample_data_or_seg_to_shape`` (skimage) and ``resample_torch_fornnunet``;
``scipy.ndimage`` (``zoom`` in grid mode with repeated edges, which is what skimage's ``resize``
calls; ``map_coordinates``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import scipy
import torch
from torch.nn import functional

from organome.domain.inference import InputResampling

Order = Literal[0, 1, 2, 3, 4, 5]
N_KEPT: Final = 64  # sizes; a shard of one protocol has three or four


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


@lru_cache(maxsize=N_KEPT)
def zoom_matrix(n_in: int, n_out: int, order: Order) -> torch.Tensor:
    """Return the matrix of skimage's ``resize`` along one axis.

    Args:
        n_in: Voxels along the axis.
        n_out: Wanted voxels.
        order: Order of the spline, 0 to 5.

    Returns:
        Shape n_out, n_in; float32.
    """
    factor = 1 / (n_in / n_out)  # rounded as skimage rounds it
    unit = np.eye(n_in)
    columns = scipy.ndimage.zoom(
        unit, np.array([factor, 1.0]), order=order, mode="nearest", grid_mode=True
    )
    return torch.from_numpy(columns.astype(np.float32))


@lru_cache(maxsize=N_KEPT)
def coordinate_matrix(n_in: int, n_out: int, order: Order) -> torch.Tensor:
    """Return the matrix of nnU-Net's resampling across slices, by ``map_coordinates``.

    Args:
        n_in: Slices.
        n_out: Wanted slices.
        order: Order of the spline, 0 to 5.

    Returns:
        Shape n_out, n_in; float32.
    """
    places = np.meshgrid(centres(n_in, n_out), np.arange(n_in, dtype=np.float64), indexing="ij")
    matrix = scipy.ndimage.map_coordinates(
        np.eye(n_in), np.array(places), order=order, mode="nearest"
    )
    return torch.from_numpy(matrix.astype(np.float32))


def centres(n_in: int, n_out: int) -> npt.NDArray[np.float64]:
    """Find where the centres of the wanted voxels lie, counted in voxels that are there."""
    return n_in / n_out * (np.arange(n_out, dtype=np.float64) + 0.5) - 0.5


def nearest_of_scipy(n_in: int, n_out: int) -> npt.NDArray[np.int64]:
    """Find the nearest voxel as ``map_coordinates`` does, for each wanted voxel."""
    order = np.arange(n_in, dtype=np.float64)
    found: npt.NDArray[Any] = scipy.ndimage.map_coordinates(
        order, centres(n_in, n_out)[None], order=0, mode="nearest"
    )
    return found.astype(np.int64)


def nearest_of_torch(n_in: int, n_out: int) -> npt.NDArray[np.int64]:
    """Find the nearest voxel as torch's ``nearest-exact`` does, for each wanted voxel."""
    order = torch.arange(n_in, dtype=torch.float32)[None, None]
    found = functional.interpolate(order, size=n_out, mode="nearest-exact")[0, 0]
    indices: npt.NDArray[np.int64] = found.to(torch.int64).numpy()
    return indices


def resize(voxels_zyx: torch.Tensor, shape: Shape, *, order: Order) -> torch.Tensor:
    """Resize an image by splines, and clip it to the range it had.

    Args:
        voxels_zyx: float32, on any device; left as it is.
        shape: Wanted shape.
        order: Order of the spline.

    Returns:
        The resized image; the very same tensor where the shape is right already.

    Source: skimage's ``resize`` with ``mode="edge"`` and without anti-aliasing.
    """
    if tuple(voxels_zyx.shape) == tuple(shape):
        return voxels_zyx
    lowest, highest = voxels_zyx.aminmax()
    return _multiply(voxels_zyx, shape, order=order).clamp_(lowest, highest)


def resize_slices(
    voxels_zyx: torch.Tensor, shape: Shape, *, axis: int, order: Order, across: torch.Tensor
) -> torch.Tensor:
    """Resize each slice for itself, then along the axis across the slices.

    Args:
        voxels_zyx: float32, on any device; left as it is.
        shape: Wanted shape.
        axis: The axis across the slices.
        order: Order of the spline within slices.
        across: Matrix along the axis across the slices, wanted by present slices.

    Source: nnU-Net's ``resample_data_or_seg`` with ``do_separate_z``.
    """
    if tuple(voxels_zyx.shape) == tuple(shape):
        return voxels_zyx
    others = [one for one in range(3) if one != axis]
    lowest, highest = voxels_zyx.amin(others, keepdim=True), voxels_zyx.amax(others, keepdim=True)
    within = [voxels_zyx.shape[one] if one == axis else shape[one] for one in range(3)]
    resized = _multiply(voxels_zyx, tuple(within), order=order)
    if resized is not voxels_zyx:
        resized.clamp_(lowest, highest)
    if resized.shape[axis] == shape[axis]:
        return resized
    return _multiply_along(resized, across.to(resized.device), axis)


def _multiply(voxels: torch.Tensor, shape: Shape, *, order: Order) -> torch.Tensor:
    for axis in cheapest_order(tuple(voxels.shape), shape):
        matrix = zoom_matrix(voxels.shape[axis], shape[axis], order)
        voxels = _multiply_along(voxels, matrix.to(voxels.device), axis)
    return voxels


def cheapest_order(present: Shape, wanted: Shape) -> tuple[int, ...]:
    """Find the order in which to resize the axes that takes the fewest multiplications."""
    axes = [axis for axis in range(3) if present[axis] != wanted[axis]]

    def cost(order: tuple[int, ...]) -> int:
        shape, products = list(present), 0
        for axis in order:
            n_in, shape[axis] = shape[axis], wanted[axis]
            products += int(np.prod(shape, dtype=np.int64)) * n_in
        return products

    return min(permutations(axes), key=cost)


def _multiply_along(voxels: torch.Tensor, matrix: torch.Tensor, axis: int) -> torch.Tensor:
    n_z, n_y, n_x = voxels.shape
    n_out = matrix.shape[0]
    if axis == 0:
        return (matrix @ voxels.reshape(n_z, n_y * n_x)).reshape(n_out, n_y, n_x)
    if axis == 2:
        return (voxels.reshape(n_z * n_y, n_x) @ matrix.T).reshape(n_z, n_y, n_out)
    resized = voxels.new_empty((n_z, n_out, n_x))
    return torch.bmm(matrix.expand(n_z, n_out, n_y), voxels, out=resized)


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

        default = False if self.function == SKIMAGE else None
        force = self.separation.get("force_separate_z", default)
        threshold = self.separation.get("separate_z_anisotropy_threshold")
        given = () if threshold is None else (threshold,)
        separate, axis = determine_do_sep_z_and_axis(force, spacing, other, *given)
        return int(axis) if separate else None


def known_rule(function: str, settings: Mapping[str, Any]) -> ResamplingRule | None:
    """Return the rule that a plan describes, None where nnU-Net's own function must be called."""
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


def image_rule(configuration: Any) -> ResamplingRule | None:
    """Return how the plan of a configuration has images resampled, None as `known_rule` does."""
    plan = configuration.configuration
    return known_rule(plan["resampling_fn_data"], plan["resampling_fn_data_kwargs"])


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
    rule = image_rule(configuration)
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
