"""Phantoms for the benchmark of radiomics: three sizes, 40 labels, and parts of those."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk

from organome.domain.scans import Contrast
from organome.io.images.image_files import write_image
from organome.phantoms.bodies.anatomy import Body, draw_body
from organome.phantoms.rendering.fields_of_view import axial_grid, station_grids, stitched_grid
from organome.phantoms.rendering.render import render_dixon, render_image, truth_labelmap

SIZES: Final = ("station", "stitched", "ct")
SEED: Final = 7


@cache
def _body(seed: int) -> Body:
    return draw_body(seed)


def draw_phantom(folder: Path, size: str) -> tuple[Path, Path]:
    """Write image and labelmap of a size, where they are not there yet."""
    image_path, labels_path = folder / f"{size}_image.nii.gz", folder / f"{size}_labels.nii.gz"
    if not labels_path.exists():
        image, labelmap = draw(size)
        write_image(image_path, image)
        write_image(labels_path, labelmap)
    return image_path, labels_path


def draw(size: str, seed: int = SEED) -> tuple[sitk.Image, sitk.Image]:
    """Draw image and labelmap of a size."""
    chance, body = np.random.default_rng(seed), _body(seed)
    if size == "ct":
        grid = axial_grid(
            size_xyz=(512, 512, 300), pixel_mm=500 / 512, slice_mm=2.4, bottom_mm=-110.0
        )
        return render_image(body, Contrast.CT, grid, chance), truth_labelmap(body, grid)
    # Of the six stations the one with the liver, which has the most organs.
    grid = station_grids()[2] if size == "station" else stitched_grid()
    return render_dixon(body, grid, chance)[Contrast.WATER], truth_labelmap(body, grid)


def labels_by_size(labelmap: sitk.Image) -> list[int]:
    """Name the labels of a labelmap, the smallest first."""
    counts = np.bincount(sitk.GetArrayViewFromImage(labelmap).ravel(), minlength=256)
    present = np.flatnonzero(counts[1:]) + 1
    ordered: list[int] = present[np.argsort(counts[present], kind="stable")].tolist()
    return ordered


def sample_by_size(labels: Sequence[int], n: int) -> list[int]:
    """Choose the middle one of each of n equal parts of labels that come by size."""
    places = ((np.arange(n) + 0.5) * len(labels) / n).astype(int)
    return [labels[place] for place in places]


def only_labels(labelmap: sitk.Image, kept: Sequence[int]) -> sitk.Image:
    """Take all other labels out of a labelmap."""
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    labels_zyx[~np.isin(labels_zyx, kept)] = 0
    return like(labelmap, labels_zyx)


def like(
    labelmap: sitk.Image, labels_zyx: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> sitk.Image:
    """Make a labelmap on the grid of another."""
    made = sitk.GetImageFromArray(labels_zyx)
    made.CopyInformation(labelmap)
    return made
