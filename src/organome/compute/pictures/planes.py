"""Planes through an image and its labels, turned as radiologists look at them.

Head or front are up, and the right of the body is on the left of the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.geometry.arrays import Labels, Mask, Voxels
from organome.compute.geometry.grids import Grid

PLANES: Final = ("axial", "coronal", "sagittal")
# Marks at the left and right edge of each plane.
EDGES: Final = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}

Box = tuple[slice, ...]  # part of a body along z, y, x

_LIGHT_PERCENTILES: Final = (1, 99.5)  # a few bright voxels must not darken the rest
_SOFT_TISSUE_HU: Final = (-160.0, 240.0)
_BRIGHTEST: Final = 215  # white is for marks, and colours pale on it
_N_SAMPLED: Final = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """An image and its labels, axes towards head, back and left; views, nothing is copied.

    Attributes:
        voxels_zyx: Intensities.
        labels_zyx: Labels on the same grid.
        spacing_zyx_mm: Spacing along the same axes.
        low_mm: Height of the lowest face along the body, as the facts of a scan count heights.
        seen_zyx: Which voxels were seen; None: all.
        held: What the views are of; it must outlive them.
    """

    voxels_zyx: Voxels
    labels_zyx: Labels
    spacing_zyx_mm: tuple[float, ...]
    low_mm: float
    seen_zyx: Mask | None
    held: tuple[sitk.Image, sitk.Image]

    @classmethod
    def of(
        cls,
        image: sitk.Image,
        labelmap: sitk.Image,
        seen_xyz: Sequence[Sequence[Sequence[int]]] | None = None,
    ) -> "Body":
        """View an image and the labelmap on its grid.

        Args:
            image: The image.
            labelmap: Labels on the same grid.
            seen_xyz: Boxes of the grid that were seen, as preparing notes them; None: all of it.
        """
        grid = Grid.of(image)
        ends_mm = [grid.height_mm(place) for place in (0, grid.size[grid.body_axis] - 1)]
        spacing_zyx_mm = grid.lps_spacing_zyx_mm
        seen_zyx = None
        if seen_xyz:
            seen_zyx = np.zeros(grid.size[::-1], np.bool_)
            for box in seen_xyz:
                seen_zyx[tuple(slice(*ends) for ends in box[::-1])] = True
            seen_zyx = grid.to_lps(seen_zyx)
        return cls(
            lps_view(image),
            lps_view(labelmap),
            spacing_zyx_mm,
            min(ends_mm) - spacing_zyx_mm[0] / 2,
            seen_zyx,
            (image, labelmap),
        )

    def box_around(self, mask_zyx: Mask, margins_zyx_mm: Sequence[float]) -> Box:
        """Return the box around a mask and a margin, as far as the image reaches."""
        box = []
        for axis, (mm, margin_mm) in enumerate(
            zip(self.spacing_zyx_mm, margins_zyx_mm, strict=True)
        ):
            places = np.flatnonzero(mask_zyx.any(axis=_others(axis)))
            margin = round(margin_mm / mm)
            first, last = (places[0], places[-1]) if places.size else (0, mask_zyx.shape[axis] - 1)
            box.append(slice(max(0, first - margin), min(mask_zyx.shape[axis], last + margin + 1)))
        return tuple(box)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A plane as it is looked at.

    Attributes:
        plane: Which.
        voxels: Intensities, rows from the top.
        labels: Labels on the same places.
        spacing_mm: From row to row, and from column to column.
    """

    plane: str
    voxels: Voxels
    labels: Labels
    spacing_mm: tuple[float, float]

    @classmethod
    def through(cls, body: Body, plane: str, places_zyx: Sequence[int], box: Box) -> "Cut":
        """Cut a plane out of a part of a body."""
        row_mm, column_mm = np.delete(body.spacing_zyx_mm, PLANES.index(plane))
        return cls(
            plane,
            cut_plane(body.voxels_zyx, plane, places_zyx, box),
            cut_plane(body.labels_zyx, plane, places_zyx, box),
            (float(row_mm), float(column_mm)),
        )

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        n_rows, n_columns = self.labels.shape
        return n_rows * self.spacing_mm[0], n_columns * self.spacing_mm[1]


def lps_view(image: sitk.Image) -> NDArray[Any]:
    """View voxels with axes that run towards head, back and left; the image must outlive it."""
    return Grid.of(image).to_lps(sitk.GetArrayViewFromImage(image))


def cut_plane(
    voxels_zyx: Voxels, plane: str, places_zyx: Sequence[int], box: Box | None = None
) -> Voxels:
    """Cut a plane out of voxels in LPS; the head is up, the front is up, and left is right."""
    axis = PLANES.index(plane)
    parts: list[Any] = list(box or [slice(None)] * 3)
    parts[axis] = places_zyx[axis]
    cut: Voxels = voxels_zyx[tuple(parts)]
    return cut if axis == 0 else cut[::-1]


def middle_zyx(mask_zyx: Mask) -> tuple[int, ...]:
    """Return the middle of a mask along each axis, of the image where it is empty."""
    middles = []
    for axis in range(mask_zyx.ndim):
        counts = mask_zyx.sum(axis=_others(axis))
        total = counts.sum()
        half = np.searchsorted(counts.cumsum(), total / 2) if total else counts.size // 2
        middles.append(int(half))
    return tuple(middles)


def window_of(voxels: Voxels, contrast: str = "") -> tuple[float, float]:
    """Choose what is shown black and white: soft tissue in CT, else nearly all there is."""
    if contrast == "ct":
        return _SOFT_TISSUE_HU
    step = max(1, round((voxels.size / _N_SAMPLED) ** (1 / voxels.ndim)))
    sample = voxels[(slice(None, None, step),) * voxels.ndim]
    low, high = np.percentile(sample, _LIGHT_PERCENTILES)
    return float(low), float(max(high, low + 1))


def grey_levels(voxels: Voxels, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Turn intensities into grey, from 0 up to what is left below white."""
    low, high = window
    shares = np.clip((voxels.astype(np.float32) - low) / (high - low), 0, 1)
    return np.asarray(np.rint(_BRIGHTEST * shares), np.uint8)


def _others(axis: int) -> tuple[int, ...]:
    return tuple(one for one in range(3) if one != axis)
