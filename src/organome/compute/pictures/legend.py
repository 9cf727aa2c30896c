"""What numbers, colours and lines stand for, by region of the body; pictures beside each other."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from organome.compute.pictures.drawing import (
    GAP_PX,
    STRIP_PX,
    TEXT_PX,
    WHITE,
    font_of,
    in_words,
    write_line,
)
from organome.domain.organ_codes import colour_of, is_dashed
from organome.domain.organs import Organ, Region

_COLUMN_PX: Final = 210
_NUMBER_PX: Final = 18
_SAMPLE_PX: Final = 22


def draw_legend(structures: Sequence[Organ], *, n_columns: int = 4) -> Image.Image:
    """List structures by region: number, line and name."""
    regions = sorted(structures, key=lambda one: list(Region).index(one.region))
    lines: list[str | Organ] = []
    for region, of_region in groupby(regions, key=lambda one: one.region):
        lines += [in_words(region), *of_region]
    n_rows = -(-len(lines) // n_columns)
    canvas = Image.new("RGB", (n_columns * _COLUMN_PX, n_rows * STRIP_PX))
    pen = ImageDraw.Draw(canvas)
    for place, line in enumerate(lines):
        column, row = divmod(place, n_rows)
        x, y = column * _COLUMN_PX, row * STRIP_PX
        if isinstance(line, Organ):
            _draw_entry(pen, x, y, line)
        else:
            pen.text((x + 2, y + STRIP_PX / 2), line, WHITE, font_of(TEXT_PX), "lm")
    return canvas


def stack(images: Sequence[Image.Image]) -> Image.Image:
    """Put pictures below each other."""
    width = max(image.width for image in images)
    canvas = Image.new("RGB", (width, sum(image.height + GAP_PX for image in images)))
    y = 0
    for image in images:
        canvas.paste(image, (0, y))
        y += image.height + GAP_PX
    return canvas


def half_blocks(image: Image.Image, n_columns: int) -> str:
    """Write a picture as coloured text; each letter shows two pixels, one above the other."""
    width = min(n_columns, image.width)
    height = max(2, round(image.height * width / image.width / 2) * 2)
    small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(small).tolist()
    lines = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = (
            "\x1b[38;2;{};{};{};48;2;{};{};{}m\u2580".format(*above, *below)
            for above, below in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def _draw_entry(pen: ImageDraw.ImageDraw, x: int, y: int, organ: Organ) -> None:
    middle, begin = y + STRIP_PX / 2, x + _NUMBER_PX
    pen.text((begin - 4, middle), str(organ.label), WHITE, font_of(TEXT_PX), "rm")
    end = begin + _SAMPLE_PX
    pieces = [(begin, begin + 6), (begin + 9, begin + 15), (end - 4, end)]
    for left, right in pieces if is_dashed(organ) else [(begin, end)]:
        pen.line([(left, middle), (right, middle)], colour_of(organ), 2)
    write_line(pen, end + 2, y, in_words(organ.name))
