"""Matrices that resize an axis as scipy does.

Interpolation by splines is linear in the voxels and separable in the axes. What it does to the unit
vectors of one axis is a matrix, and resizing an image is three products with such matrices, many
times quicker than the spline filter itself.

Source: ``scipy.ndimage`` (``zoom`` in grid mode with repeated edges, which is what skimage's
``resize`` calls; ``map_coordinates``), as nnU-Net 2.8 uses them in ``default_resampling``.
"""

from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import map_coordinates, zoom
from torch.nn import functional

Order = Literal[0, 1, 2, 3, 4, 5]
N_KEPT: Final = 64  # sizes; a shard of one protocol has three or four


@lru_cache(maxsize=N_KEPT)
def zoom_matrix(n_in: int, n_out: int, order: Order) -> torch.Tensor:
    """Give the matrix of skimage's ``resize`` along one axis.

    Args:
        n_in: Voxels along the axis.
        n_out: Wanted voxels.
        order: Order of the spline, 0 to 5.

    Returns:
        Shape n_out, n_in; float32.
    """
    factor = 1 / (n_in / n_out)  # rounded as skimage rounds it
    unit = np.eye(n_in)
    columns = zoom(unit, np.array([factor, 1.0]), order=order, mode="nearest", grid_mode=True)
    return torch.from_numpy(columns.astype(np.float32))


@lru_cache(maxsize=N_KEPT)
def coordinate_matrix(n_in: int, n_out: int, order: Order) -> torch.Tensor:
    """Give the matrix of nnU-Net's resampling across slices, by ``map_coordinates``.

    Args:
        n_in: Slices.
        n_out: Wanted slices.
        order: Order of the spline, 0 to 5.

    Returns:
        Shape n_out, n_in; float32.
    """
    places = np.meshgrid(centres(n_in, n_out), np.arange(n_in, dtype=np.float64), indexing="ij")
    matrix = map_coordinates(np.eye(n_in), np.array(places), order=order, mode="nearest")
    return torch.from_numpy(matrix.astype(np.float32))


def centres(n_in: int, n_out: int) -> npt.NDArray[np.float64]:
    """Find where the centres of the wanted voxels lie, counted in voxels that are there."""
    return n_in / n_out * (np.arange(n_out, dtype=np.float64) + 0.5) - 0.5


def nearest_of_scipy(n_in: int, n_out: int) -> npt.NDArray[np.int64]:
    """Find the nearest voxel as ``map_coordinates`` does, for each wanted voxel."""
    order = np.arange(n_in, dtype=np.float64)
    found: npt.NDArray[Any] = map_coordinates(
        order, centres(n_in, n_out)[None], order=0, mode="nearest"
    )
    return found.astype(np.int64)


def nearest_of_torch(n_in: int, n_out: int) -> npt.NDArray[np.int64]:
    """Find the nearest voxel as torch's ``nearest-exact`` does, for each wanted voxel."""
    order = torch.arange(n_in, dtype=torch.float32)[None, None]
    found = functional.interpolate(order, size=n_out, mode="nearest-exact")[0, 0]
    indices: npt.NDArray[np.int64] = found.to(torch.int64).numpy()
    return indices
