"""Training cases: phantoms as a network sees them, on its own grid and normalised.

A case is rendered straight onto the grid of the network; every voxel still averages over the extent
of the scanner's voxel, not over the network's, since nnU-Net's resampling interpolates and does
not average.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.phantoms.bodies.anatomy import Body, draw_body
from organome.phantoms.bodies.canvas import Point
from organome.phantoms.rendering.render import (
    SampledGrid,
    render_dixon,
    render_image,
    truth_labelmap,
)

CONTRAST_SHARES: Final[dict[Contrast, float]] = {
    Contrast.WATER: 0.26,
    Contrast.OPPOSED_PHASE: 0.14,
    Contrast.IN_PHASE: 0.12,
    Contrast.FAT: 0.08,
    Contrast.T1: 0.07,
    Contrast.T2: 0.07,
    Contrast.T1FS: 0.06,
    Contrast.CT: 0.20,
}
WHOLE_SCAN_SHARE: Final = 0.6
CASE_SPACING_MM: Point = (2.0, 2.0, 3.0)  # canvas of a training body: a little coarser, quicker


@dataclass(frozen=True, slots=True)
class Case:
    """One training image.

    Attributes:
        contrast: What the intensity shows.
        voxels_zyx: Intensities, mean 0 and standard deviation 1 over the image; float16.
        labels_zyx: Organ labels; uint8.
    """

    contrast: Contrast
    voxels_zyx: NDArray[np.float16]
    labels_zyx: NDArray[np.uint8]


def draw_case(seed: int, spacing_xyz_mm: Point, contrast: Contrast | None = None) -> Case:
    """Draw a body, a contrast and a field of view, and render them.

    Args:
        seed: The same seed gives the same case.
        spacing_xyz_mm: Grid of the network.
        contrast: Drawn by ``CONTRAST_SHARES`` when None.
    """
    rng = np.random.default_rng([seed, 42])
    drawn = rng.choice(list(CONTRAST_SHARES), p=list(CONTRAST_SHARES.values()))
    contrast = contrast or Contrast(drawn)
    body = draw_body(seed, spacing_xyz_mm=CASE_SPACING_MM)
    grid = draw_field_of_view(body, contrast, spacing_xyz_mm, rng)
    if contrast in DIXON_CONTRASTS:
        image = render_dixon(body, grid, rng)[contrast]
    else:
        image = render_image(body, contrast, grid, rng)
    voxels = sitk.GetArrayFromImage(image).astype(np.float32)
    voxels = (voxels - voxels.mean()) / max(float(voxels.std()), 1e-8)
    labels = sitk.GetArrayFromImage(truth_labelmap(body, grid))
    return Case(contrast, voxels.astype(np.float16), labels)


def draw_field_of_view(
    body: Body, contrast: Contrast, spacing_xyz_mm: Point, rng: np.random.Generator
) -> SampledGrid:
    """Draw what part of a body is imaged: a whole neck-to-knee scan, or a part of a trunk."""
    jitter = rng.uniform(-12, 12, 3)
    if contrast is not Contrast.CT and rng.random() < WHOLE_SCAN_SHARE:
        extent = np.array([500.0, 388.0, 1110.0])
        middle = np.array([0.0, 0.0, 105.0]) + jitter
    else:
        width = rng.uniform(380, 510)
        depth = width if contrast is Contrast.CT and rng.random() < 0.7 else rng.uniform(310, 430)
        extent = np.array([width, depth, rng.uniform(200, 800)])
        tall = body.covariates.height_m / 1.75
        low, high = -330.0 * tall + extent[2] / 2, 640.0 * tall - extent[2] / 2
        middle = np.array([0.0, 0.0, rng.uniform(min(low, high), max(low, high))])
        middle[:2] += jitter[:2]
    spacing = np.asarray(spacing_xyz_mm)
    size = np.rint(extent / spacing).astype(int)
    origin = middle - spacing * (size - 1) / 2
    in_plane = rng.uniform(0.8, 2.4)
    return SampledGrid(
        (int(size[0]), int(size[1]), int(size[2])),
        spacing_xyz_mm,
        (float(origin[0]), float(origin[1]), float(origin[2])),
        (in_plane, in_plane, float(rng.uniform(1.5, 5.0))),
    )
