"""The body around the organs, the skeleton, and the large muscles."""

from typing import Final

from organome.phantoms.bodies.canvas import Shape, tube
from organome.phantoms.bodies.sketch import Sketch
from organome.phantoms.bodies.tissues import Filler

# rows of (z, x, y, half width, half depth) in mm of the standard body
_TRUNK: Final = (
    (-70, 0, 0, 172, 104),
    (0, 0, 0, 178, 108),
    (60, 0, 0, 168, 110),
    (120, 0, 0, 158, 108),
    (200, 0, 0, 152, 110),
    (300, 0, 0, 160, 118),
    (400, 0, 0, 172, 124),
    (480, 0, 0, 185, 118),
    (540, 0, 0, 188, 100),
    (575, 0, 2, 150, 80),
    (600, 0, 5, 78, 66),
    (640, 0, 5, 66, 66),
    (740, 0, -5, 72, 88),
)
_CAVITY: Final = (
    (-45, 0, 8, 66, 44),
    (0, 0, 4, 92, 62),
    (60, 0, -8, 114, 70),
    (120, 0, -18, 128, 74),
    (200, 0, -20, 130, 78),
    (300, 0, -12, 136, 90),
    (400, 0, -2, 144, 98),
    (480, 0, -2, 138, 90),
    (560, 0, 2, 96, 62),
    (592, 0, 5, 46, 30),
)
_LEG: Final = (
    (-500, 90, 0, 52, 56),
    (-400, 92, 0, 58, 62),
    (-200, 95, 3, 74, 80),
    (-40, 90, 3, 86, 90),
)
_ARM: Final = (
    (-60, 268, 5, 30, 32),
    (200, 258, 5, 38, 40),
    (420, 232, 5, 44, 46),
    (560, 205, 5, 46, 48),
)
SPINE_Y: Final = (
    (60, 58),
    (100, 40),
    (150, 26),
    (200, 23),
    (300, 33),
    (400, 48),
    (500, 52),
    (570, 38),
    (650, 16),
    (740, 8),
)


def mirrored(
    rows: tuple[tuple[float, ...], ...], sign: int, axis: int = 0
) -> tuple[tuple[float, ...], ...]:
    """Put control points on the left (+1) or the right (-1) side."""
    return tuple(
        tuple(sign * value if i == axis else value for i, value in enumerate(row)) for row in rows
    )


def draw_envelope(sketch: Sketch) -> None:
    """Draw skin to cavity: fat, the muscular wall, legs and arms, and the fat inside."""
    paint, fat_mm = sketch.canvas.paint, sketch.habitus.fat_mm
    for extra_mm, code in ((fat_mm, Filler.SUBCUTANEOUS_FAT), (0.0, Filler.MUSCLE)):
        limb_mm = 0.45 * extra_mm
        shapes = [sketch.stack("", _TRUNK, power=2.4, extra_mm=extra_mm)]
        for sign in (1, -1):
            for rows in (_LEG, _ARM):
                shapes.append(
                    sketch.stack("", mirrored(rows, sign, axis=1), extra_mm=limb_mm)  # type: ignore[arg-type]
                )
        paint(code, shapes)
    paint(Filler.VISCERAL_FAT, [sketch.stack("", _CAVITY, power=2.2)])


def draw_skeleton(sketch: Sketch) -> None:
    """Draw spine, sacrum, femurs and hip bones; arms and arches as bone that is not an organ."""
    _draw_spine(sketch)
    sacrum = ((-42, 0, 76, 11, 7), (0, 0, 78, 24, 11), (50, 0, 66, 44, 18), (92, 0, 46, 52, 25))
    sketch.paint("sacrum", [sketch.stack("sacrum", sacrum, power=2.2)])
    for side, sign in (("left", 1), ("right", -1)):
        _draw_femur(sketch, f"{side}_femur", sign)
        _draw_hip(sketch, f"{side}_hip", sign)
        arm = [sketch.habitus.place((sign * x, y, z)) for z, x, y, _, _ in _ARM]
        sketch.canvas.paint(Filler.BONE, tube(arm, [11.0] * len(arm)))


def _draw_spine(sketch: Sketch) -> None:
    rows = tuple((z, 0.0, y, 24.0 - 0.011 * (z - 60), 19.0 - 0.009 * (z - 60)) for z, y in SPINE_Y)
    canal = tuple((z, x, y + b + 9.0, 8.5, 7.5) for z, x, y, _, b in rows)
    arch = tuple((z, x, y + b + 14.0, 15.0, 16.0) for z, x, y, _, b in rows)
    canvas = sketch.canvas
    canvas.paint(Filler.BONE, [sketch.stack("", arch)])
    canvas.paint(Filler.SPINAL_CANAL, [sketch.stack("", canal)])
    whole = sketch.stack("spine", rows, power=2.3)
    canvas.paint(Filler.DISC, [sketch.stack("", rows, power=2.3)])
    sketch.paint("spine", [_between(whole, *ends) for ends in _vertebra_ends(sketch)])


def _vertebra_ends(sketch: Sketch) -> list[tuple[float, float]]:
    """Lower and upper end of each vertebral body from L5 to C3, in mm."""
    ends, low = [], 98.0
    for height, disc, n in ((29.0, 8.0, 5), (20.5, 4.5, 12), (13.0, 4.0, 5)):
        for _ in range(n):
            ends.append((low * sketch.habitus.tall, (low + height) * sketch.habitus.tall))
            low += height + disc
    return ends


def _between(shape: Shape, low_mm: float, high_mm: float) -> Shape:
    return Shape(
        shape.level,
        (shape.low[0], shape.low[1], low_mm),
        (shape.high[0], shape.high[1], high_mm),
    )


def _draw_femur(sketch: Sketch, name: str, sign: int) -> None:
    s = float(sign)
    shapes = [sketch.blob(name, (s * 92, 0, 0), (24, 24, 24), bump=0.0)]
    shapes += sketch.path(name, [(s * 92, 0, 0), (s * 128, 8, -26)], [15, 17])
    shaft = [(s * 129, 8, -30), (s * 120, -4, -150), (s * 100, -8, -300), (s * 93, -6, -405)]
    shapes += sketch.path(name, [*shaft, (s * 91, 0, -440)], [20, 15, 14.5, 20, 30])
    sketch.paint(name, shapes)


def _draw_hip(sketch: Sketch, name: str, sign: int) -> None:
    s = float(sign)
    wing = sketch.blob(
        name, (s * 93, 28, 88), (9.5, 56, 56), tilt_deg=(0, s * 14, s * 24), bump=0.0
    )
    cup = sketch.blob(name, (s * 82, 6, 10), (27, 31, 36), bump=0.0)
    pubis = sketch.path(name, [(s * 72, -25, 0), (s * 40, -46, 0), (s * 10, -50, -18)], [12, 9, 10])
    ischium = sketch.path(
        name,
        [(s * 72, 34, -12), (s * 62, 44, -55), (s * 44, -5, -52), (s * 13, -42, -24)],
        [15, 14, 9, 9],
    )
    sketch.paint(name, [wing, cup, *pubis, *ischium])


def draw_muscles(sketch: Sketch) -> None:
    """Draw erector spinae, iliopsoas and the three gluteal muscles of both sides."""
    for side, sign in (("left", 1), ("right", -1)):
        s = float(sign)
        back = tuple(
            (float(z), s * (33 if z < 450 else 29), y + (54 if z < 350 else 47), 26.0, 22.0)
            for z, y in SPINE_Y[1:8]
        )
        name = f"{side}_autochthonous_muscle"
        sketch.paint_muscle(name, [sketch.stack(name, back, power=2.3)])
        name = f"{side}_iliopsoas_muscle"
        psoas = sketch.path(
            name,
            [(s * 32, 32, 278), (s * 44, 26, 205), (s * 56, 20, 125), (s * 70, -26, 45),
             (s * 86, -32, -8), (s * 92, -6, -58)],
            [9, 18, 23, 21, 16, 9],
        )  # fmt: skip
        iliacus = sketch.blob(name, (s * 80, 10, 84), (13, 36, 44), tilt_deg=(0, s * 14, s * 24))
        sketch.paint_muscle(name, [*psoas, iliacus])
        name = f"{side}_gluteus_minimus"
        tilt = (0.0, s * 12.0, s * 22.0)
        sketch.paint_muscle(
            name, [sketch.blob(name, (s * 113, 6, 62), (11, 36, 38), tilt_deg=tilt)]
        )
        name = f"{side}_gluteus_medius"
        sketch.paint_muscle(
            name, [sketch.blob(name, (s * 126, 18, 82), (23, 52, 58), tilt_deg=tilt)]
        )
        name = f"{side}_gluteus_maximus"
        rump = sketch.blob(name, (s * 80, 82, 12), (62, 27, 88), tilt_deg=(8, 0, s * -14))
        sketch.paint_muscle(name, [rump])
