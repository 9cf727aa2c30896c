"""Images of a phantom as a scanner would deliver them, and the true labelmap on any grid.

Partial volume is exact: every image voxel is the mean of the body over its box, for water and fat
separately, and contrasts are formed afterwards. So a voxel that is half muscle and half fat is dark
in the opposed-phase image, as in a scanner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.dixon.multi_echo import fat_signal
from organome.compute.geometry.arrays import Singles
from organome.domain import ukb_protocol
from organome.domain.organs import N_ORGANS, ORGAN_BY_NAME
from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.phantoms.bodies.anatomy import Body
from organome.phantoms.bodies.tissues import N_TISSUES, Filler, look_table

SIGNAL_COUNTS = 600.0  # stored counts of a relative signal of 1
NOISE_SHARE = 0.015  # standard deviation of the noise, relative signal
TEXTURE_SHARE = 0.03  # smooth variation of the signal inside tissues
BIAS_SHARE = 0.15  # standard deviation of the log of the bias field
CT_NOISE_HU = 14.0
TISSUE_SPREAD = 0.06  # between scans, of the log of a tissue's signal
TISSUE_SPREAD_HU = 6.0


@dataclass(frozen=True, slots=True)
class SampledGrid:
    """An image grid along the axes of the body (left, back, head).

    Attributes:
        size_xyz: Voxels along x, y, z.
        spacing_xyz_mm: Voxel size.
        origin_xyz_mm: Centre of the first voxel.
        voxel_xyz_mm: Extent over which a voxel averages, the spacing if None. It differs from the
            spacing where slices have gaps, or where an image was resampled by interpolation.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float]
    origin_xyz_mm: tuple[float, float, float]
    voxel_xyz_mm: tuple[float, float, float] | None = None

    def onto(self, voxels_zyx: NDArray[np.generic]) -> sitk.Image:
        """Make an image of an array of shape (z, y, x) on this grid."""
        image = sitk.GetImageFromArray(voxels_zyx)
        image.SetSpacing(self.spacing_xyz_mm)
        image.SetOrigin(self.origin_xyz_mm)
        return image


def truth_labelmap(body: Body, grid: SampledGrid) -> sitk.Image:
    """Label each voxel by the tissue at its centre; uint8, the 40 organ labels, 0 elsewhere."""
    tissue = body.tissue_zyx
    for axis in range(3):
        where, n = _positions(body, grid, 2 - axis), tissue.shape[axis]
        tissue = np.take(tissue, np.clip(where, 0, n - 1), axis=axis)
        np.moveaxis(tissue, axis, 0)[(where < 0) | (where >= n)] = Filler.AIR
    return grid.onto(np.where(tissue <= N_ORGANS, tissue, 0).astype(np.uint8))


def render_dixon(
    body: Body, grid: SampledGrid, rng: np.random.Generator
) -> dict[Contrast, sitk.Image]:
    """Render the four contrasts of a two-point Dixon acquisition; int16 counts, never negative.

    They share the bias field; noise is that of the two echoes, so fat and water carry it too.
    """
    water = _mean_over_voxels(body, grid, _spread(rng, look_table("water")))
    fat = _mean_over_voxels(body, grid, _spread(rng, look_table("fat")))
    field = _bias_field(grid, rng) * _texture(grid, rng)
    water, fat = water * field, fat * field
    in_phase = water + fat + _noise(grid, rng)
    opposed = water - fat + _noise(grid, rng)
    images = {
        Contrast.IN_PHASE: in_phase,
        Contrast.OPPOSED_PHASE: opposed,
        Contrast.FAT: 0.5 * (in_phase - opposed),
        Contrast.WATER: 0.5 * (in_phase + opposed),
    }
    return {contrast: grid.onto(_counts(np.abs(voxels))) for contrast, voxels in images.items()}


def render_echoes(
    body: Body,
    grid: SampledGrid,
    rng: np.random.Generator,
    *,
    pdff_pct: Mapping[str, float],
    r2star_per_s: float,
    echo_times_ms: Sequence[float],
    snr: float,
) -> list[sitk.Image]:
    """Render magnitudes of a gradient echo at several echo times; int16 counts, Rician noise.

    Args:
        body: Who.
        grid: One slice, or several.
        rng: Random numbers of the noise.
        pdff_pct: Fat fraction by organ; what is not named has that of its look.
        r2star_per_s: Decay, everywhere.
        echo_times_ms: Echo times.
        snr: Signal of tissue at echo time 0 over the standard deviation of the noise.
    """
    water, fat = look_table("water"), look_table("fat")
    share = fat / np.maximum(water + fat, 1e-6)
    for organ, pct in pdff_pct.items():
        share[ORGAN_BY_NAME[organ].label] = pct / 100
    signal = (water + fat > 0).astype(np.float32)
    water, fat = (_mean_over_voxels(body, grid, signal * one) for one in (1 - share, share))
    shape, scale = grid.size_xyz[::-1], SIGNAL_COUNTS / snr
    echoes = []
    fat_signals = fat_signal(echo_times_ms, ukb_protocol.FIELD_STRENGTH_T)
    for time_ms, of_fat in zip(echo_times_ms, fat_signals, strict=True):
        decay = np.exp(-r2star_per_s * time_ms / 1e3)
        noise = scale * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
        counts = np.abs(SIGNAL_COUNTS * (water + fat * of_fat) * decay + noise)
        echoes.append(grid.onto(np.rint(counts).astype(np.int16)))
    return echoes


def render_image(
    body: Body, contrast: Contrast, grid: SampledGrid, rng: np.random.Generator
) -> sitk.Image:
    """Render one contrast: int16 counts, or int16 Hounsfield units of a CT."""
    if contrast in DIXON_CONTRASTS:
        return render_dixon(body, grid, rng)[contrast]
    if contrast is Contrast.CT:
        return grid.onto(_render_hu(body, grid, rng))
    table = _spread(rng, look_table(contrast.value))
    voxels = _mean_over_voxels(body, grid, table)
    voxels = voxels * _bias_field(grid, rng) * _texture(grid, rng)
    noise = (_noise(grid, rng), _noise(grid, rng))
    return grid.onto(_counts(np.hypot(voxels + noise[0], noise[1])))


def _render_hu(body: Body, grid: SampledGrid, rng: np.random.Generator) -> NDArray[np.int16]:
    table = look_table("hu")
    moved = table + rng.normal(0, TISSUE_SPREAD_HU, N_TISSUES).astype(np.float32)
    moved[[Filler.AIR, Filler.AIRWAY]] = table[Filler.AIR]
    voxels = _mean_over_voxels(body, grid, moved)
    voxels += _noise(grid, rng) * np.float32(CT_NOISE_HU / NOISE_SHARE)
    return np.clip(np.rint(voxels), -1024, 3071).astype(np.int16)


def _mean_over_voxels(body: Body, grid: SampledGrid, table: Singles) -> Singles:
    """Mean of a tissue property over the box of every image voxel; shape (z, y, x)."""
    weights = [_overlaps(body, grid, axis) for axis in (2, 1, 0)]
    used = [np.flatnonzero(w.any(axis=0)) for w in weights]
    spans = [slice(int(u[0]), int(u[-1]) + 1) if u.size else slice(0, 1) for u in used]
    voxels = table[body.tissue_zyx[spans[0], spans[1], spans[2]]]
    for axis in range(3):
        rows = weights[axis][:, spans[axis]]
        voxels = np.moveaxis(np.tensordot(rows, voxels, axes=(1, axis)), 0, axis)
    # what lies beyond the canvas is air
    seen = [w.sum(axis=1) for w in weights]
    share = seen[0][:, None, None] * seen[1][None, :, None] * seen[2][None, None, :]
    filled: Singles = voxels + (1.0 - share).astype(np.float32) * table[Filler.AIR]
    return np.ascontiguousarray(filled)


def _overlaps(body: Body, grid: SampledGrid, axis: int) -> Singles:
    """Share of each image voxel (row) that lies in each body voxel (column), along one axis."""
    step, width = body.spacing_xyz_mm[axis], (grid.voxel_xyz_mm or grid.spacing_xyz_mm)[axis]
    centres = grid.spacing_xyz_mm[axis] * np.arange(grid.size_xyz[axis])
    low = grid.origin_xyz_mm[axis] + centres - 0.5 * width
    n = body.tissue_zyx.shape[2 - axis]
    edges = body.origin_xyz_mm[axis] + step * (np.arange(n) - 0.5)
    overlap = np.minimum((low + width)[:, None], (edges + step)[None]) - np.maximum(
        low[:, None], edges[None]
    )
    share: Singles = (np.clip(overlap, 0.0, None) / width).astype(np.float32)
    return share


def _positions(body: Body, grid: SampledGrid, axis: int) -> NDArray[np.int64]:
    centres = grid.origin_xyz_mm[axis] + grid.spacing_xyz_mm[axis] * np.arange(grid.size_xyz[axis])
    steps = (centres - body.origin_xyz_mm[axis]) / body.spacing_xyz_mm[axis]
    nearest: NDArray[np.int64] = np.floor(steps + 0.5).astype(np.int64)
    return nearest


def _spread(rng: np.random.Generator, table: Singles) -> Singles:
    return table * np.exp(rng.normal(0, TISSUE_SPREAD, table.size)).astype(np.float32)


def _bias_field(grid: SampledGrid, rng: np.random.Generator) -> Singles:
    """Smooth multiplicative field: a random polynomial of second order of the place."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.size_xyz[::-1]]
    terms = rng.normal(0, BIAS_SHARE, (3, 2)).astype(np.float32)
    parts = [t[0] * a + t[1] * (a**2 - 0.5) for t, a in zip(terms, axes, strict=True)]
    field: Singles = np.exp(
        parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None, :]
    )
    return field


def _texture(grid: SampledGrid, rng: np.random.Generator) -> Singles:
    """Variation with a length of about four voxels, mean 1."""
    coarse = tuple(n // 4 + 2 for n in grid.size_xyz[::-1])
    voxels = rng.normal(0, 1.6 * TEXTURE_SHARE, coarse).astype(np.float32)
    for axis, n in enumerate(grid.size_xyz[::-1]):
        place = np.linspace(0, coarse[axis] - 1.001, n)
        low = place.astype(np.int64)
        shape = [1, 1, 1]
        shape[axis] = -1
        along = (place - low).astype(np.float32).reshape(shape)
        below, above = np.take(voxels, low, axis=axis), np.take(voxels, low + 1, axis=axis)
        voxels = below + (above - below) * along
    return 1.0 + voxels


def _noise(grid: SampledGrid, rng: np.random.Generator) -> Singles:
    noise = rng.standard_normal(grid.size_xyz[::-1], dtype=np.float32)
    return noise * np.float32(NOISE_SHARE)


def _counts(voxels: Singles) -> NDArray[np.int16]:
    counts: NDArray[np.int16] = np.clip(np.rint(voxels * SIGNAL_COUNTS), 0, 32767).astype(np.int16)
    return counts
