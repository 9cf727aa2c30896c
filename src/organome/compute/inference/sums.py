"""What holds the logits of an image while its tiles are visited, and labels what is finished."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from organome.compute.inference.logits_interpolation import AxisInterpolation, LogitsInterpolation
from organome.compute.inference.tiling import Corner, Tiling


class TileSums(Protocol):
    """Logits of tiles, summed up along a window of rows that moves through the image."""

    def open(self, start: int) -> None:
        """Make room for tiles that begin at a row."""

    def add(self, logits_czyx: torch.Tensor, corner: Corner) -> None:
        """Add the logits of a tile, weighted."""

    def finish(self, start: int, stop: int) -> None:
        """Turn the sums of rows, to which no further tile adds, into logits and labels.

        Raises:
            NotFiniteError: Logits are NaN or infinite.
        """

    def export(
        self, interpolation: LogitsInterpolation, first: int, found_zyx: npt.NDArray[np.uint8]
    ) -> None:
        """Label slices of the image that lie between finished rows.

        Args:
            interpolation: From the padded grid of the model to that of the image.
            first: Index of the first slice.
            found_zyx: The slices, to be set.
        """


class Window:
    """Which row of an image lies where, in a ring that holds some of them."""

    def __init__(self, tiling: Tiling, n_rows_held: int) -> None:
        self._n_held = n_rows_held
        self._n_rows = tiling.shape[0]
        self._depth = tiling.patch[0]
        self._n_opened = 0

    def opened(self, start: int) -> Sequence[int]:
        """Move on, so that a tile has room; give the rows that are new."""
        stop = min(start + self._depth, self._n_rows)
        new = self.rows(self._n_opened, stop)
        self._n_opened = max(stop, self._n_opened)
        return new

    def rows(self, start: int, stop: int) -> Sequence[int]:
        """Say where rows of the image lie."""
        return [row % self._n_held for row in range(start, stop)]

    def of_slice(self, z: AxisInterpolation, number: int) -> tuple[int, int]:
        """Say where the rows lie that a slice of the image is made from."""
        return int(z.lower[number]) % self._n_held, int(z.upper[number]) % self._n_held
