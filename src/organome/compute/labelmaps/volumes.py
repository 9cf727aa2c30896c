"""Measure the organs of a labelmap: volume, place, completeness, pieces, intensities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from organome.compute.dixon.fat_fraction import (
    fat_and_signal,
    mean_fat_fraction,
    signal_floor,
)
from organome.compute.geometry.arrays import Mask
from organome.compute.geometry.boxes import BoxZyx, label_boxes
from organome.compute.geometry.grids import (
    MM3_PER_ML,
    Grid,
    array_faces_xyz,
    share_grid,
    voxel_ml,
)
from organome.compute.labelmaps.ownership import Ownership
from organome.compute.labelmaps.view import Box, RoundField, View
from organome.domain.errors import ScanError
from organome.domain.geometry import Face
from organome.domain.organs import N_ORGANS
from organome.domain.outcomes import Reason
from organome.domain.volume_bounds import MAIN_PIECE_SHARE


@dataclass(frozen=True, slots=True)
class Intensities:
    """Intensity over the voxels of an organ, in the unit of the image.

    Attributes:
        mean: Arithmetic mean.
        sd: Standard deviation with divisor n.
        median: Median.
        p10: 10th percentile, interpolated linearly between voxels.
        p90: 90th percentile, likewise.
    """

    mean: float
    sd: float
    median: float
    p10: float
    p90: float


@dataclass(frozen=True, slots=True)
class OrganEnds:
    """How far the main pieces of an organ reach.

    Attributes:
        touches: Ends of what was seen that they reach, as faces.
        face_distance_mm: From them to the nearest end of what was seen, along the axes of the grid;
            0 where they touch it.
        heights_mm: Their lowest and highest face along the body axis of the grid, in mm.
    """

    touches: tuple[Face, ...]
    face_distance_mm: float
    heights_mm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class OwnedPart:
    """What of an organ a station owns, of several that overlap.

    Attributes:
        volume_ml: Volume of that part, in mL; those of all stations add up to that of the organ.
        truncated: Whether its main pieces reach an end of what all stations saw together.
        crosses_seam: Whether its main pieces go on where another station owns.
    """

    volume_ml: float
    truncated: bool
    crosses_seam: bool


@dataclass(frozen=True, slots=True)
class OrganMeasure:
    """What is in view of one organ.

    Attributes:
        n_voxels: Voxels of the organ, at least 1.
        volume_observed_ml: Volume of what is in view, in mL.
        touches: As in ``OrganEnds``.
        face_distance_mm: As there.
        centroid_xyz_mm: Mean position of its voxels in scanner space, LPS, in mm.
        n_pieces: Pieces, voxels connected by faces (6-connectivity).
        largest_piece_share: Voxels in the largest piece over all voxels, above 0, up to 1.
        intensities: None where no image was given.
        heights_mm: As in ``OrganEnds``.
        fat_fraction_mean: Mean fat over mean fat + water, 0 to 1; None without fat and water images
            or where no voxel of the organ has signal.
        fat_fraction_share: Voxels that have signal over all; None without fat and water images.
        owned: What of it the station owns; None unless the image is one of several stations.
    """

    n_voxels: int
    volume_observed_ml: float
    touches: tuple[Face, ...]
    face_distance_mm: float
    centroid_xyz_mm: tuple[float, float, float]
    n_pieces: int
    largest_piece_share: float
    heights_mm: tuple[float, float]
    intensities: Intensities | None = None
    fat_fraction_mean: float | None = None
    fat_fraction_share: float | None = None
    owned: OwnedPart | None = None


def measure_organs(
    labelmap: sitk.Image,
    image: sitk.Image | None = None,
    *,
    fat: sitk.Image | None = None,
    water: sitk.Image | None = None,
    seen_xyz: Sequence[Box] | None = None,
    round_xyz: RoundField | None = None,
    ownership: Ownership | None = None,
    n_labels: int = N_ORGANS,
) -> dict[int, OrganMeasure]:
    """Measure every organ of a labelmap.

    The labelmap is gone through once, to find the box of each organ; all else happens in the boxes.

    Args:
        labelmap: Integer image with labels 1 to ``n_labels``, 0 is background.
        image: Image whose intensities are measured.
        fat: Fat image of a two-point Dixon scan.
        water: Water image of the same.
        seen_xyz: Boxes of the grid that were seen; None: all of it.
        round_xyz: Field of view, if it is round.
        ownership: What of the grid the station owns, if it is one of several.
        n_labels: How many organs the label scheme has.

    Returns:
        Measures by label. A label that no voxel holds is not in it.

    Raises:
        ScanError: LABEL_UNKNOWN if a voxel holds a value beyond the organs; LABELMAP_OFF_GRID if
            an image does not share the grid of the labelmap.
    """
    check_grid(labelmap, [each for each in (image, fat, water) if each is not None])
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    if labels_zyx.min() < 0 or labels_zyx.max() > n_labels:
        raise ScanError(Reason.LABEL_UNKNOWN, f"the labelmap holds values beyond 0 to {n_labels}")
    image_zyx = None if image is None else sitk.GetArrayViewFromImage(image)
    dixon_zyx = None
    if fat is not None and water is not None:
        dixon_zyx = [sitk.GetArrayViewFromImage(one) for one in (fat, water)]
    floor = 0.0 if dixon_zyx is None else signal_floor(*dixon_zyx)
    view = View.of(labelmap.GetSize(), seen_xyz, round_xyz)
    measures = {}
    for label, box in label_boxes(labels_zyx, n_labels).items():
        mask_zyx = labels_zyx[box] == label
        measure = _measure_organ(
            labelmap,
            box,
            mask_zyx,
            view=view,
            ownership=ownership,
            values=None if image_zyx is None else image_zyx[box][mask_zyx],
        )
        if dixon_zyx is not None:
            fat_values, signal = fat_and_signal(*(one[box][mask_zyx] for one in dixon_zyx))
            mean, share = mean_fat_fraction(fat_values, signal, floor)
            measure = replace(measure, fat_fraction_mean=mean, fat_fraction_share=share)
        measures[label] = measure
    return measures


def check_grid(labelmap: sitk.Image, images: Sequence[sitk.Image]) -> None:
    """Refuse images that do not lie on the grid of the labelmap.

    Raises:
        ScanError: LABELMAP_OFF_GRID.
    """
    for image in images:
        if not share_grid(labelmap, image):
            raise ScanError(
                Reason.LABELMAP_OFF_GRID,
                f"labelmap of {labelmap.GetSize()} voxels is not on the grid of the image of "
                f"{image.GetSize()}",
            )


def _measure_organ(
    labelmap: sitk.Image,
    box_zyx: BoxZyx,
    mask_zyx: Mask,
    *,
    view: View,
    ownership: Ownership | None,
    values: npt.NDArray[Any] | None,
) -> OrganMeasure:
    n_voxels = int(np.count_nonzero(mask_zyx))
    main_zyx, n_pieces, n_largest = _main_pieces(mask_zyx, n_voxels)
    ends = _ends(labelmap, view, box_zyx, main_zyx)
    return OrganMeasure(
        n_voxels=n_voxels,
        volume_observed_ml=n_voxels * float(np.prod(labelmap.GetSpacing())) / MM3_PER_ML,
        touches=ends.touches,
        face_distance_mm=ends.face_distance_mm,
        centroid_xyz_mm=_centroid_xyz_mm(labelmap, box_zyx, mask_zyx, n_voxels),
        n_pieces=n_pieces,
        largest_piece_share=n_largest / n_voxels,
        heights_mm=ends.heights_mm,
        intensities=None if values is None else _intensities(values),
        owned=None
        if ownership is None
        else _owned(ownership, box_zyx, mask_zyx, main_zyx, voxel_ml(labelmap)),
    )


def organ_ends(
    labelmap: sitk.Image,
    seen_xyz: Sequence[Box] | None = None,
    round_xyz: RoundField | None = None,
) -> dict[int, OrganEnds]:
    """Find how far the main pieces of each label reach, as ``measure_organs`` does.

    Args:
        labelmap: Integer image, 0 is background.
        seen_xyz: Boxes of the grid that were seen; None: all of it.
        round_xyz: Field of view, if it is round.

    Returns:
        By label; a label that no voxel holds is not in it.
    """
    view = View.of(labelmap.GetSize(), seen_xyz, round_xyz)
    labels_zyx = sitk.GetArrayViewFromImage(labelmap)
    ends = {}
    for label, box in label_boxes(labels_zyx).items():
        mask_zyx = labels_zyx[box] == label
        main_zyx, _, _ = _main_pieces(mask_zyx, int(np.count_nonzero(mask_zyx)))
        ends[label] = _ends(labelmap, view, box, main_zyx)
    return ends


def _ends(labelmap: sitk.Image, view: View, box_zyx: BoxZyx, main_zyx: Mask) -> OrganEnds:
    gaps_xyz = view.gaps_zyx(main_zyx, [extent.start for extent in box_zyx])[::-1]
    faces_xyz = array_faces_xyz(labelmap.GetDirection())
    touched = {
        face
        for faces, gaps in zip(faces_xyz, gaps_xyz, strict=True)
        for face, gap in zip(faces, gaps, strict=True)
        if gap == 0
    }
    grid = Grid.of(labelmap)
    along = 2 - grid.body_axis
    others = tuple(axis for axis in range(3) if axis != along)
    places = np.flatnonzero(main_zyx.any(axis=others)) + box_zyx[along].start
    heights_mm = sorted(grid.height_mm(float(face)) for face in (places[0] - 0.5, places[-1] + 0.5))
    return OrganEnds(
        touches=tuple(face for face in Face if face in touched),
        face_distance_mm=float((gaps_xyz.min(axis=1) * labelmap.GetSpacing()).min()),
        heights_mm=(heights_mm[0], heights_mm[1]),
    )


def _owned(
    ownership: Ownership, box_zyx: BoxZyx, mask_zyx: Mask, main_zyx: Mask, one_ml: float
) -> OwnedPart:
    share_zyx = ownership.share_zyx[box_zyx]
    owned_zyx = main_zyx & (share_zyx > 0)
    gaps = ownership.view.gaps_zyx(owned_zyx, [extent.start for extent in box_zyx])
    return OwnedPart(
        volume_ml=float(share_zyx[mask_zyx].sum(dtype=np.float64)) * one_ml,
        truncated=bool(owned_zyx.any() and (gaps == 0).any()),
        crosses_seam=bool((share_zyx[main_zyx] < 1).any()),
    )


def _centroid_xyz_mm(
    labelmap: sitk.Image, box_zyx: BoxZyx, mask_zyx: Mask, n_voxels: int
) -> tuple[float, float, float]:
    n_yx = np.count_nonzero(mask_zyx, axis=0)
    n_zyx = (np.count_nonzero(mask_zyx, axis=(1, 2)), n_yx.sum(axis=1), n_yx.sum(axis=0))
    index_zyx = [
        extent.start + int(np.dot(n, np.arange(len(n)))) / n_voxels
        for extent, n in zip(box_zyx, n_zyx, strict=True)
    ]
    x_mm, y_mm, z_mm = labelmap.TransformContinuousIndexToPhysicalPoint(index_zyx[::-1])
    return x_mm, y_mm, z_mm


def _main_pieces(mask_zyx: Mask, n_voxels: int) -> tuple[Mask, int, int]:
    """Find the pieces that matter; count all pieces, and the voxels of the largest."""
    pieces_zyx, n_pieces = cc3d.connected_components(mask_zyx, connectivity=6, return_N=True)
    if n_pieces == 1:
        return mask_zyx, 1, n_voxels
    n_of_piece = np.bincount(pieces_zyx[mask_zyx], minlength=n_pieces + 1)
    n_largest = int(n_of_piece.max())
    is_main = n_of_piece >= max(1, MAIN_PIECE_SHARE * n_largest)
    main_zyx: Mask = is_main[pieces_zyx]
    return main_zyx, int(n_pieces), n_largest


def _intensities(values: npt.NDArray[Any]) -> Intensities:
    exact = values.astype(np.float64)  # sums of 16-bit integers are exact up to 1e11 voxels
    mean = float(exact.mean())
    p10, median, p90 = np.percentile(exact, (10, 50, 90)).tolist()
    return Intensities(
        mean=mean,
        sd=float(np.sqrt(np.square(exact - mean).mean())),
        median=median,
        p10=p10,
        p90=p90,
    )
