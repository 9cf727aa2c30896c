"""Sums of the logits of tiles, which become labels as soon as no further tile adds to them.

``HostSums`` holds them in the memory of the machine, for compiled loops; ``DeviceSums`` on any
device of torch: from a GPU nothing but labels comes back. Both give the same, to the last bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch

from organome.compute.inference.gpu_faults import NotFiniteError
from organome.compute.inference.logits_interpolation import AxisInterpolation, LogitsInterpolation
from organome.compute.inference.tiling import Corner, Tiling

_NOT_SEEN: Final = -100.0  # no label but background where no tile was
_VOXELS_AT_A_TIME: Final = 1 << 17  # whose logits are interpolated together
_SLICES_AT_A_TIME: Final = 16
_CORNERS: Final = tuple((z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1))


class TileSums(ABC):
    """Logits of tiles, summed up along a window of rows that moves through the image.

    The rows that are held form a ring.
    """

    def __init__(self, tiling: Tiling, n_rows_held: int) -> None:
        self._n_held = n_rows_held
        self._n_rows = tiling.shape[0]
        self._depth = tiling.patch[0]
        self._n_opened = 0

    def open(self, start: int) -> None:
        """Prepare for tiles that begin at a row."""
        stop = min(start + self._depth, self._n_rows)
        for row in self._rows(self._n_opened, stop):
            self._clear(row)
        self._n_opened = max(stop, self._n_opened)

    @abstractmethod
    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted."""

    @abstractmethod
    def finish(self, start: int, stop: int) -> None:
        """Turn the sums of rows, to which no further tile adds, into logits and labels.

        Raises:
            NotFiniteError: Logits are NaN or infinite.
        """

    @abstractmethod
    def average(self, finished: Sequence[Self], start: int, stop: int) -> None:
        """Take the logits of several folds for sums of as many tiles, in half precision.

        Args:
            finished: Those of the folds; these rows of them are finished.
            start: First row.
            stop: Row behind the last.
        """

    @abstractmethod
    def export(
        self, interpolation: LogitsInterpolation, first: int, found_zyx: npt.NDArray[np.uint8]
    ) -> None:
        """Label slices of the image that lie between finished rows.

        Args:
            interpolation: From the padded grid of the model to that of the image.
            first: Index of the first slice.
            found_zyx: The slices, to be set.
        """

    @abstractmethod
    def _clear(self, row: int) -> None:
        """Set a row of the ring to 0."""

    def _rows(self, start: int, stop: int) -> Sequence[int]:
        """Return where rows of the image lie in the ring."""
        return [row % self._n_held for row in range(start, stop)]

    def _rows_of_slice(self, z: AxisInterpolation, number: int) -> tuple[int, int]:
        """Return where the rows lie that a slice of the image is made from."""
        return int(z.lower[number]) % self._n_held, int(z.upper[number]) % self._n_held


class DeviceSums(TileSums):
    """The same as ``HostSums``, to the last bit, by operations of torch."""

    def __init__(
        self,
        tiling: Tiling,
        n_labels: int,
        importance_zyx: npt.NDArray[np.float16],
        device: torch.device,
        *,
        n_rows_held: int | None = None,
    ) -> None:
        """Take the memory for the sums.

        Args:
            tiling: Where the tiles lie.
            n_labels: Outputs of the network.
            importance_zyx: Weights of the voxels of a tile.
            device: Where to hold the sums.
            n_rows_held: Rows to hold at a time, None for as few as will do.
        """
        n_z, (_, n_y, n_x) = n_rows_held or tiling.n_rows_held, tiling.shape
        super().__init__(tiling, n_z)
        self._before = tiling.before
        self._patch = tiling.patch
        self._device = device
        self._importance_zyx = torch.from_numpy(importance_zyx.copy()).to(device)
        shape = (n_z, n_y, n_x)
        self._sums_czyx = torch.zeros((n_labels, *shape), dtype=torch.half, device=device)
        self._weights_zyx = torch.zeros(shape, dtype=torch.half, device=device)
        self._labels_zyx = torch.zeros(shape, dtype=torch.uint8, device=device)

    def _clear(self, row: int) -> None:
        self._sums_czyx[:, row] = 0
        self._weights_zyx[row] = 0

    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted."""
        n_z, n_y, n_x = self._patch
        z, y, x = corner
        weighted = logits_czyx.to(self._device).float() * self._importance_zyx
        within = (slice(y, y + n_y), slice(x, x + n_x))
        rows = self._rows(z, z + n_z)
        turn = n_z if rows[-1] >= rows[0] else n_z - rows[-1] - 1
        for first, stop in ((0, turn), (turn, n_z)):
            if first < stop:
                ring = slice(rows[first], rows[first] + stop - first)
                self._sums_czyx[:, ring, *within] += weighted[:, first:stop]
                self._weights_zyx[ring, *within] += self._importance_zyx[first:stop]

    def average(self, finished: Sequence[Self], start: int, stop: int) -> None:
        """Take the logits of several folds for sums."""
        for row in self._rows(start, stop):
            for one in finished:
                self._sums_czyx[:, row] += one._sums_czyx[:, row]
            self._weights_zyx[row] = len(finished)

    def finish(self, start: int, stop: int) -> None:
        """Turn sums into logits and labels."""
        for row in self._rows(start, stop):
            sums_cyx, weights_yx = self._sums_czyx[:, row], self._weights_zyx[row]
            unseen = weights_yx == 0
            sums_cyx[1:].masked_fill_(unseen, _NOT_SEEN)
            weights_yx.masked_fill_(unseen, 1.0)
            sums_cyx.div_(weights_yx)
            self._labels_zyx[row] = sums_cyx.argmax(0)
        rows = torch.tensor(self._rows(start, stop), device=self._device)
        if not self._sums_czyx.index_select(1, rows).isfinite().all():
            raise NotFiniteError

    def export(
        self, interpolation: LogitsInterpolation, first: int, found_zyx: npt.NDArray[np.uint8]
    ) -> None:
        """Label slices of the image."""
        for start in range(0, len(found_zyx), _SLICES_AT_A_TIME):
            slices = range(first + start, first + min(start + _SLICES_AT_A_TIME, len(found_zyx)))
            labels = self._label_slices(interpolation, slices)
            found_zyx[start : start + len(slices)] = labels.cpu().numpy()

    def logits(self, shape_zyx: tuple[int, ...]) -> torch.Tensor:
        """Return all logits of the image, without padding, where all rows are held and finished."""
        within = (slice(first, first + n) for first, n in zip(self._before, shape_zyx, strict=True))
        logits_czyx: torch.Tensor = self._sums_czyx[(slice(None), *within)].cpu()
        return logits_czyx

    def _label_slices(self, interpolation: LogitsInterpolation, slices: range) -> torch.Tensor:
        z, y, x = interpolation.axes
        rows = np.array([self._rows_of_slice(z, number) for number in slices])
        ends = tuple(
            (self._place(lower), self._place(upper))
            for lower, upper in (
                (rows[:, 0], rows[:, 1]),
                (y.lower, y.upper),
                (x.lower, x.upper),
            )
        )
        labels = self._corner(self._labels_zyx, ends, (0, 0, 0))
        mixed = torch.zeros_like(labels, dtype=torch.bool)
        for corner in _CORNERS[1:]:
            mixed |= self._corner(self._labels_zyx, ends, corner) != labels
        z_weight = z.weight[slices.start : slices.stop]
        weights = tuple(self._place(one) for one in (z_weight, y.weight, x.weight))
        for places in mixed.nonzero().split(_VOXELS_AT_A_TIME):
            values = self._interpolate(places, ends, weights)
            if interpolation.rounds_to_half:
                values = values.half()
            labels[places[:, 0], places[:, 1], places[:, 2]] = values.argmax(0).to(torch.uint8)
        return labels

    def _interpolate(
        self,
        places: torch.Tensor,
        ends: "tuple[tuple[torch.Tensor, torch.Tensor], ...]",
        weights: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        """Interpolate all labels at some voxels: along z first, then y, then x."""
        corners = {}
        for corner in _CORNERS:
            z, y, x = (ends[axis][end][places[:, axis]] for axis, end in enumerate(corner))
            corners[corner] = self._sums_czyx[:, z, y, x].float()
        z_weight, y_weight, x_weight = (weights[axis][places[:, axis]] for axis in range(3))
        lines = {
            (y, x): _between(corners[0, y, x], corners[1, y, x], z_weight)
            for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))
        }
        left, right = (_between(lines[0, x], lines[1, x], y_weight) for x in (0, 1))
        return _between(left, right, x_weight)

    def _place(self, numbers: npt.NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(self._device)

    @staticmethod
    def _corner(
        ring: torch.Tensor,
        ends: "tuple[tuple[torch.Tensor, torch.Tensor], ...]",
        corner: tuple[int, int, int],
    ) -> torch.Tensor:
        for axis, end in enumerate(corner):
            ring = ring.index_select(axis, ends[axis][end])
        return ring


def _between(lower: torch.Tensor, upper: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return lower * (1.0 - weight) + upper * weight


class HostSums(TileSums):
    """Sums in the memory of the machine, by compiled loops."""

    def __init__(
        self, tiling: Tiling, n_labels: int, importance_zyx: npt.NDArray[np.float16]
    ) -> None:
        n_z, (_, n_y, n_x) = tiling.n_rows_held, tiling.shape
        super().__init__(tiling, n_z)
        self._importance_zyx = importance_zyx.astype(np.float32)
        self._sums_zycx = np.zeros((n_z, n_y, n_labels, n_x), dtype=np.uint16)
        self._weights_zyx = np.zeros((n_z, n_y, n_x), dtype=np.uint16)
        self._labels_zyx = np.zeros((n_z, n_y, n_x), dtype=np.uint8)
        self._line = np.empty((n_labels, n_x), dtype=np.float32)

    def _clear(self, row: int) -> None:
        self._sums_zycx[row] = 0
        self._weights_zyx[row] = 0

    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted."""
        from organome.compute.inference.sum_kernels import add_tile

        logits = logits_czyx.float().contiguous().numpy(force=True)
        add_tile(self._sums_zycx, self._weights_zyx, logits, self._importance_zyx, corner)

    def average(self, finished: Sequence[Self], start: int, stop: int) -> None:
        """Take the logits of several folds for sums."""
        from organome.compute.inference.sum_kernels import add_halves

        for row in self._rows(start, stop):
            for one in finished:
                add_halves(self._sums_zycx[row].reshape(-1), one._sums_zycx[row].reshape(-1))
            self._weights_zyx[row] = np.float16(len(finished)).view(np.uint16)

    def finish(self, start: int, stop: int) -> None:
        """Turn sums into logits and labels."""
        from organome.compute.inference.sum_kernels import finish_row

        lines = np.empty((2, self._sums_zycx.shape[3]), dtype=np.float32)
        for row in self._rows(start, stop):
            sums, weights = self._sums_zycx[row], self._weights_zyx[row]
            if not finish_row(sums, weights, self._labels_zyx[row], lines):
                raise NotFiniteError

    def export(
        self, interpolation: LogitsInterpolation, first: int, found_zyx: npt.NDArray[np.uint8]
    ) -> None:
        """Label slices of the image."""
        from organome.compute.inference.sum_kernels import export_slice

        z, y, x = interpolation.axes
        labels_yx = np.empty(found_zyx.shape[1:], dtype=np.uint8)
        for number, found_yx in enumerate(found_zyx, start=first):
            export_slice(
                self._sums_zycx,
                self._labels_zyx,
                (*self._rows_of_slice(z, number), z.weight[number]),
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
    """Take memory for the sums of an image where they are to be held."""
    from organome.compute.inference.sum_kernels import processor_converts_halves

    if where.type == "cpu" and processor_converts_halves():
        return HostSums(tiling, n_labels, importance_zyx)

    return DeviceSums(tiling, n_labels, importance_zyx, where)
