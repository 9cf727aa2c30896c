"""Procedural bodies with exactly known organ volumes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from organome.domain.organs import ORGAN_BY_NAME, ORGANS
from organome.phantoms.bodies.canvas import Canvas, Point
from organome.phantoms.bodies.organs import (
    draw_abdomen,
    draw_chest,
    draw_envelope,
    draw_muscles,
    draw_skeleton,
    draw_vessels,
)
from organome.phantoms.bodies.people import (
    Covariates,
    Sex,
    draw_covariates,
    draw_target_volumes_ml,
)
from organome.phantoms.bodies.sketch import USUAL_FAT_MM, Habitus, Sketch

SPACING_MM: Point = (2.0, 2.0, 2.5)
_COARSE_MM: Point = (4.0, 4.0, 5.0)
_FITTING_ROUNDS = 4
_LOW: Point = (-300.0, -170.0, -485.0)  # of the standard body, mm
_HIGH: Point = (300.0, 170.0, 690.0)
_PATHS = frozenset(  # their volume goes with the square of the scale: only the radius is scaled
    organ.name
    for organ in ORGANS
    if organ.name.endswith(("artery", "vena", "vein", "cava", "aorta", "colon", "bowel"))
    or organ.name
    in ("esophagus", "duodenum", "pancreas", "left_autochthonous_muscle", "spine", "sacrum")
    or organ.name == "right_autochthonous_muscle"
)


@dataclass(frozen=True, slots=True)
class Body:
    """A phantom participant.

    Attributes:
        covariates: Sex, age, height and weight.
        tissue_zyx: Tissue codes (``tissues``), 1 to 40 being the organ labels.
        spacing_xyz_mm: Voxel size.
        origin_xyz_mm: Centre of the first voxel; x to the left, y to the back, z to the head,
            z = 0 at the femoral heads.
        volumes_ml: Volume by organ name, exact: voxels times voxel volume. Absent organs are not
            in it.
    """

    covariates: Covariates
    tissue_zyx: NDArray[np.uint8]
    spacing_xyz_mm: Point
    origin_xyz_mm: Point
    volumes_ml: Mapping[str, float]


def draw_body(
    seed: int,
    *,
    sex: Sex | None = None,
    bmi_kg_m2: float | None = None,
    years_later: float = 0.0,
    spacing_xyz_mm: Point = SPACING_MM,
) -> Body:
    """Draw a phantom participant.

    Args:
        seed: The same seed gives the same person, bit for bit.
        sex: Drawn when None.
        bmi_kg_m2: Drawn when None, 19 to 36; bodies are made for 16 to 50.
        years_later: Years since a first visit: the same person, a little older, organs moved and
            shrunk or grown a little.
        spacing_xyz_mm: Voxel size of the canvas.
    """
    rng = np.random.default_rng([seed, 40])
    who = draw_covariates(rng, sex)
    if bmi_kg_m2 is not None:
        who = replace(who, weight_kg=round(bmi_kg_m2 * who.height_m**2, 1))
    targets = draw_target_volumes_ml(rng, who)
    habitus = Habitus.of(who, rng)
    if years_later:
        who = replace(who, age_years=round(who.age_years + years_later, 1))
        change = np.random.default_rng([seed, 41])
        shrink = 1.0 - 0.004 * years_later
        targets = {
            k: v * shrink * float(np.exp(change.normal(0, 0.02))) for k, v in targets.items()
        }
    drift = min(0.04 * years_later, 0.5)
    scales = _fit_scales(seed, habitus, targets, drift)
    canvas = _paint(seed, habitus, scales, drift, spacing_xyz_mm)
    return Body(
        covariates=who,
        tissue_zyx=canvas.tissue_zyx,
        spacing_xyz_mm=spacing_xyz_mm,
        origin_xyz_mm=(float(canvas.x_mm[0]), float(canvas.y_mm[0]), float(canvas.z_mm[0])),
        volumes_ml=_volumes_ml(canvas, spacing_xyz_mm),
    )


def _fit_scales(
    seed: int, habitus: Habitus, targets_ml: Mapping[str, float], drift: float
) -> dict[str, float]:
    """Scale every organ until its painted volume is near its target (a few coarse attempts)."""
    scales = {organ.name: float(organ.name in targets_ml) for organ in ORGANS}
    for _ in range(_FITTING_ROUNDS):
        painted = _volumes_ml(_paint(seed, habitus, scales, drift, _COARSE_MM), _COARSE_MM)
        for name, target in targets_ml.items():
            power = 0.5 if name in _PATHS else 1.0 / 3.0
            ratio = (target / max(painted.get(name, 0.0), 0.05 * target)) ** power
            scales[name] = float(np.clip(scales[name] * ratio, 0.70, 1.40))
    return scales


def _paint(
    seed: int, habitus: Habitus, scales: Mapping[str, float], drift: float, spacing: Point
) -> Canvas:
    axes = []
    size = (habitus.wide, habitus.deep, habitus.tall)
    more_mm = max(habitus.fat_mm - USUAL_FAT_MM, 0.0)
    for low, high, scale, step, skin_mm in zip(
        _LOW, _HIGH, size, spacing, (more_mm, more_mm, 0.0), strict=True
    ):
        ends = low * scale - skin_mm, high * scale + skin_mm
        axes.append(np.arange(*ends, step, dtype=np.float32))
    canvas = Canvas(*axes)
    sketch = Sketch(canvas, habitus, seed, scales, drift)
    draw_envelope(sketch)
    draw_skeleton(sketch)
    draw_muscles(sketch)
    draw_vessels(sketch)
    draw_chest(sketch)
    draw_abdomen(sketch)
    return canvas


def _volumes_ml(canvas: Canvas, spacing_xyz_mm: Point) -> dict[str, float]:
    voxel_ml = float(np.prod(spacing_xyz_mm)) / 1000.0
    counts = canvas.volumes_voxels()
    return {
        name: int(counts[organ.label]) * voxel_ml
        for name, organ in ORGAN_BY_NAME.items()
        if counts[organ.label]
    }
