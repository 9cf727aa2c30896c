"""Sums of logits in the memory of the machine, by compiled loops."""

import numpy as np
import numpy.typing as npt
import torch

from organome.compute.inference.gpu_faults import NotFiniteError
from organome.compute.inference.logits_interpolation import LogitsInterpolation
from organome.compute.inference.sums import TileSums, Window
from organome.compute.inference.tiling import Corner, Tiling


class HostSums:
    """Sums in the memory of the machine, by compiled loops."""

    def __init__(
        self, tiling: Tiling, n_labels: int, importance_zyx: npt.NDArray[np.float16]
    ) -> None:
        n_z, (_, n_y, n_x) = tiling.n_rows_held, tiling.shape
        self._window = Window(tiling, n_z)
        self._importance_zyx = importance_zyx.astype(np.float32)
        self._sums_zycx = np.zeros((n_z, n_y, n_labels, n_x), dtype=np.uint16)
        self._weights_zyx = np.zeros((n_z, n_y, n_x), dtype=np.uint16)
        self._labels_zyx = np.zeros((n_z, n_y, n_x), dtype=np.uint8)
        self._line = np.empty((n_labels, n_x), dtype=np.float32)

    def open(self, start: int) -> None:
        """Make room for tiles that begin at a row."""
        for row in self._window.opened(start):
            self._sums_zycx[row] = 0
            self._weights_zyx[row] = 0

    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted."""
        from organome.compute.inference.sum_kernels import add_tile

        logits = logits_czyx.float().contiguous().numpy(force=True)
        add_tile(self._sums_zycx, self._weights_zyx, logits, self._importance_zyx, corner)

    def finish(self, start: int, stop: int) -> None:
        """Turn sums into logits and labels."""
        from organome.compute.inference.sum_kernels import finish_row

        lines = np.empty((2, self._sums_zycx.shape[3]), dtype=np.float32)
        for row in self._window.rows(start, stop):
            sums, weights = self._sums_zycx[row], self._weights_zyx[row]
            if not finish_row(sums, weights, self._labels_zyx[row], lines):
                raise NotFiniteError

    def export(
        self, interpolation: LogitsInterpolation, first: int, found_zyx: npt.NDArray[np.uint8]
    ) -> None:
        """Label slices of the image."""
        from organome.compute.inference.export_kernels import export_slice

        z, y, x = interpolation.axes
        labels_yx = np.empty(found_zyx.shape[1:], dtype=np.uint8)
        for number, found_yx in enumerate(found_zyx, start=first):
            export_slice(
                self._sums_zycx,
                self._labels_zyx,
                (*self._window.of_slice(z, number), z.weight[number]),
                (y.lower, y.upper, y.weight),
                (x.lower, x.upper, x.weight),
                interpolation.rounds_to_half,
                self._line,
                labels_yx,
            )
            found_yx[:] = labels_yx


def make_sums(
    tiling: Tiling,
    n_labels: int,
    importance_zyx: npt.NDArray[np.float16],
    where: torch.device,
) -> TileSums:
    """Make room for the sums of an image where they are to be held."""
    from organome.compute.inference.half_floats import processor_converts_halves

    if where.type == "cpu" and processor_converts_halves():
        return HostSums(tiling, n_labels, importance_zyx)
    from organome.compute.inference.device_sums import DeviceSums

    return DeviceSums(tiling, n_labels, importance_zyx, where)
