"""Volumes that an organ of an adult can have: beyond them a labelmap is wrong, or a patient rare.

Bounds are wide on purpose: they part an organ from a speck or a flood of labels, not sound from
ill. Children of a known age have other least volumes.

Source: liver, spleen, kidneys, pancreas, adrenal glands and gallbladder lie well within the bounds
in Geraghty 2004 (CT, n=149), Cho 2024 (UK Biobank kidneys, n=38,526), a CT series of adrenal glands
(n=18,538) and AJG 1992 (gallbladders, n=1,703); heart and lungs from ICRP 89. For gut, muscles,
bones, vessels and body composition no verified distribution was found: their bounds are about a
tenth and five times of a usual adult value (ICRP 89 masses, single CT series).
"""

from typing import Final

from organome.domain.outcomes import OrganReason

# A piece of this share of the largest piece is a part of the organ, as a vertebra is of the spine:
# where it is cut, so is the organ. Smaller ones are strays.
MAIN_PIECE_SHARE: Final = 0.05

ADULT_YEARS: Final = 18.0
# Of the least volume of an adult: organs of newborns have a twentieth of the usual mass (ICRP 89).
CHILD_SHARE: Final = 0.05

# Least and greatest volume in mL; of a pair, of each side.
_BOUNDS_ML: Final[dict[str, tuple[float, float]]] = {
    "spleen": (30, 1500),
    "kidney": (40, 700),
    "gallbladder": (1, 200),
    "liver": (500, 4500),
    "stomach": (30, 3000),
    "pancreas": (5, 250),
    "adrenal_gland": (0.5, 15),
    "lung": (400, 4500),
    "heart": (300, 1600),
    "aorta": (20, 1000),
    "inferior_vena_cava": (10, 500),
    "portal_vein_and_splenic_vein": (3, 200),
    "iliac_artery": (1.5, 150),
    "iliac_vena": (2, 150),
    "esophagus": (4, 200),
    "small_bowel": (70, 5000),
    "duodenum": (6, 400),
    "colon": (70, 5000),
    "urinary_bladder": (5, 1200),
    "spine": (60, 3500),
    "sacrum": (20, 1000),
    "hip": (30, 1500),
    "femur": (40, 2000),
    "autochthonous_muscle": (60, 3000),
    "iliopsoas_muscle": (30, 1500),
    "gluteus_maximus": (60, 3000),
    "gluteus_medius": (25, 1500),
    "gluteus_minimus": (7, 400),
    "subcutaneous_fat": (200, 100_000),
    "visceral_fat": (20, 20_000),
    "rectus_abdominis": (10, 800),
    "oblique_muscle": (20, 2000),
    "quadratus_lumborum": (5, 400),
    "abdominal_subcutaneous_fat": (100, 60_000),
    "gluteofemoral_fat": (100, 60_000),
}


def volume_bounds_ml(name: str) -> tuple[float, float]:
    """Return the least and the greatest volume of a structure in mL.

    A structure that only a scheme of the user knows has no bounds: 0 and infinity.
    """
    kind = name.removeprefix("left_").removeprefix("right_")
    return _BOUNDS_ML.get(kind, (0.0, float("inf")))


def implausible_size(
    name: str, volume_ml: float, *, age_years: float | None = None
) -> OrganReason | None:
    """Return why a volume is not one that a structure can have, None if it is.

    Args:
        name: Name of the structure.
        volume_ml: Its volume.
        age_years: Age of the participant; unknown, an adult is assumed.
    """
    least_ml, greatest_ml = volume_bounds_ml(name)
    if age_years is not None and age_years < ADULT_YEARS:
        least_ml *= CHILD_SHARE
    if volume_ml < least_ml:
        return OrganReason.IMPLAUSIBLY_SMALL
    return OrganReason.IMPLAUSIBLY_LARGE if volume_ml > greatest_ml else None
