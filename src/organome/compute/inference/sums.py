"""Sums of the logits of tiles, which become labels as soon as no further tile adds to them.

``HostSums`` holds them in the memory of the machine, for compiled loops; ``DeviceSums`` on any
device of torch: from a GPU nothing but labels comes back. Both give the same, to the last bit.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import torch

from organome.compute.inference.gpu_faults import NotFiniteError
from organome.compute.inference.logits_interpolation import AxisInterpolation, LogitsInterpolation
from organome.compute.inference.tiling import Corner, Tiling

_NOT_SEEN: Final = -100.0  # no label but background where no tile was
VOXELS_AT_A_TIME: Final = 1 << 17  # whose logits are interpolated together
SLICES_AT_A_TIME: Final = 16
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
        for ring, _ in self._stretches(self._n_opened, stop):
            self._clear(ring)
        self._n_opened = max(stop, self._n_opened)

    @abstractmethod
    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted."""

    @abstractmethod
    def finish(self, start: int, stop: int) -> None:
        """Turn the sums of rows, to which no further tile adds, into logits and labels.

        Raises:
            NotFiniteError: Logits are NaN or infinite; ``check`` may say so instead.
        """

    def check(self) -> None:  # noqa: B027
        """Say whether all logits up to now were numbers, where ``finish`` does not wait for that.

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
    def _clear(self, ring: slice) -> None:
        """Set rows of the ring to 0."""

    def _stretches(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """Find where rows of the image lie in the ring: in one stretch, or in two.

        Yields:
            Rows of the ring, and which of the rows asked for they are.
        """
        row = start
        while row < stop:
            first = row % self._n_held
            n = min(stop - row, self._n_held - first)
            yield slice(first, first + n), slice(row - start, row - start + n)
            row += n


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
        self._are_numbers = torch.ones((), dtype=torch.bool, device=device)
        self._axes: tuple[_DeviceAxis, ...] = ()

    def _clear(self, ring: slice) -> None:
        self._sums_czyx[:, ring] = 0
        self._weights_zyx[ring] = 0

    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted in the precision that they have."""
        n_z, n_y, n_x = self._patch
        z, y, x = corner
        weighted = logits_czyx.to(self._device) * self._importance_zyx
        within = (slice(y, y + n_y), slice(x, x + n_x))
        for ring, rows in self._stretches(z, z + n_z):
            self._sums_czyx[:, ring, *within] += weighted[:, rows]
            self._weights_zyx[ring, *within] += self._importance_zyx[rows]

    def average(self, finished: Sequence[Self], start: int, stop: int) -> None:
        """Take the logits of several folds for sums."""
        for ring, _ in self._stretches(start, stop):
            for one in finished:
                self._sums_czyx[:, ring] += one._sums_czyx[:, ring]
            self._weights_zyx[ring] = len(finished)

    def finish(self, start: int, stop: int) -> None:
        """Turn sums into logits and labels."""
        for ring, _ in self._stretches(start, stop):
            sums_czyx, weights_zyx = self._sums_czyx[:, ring], self._weights_zyx[ring]
            unseen = weights_zyx == 0
            sums_czyx[1:].masked_fill_(unseen, _NOT_SEEN)
            weights_zyx.masked_fill_(unseen, 1.0)
            sums_czyx.div_(weights_zyx)
            self._labels_zyx[ring] = sums_czyx.argmax(0)
            # Nothing here waits for the device, and nothing as large as the sums is made:
            # aminmax copies what is not contiguous.
            for extreme in (sums_czyx.amin(), sums_czyx.amax()):
                self._are_numbers &= extreme.isfinite()

    def check(self) -> None:
        """Say whether all logits up to now were numbers."""
        if not self._are_numbers:
            raise NotFiniteError

    def export(
        self, interpolation: LogitsInterpolation, first: int, found_zyx: npt.NDArray[np.uint8]
    ) -> None:
        """Label slices of the image; always by the same interpolation."""
        if not self._axes:
            self._axes = tuple(_DeviceAxis.of(one, self._device) for one in interpolation.axes)
        for start in range(0, len(found_zyx), SLICES_AT_A_TIME):
            slices = slice(first + start, first + min(start + SLICES_AT_A_TIME, len(found_zyx)))
            labels = self._label_slices(slices, rounds_to_half=interpolation.rounds_to_half)
            found_zyx[start : start + len(labels)] = labels.cpu().numpy()

    def logits(self, shape_zyx: tuple[int, ...]) -> torch.Tensor:
        """Return all logits of the image, without padding, where all rows are held and finished."""
        within = (slice(first, first + n) for first, n in zip(self._before, shape_zyx, strict=True))
        logits_czyx: torch.Tensor = self._sums_czyx[(slice(None), *within)].cpu()
        return logits_czyx

    def _label_slices(self, slices: slice, *, rounds_to_half: bool) -> torch.Tensor:
        z, *others = self._axes
        axes = (z.part(slices, n_held=self._n_held), *others)
        labels = self._corner(axes, (0, 0, 0))
        mixed = torch.zeros_like(labels, dtype=torch.bool)
        for corner in _CORNERS[1:]:
            mixed |= self._corner(axes, corner) != labels
        for places in mixed.nonzero().split(VOXELS_AT_A_TIME):
            values = self._interpolate(places, axes)
            if rounds_to_half:
                values = values.half()
            labels[places[:, 0], places[:, 1], places[:, 2]] = values.argmax(0).to(torch.uint8)
        return labels

    def _interpolate(self, places: torch.Tensor, axes: "tuple[_DeviceAxis, ...]") -> torch.Tensor:
        """Interpolate all labels at some voxels: along z first, then y, then x."""
        corners = {}
        for corner in _CORNERS:
            z, y, x = (
                axis.ends[end][places[:, number]]
                for number, (axis, end) in enumerate(zip(axes, corner, strict=True))
            )
            corners[corner] = self._sums_czyx[:, z, y, x].float()
        z_weight, y_weight, x_weight = (
            axis.weight[places[:, number]] for number, axis in enumerate(axes)
        )
        lines = {
            (y, x): _between(corners[0, y, x], corners[1, y, x], z_weight)
            for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))
        }
        left, right = (_between(lines[0, x], lines[1, x], y_weight) for x in (0, 1))
        return _between(left, right, x_weight)

    def _corner(
        self, axes: "tuple[_DeviceAxis, ...]", corner: tuple[int, int, int]
    ) -> torch.Tensor:
        """Return the label at one corner of the cell that each voxel lies in."""
        labels = self._labels_zyx
        for number, (axis, end) in enumerate(zip(axes, corner, strict=True)):
            labels = labels.index_select(number, axis.ends[end])
        return labels


@dataclass(frozen=True, slots=True)
class _DeviceAxis:
    """An ``AxisInterpolation`` on a device: indices before and after, and weights of the latter."""

    ends: tuple[torch.Tensor, torch.Tensor]
    weight: torch.Tensor

    @classmethod
    def of(cls, axis: AxisInterpolation, device: torch.device) -> Self:
        lower, upper, weight = (
            torch.from_numpy(np.ascontiguousarray(numbers)).to(device)
            for numbers in (axis.lower, axis.upper, axis.weight)
        )
        return cls((lower, upper), weight)

    def part(self, voxels: slice, *, n_held: int) -> "_DeviceAxis":
        """Return that of some voxels, in a ring of so many rows."""
        lower, upper = self.ends
        return _DeviceAxis((lower[voxels] % n_held, upper[voxels] % n_held), self.weight[voxels])


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
        # Rows are cleared when they are opened.
        self._sums_zcyx = np.empty((n_z, n_labels, n_y, n_x), dtype=np.uint16)
        self._weights_zyx = np.empty((n_z, n_y, n_x), dtype=np.uint16)
        self._labels_zyx = np.empty((n_z, n_y, n_x), dtype=np.uint8)
        self._line = np.empty((n_labels, n_x), dtype=np.float32)

    def _clear(self, ring: slice) -> None:
        self._sums_zcyx[ring] = 0
        self._weights_zyx[ring] = 0

    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted in the precision that they have."""
        from organome.compute.inference.sum_kernels import add_tile

        factors_zyx = self._importance_zyx
        if logits_czyx.dtype is torch.half:
            weights = torch.from_numpy(factors_zyx).to(logits_czyx.device, torch.half)
            logits_czyx, factors_zyx = logits_czyx * weights, np.ones_like(factors_zyx)
        logits = logits_czyx.float().contiguous().numpy(force=True)
        weights_zyx = self._importance_zyx
        add_tile(self._sums_zcyx, self._weights_zyx, logits, factors_zyx, weights_zyx, corner)

    def average(self, finished: Sequence[Self], start: int, stop: int) -> None:
        """Take the logits of several folds for sums."""
        from organome.compute.inference.sum_kernels import add_halves

        for ring, _ in self._stretches(start, stop):
            for one in finished:
                add_halves(self._sums_zcyx[ring].reshape(-1), one._sums_zcyx[ring].reshape(-1))
            self._weights_zyx[ring] = np.float16(len(finished)).view(np.uint16)

    def finish(self, start: int, stop: int) -> None:
        """Turn sums into logits and labels."""
        from organome.compute.inference.sum_kernels import finish_row

        sums_zcv = self._sums_zcyx.reshape(*self._sums_zcyx.shape[:2], -1)
        weights_zv = self._weights_zyx.reshape(self._n_held, -1)
        labels_zv = self._labels_zyx.reshape(self._n_held, -1)
        for number in range(start, stop):
            row = number % self._n_held
            if not finish_row(sums_zcv[row], weights_zv[row], labels_zv[row]):
                raise NotFiniteError

    def export(
        self, interpolation: LogitsInterpolation, first: int, found_zyx: npt.NDArray[np.uint8]
    ) -> None:
        """Label slices of the image."""
        from organome.compute.inference.sum_kernels import export_slice

        z, y, x = interpolation.axes
        labels_yx = np.empty(found_zyx.shape[1:], dtype=np.uint8)
        n_held = self._n_held
        for number, found_yx in enumerate(found_zyx, start=first):
            export_slice(
                self._sums_zcyx,
                self._labels_zyx,
                (z.lower[number] % n_held, z.upper[number] % n_held, z.weight[number]),
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
