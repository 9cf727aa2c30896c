"""Organs on single slices: a labelmap of another image, sampled where the slices lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.dixon.multi_echo import CLEARLY_BETTER, NOT_FITTED
from organome.domain.outcomes import SliceReason

EROSION_MM: Final = 3.0  # breath-holds differ, and voxels at the edge are partly something else
MIN_VOXELS: Final = 20
_THROUGH: Final = (-1 / 3, 0.0, 1 / 3)  # of the thickness: an organ must fill most of it
_OUTSIDE: Final = -1


@dataclass(frozen=True, slots=True)
class SliceMaps:
    """Maps of one slice on one grid; one plane, as thick as it was excited.

    Attributes:
        pdff: Fat fraction in percent, ``NOT_FITTED`` where there is none.
        r2star: R2* in 1/s.
        fat_evidence: See ``FatFractionMaps``.
    """

    pdff: sitk.Image
    r2star: sitk.Image
    fat_evidence: sitk.Image


@dataclass(frozen=True, slots=True)
class SliceMeasure:
    """Fat fraction of an organ on slices.

    Attributes:
        n_voxels: Voxels that count, 0 if there is none.
        reason: Why there is no number, None if there is one.
        median_pct: Median fat fraction.
        mean_pct: Mean fat fraction.
        r2star_median_per_s: Median R2*.
        r2star_mean_per_s: Mean R2*.
        fat_rich_share: Voxels of more than half fat over those that count.
    """

    n_voxels: int
    reason: SliceReason | None = None
    median_pct: float | None = None
    mean_pct: float | None = None
    r2star_median_per_s: float | None = None
    r2star_mean_per_s: float | None = None
    fat_rich_share: float | None = None


def measure_on_slices(
    labelmap: sitk.Image, slices: Sequence[SliceMaps], labels: Sequence[int]
) -> dict[int, SliceMeasure]:
    """Measure organs on all slices together.

    A voxel counts if the labelmap has the organ at its centre and a third of the thickness above
    and below, if it lies more than ``EROSION_MM`` inside of that in the plane, and if the model
    fits its signal.

    Args:
        labelmap: Labels on another grid in the same scanner space.
        slices: Slices that were acquired together.
        labels: Labels of the organs to measure.
    """
    sampled = [_labels_on(labelmap, one.pdff) for one in slices]
    measures = {}
    is_outside = all((labels_yx == _OUTSIDE).all() for labels_yx in sampled)
    for label in labels:
        if is_outside:
            measures[label] = SliceMeasure(0, SliceReason.OUTSIDE_LABELMAP)
            continue
        there = [labels_yx == label for labels_yx in sampled]
        pairs = list(zip(there, slices, strict=True))
        pdff, r2star, evidence = np.concatenate([_values(*pair) for pair in pairs], axis=1)
        measures[label] = _measured(any(map(np.any, there)), pdff, r2star, evidence)
    return measures


def _measured(
    is_there: bool,
    pdff: NDArray[np.float64],
    r2star: NDArray[np.float64],
    evidence: NDArray[np.float64],
) -> SliceMeasure:
    if not is_there:
        return SliceMeasure(0, SliceReason.NOT_ON_SLICE)
    n_voxels = len(pdff)
    if n_voxels < MIN_VOXELS:
        return SliceMeasure(n_voxels, SliceReason.TOO_FEW_VOXELS)
    share = round(float(np.mean(evidence > CLEARLY_BETTER)), 4)
    if evidence.sum() > 0:
        return SliceMeasure(n_voxels, SliceReason.MOSTLY_FAT, fat_rich_share=share)
    return SliceMeasure(
        n_voxels=n_voxels,
        median_pct=round(float(np.median(pdff)), 3),
        mean_pct=round(float(pdff.mean()), 3),
        r2star_median_per_s=round(float(np.median(r2star)), 3),
        r2star_mean_per_s=round(float(r2star.mean()), 3),
        fat_rich_share=share,
    )


def _values(there_yx: NDArray[np.bool_], maps: SliceMaps) -> NDArray[np.float64]:
    """Return fat fraction, R2* and evidence of the voxels that count; shape (3, n)."""
    width_mm, height_mm, _ = maps.pdff.GetSpacing()
    inside_yx = np.pad(there_yx, 1, mode="edge")
    depth_mm = scipy.ndimage.distance_transform_edt(inside_yx, sampling=(height_mm, width_mm))
    pdff_yx, r2star_yx, evidence_yx = (
        sitk.GetArrayViewFromImage(one)[0] for one in (maps.pdff, maps.r2star, maps.fat_evidence)
    )
    # the edge lies half a voxel before the centre of the nearest one outside
    is_inside_yx = depth_mm[1:-1, 1:-1] >= EROSION_MM + min(width_mm, height_mm) / 2
    counts_yx = there_yx & is_inside_yx & (pdff_yx != NOT_FITTED)
    return np.stack([one[counts_yx] for one in (pdff_yx, r2star_yx, evidence_yx)]).astype(
        np.float64
    )


def _labels_on(labelmap: sitk.Image, image: sitk.Image) -> NDArray[np.int16]:
    """Sample labels through a slice; 0 where they differ, -1 outside of the labelmap."""
    normal = np.reshape(image.GetDirection(), (3, 3))[:, 2]
    thickness_mm = image.GetSpacing()[2]
    signed = sitk.Cast(labelmap, sitk.sitkInt16)  # for what lies outside
    planes = []
    for share in _THROUGH:
        plane = sitk.Image(image.GetSize(), sitk.sitkUInt8)
        plane.CopyInformation(image)
        plane.SetOrigin(tuple(np.array(image.GetOrigin()) + share * thickness_mm * normal))
        planes.append(
            sitk.GetArrayFromImage(
                sitk.Resample(
                    signed,
                    plane,
                    sitk.Transform(),
                    sitk.sitkNearestNeighbor,
                    _OUTSIDE,
                )
            )[0]
        )
    below, centre, above = planes
    labels_yx: NDArray[np.int16] = np.where((below == centre) & (centre == above), centre, 0)
    labels_yx[centre == _OUTSIDE] = _OUTSIDE
    return labels_yx
