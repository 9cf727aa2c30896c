"""Three planes through what is in question, side by side at one scale."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from organome.compute.pictures.drawing import (
    GAP_PX,
    NARROWEST_PX,
    STRIP_PX,
    TEXT_PX,
    Panel,
    Picture,
    draw_scale_bar,
    font_of,
    in_words,
    write_line,
)
from organome.compute.pictures.planes import (
    PLANES,
    Body,
    Box,
    Cut,
    middle_zyx,
    window_of,
)
from organome.domain.organs import Organ, Region
from organome.domain.pictures import PictureKind
from organome.domain.wording import counted

MOST_PX: Final = (840, 360)  # width and height of the planes together
_FINEST_MM: Final = 0.7  # of a pixel
_MARGINS_ZYX_MM: Final = (30.0, 80.0, 80.0)  # around the inner organs: the wall of the body
_AROUND_ORGAN_MM: Final = (60.0, 60.0, 60.0)
_BESIDE_WORDS_PX: Final = 70
_INNER: Final = (Region.GASTROINTESTINAL_TRACT, Region.RETROPERITONEUM)


def draw_planes(
    body: Body,
    structures: Sequence[Organ],
    contrast: str,
    organ: Organ | None = None,
    *,
    most_px: tuple[int, int] = MOST_PX,
) -> Picture:
    """Draw three planes through an organ, or through the middle of the inner organs.

    Args:
        body: Image and labels.
        structures: What the labels mean.
        contrast: What the image shows.
        organ: The organ in question; None: the inner organs, or all where there are none of them.
        most_px: Width and height that the planes may have together.
    """
    places_zyx, box = _in_view(body, structures, organ)
    cuts = [Cut.through(body, plane, places_zyx, box) for plane in PLANES]
    width_mm, height_mm = sum(cut.size_mm[1] for cut in cuts), max(cut.size_mm[0] for cut in cuts)
    mm_per_px = max(width_mm / (most_px[0] - 2 * GAP_PX), height_mm / most_px[1], _FINEST_MM)
    window = window_of(body.voxels_zyx, contrast)
    panels = [Panel.of(cut, window, mm_per_px).drawn(structures, organ) for cut in cuts]
    steps_px = [max(one.width, NARROWEST_PX // 3) + GAP_PX for one in panels]
    said = in_words(contrast if organ is None else f"{contrast}, {organ.label} {organ.name}")
    # Below them stand the scale bar, a quarter of the width at most, its length, and these words.
    words_px = (font_of(TEXT_PX).getlength(said) + _BESIDE_WORDS_PX) / 0.75
    width = max(sum(steps_px) - GAP_PX, math.ceil(words_px))
    canvas = Image.new("RGB", (width, max(one.height for one in panels) + 2 * STRIP_PX))
    pen, x = ImageDraw.Draw(canvas), 0
    for cut, panel, step_px in zip(cuts, panels, steps_px, strict=True):
        write_line(pen, x, 0, cut.plane)
        canvas.paste(panel, (x, STRIP_PX))
        x += step_px
    below = canvas.height - STRIP_PX
    end = draw_scale_bar(pen, (2, below), mm_per_px, width)
    write_line(pen, end + 12, below, said)
    n_shown = len({int(label) for cut in cuts for label in np.unique(cut.labels)} - {0})
    through = "the middle of the inner organs" if organ is None else in_words(organ.name)
    alt_text = (
        f"Axial, coronal and sagittal plane through {through} on the {in_words(contrast)} image;"
        f" contours of {counted(n_shown, 'organ')}. The right of the body is on the left."
    )
    kind, named = PictureKind.PLANES, None if organ is None else organ.name
    return Picture(kind, named, canvas, mm_per_px, alt_text)


def _in_view(
    body: Body, structures: Sequence[Organ], organ: Organ | None
) -> tuple[tuple[int, ...], Box]:
    """Choose where planes lie, and what of the body they show."""
    wanted = np.zeros(256, np.bool_)
    if organ is None:
        wanted[[one.label for one in structures if one.region in _INNER]] = True
    else:
        wanted[organ.label] = True
    mask_zyx = wanted[body.labels_zyx]
    if not mask_zyx.any():
        mask_zyx = body.labels_zyx > 0
    margins = _MARGINS_ZYX_MM if organ is None else _AROUND_ORGAN_MM
    return middle_zyx(mask_zyx), body.box_around(mask_zyx, margins)
