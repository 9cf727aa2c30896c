"""How well a labelmap agrees with its reference: every label of a pair in one go."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
import SimpleITK as sitk
from skimage.morphology import skeletonize

from organome.compute.geometry.arrays import Mask
from organome.compute.geometry.boxes import joint_box, label_boxes
from organome.compute.geometry.grids import share_grid, voxel_ml
from organome.compute.metrics.distances import SurfaceDistances
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.presence import Presence, presence_of

# Spacing along x, y, z on which the authors of MRSegmentator compare labelmaps.
RELEASED_SPACING_MM: Final = (1.5, 1.5, 3.0)

_EMPTY: Final = (slice(0),) * 3  # box of a label that neither has


@dataclass(frozen=True, slots=True)
class LabelMetrics:
    """One label of a pair. Without a structure in either labelmap, no metric has a value.

    Attributes:
        label: Its value in both labelmaps.
        n_voxels_reference: Voxels of the reference.
        n_voxels_predicted: Voxels predicted.
        volume_reference_ml: Volume in the reference.
        volume_predicted_ml: Volume predicted.
        presence: Which of the two has it. Where one lacks it the overlaps below are 0, and hd95_mm
            is None: count those, or a mean gets better by what was missed.
        dice: Dice similarity coefficient.
        hd95_mm: By ``distances.HD_DEFINITION``.
        surface_dice: By ``distances.SURFACE_DICE_DEFINITION``.
        centreline_dice: clDice; None for labels that it was not asked for.
    """

    label: int
    n_voxels_reference: int
    n_voxels_predicted: int
    volume_reference_ml: float
    volume_predicted_ml: float
    presence: Presence
    dice: float | None = None
    hd95_mm: float | None = None
    surface_dice: float | None = None
    centreline_dice: float | None = None


def compare_labelmaps(
    predicted: sitk.Image,
    reference: sitk.Image,
    labels: Sequence[int],
    *,
    tolerance_mm: float | Mapping[int, float],
    centreline_labels: Collection[int] = (),
) -> tuple[LabelMetrics, ...]:
    """Compare two labelmaps on one grid, label by label.

    Each label is looked at in the smallest box that holds it in both labelmaps. The nearest border
    voxel of the other mask lies in it, too, so that distances are those in the whole image.

    Args:
        predicted: Labels, 3D, of an integer type.
        reference: The same on the same grid.
        labels: Values to compare; others count as background.
        tolerance_mm: Of surface Dice, one for all labels or one for each.
        centreline_labels: Labels of tubes, for which clDice is measured.

    Returns:
        One record a label, in the order asked for.

    Raises:
        ScanError: LABELMAP_OFF_GRID if the grids differ; nothing is resampled.
    """
    if not share_grid(predicted, reference):
        raise ScanError(Reason.LABELMAP_OFF_GRID, _off_grid(predicted, reference))
    given, true = (sitk.GetArrayViewFromImage(one) for one in (predicted, reference))
    boxes = [label_boxes(one, max(labels, default=0)) for one in (given, true)]
    found = []
    for label in labels:
        box = joint_box([one[label] for one in boxes if label in one]) or _EMPTY
        tolerance = tolerance_mm[label] if isinstance(tolerance_mm, Mapping) else tolerance_mm
        found.append(
            _compare_masks(
                label,
                given[box] == label,
                true[box] == label,
                reference,
                tolerance,
                wants_centreline=label in centreline_labels,
            )
        )
    return tuple(found)


def _compare_masks(
    label: int,
    predicted: Mask,
    reference: Mask,
    image: sitk.Image,
    tolerance_mm: float,
    *,
    wants_centreline: bool,
) -> LabelMetrics:
    n_predicted, n_reference = (int(np.count_nonzero(one)) for one in (predicted, reference))
    presence = presence_of(predicted=n_predicted > 0, reference=n_reference > 0)
    one_ml = voxel_ml(image)
    dice = hd95_mm = surface_dice = centreline = None
    if presence is Presence.BOTH:
        dice = 2 * int(np.count_nonzero(predicted & reference)) / (n_predicted + n_reference)
        distances = SurfaceDistances.between(predicted, reference, image.GetSpacing()[::-1])
        hd95_mm, surface_dice = distances.hd95_mm, distances.surface_dice(tolerance_mm)
        centreline = centreline_dice(predicted, reference) if wants_centreline else None
    elif presence is not Presence.BOTH_ABSENT:
        dice = surface_dice = 0.0
        centreline = 0.0 if wants_centreline else None
    return LabelMetrics(
        label=label,
        n_voxels_reference=n_reference,
        n_voxels_predicted=n_predicted,
        volume_reference_ml=n_reference * one_ml,
        volume_predicted_ml=n_predicted * one_ml,
        presence=presence,
        dice=dice,
        hd95_mm=hd95_mm,
        surface_dice=surface_dice,
        centreline_dice=centreline,
    )


def centreline_dice(predicted_zyx: Mask, reference_zyx: Mask) -> float:
    """Return clDice: how far either centreline runs within the other mask, 0 to 1.

    Skeletons are thinned voxel by voxel whatever the spacing, as in the paper. That takes pieces
    of an even width away entirely; they are thinned between voxels instead, so that no mask is
    without a centreline and no prediction leaves the mean. A branch of an even width that
    hangs on a thicker piece may still be lost: thinning everything between voxels would keep it, at
    13 times the time and with other values for all.

    Args:
        predicted_zyx: With at least one voxel.
        reference_zyx: Likewise, of the same shape.

    Returns:
        The harmonic mean of both shares.

    Source:
        Shit et al. 2021, CVPR, "clDice"; skeletons of Lee et al. 1994 by scikit-image.
    """
    precision = float(reference_zyx[_centreline(predicted_zyx)].mean())
    sensitivity = float(predicted_zyx[_centreline(reference_zyx)].mean())
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def _centreline(mask_zyx: Mask) -> Mask:
    line: Mask = skeletonize(mask_zyx) > 0
    pieces, _ = scipy.ndimage.label(mask_zyx, np.ones((3, 3, 3)))
    kept = set(np.unique(pieces[line]).tolist())
    for piece, box in enumerate(scipy.ndimage.find_objects(pieces), 1):
        if piece not in kept:
            line[box] |= _centreline_between_voxels(pieces[box] == piece)
    return line


def _centreline_between_voxels(piece_zyx: Mask) -> Mask:
    """Thin a piece on a grid of half voxels, where n voxels are 2 n - 1 and every width is odd."""
    halves = piece_zyx
    for axis in range(3):
        rows = np.moveaxis(halves, axis, 0)
        finer = np.zeros((2 * len(rows) - 1, *rows.shape[1:]), bool)
        finer[::2], finer[1::2] = rows, rows[:-1] & rows[1:]
        halves = np.moveaxis(finer, 0, axis)
    thinned = np.argwhere(skeletonize(halves)) // 2
    if not len(thinned):
        return piece_zyx
    line = np.zeros_like(piece_zyx)
    line[tuple(thinned.T)] = True
    return line


def resample_nearest(labelmap: sitk.Image, spacing_xyz_mm: Sequence[float]) -> sitk.Image:
    """Bring a labelmap to another spacing by nearest neighbour, as the authors' script does first.

    The first voxel stays where it is; the last one is the last that fits.

    Args:
        labelmap: 3D.
        spacing_xyz_mm: Wanted, along the axes as they are stored.

    Source:
        ``Spacing`` of MONAI 1.6, whose shape and origin these are.
    """
    size = [
        round((n - 1) * old / new + 1)
        for n, old, new in zip(
            labelmap.GetSize(), labelmap.GetSpacing(), spacing_xyz_mm, strict=True
        )
    ]
    filter_ = sitk.ResampleImageFilter()
    filter_.SetReferenceImage(labelmap)
    filter_.SetOutputSpacing(spacing_xyz_mm)
    filter_.SetSize(size)
    filter_.SetInterpolator(sitk.sitkNearestNeighbor)
    filter_.SetUseNearestNeighborExtrapolator(True)
    resampled: sitk.Image = filter_.Execute(labelmap)
    return resampled


def _off_grid(predicted: sitk.Image, reference: sitk.Image) -> str:
    """Return in what two grids differ, for the error."""
    for what, one, other in (
        ("size", predicted.GetSize(), reference.GetSize()),
        ("spacing", predicted.GetSpacing(), reference.GetSpacing()),
        ("origin", predicted.GetOrigin(), reference.GetOrigin()),
    ):
        if not np.allclose(one, other, rtol=1e-3, atol=1e-3):
            texts = (" x ".join(f"{value:g}" for value in values) for values in (one, other))
            return "prediction and reference differ in {}: {} and {}".format(what, *texts)
    return "prediction and reference differ in direction"
