"""What two stations both show, and gains at seams: how much brighter one is than the next there."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.geometry.grids import Grid
from organome.compute.percentiles import high_percentile
from organome.compute.stitching.stations import (
    Axes,
    Images,
    Region,
    Station,
    overlaps_mm,
)
from organome.domain.scans import Contrast


def labels_in_view_of(labelmap: sitk.Image, other: sitk.Image) -> sitk.Image | None:
    """Keep the labels of voxels that another image shows, too; all others become background.

    The grid stays as it is, so that whatever looks at the whole image (normalising) still does.

    Args:
        labelmap: uint8 labels.
        other: Any image whose axes are parallel to those of the labelmap.

    Returns:
        Another labelmap on the same grid; None if no voxel lies in both, or axes are not parallel.
    """
    faces_xyz = Grid.of(labelmap).faces_xyz(Grid.of(other))
    if faces_xyz is None:
        return None
    low, high = faces_xyz.T
    first = np.maximum(np.ceil(low - 1e-3), 0).astype(int)
    last = np.minimum(np.floor(high + 1e-3), np.array(labelmap.GetSize()) - 1).astype(int)
    if (last < first).any():
        return None
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    kept_zyx = np.zeros_like(labels_zyx)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(first[::-1], last[::-1], strict=True))
    kept_zyx[box] = labels_zyx[box]
    kept = sitk.GetImageFromArray(kept_zyx)
    kept.CopyInformation(labelmap)
    return kept


BODY_SHARE: Final = 0.1  # of the 99th percentile in the overlap; less is air, as in Langner 2020
BODY_PERCENTILE: Final = 99.0
MIN_BODY_VOXELS: Final = 500
MAX_GAIN: Final = 2.0  # receiver gains differ by less; more means that the two do not match


@dataclass(frozen=True, slots=True)
class Seam:
    """What was found where two stations overlap.

    Attributes:
        overlap_mm: Length of the overlap along the body, before trimming.
        gain: Factor that brings the lower station to the brightness of the upper one; 1 if unknown.
        residual: Median relative difference of the two inside the body after the gain; None if
            unknown. It grows with motion between the stations.
        limited: Whether the gain was beyond ``MAX_GAIN`` and cut to it.
    """

    overlap_mm: float
    gain: float
    residual: float | None
    limited: bool


def find_seams(
    whole: Sequence[Station], trimmed: Sequence[Station], grid: Axes
) -> tuple[Seam, ...]:
    """Compare neighbouring stations in their overlaps.

    In-phase is compared, which fat-water swaps do not touch; where it was not prepared, the sum of
    fat and water, else the first contrast. CT has units, and so no gain.

    Args:
        whole: The stations, from head to foot.
        trimmed: The same after trimming: trimmed slices are not compared.
        grid: The common grid.

    Returns:
        Seams from head to foot, one fewer than stations.
    """
    return tuple(
        _seam(upper, lower, grid, overlap_mm)
        for (upper, lower), overlap_mm in zip(pairwise(trimmed), overlaps_mm(whole), strict=True)
    )


def station_gains(seams: Sequence[Seam]) -> npt.NDArray[np.float64]:
    """Turn gains at seams into one gain per station, from head to foot.

    Their geometric mean is 1, so that no end of the body sets the brightness of the whole.
    """
    logs = np.concatenate([[0.0], np.cumsum(np.log([seam.gain for seam in seams]))])
    return np.asarray(np.exp(logs - logs.mean()))


def _seam(upper: Station, lower: Station, grid: Axes, overlap_mm: float) -> Seam:
    unknown = Seam(overlap_mm=overlap_mm, gain=1.0, residual=None, limited=False)
    region = _shared_region(upper, lower, grid)
    if Contrast.CT in upper.images or any(taken.start == taken.stop for taken in region):
        return unknown
    # Held here: what is resampled may be a view into the image, which must outlive it.
    references = _reference(upper.images), _reference(lower.images)
    above_zyx = upper.resample(references[0], grid, region)
    below_zyx = lower.resample(references[1], grid, region)
    body = _body(above_zyx) & _body(below_zyx)
    if np.count_nonzero(body) < MIN_BODY_VOXELS:
        return unknown
    above, below = above_zyx[body].astype(np.float64), below_zyx[body].astype(np.float64)
    measured = float(np.median(above / below))
    gain = min(max(measured, 1 / MAX_GAIN), MAX_GAIN)
    apart = np.abs(above - gain * below) / (above + gain * below)
    return Seam(
        overlap_mm=overlap_mm,
        gain=gain,
        residual=2 * float(np.median(apart)),
        limited=gain != measured,
    )


def _shared_region(upper: Station, lower: Station, grid: Axes) -> Region:
    ends = {"low_mm": upper.low_mm, "high_mm": lower.high_mm}
    (z, *above), (_, *below) = upper.region(grid, **ends), lower.region(grid, **ends)
    y, x = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(above, below, strict=True)
    )
    return z, y, x


def _reference(images: Images) -> sitk.Image:
    if Contrast.IN_PHASE in images:
        return images[Contrast.IN_PHASE]
    if Contrast.FAT in images and Contrast.WATER in images:
        both = (images[Contrast.FAT], images[Contrast.WATER])
        in_phase: sitk.Image = sitk.Add(*(sitk.Cast(one, sitk.sitkFloat32) for one in both))
        return in_phase
    return images[min(images, key=list(Contrast).index)]


def _body(voxels_zyx: npt.NDArray[np.number]) -> npt.NDArray[np.bool_]:
    return np.asarray(voxels_zyx > BODY_SHARE * high_percentile(voxels_zyx, BODY_PERCENTILE))
