"""The whole image in one coronal plane: seams of stations, exchanged fat and water, the unseen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw

from organome.compute.pictures.drawing import (
    NARROWEST_PX,
    STRIP_PX,
    TEXT_PX,
    WHITE,
    Panel,
    Picture,
    draw_scale_bar,
    font_of,
    in_words,
    write_line,
)
from organome.compute.pictures.planes import Body, Cut, cut_plane, middle_zyx, window_of
from organome.domain.organ_codes import Colour
from organome.domain.organs import Organ
from organome.domain.pictures import PictureKind
from organome.domain.wording import counted

_MOST_PX: Final = (320, 560)  # width and height of the plane
_FINEST_MM: Final = 0.7  # of a pixel
_BAR_PX: Final = 7
_WORDS_FROM_PX: Final = 18
_HATCH_PX: Final = 6
_SWAPPED: Final[Colour] = (230, 159, 0)  # orange and sky blue of Okabe and Ito
_UNJUDGED: Final[Colour] = (86, 180, 233)
_UNSEEN: Final[Colour] = (110, 110, 110)


@dataclass(frozen=True, slots=True)
class _Bars:
    """Heights that are marked beside the plane, and the words for them."""

    words: str
    colour: Colour
    spans_mm: Sequence[Sequence[float]]


def draw_overview(
    body: Body, structures: Sequence[Organ], contrast: str, facts: Mapping[str, Any]
) -> Picture:
    """Draw a coronal plane of the whole image through the middle of what is labelled.

    Args:
        body: Image and labels.
        structures: What the labels mean.
        contrast: What the image shows.
        facts: What preparing found; heights of stations, of exchanged fat and water and of those
            that could not be judged are marked.
    """
    places_zyx = middle_zyx(body.labels_zyx > 0)
    cut = Cut.through(body, "coronal", places_zyx, (slice(None),) * 3)
    height_mm, width_mm = cut.size_mm
    mm_per_px = max(width_mm / _MOST_PX[0], height_mm / _MOST_PX[1], _FINEST_MM)
    panel = Panel.of(cut, window_of(body.voxels_zyx, contrast), mm_per_px)
    plane = panel.drawn(structures, None)
    top_mm = body.low_mm + height_mm
    legend: list[tuple[str, Colour]] = []

    seams_mm = [
        (upper[0] + lower[1]) / 2 for upper, lower in pairwise(facts.get("station_spans_mm") or ())
    ]
    for mm in seams_mm:
        _dotted(plane, (top_mm - mm) / mm_per_px)
    if seams_mm:
        legend.append(("- seam of two stations", WHITE))
    if body.seen_zyx is not None:
        unseen = ~cut_plane(body.seen_zyx, "coronal", places_zyx)
        if unseen.any():
            _hatch(plane, unseen)
            legend.append(("/ not seen", _UNSEEN))
    bars = [one for one in _bars(facts) if one.spans_mm]
    legend += [(one.words, one.colour) for one in bars]

    words_px = max((font_of(TEXT_PX).getlength(words) for words, _ in legend), default=0)
    width = max(
        plane.width + len(bars) * (_BAR_PX + 2), int(words_px) + _WORDS_FROM_PX + 4, NARROWEST_PX
    )
    canvas = Image.new("RGB", (width, plane.height + (len(legend) + 2) * STRIP_PX))
    pen = ImageDraw.Draw(canvas)
    write_line(pen, 0, 0, f"coronal, {in_words(contrast)}")
    canvas.paste(plane, (0, STRIP_PX))
    for number, one in enumerate(bars):
        x = plane.width + 2 + number * (_BAR_PX + 2)
        for low_mm, high_mm in one.spans_mm:
            ends = [STRIP_PX + (top_mm - mm) / mm_per_px for mm in (high_mm, low_mm)]
            top, bottom = np.clip(ends, STRIP_PX, STRIP_PX + plane.height - 1)
            pen.rectangle([x, top, x + _BAR_PX - 1, bottom], one.colour)
    y = STRIP_PX + plane.height
    draw_scale_bar(pen, (2, y), mm_per_px, width)
    for words, colour in legend:
        y += STRIP_PX
        _swatch(pen, y, words[0], colour)
        write_line(pen, _WORDS_FROM_PX, y, words.lstrip("-/ "))
    marked = ", ".join(words.lstrip("-/ ") for words, _ in legend)
    said = f" Marked: {marked}." if marked else ""
    n_shown = np.unique(cut.labels[cut.labels > 0]).size
    alt_text = (
        f"Coronal plane of the whole {in_words(contrast)} image; contours of"
        f" {counted(n_shown, 'organ')}. The right of the body is on the left.{said}"
    )
    return Picture(PictureKind.CORONAL, None, canvas, mm_per_px, alt_text)


def _bars(facts: Mapping[str, Any]) -> Iterator[_Bars]:
    yield _Bars("fat and water exchanged", _SWAPPED, facts.get("swapped_spans_mm") or ())
    yield _Bars("exchange not judged", _UNJUDGED, facts.get("unjudged_spans_mm") or ())


def _dotted(plane: Image.Image, y: float) -> None:
    pen = ImageDraw.Draw(plane)
    for x in range(0, plane.width, 8):
        pen.line([(x, y), (x + 4, y)], WHITE)


def _hatch(plane: Image.Image, unseen: Any) -> None:
    """Hatch what was not seen."""
    mask = Image.fromarray(unseen.astype(np.uint8) * 255).resize(
        plane.size, Image.Resampling.NEAREST
    )
    lines = Image.new("L", plane.size)
    pen = ImageDraw.Draw(lines)
    for x in range(-plane.height, plane.width, _HATCH_PX):
        pen.line([(x, plane.height), (x + plane.height, 0)], 255)
    where = np.minimum(np.asarray(mask), np.asarray(lines))
    plane.paste(_UNSEEN, mask=Image.fromarray(where))


def _swatch(pen: ImageDraw.ImageDraw, y: float, kind: str, colour: Colour) -> None:
    middle = y + STRIP_PX / 2
    if kind == "-":
        pen.line([(2, middle), (6, middle)], colour)
        pen.line([(10, middle), (14, middle)], colour)
    elif kind == "/":
        for x in (2, 8):
            pen.line([(x, middle + 4), (x + 8, middle - 4)], colour)
    else:
        pen.rectangle([4, middle - 5, 4 + _BAR_PX, middle + 5], colour)
