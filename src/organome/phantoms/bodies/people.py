"""Who the phantoms are: covariates, and the organ volumes that go with them.

Sources of mean volumes: Geraghty 2004 (CT, n=149; liver, spleen, kidneys, pancreas), ICRP
publication 89 reference masses at 1.06 g/mL (heart with blood, gut, oesophagus, muscles),
adult CT and ultrasound series for adrenal glands and gallbladder. Where no published mean was
found (bones, vessels, single muscles) the value is a plausible one and marked so.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from organome.domain.organs import ORGANS

Sex = Literal["female", "male"]


@dataclass(frozen=True, slots=True)
class Covariates:
    """What an epidemiologist knows of a participant."""

    sex: Sex
    age_years: float
    height_m: float
    weight_kg: float

    @property
    def bmi_kg_m2(self) -> float:
        """Body mass index."""
        return self.weight_kg / self.height_m**2


@dataclass(frozen=True, slots=True)
class Reference:
    """Mean volume by sex, and its spread between people as a coefficient of variation."""

    female_ml: float
    male_ml: float
    spread: float


_REFERENCES: Final[dict[str, Reference]] = {
    "spleen": Reference(180, 238, 0.22),
    "kidney": Reference(156, 193, 0.12),
    "gallbladder": Reference(25, 28, 0.25),
    "liver": Reference(1411, 1710, 0.13),
    "stomach": Reference(350, 380, 0.18),
    "pancreas": Reference(66, 88, 0.14),
    "adrenal_gland": Reference(3.6, 4.4, 0.12),
    "lung": Reference(1450, 1900, 0.08),
    "heart": Reference(590, 760, 0.12),
    "urinary_bladder": Reference(150, 170, 0.30),
    "esophagus": Reference(34, 40, 0.10),
    "small_bowel": Reference(720, 820, 0.12),
    "duodenum": Reference(62, 72, 0.12),
    "colon": Reference(640, 720, 0.12),
    # no published mean found; plausible values
    "aorta": Reference(135, 185, 0.12),
    "inferior_vena_cava": Reference(80, 100, 0.12),
    "portal_vein_and_splenic_vein": Reference(26, 32, 0.12),
    "iliac_artery": Reference(16, 20, 0.10),
    "iliac_vena": Reference(22, 27, 0.10),
    "spine": Reference(560, 720, 0.07),
    "sacrum": Reference(190, 225, 0.08),
    "hip": Reference(280, 350, 0.07),
    "femur": Reference(380, 500, 0.07),
    "autochthonous_muscle": Reference(560, 760, 0.10),
    "iliopsoas_muscle": Reference(270, 380, 0.10),
    "gluteus_maximus": Reference(560, 720, 0.12),
    "gluteus_medius": Reference(250, 320, 0.12),
    "gluteus_minimus": Reference(66, 84, 0.12),
}
GALLBLADDER_REMOVED: Final = 0.07  # share of middle-aged adults after cholecystectomy, rounded
KIDNEY_SINGLE: Final = 0.01  # rounded up from about 1 in 750 (agenesis) plus nephrectomy


def draw_covariates(rng: np.random.Generator, sex: Sex | None = None) -> Covariates:
    """Draw a participant of an imaging cohort, 45 to 80 years old."""
    drawn: Sex = "female" if rng.random() < 0.5 else "male"
    sex = sex or drawn
    height_m = float(np.clip(rng.normal(1.63 if sex == "female" else 1.76, 0.062), 1.48, 1.95))
    bmi = float(np.clip(np.exp(rng.normal(np.log(26.0), 0.13)), 19.0, 36.0))
    return Covariates(
        sex=sex,
        age_years=round(float(rng.uniform(45, 80)), 1),
        height_m=round(height_m, 3),
        weight_kg=round(bmi * height_m**2, 1),
    )


def draw_target_volumes_ml(rng: np.random.Generator, who: Covariates) -> dict[str, float]:
    """Draw the volume that each organ is meant to have, in mL; removed organs are left out.

    Volumes grow with the square of height and shrink by 2 % a decade beyond 50 years; partners
    share four fifths of their deviation.
    """
    drawn: dict[str, float] = {}
    shared: dict[str, float] = {}
    usual_m = 1.63 if who.sex == "female" else 1.76
    size = (who.height_m / usual_m) ** 2 * (1.0 - 0.002 * max(who.age_years - 50.0, 0.0))
    for organ in ORGANS:
        kind = organ.name.removeprefix("left_").removeprefix("right_")
        reference = _REFERENCES[kind]
        mean = reference.female_ml if who.sex == "female" else reference.male_ml
        own = float(np.clip(rng.normal(), -2, 2))
        common = shared.setdefault(kind, own)
        lungs = {"left_lung": 0.92, "right_lung": 1.08}.get(organ.name, 1.0)
        deviation = reference.spread * (0.8 * common + 0.2 * own)
        drawn[organ.name] = mean * size * lungs * float(np.exp(deviation))
    if rng.random() < GALLBLADDER_REMOVED:
        del drawn["gallbladder"]
    if rng.random() < KIDNEY_SINGLE:
        del drawn["left_kidney" if rng.random() < 0.5 else "right_kidney"]
    return drawn
