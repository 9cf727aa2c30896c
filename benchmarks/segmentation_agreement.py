"""How labels of two engines agree, and which of them is right where they do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.arrays import Labels
from organome.domain.organs import ORGANS

CHUNK: Final = 20_000


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two labelmaps agree.

    Attributes:
        n_voxels: All voxels.
        n_differing: Those with another label.
        dice: Dice by label that either has, background left out.
        n_true_here: Of the differing voxels, those where this engine has the label of the exact
            interpolation; None where logits are not known.
        n_true_stock: The same of stock.
        dice_exact: Least Dice of this engine with the exact interpolation.
        dice_stock_exact: Least Dice of stock with the exact interpolation.
    """

    n_voxels: int
    n_differing: int
    dice: Mapping[int, float]
    n_true_here: int | None = None
    n_true_stock: int | None = None
    dice_exact: float | None = None
    dice_stock_exact: float | None = None

    @property
    def share(self) -> float:
        """Share of voxels with the same label."""
        return 1.0 - self.n_differing / self.n_voxels

    @property
    def dice_min(self) -> float:
        """The least Dice of a label; 1 where there is none."""
        return min(self.dice.values(), default=1.0)

    @property
    def worst(self) -> str:
        """The organ of the least Dice."""
        if not self.dice:
            return "-"
        label = min(self.dice, key=lambda one: self.dice[one])
        return next((organ.name for organ in ORGANS if organ.label == label), str(label))


def compare(here: Path, stock: Path, logits: Path | None = None) -> Agreement:
    """Compare the labelmaps of an engine and of stock.

    Args:
        here: Labelmap of an engine.
        stock: Labelmap of stock on the same grid.
        logits: What both were made of; then the voxels that differ are worked out in double
            precision. Where both agree they are taken to be right.

    Raises:
        ValueError: The grids differ.
    """
    ours, theirs = (sitk.ReadImage(str(path)) for path in (here, stock))
    for quantity in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        if not np.allclose(getattr(ours, quantity)(), getattr(theirs, quantity)(), atol=1e-4):
            raise ValueError(f"{here.name}: {quantity} of both differ")
    here_zyx, stock_zyx = (sitk.GetArrayFromImage(one).astype(np.uint8) for one in (ours, theirs))
    differing = np.nonzero(here_zyx != stock_zyx)
    dice = dice_by_label(here_zyx, stock_zyx)
    known: dict[str, Any] = {}
    if logits is not None:
        exact = exact_labels(np.load(logits, mmap_mode="r"), differing, here_zyx.shape)
        known["n_true_here"] = int((here_zyx[differing] == exact).sum())
        known["n_true_stock"] = int((stock_zyx[differing] == exact).sum())
        true_zyx = stock_zyx.copy()
        true_zyx[differing] = exact
        for name, labels_zyx in (("dice_exact", here_zyx), ("dice_stock_exact", stock_zyx)):
            known[name] = min(dice_by_label(labels_zyx, true_zyx).values(), default=1.0)
    return Agreement(here_zyx.size, len(differing[0]), dice, **known)


def dice_by_label(one_zyx: Labels, other_zyx: Labels) -> dict[int, float]:
    """Dice of every label that either labelmap has, background left out."""
    same = one_zyx[one_zyx == other_zyx]
    counts = [np.bincount(labels.ravel(), minlength=256) for labels in (one_zyx, other_zyx, same)]
    present = np.flatnonzero(counts[0] + counts[1])
    return {
        int(label): float(2 * counts[2][label] / (counts[0][label] + counts[1][label]))
        for label in present
        if label
    }


def exact_labels(
    logits_czyx: npt.NDArray[np.float16],
    places_zyx: tuple[npt.NDArray[np.int64], ...],
    shape_zyx: tuple[int, ...],
) -> Labels:
    """Interpolate logits trilinearly in double precision, and take the first of the greatest.

    Args:
        logits_czyx: On the grid of the model.
        places_zyx: Voxels of the image.
        shape_zyx: Size of the image, which covers the same box.
    """
    found = [np.empty(0, np.uint8)]
    for start in range(0, len(places_zyx[0]), CHUNK):
        low, high, share = [], [], []
        for place, n_out, n_in in zip(places_zyx, shape_zyx, logits_czyx.shape[1:], strict=True):
            where = (place[start : start + CHUNK] + 0.5) * (n_in / n_out) - 0.5
            where = np.clip(where, 0, n_in - 1)
            low.append(np.floor(where).astype(np.int64))
            high.append(np.minimum(low[-1] + 1, n_in - 1))
            share.append(where - low[-1])
        values = np.zeros((logits_czyx.shape[0], len(share[0])))
        for corner in np.ndindex(2, 2, 2):
            index = tuple((low, high)[side][axis] for axis, side in enumerate(corner))
            weight = np.prod(
                [share[axis] if side else 1 - share[axis] for axis, side in enumerate(corner)],
                axis=0,
            )
            values += weight * logits_czyx[(slice(None), *index)].astype(np.float64)
        found.append(values.argmax(axis=0).astype(np.uint8))
    return np.concatenate(found)
