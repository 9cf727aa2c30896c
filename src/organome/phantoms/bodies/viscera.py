"""Vessels, chest and abdominal organs, in the order in which they take their place."""

import numpy as np

from organome.compute.geometry.arrays import Singles
from organome.phantoms.bodies.canvas import Shape, tube
from organome.phantoms.bodies.sketch import Sketch
from organome.phantoms.bodies.tissues import Filler


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
