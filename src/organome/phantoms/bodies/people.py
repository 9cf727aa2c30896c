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


# Mean volume of women and of men in mL, and its spread as a coefficient of variation.
_REFERENCES: Final[dict[str, tuple[float, float, float]]] = {
    "spleen": (180, 238, 0.22),
    "kidney": (156, 193, 0.12),
    "gallbladder": (25, 28, 0.25),
    "liver": (1411, 1710, 0.13),
    "stomach": (350, 380, 0.18),
    "pancreas": (66, 88, 0.14),
    "adrenal_gland": (3.6, 4.4, 0.12),
    "lung": (1450, 1900, 0.08),
    "heart": (590, 760, 0.12),
    "urinary_bladder": (150, 170, 0.30),
    "esophagus": (34, 40, 0.10),
    "small_bowel": (720, 820, 0.12),
    "duodenum": (62, 72, 0.12),
    "colon": (640, 720, 0.12),
    # no published mean found; plausible values
    "aorta": (135, 185, 0.12),
    "inferior_vena_cava": (80, 100, 0.12),
    "portal_vein_and_splenic_vein": (26, 32, 0.12),
    "iliac_artery": (16, 20, 0.10),
    "iliac_vena": (22, 27, 0.10),
    "spine": (560, 720, 0.07),
    "sacrum": (190, 225, 0.08),
    "hip": (280, 350, 0.07),
    "femur": (380, 500, 0.07),
    "autochthonous_muscle": (560, 760, 0.10),
    "iliopsoas_muscle": (270, 380, 0.10),
    "gluteus_maximus": (560, 720, 0.12),
    "gluteus_medius": (250, 320, 0.12),
    "gluteus_minimus": (66, 84, 0.12),
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
        female_ml, male_ml, spread = _REFERENCES[kind]
        mean_ml = female_ml if who.sex == "female" else male_ml
        own = float(np.clip(rng.normal(), -2, 2))
        common = shared.setdefault(kind, own)
        lungs = {"left_lung": 0.92, "right_lung": 1.08}.get(organ.name, 1.0)
        deviation = spread * (0.8 * common + 0.2 * own)
        drawn[organ.name] = mean_ml * size * lungs * float(np.exp(deviation))
    if rng.random() < GALLBLADDER_REMOVED:
        del drawn["gallbladder"]
    if rng.random() < KIDNEY_SINGLE:
        del drawn["left_kidney" if rng.random() < 0.5 else "right_kidney"]
    return drawn
