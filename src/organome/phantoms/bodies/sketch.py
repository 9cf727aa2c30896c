"""A sketch: organs in the coordinates of a standard body, painted on one participant's canvas.

The standard body is 1.75 m tall; x to the left, y to the back, z to the head, in mm, z = 0 at the
femoral heads. A participant is the standard body scaled, gently bent, every organ shifted, tilted
and bumped a little, and scaled to its own volume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from organome.domain.organs import ORGAN_BY_NAME
from organome.phantoms.bodies.canvas import (
    Canvas,
    Level,
    Point,
    Shape,
    as_point,
    column,
    ellipsoid,
    smooth_path,
    tube,
)
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.bodies.tissues import Filler

STANDARD_HEIGHT_M = 1.75
SHIFT_MM = 3.0  # standard deviation of an organ's place
TILT_DEG = 3.0
FASCIA_LEVEL = 1.14  # level at the outside of a fascia: 7 % beyond the radius
USUAL_FAT_MM = 42.0  # at most, up to a body mass index of 36; 4 mm more for each unit beyond
STRETCH = 0.05  # standard deviation of the log of an organ's proportions


@dataclass(frozen=True, slots=True)
class Habitus:
    """How a participant's body differs from the standard one.

    Attributes:
        tall: Scale along z.
        wide: Scale along x.
        deep: Scale along y.
        hips: Extra scale of the pelvis along x.
        fat_mm: Thickness of subcutaneous fat at the waist.
        bend_mm: Amplitudes of three gentle bends.
        bend_phase: Their phases in radians.
    """

    tall: float
    wide: float
    deep: float
    hips: float
    fat_mm: float
    bend_mm: Point
    bend_phase: Point

    @classmethod
    def of(cls, who: Covariates, rng: np.random.Generator) -> "Habitus":
        """Derive the habitus from covariates and chance."""
        tall = who.height_m / STANDARD_HEIGHT_M
        bulk = (who.bmi_kg_m2 - 25.0) / 10.0
        female = who.sex == "female"
        thickest_mm = USUAL_FAT_MM + 4.0 * max(who.bmi_kg_m2 - 36.0, 0.0)
        thinnest_mm = 7.0 - 1.5 * max(19.0 - who.bmi_kg_m2, 0.0)
        fat_mm = 18.0 + 22.0 * bulk + (5.0 if female else 0.0)
        bend = rng.normal(0.0, (2.5, 2.5, 2.5))
        phase = rng.uniform(0, 2 * np.pi, 3)
        return cls(
            tall=tall,
            wide=tall**0.7 * (1.0 + 0.06 * bulk) * (0.97 if female else 1.0),
            deep=tall**0.5 * (1.0 + 0.10 * bulk) * (0.97 if female else 1.0),
            hips=1.05 if female else 1.0,
            fat_mm=float(np.clip(fat_mm, thinnest_mm, thickest_mm)),
            bend_mm=as_point(bend),
            bend_phase=as_point(phase),
        )

    def place(self, point: Point) -> Point:
        """Move a point of the standard body to this body."""
        x, y, z = point
        hips = 1.0 + (self.hips - 1.0) * float(np.exp(-((z / 120.0) ** 2)))
        return (
            x * self.wide * hips + self.bend_mm[0] * float(np.sin(z / 130.0 + self.bend_phase[0])),
            y * self.deep + self.bend_mm[1] * float(np.sin(z / 110.0 + self.bend_phase[1])),
            z * self.tall + self.bend_mm[2] * float(np.sin(x / 90.0 + self.bend_phase[2])),
        )


@dataclass
class Sketch:
    """Paints organs of the standard body onto a canvas.

    Attributes:
        canvas: What is painted on.
        habitus: The participant's body.
        seed: Seeds the small differences of every organ, one stream an organ.
        scales: Linear scale by organ name, 1 where absent; 0 leaves the organ out.
        drift: How far the small differences have moved on since a first visit, 0 to 1.
    """

    canvas: Canvas
    habitus: Habitus
    seed: int
    scales: Mapping[str, float]
    drift: float = 0.0

    def blob(
        self,
        name: str,
        centre: Point,
        radii: Point,
        *,
        tilt_deg: Point = (0, 0, 0),
        power: float = 2.0,
        bump: float = 0.05,
    ) -> Shape:
        """Make an ellipsoid of an organ."""
        chance = self._chance(name)
        scale = self.scales.get(name, 1.0)
        stretch = np.exp(chance[3:6] * STRETCH)
        size = (self.habitus.wide, self.habitus.deep, self.habitus.tall)
        place = self.habitus.place(centre)
        return ellipsoid(
            _moved(place, chance),
            as_point(np.asarray(radii) * scale * stretch * size),
            tilt_deg=as_point(np.asarray(tilt_deg) + chance[6:9] * TILT_DEG),
            power=power,
            bump=bump,
            phase=float(chance[9] * 3.0),
        )

    def path(
        self, name: str, points: Sequence[Point], radii_mm: Sequence[float]
    ) -> tuple[Shape, ...]:
        """Make a tube of an organ along a smooth path."""
        chance = self._chance(name)
        scale = self.scales.get(name, 1.0)
        n = 4 * (len(points) - 1) + 1
        placed = [_moved(self.habitus.place(p), chance) for p in points]
        radii = np.interp(np.linspace(0, len(points) - 1, n), range(len(points)), radii_mm)
        return tube(smooth_path(placed, n), [float(r) * scale for r in radii])

    def stack(
        self,
        name: str,
        rows: Sequence[tuple[float, float, float, float, float]],
        *,
        power: float = 2.0,
        extra_mm: float = 0.0,
    ) -> Shape:
        """Make a stack of ellipses from rows of (z, x, y, half width, half depth), z ascending."""
        scale = self.scales.get(name, 1.0)
        placed = [self.habitus.place((x, y, z)) for z, x, y, _, _ in rows]
        return column(
            [p[2] for p in placed],
            [p[0] for p in placed],
            [p[1] for p in placed],
            [a * scale * self.habitus.wide + extra_mm for *_, a, _ in rows],
            [b * scale * self.habitus.deep + extra_mm for *_, b in rows],
            power=power,
        )

    def paint(self, name: str, shapes: Sequence[Shape], *, onto: Sequence[int] = ()) -> None:
        """Paint the shapes of an organ, unless this participant lacks it."""
        if self.scales.get(name, 1.0) > 0.0:
            self.canvas.paint(ORGAN_BY_NAME[name].label, shapes, onto=onto)

    def paint_muscle(self, name: str, shapes: Sequence[Shape]) -> None:
        """Paint a muscle within its fascia, a thin layer of fat."""
        sheaths = [Shape(_widened(shape.level), shape.low, shape.high) for shape in shapes]
        self.canvas.paint(Filler.VISCERAL_FAT, sheaths, onto=(Filler.MUSCLE,))
        self.paint(name, shapes)

    def _chance(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        label = ORGAN_BY_NAME[name].label if name in ORGAN_BY_NAME else 0
        first = np.random.default_rng([self.seed, label]).normal(size=10)
        later = np.random.default_rng([self.seed, label, 1]).normal(size=10)
        return np.clip((1.0 - self.drift) * first + self.drift * later, -2.0, 2.0)


def _widened(level: Level) -> Level:
    return lambda x, y, z: level(x, y, z) / np.float32(FASCIA_LEVEL)


def _moved(point: Point, chance: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Point:
    return as_point(np.asarray(point) + chance[:3] * SHIFT_MM)
