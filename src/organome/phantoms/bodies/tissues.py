"""What a phantom is made of: tissue codes, and how each tissue looks in each contrast.

Codes 1 to 40 are the organ labels themselves; the others fill the body around them. Signals are
relative (subcutaneous fat in T1 is 1.0) and plausible for 1.5 T gradient-echo imaging and for CT in
the portal-venous phase; they are not measurements of people.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from organome.domain.organs import N_ORGANS, ORGAN_BY_NAME


class Filler(IntEnum):
    """Tissues that are not an organ of the label table."""

    AIR = 0
    SUBCUTANEOUS_FAT = 41
    VISCERAL_FAT = 42
    MUSCLE = 43
    BONE = 44
    DISC = 45
    AIRWAY = 46
    SPINAL_CANAL = 47


N_TISSUES: Final = 48


@dataclass(frozen=True, slots=True)
class Look:
    """Relative signal of a tissue, and its CT number.

    Attributes:
        water: Water signal of a Dixon acquisition.
        fat: Fat signal of a Dixon acquisition.
        t1: Signal of a T1-weighted image.
        t2: Signal of a T2-weighted image.
        hu: CT number in Hounsfield units.
    """

    water: float
    fat: float
    t1: float
    t2: float
    hu: float

    @property
    def t1fs(self) -> float:
        """Signal of a T1-weighted image with fat saturation (an eighth of the fat is left)."""
        fat_share = self.fat / max(self.fat + self.water, 1e-6)
        return self.t1 * (1.0 - 0.875 * fat_share)


_ORGAN_LOOKS: Final[dict[str, tuple[float, float, float, float, float]]] = {
    "spleen": (0.75, 0.02, 0.45, 0.75, 112),
    "kidney": (0.85, 0.03, 0.50, 0.90, 172),
    "gallbladder": (0.55, 0.00, 0.25, 1.30, 8),
    "liver": (0.80, 0.05, 0.66, 0.45, 104),
    "stomach": (0.62, 0.01, 0.40, 0.80, 34),
    "pancreas": (0.72, 0.10, 0.74, 0.55, 90),
    "adrenal_gland": (0.60, 0.05, 0.50, 0.52, 74),
    "lung": (0.10, 0.00, 0.06, 0.07, -820),
    "heart": (0.95, 0.02, 0.52, 0.65, 140),
    "aorta": (1.12, 0.00, 0.35, 0.25, 192),
    "inferior_vena_cava": (0.95, 0.00, 0.33, 0.36, 148),
    "portal_vein_and_splenic_vein": (1.02, 0.00, 0.36, 0.32, 166),
    "iliac_artery": (1.12, 0.00, 0.35, 0.25, 188),
    "iliac_vena": (0.93, 0.00, 0.33, 0.37, 140),
    "esophagus": (0.50, 0.03, 0.42, 0.52, 40),
    "small_bowel": (0.66, 0.03, 0.50, 0.92, 56),
    "duodenum": (0.72, 0.02, 0.47, 0.80, 64),
    "colon": (0.33, 0.10, 0.56, 0.40, 14),
    "urinary_bladder": (0.44, 0.00, 0.20, 1.50, 5),
    "spine": (0.35, 0.40, 0.60, 0.50, 222),
    "sacrum": (0.30, 0.45, 0.63, 0.48, 196),
    "hip": (0.27, 0.52, 0.66, 0.46, 262),
    "femur": (0.14, 0.72, 0.82, 0.52, 318),
    "autochthonous_muscle": (0.50, 0.09, 0.43, 0.30, 54),
    "iliopsoas_muscle": (0.55, 0.03, 0.40, 0.26, 60),
    "gluteus_maximus": (0.44, 0.14, 0.46, 0.34, 46),
    "gluteus_medius": (0.51, 0.06, 0.42, 0.29, 55),
    "gluteus_minimus": (0.47, 0.10, 0.44, 0.32, 50),
}
_FILLER_LOOKS: Final[dict[Filler, tuple[float, float, float, float, float]]] = {
    Filler.AIR: (0.0, 0.0, 0.0, 0.0, -1000),
    Filler.SUBCUTANEOUS_FAT: (0.06, 1.00, 1.00, 0.85, -106),
    Filler.VISCERAL_FAT: (0.08, 0.92, 0.95, 0.82, -98),
    Filler.MUSCLE: (0.49, 0.05, 0.41, 0.28, 56),
    Filler.BONE: (0.18, 0.30, 0.45, 0.34, 350),
    Filler.DISC: (0.75, 0.00, 0.34, 0.72, 84),
    Filler.AIRWAY: (0.0, 0.0, 0.0, 0.0, -1000),
    Filler.SPINAL_CANAL: (0.50, 0.05, 0.16, 1.60, 18),
}


def _looks() -> tuple[Look, ...]:
    looks = [Look(*_FILLER_LOOKS[Filler.AIR])] * N_TISSUES
    for name, organ in ORGAN_BY_NAME.items():
        looks[organ.label] = Look(*_ORGAN_LOOKS[name.removeprefix("left_").removeprefix("right_")])
    for filler, values in _FILLER_LOOKS.items():
        looks[filler] = Look(*values)
    return tuple(looks)


LOOKS: Final[tuple[Look, ...]] = _looks()


def look_table(attribute: str) -> NDArray[np.float32]:
    """Tabulate one attribute of ``Look`` by tissue code; shape (N_TISSUES,)."""
    return np.array([getattr(look, attribute) for look in LOOKS], dtype=np.float32)


def is_organ(code: int) -> bool:
    """Return whether a tissue code is one of the 40 organs."""
    return 0 < code <= N_ORGANS
