"""Body wall, skeleton and muscles, then vessels and viscera, in the order they are drawn."""

from typing import Final

import numpy as np

from organome.compute.geometry.arrays import Singles
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


def draw_vessels(sketch: Sketch) -> None:
    """Draw aorta, iliac arteries, vena cava, iliac veins, and portal with splenic vein."""
    aorta = [(-6, -22, 440), (-2, -14, 488), (10, 4, 512), (24, 20, 496), (25, 24, 440)]
    aorta += [(21, 12, 350), (13, -4, 250), (8, -6, 200), (6, -4, 150)]
    sketch.paint("aorta", sketch.path("aorta", aorta, [14.5, 14, 13.5, 13, 12.5, 12, 11, 10.5, 10]))
    for side, s in (("left", 1.0), ("right", -1.0)):
        name = f"{side}_iliac_artery"
        run = [(7 + s * 7, -4, 144), (s * 30, -2, 104), (s * 52, -12, 62), (s * 70, -42, 16)]
        sketch.paint(name, sketch.path(name, [*run, (s * 78, -54, -24)], [7, 7, 6.5, 6, 5.5]))
    cava = [(-19, 2, 134), (-23, -4, 200), (-26, -8, 280), (-26, -12, 330), (-22, -18, 376)]
    name = "inferior_vena_cava"
    sketch.paint(name, sketch.path(name, cava, [11, 11.5, 12, 12.5, 12.5]))
    for side, s in (("left", 1.0), ("right", -1.0)):
        name = f"{side}_iliac_vena"
        run = [(-16 + s * 8, 10, 126), (s * 28, 20, 92), (s * 46, 8, 52), (s * 60, -28, 10)]
        sketch.paint(name, sketch.path(name, [*run, (s * 64, -46, -24)], [8.5, 8.5, 8, 7.5, 7]))
    name = "portal_vein_and_splenic_vein"
    splenic = [(90, 26, 290), (52, 16, 275), (14, -14, 262), (-10, -20, 256)]
    portal = [(-28, -20, 274), (-50, -14, 300)]
    sketch.paint(name, sketch.path(name, [*splenic, *portal], [6, 6.5, 7, 8, 8, 7.5]))


def draw_chest(sketch: Sketch) -> None:
    """Draw trachea, oesophagus, heart and lungs; lungs end at a domed diaphragm."""
    gullet = [(2, 14, 610), (2, 24, 540), (0, 26, 470), (2, 20, 420), (12, 6, 372), (32, -4, 344)]
    sketch.paint("esophagus", sketch.path("esophagus", gullet, [9, 9, 9, 9.5, 10, 11]))
    airway = [sketch.habitus.place(p) for p in ((0, 4, 640), (0, 4, 580), (-2, 4, 520))]
    sketch.canvas.paint(Filler.AIRWAY, tube(airway, [9.0, 9.0, 8.0]))
    for sign in (1, -1):
        main = [sketch.habitus.place(p) for p in ((-2, 4, 520), (sign * 38, 6, 488))]
        sketch.canvas.paint(Filler.AIRWAY, tube(main, [7.0, 5.5]))
    heart = sketch.blob("heart", (20, -38, 404), (60, 50, 54), tilt_deg=(0, -18, 14), power=2.2)
    sketch.paint("heart", [heart])
    for side, sign in (("left", 1), ("right", -1)):
        name = f"{side}_lung"
        sketch.paint(name, [_lung(sketch, name, sign)], onto=(Filler.VISCERAL_FAT,))


def _lung(sketch: Sketch, name: str, sign: int) -> Shape:
    rows = tuple(
        (float(z), sign * x, y, a, b)
        for z, x, y, a, b in (
            (250, 76, 8, 62, 74),
            (340, 76, 2, 64, 86),
            (440, 74, 2, 60, 84),
            (520, 64, 4, 48, 66),
            (570, 50, 8, 28, 36),
            (590, 44, 10, 10, 14),
        )
    )
    hull = sketch.stack(name, rows, power=2.3)
    top = sketch.habitus.place((sign * 72.0, -18.0, 350.0 if sign < 0 else 340.0))
    reach = (72.0 * sketch.habitus.wide, 78.0 * sketch.habitus.deep)

    def level(x: Singles, y: Singles, z: Singles) -> Singles:
        fall = ((x - np.float32(top[0])) / np.float32(reach[0])) ** 2
        fall = fall + ((y - np.float32(top[1])) / np.float32(reach[1])) ** 2
        above = z - (np.float32(top[2]) - 42.0 * fall)
        inside = hull.level(x, y, z)
        return np.where(above > 0.0, inside, np.float32(2.0)).astype(np.float32)

    return Shape(level, hull.low, hull.high)


def draw_abdomen(sketch: Sketch) -> None:
    """Draw the abdominal organs, small ones first."""
    for side, s in (("left", 1.0), ("right", -1.0)):
        name = f"{side}_adrenal_gland"
        z = 286.0 if s > 0 else 278.0
        sketch.paint(name, [sketch.blob(name, (s * 40, 16, z), (7.5, 9, 15), bump=0.0)])
        name = f"{side}_kidney"
        centre = (s * 66, 26, 226.0 if s > 0 else 214.0)
        sketch.paint(name, [sketch.blob(name, centre, (28, 25, 54), tilt_deg=(6, s * 10, 0))])
    head = [(-32, -24, 216), (-22, -28, 238), (2, -34, 250), (32, -16, 262), (74, 12, 278)]
    sketch.paint("pancreas", sketch.path("pancreas", head, [16, 15, 12, 12.5, 11]))
    sweep = [(-46, -44, 266), (-62, -26, 248), (-62, -12, 205), (-42, -14, 178)]
    sweep += [(-5, -26, 172), (28, -28, 190)]
    sketch.paint("duodenum", sketch.path("duodenum", sweep, [12, 12, 12, 12, 11.5, 11]))
    bag = sketch.blob("gallbladder", (-66, -62, 236), (14, 16, 27), tilt_deg=(-20, 0, 0), bump=0.0)
    sketch.paint("gallbladder", [bag])
    bladder = sketch.blob("urinary_bladder", (0, -20, 8), (40, 32, 30), bump=0.02)
    sketch.paint("urinary_bladder", [bladder])
    fat = (Filler.VISCERAL_FAT,)
    spleen = sketch.blob("spleen", (108, 34, 300), (28, 40, 50), tilt_deg=(24, 12, 0))
    sketch.paint("spleen", [spleen], onto=fat)
    lobes = [
        sketch.blob("liver", (-64, -6, 288), (84, 82, 78), tilt_deg=(0, 16, 0), power=2.2),
        sketch.blob("liver", (8, -52, 314), (66, 34, 34), tilt_deg=(0, -10, 0)),
    ]
    sketch.paint("liver", lobes, onto=fat)
    draw_gut(sketch)


def draw_gut(sketch: Sketch) -> None:
    """Draw stomach, colon and small bowel."""
    fat = (Filler.VISCERAL_FAT,)
    run = [(62, -12, 312), (62, -42, 268), (34, -66, 236), (-8, -66, 238), (-34, -58, 252)]
    shapes = [sketch.blob("stomach", (64, -2, 318), (40, 38, 40))]
    sketch.paint("stomach", [*shapes, *sketch.path("stomach", run, [34, 28, 23, 17, 13])], onto=fat)
    frame = [(-90, -22, 66), (-100, -18, 130), (-98, 0, 196), (-84, -40, 214), (-40, -78, 192)]
    frame += [(10, -86, 184), (58, -72, 212), (98, -14, 256), (108, 12, 236), (108, 12, 160)]
    frame += [(98, -4, 92), (70, -18, 62), (30, 4, 52), (6, 36, 56), (0, 44, 16), (0, 48, -34)]
    radii = [24, 24, 22, 20, 18, 18, 18, 19, 18, 17, 16, 15, 15, 16, 17, 15]
    sketch.paint("colon", sketch.path("colon", frame, radii), onto=fat)
    coil, sign = [], 1.0
    for row, z in enumerate((72.0, 98.0, 124.0, 150.0)):
        for y in (-34.0, -66.0):
            coil += [(-sign * 58, y, z + 3 * row), (0, y - 4, z), (sign * 58, y, z)]
            sign = -sign
    sketch.paint("small_bowel", sketch.path("small_bowel", coil, [14.5] * len(coil)), onto=fat)
