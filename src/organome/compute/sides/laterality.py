"""Left and right in a labelmap: a check by place in the body, and a repair of whole pieces.

All is judged in scanner space, never by the order of the array. The check looks at the centroid of
each organ, at its connected pieces, and at the share of it beyond the midline. The repair gives a
piece to the other side only if all of it lies clearly there and it touches no voxel of that side.
So a pair that touches can never become one side, as where the pieces of both sides together were
given to one of them by majority (MRSegmentator 1.0).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from organome.compute.geometry.arrays import Indices, Labels
from organome.compute.geometry.grids import voxel_ml
from organome.compute.sides.pieces import (
    NEAR_MM,
    SidePieces,
    find_side_pieces,
)
from organome.domain.organs import USUAL_SIDES, Organ, Side, SideFinding, pairs_of

CLEAR_SHARE: Final = 0.5  # of the way from the midline to where such an organ lies
MIN_ACROSS_ML: Final = 0.1  # pieces that are smaller altogether are specks,
MIN_ACROSS_SHARE: Final = 0.005  # and so are those that make no difference to the organ
MAX_ACROSS_SHARE: Final = 0.25  # of an organ; the left iliac vein crosses over in everybody


def check_sides(labelmap: sitk.Image, structures: Sequence[Organ]) -> dict[str, SideFinding | None]:
    """Check whether left organs lie on the left and right ones on the right.

    Args:
        labelmap: uint8 labels, any orientation.
        structures: What the labels mean; pairs are those of the names.

    Returns:
        What was found by name of the organ, None where nothing is suspect. Organs that cannot be
        checked are left out: without a side, not in view, or without anything to tell the middle
        of the body by.
    """
    pieces = find_side_pieces(labelmap, structures)
    if pieces is None:
        return {}
    found: dict[str, SideFinding | None] = {}
    for left, right in pairs_of(structures):
        here = [organ for organ in (left, right) if pieces.of(organ.label).size]
        is_crossed = len(here) == 2 and (
            pieces.left_mm(left.label) < pieces.left_mm(right.label) - NEAR_MM
        )
        for organ in here:
            partner = right if organ is left else left
            found[organ.name] = (
                SideFinding.CROSSED
                if is_crossed
                else _judge(pieces, organ, partner, voxel_ml(labelmap))
            )
    for organ in structures:
        if organ.name in USUAL_SIDES and pieces.of(organ.label).size:
            is_off = _own_mm(pieces.left_mm(organ.label), USUAL_SIDES[organ.name]) < -NEAR_MM
            found[organ.name] = SideFinding.OTHER_SIDE if is_off else None
    return found


def repair_sides(
    labelmap: sitk.Image, structures: Sequence[Organ]
) -> tuple[sitk.Image, dict[str, float]]:
    """Give whole pieces that lie clearly on the other side to the partner.

    Args:
        labelmap: uint8 labels, any orientation; it is not changed.
        structures: What the labels mean; pairs are those of the names.

    Returns:
        The labelmap, and how many mL each organ of a pair has lost, 0 where nothing was to be done.
        A piece that touches its partner stays as it is, for the check to find.
    """
    pieces = find_side_pieces(labelmap, structures)
    if pieces is None:
        return labelmap, {}
    neighbours = pieces.neighbours()
    labels = pieces.labels.copy()
    moved_ml = {}
    for left, right in pairs_of(structures):
        for organ, partner in ((left, right), (right, left)):
            free = [
                piece
                for piece in _pieces_across(pieces, organ, partner)
                if partner.label not in pieces.labels[list(neighbours.get(int(piece), ()))]
            ]
            labels[free] = partner.label
            if pieces.of(organ.label).size:
                moved_ml[organ.name] = float(pieces.n_voxels[free].sum()) * voxel_ml(labelmap)
    if not any(moved_ml.values()):
        return labelmap, moved_ml
    return _with_labels(labelmap, pieces, labels), moved_ml


def _judge(pieces: SidePieces, organ: Organ, partner: Organ, voxel_ml: float) -> SideFinding | None:
    if _own_mm(pieces.left_mm(organ.label), organ.side) < -NEAR_MM:
        return SideFinding.OTHER_SIDE
    n_voxels = pieces.n_voxels[pieces.of(organ.label)].sum()
    n_apart = pieces.n_voxels[_pieces_across(pieces, organ, partner)].sum()
    if n_apart >= max(MIN_ACROSS_ML / voxel_ml, MIN_ACROSS_SHARE * n_voxels):
        return SideFinding.PIECES_ACROSS
    n_beyond = pieces.n_beyond[1 if organ.side is Side.LEFT else 0, organ.label]
    if n_beyond > MAX_ACROSS_SHARE * n_voxels:
        return SideFinding.REACHES_ACROSS
    return None


def _pieces_across(pieces: SidePieces, organ: Organ, partner: Organ) -> Indices:
    """Number the pieces of an organ that lie clearly, and wholly, on the other side."""
    mains = [pieces.main(one.label) for one in (organ, partner)]
    usual_mm = [abs(float(pieces.lefts_mm[main])) for main in mains if main is not None]
    if not usual_mm:
        return np.zeros(0, np.intp)
    clear_mm = max(NEAR_MM, CLEAR_SHARE * float(np.mean(usual_mm)))
    own = pieces.of(organ.label)
    nearest_mm = _own_mm(pieces.reach_mm[own], organ.side).max(axis=1)
    centroids_mm = _own_mm(pieces.lefts_mm[own], organ.side)
    across: Indices = own[(nearest_mm <= 0) & (centroids_mm <= -clear_mm)]
    return across


def _own_mm(lefts_mm: Any, side: Side) -> Any:
    """Turn distances to the left into distances to an organ's own side."""
    return lefts_mm if side is Side.LEFT else -lefts_mm


def _with_labels(labelmap: sitk.Image, pieces: SidePieces, labels: Labels) -> sitk.Image:
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    within = labels_zyx[pieces.box]
    np.copyto(within, labels[pieces.pieces_zyx], where=pieces.pieces_zyx > 0)
    repaired = sitk.GetImageFromArray(labels_zyx)
    repaired.CopyInformation(labelmap)
    return repaired
