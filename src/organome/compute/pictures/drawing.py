"""A plane with contours, numbers and marks drawn over it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import scipy
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import find_contours

from organome.compute.geometry.arrays import Floats, Mask
from organome.compute.pictures.planes import EDGES, Cut, grey_levels
from organome.domain.organ_codes import Colour, colour_of, is_dashed
from organome.domain.organs import Organ
from organome.domain.pictures import PictureKind

WHITE: Final = (255, 255, 255)
GREY: Final = (170, 170, 170)
BLACK: Final = (0, 0, 0)
TEXT_PX: Final = 11
NUMBER_PX: Final = 9
STRIP_PX: Final = 16  # of black above and below planes, for words
GAP_PX: Final = 4
NARROWEST_PX: Final = 150  # so that words have room
LINE_PX: Final = 2.0
STRESSED_PX: Final = 3.0
DASH_PX: Final = (4.0, 3.0)  # drawn, left out

_FINER: Final = 2  # lines are drawn on a finer picture and averaged: Pillow's have stairs
_MIN_INSIDE_PX: Final = 2.0
_BARS_MM: Final = (100, 50, 20, 10, 5)
_NUMBER_MOVES: Final = ((0, 0), (0, -9), (0, 9), (9, 0), (-9, 0), (9, 9), (-9, -9))


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture and what it shows.

    Attributes:
        kind: Planes or overview.
        organ: Name of the organ in question; None: the body as a whole.
        image: The picture, RGB.
        mm_per_px: Millimetres of the body that a pixel shows, across and down.
        alt_text: What it shows, for who does not see it; names no participant.
    """

    kind: PictureKind
    organ: str | None
    image: Image.Image
    mm_per_px: float
    alt_text: str


Rectangle: TypeAlias = tuple[float, float, float, float]


@dataclass(slots=True)
class Panel:
    """A plane while it is drawn.

    Attributes:
        cut: The plane.
        mm_per_px: Millimetres of a pixel, across and down.
        picture: What is drawn so far.
        taken: Where text stands.
    """

    cut: Cut
    mm_per_px: float
    picture: Image.Image
    taken: list[Rectangle] = field(default_factory=list)

    @classmethod
    def of(cls, cut: Cut, window: tuple[float, float], mm_per_px: float) -> "Panel":
        """Show a plane in grey, each pixel as wide as it is high in the body."""
        height_px, width_px = (max(1, int(mm / mm_per_px + 1e-6)) for mm in cut.size_mm)
        row_mm, column_mm = cut.spacing_mm
        n_rows, n_columns = cut.labels.shape
        right = min(width_px * mm_per_px / column_mm, n_columns)
        seen = (0.0, 0.0, right, min(height_px * mm_per_px / row_mm, n_rows))
        grey = Image.fromarray(np.ascontiguousarray(grey_levels(cut.voxels, window)))
        size = (_FINER * width_px, _FINER * height_px)
        shown = grey.resize(size, Image.Resampling.BILINEAR, box=seen)
        return cls(cut, mm_per_px, shown.convert("RGB"))

    def drawn(self, structures: Sequence[Organ], stressed: Organ | None) -> Image.Image:
        """Draw outlines, marks and numbers, and return the plane; one outline may be stressed."""
        present = list(self._present(structures))
        for organ, mask, corner in sorted(present, key=lambda one: one[0] == stressed):
            width_px = STRESSED_PX if organ == stressed else LINE_PX
            self._draw_outline(organ, mask, corner, round(_FINER * width_px))
        self.picture = self.picture.reduce(_FINER)
        self._mark_edges()
        self._number(present)
        return self.picture

    def _present(self, structures: Sequence[Organ]) -> Iterator[tuple[Organ, Mask, Floats]]:
        """Yield what is in the plane: its mask with a margin of one, and where that begins."""
        boxes = scipy.ndimage.find_objects(np.ascontiguousarray(self.cut.labels))
        for organ in structures:
            box = boxes[organ.label - 1] if organ.label <= len(boxes) else None
            if box is not None:
                mask = np.pad(self.cut.labels[box] == organ.label, 1)
                yield organ, mask, np.array([part.start - 1.0 for part in box])

    def _draw_outline(self, organ: Organ, mask: Mask, corner: Floats, width_px: int) -> None:
        pen = ImageDraw.Draw(self.picture)
        for line in find_contours(mask.astype(np.float32), 0.5):
            px = self._to_px(line + corner) * _FINER
            for piece in _dashes(px, _FINER) if is_dashed(organ) else [px]:
                pen.line([tuple(point) for point in piece], colour_of(organ), width_px, "curve")

    def _mark_edges(self) -> None:
        """Name the sides of the body at the left and right edge."""
        width, height = self.picture.size
        left, right = EDGES[self.cut.plane]
        self._write((3, height / 2), left, WHITE, TEXT_PX, "lm")
        self._write((width - 3, height / 2), right, WHITE, TEXT_PX, "rm")

    def _number(self, present: Sequence[tuple[Organ, Mask, Floats]]) -> None:
        """Write the numbers of structures inside of them, the largest first; some find no room."""
        places = []
        for organ, mask, corner in present:
            depth_mm = scipy.ndimage.distance_transform_edt(mask, sampling=self.cut.spacing_mm)
            deepest = np.array(np.unravel_index(int(depth_mm.argmax()), depth_mm.shape))
            inside_px = float(depth_mm.max()) / self.mm_per_px
            places.append((inside_px, organ, self._to_px(corner + deepest[None])[0]))
        for inside_px, organ, (x, y) in sorted(places, key=lambda one: -one[0]):
            if inside_px < _MIN_INSIDE_PX:
                continue
            for dx, dy in _NUMBER_MOVES:
                if self._write((x + dx, y + dy), str(organ.label), WHITE, NUMBER_PX, "mm"):
                    break

    def _to_px(self, places: Floats) -> Floats:
        """Turn rows and columns of voxels into x and y of pixels; shape (n, 2)."""
        px: Floats = ((places + 0.5) * self.cut.spacing_mm / self.mm_per_px)[:, ::-1]
        return px

    def _write(
        self, place: tuple[float, float], text: str, colour: Colour, size_px: int, anchor: str
    ) -> bool:
        """Write where no other text stands and the picture does not end; else return False."""
        pen, font = ImageDraw.Draw(self.picture), font_of(size_px)
        left, top, right, bottom = pen.textbbox(place, text, font, anchor, stroke_width=1)
        width, height = self.picture.size
        is_inside = left >= 0 and top >= 0 and right <= width and bottom <= height
        if not is_inside or any(
            left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
            for other in self.taken
        ):
            return False
        pen.text(place, text, colour, font, anchor, stroke_width=1, stroke_fill=BLACK)
        self.taken.append((left, top, right, bottom))
        return True


def font_of(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font that Pillow brings along."""
    return ImageFont.load_default(size_px)


def in_words(name: str) -> str:
    """Write a name of an organ or contrast as words."""
    return name.replace("_", " ")


def write_line(pen: ImageDraw.ImageDraw, x: float, y: float, text: str) -> None:
    """Write a line into a strip that begins at y."""
    pen.text((x + 2, y + STRIP_PX / 2), text, GREY, font_of(TEXT_PX), "lm")


def draw_scale_bar(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], mm_per_px: float, width_px: int
) -> float:
    """Draw a bar with its length beside it into a strip that begins at a place.

    Args:
        pen: What draws on the picture.
        place: Where the strip begins.
        mm_per_px: Millimetres of a pixel.
        width_px: Width of the picture, of which the bar takes a quarter at most.

    Returns:
        Where the words end.
    """
    most_mm = mm_per_px * width_px / 4
    length_mm = next((mm for mm in _BARS_MM if mm <= most_mm), _BARS_MM[-1])
    x, y = place[0], place[1] + STRIP_PX / 2 + 2
    end = x + length_mm / mm_per_px
    pen.line([(x, y - 3), (x, y), (end, y), (end, y - 3)], WHITE, 1)
    words = f"{length_mm / 10:g} cm"
    write_line(pen, end + 2, place[1], words)
    return end + 4 + font_of(TEXT_PX).getlength(words)


def _dashes(line: Floats, finer: int) -> Iterator[Floats]:
    """Cut a line into dashes."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    drawn, left_out = (finer * px for px in DASH_PX)
    for start in np.arange(0, along[-1], drawn + left_out):
        end = min(start + drawn, along[-1])
        inner = along[(along > start) & (along < end)]
        places = np.concatenate([[start], inner, [end]])
        yield np.stack([np.interp(places, along, axis) for axis in line.T], axis=1)
