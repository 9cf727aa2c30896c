"""The 40 organs that Organome measures.

Ids and names are those of MRSegmentator's label table, unchanged from weights 1.0 to 2.0; regions
are Table 2 of the paper. Two traps of that table are kept as they are, because every published
model uses them: kidneys and adrenal glands come right then left while all other pairs come left
then right, and the veins are spelt ``iliac_vena``.

Source: Häntze et al. 2024, "MRSegmentator: robust multi-modality segmentation of 40 classes in MRI
and CT sequences", Table 2; the label table of the released models.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BACKGROUND: Final = 0


class Region(StrEnum):
    """Body region of an organ, as in Table 2 of the paper."""

    CHEST = "chest"
    GASTROINTESTINAL_TRACT = "gastrointestinal_tract"
    RETROPERITONEUM = "retroperitoneum"
    MUSCULOSKELETAL = "musculoskeletal"
    VESSELS = "vessels"


class Side(StrEnum):
    """Side of the participant's body, never of the picture."""

    LEFT = "left"
    RIGHT = "right"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Organ:
    """One structure of the label table.

    Attributes:
        label: Voxel value in every labelmap that Organome writes, 1 to 40.
        name: MRSegmentator's name.
        region: Body region.
        side: Side of the body, ``none`` for structures without a partner.
    """

    label: int
    name: str
    region: Region
    side: Side

    @property
    def partner_name(self) -> str | None:
        """Name of the same organ on the other side, None where there is no other side."""
        if self.side is Side.LEFT:
            return self.name.replace("left_", "right_", 1)
        if self.side is Side.RIGHT:
            return self.name.replace("right_", "left_", 1)
        return None


def _side(name: str) -> Side:
    return Side(name.split("_", 1)[0]) if name.startswith(("left_", "right_")) else Side.NONE


_CHEST, _GUT, _RETRO, _BONES, _VESSELS = Region
_TABLE: Final = (
    ("spleen", _GUT),
    ("right_kidney", _RETRO),
    ("left_kidney", _RETRO),
    ("gallbladder", _GUT),
    ("liver", _GUT),
    ("stomach", _GUT),
    ("pancreas", _GUT),
    ("right_adrenal_gland", _RETRO),
    ("left_adrenal_gland", _RETRO),
    ("left_lung", _CHEST),
    ("right_lung", _CHEST),
    ("heart", _CHEST),
    ("aorta", _VESSELS),
    ("inferior_vena_cava", _VESSELS),
    ("portal_vein_and_splenic_vein", _VESSELS),
    ("left_iliac_artery", _VESSELS),
    ("right_iliac_artery", _VESSELS),
    ("left_iliac_vena", _VESSELS),
    ("right_iliac_vena", _VESSELS),
    ("esophagus", _CHEST),
    ("small_bowel", _GUT),
    ("duodenum", _GUT),
    ("colon", _GUT),
    ("urinary_bladder", _RETRO),
    ("spine", _BONES),
    ("sacrum", _BONES),
    ("left_hip", _BONES),
    ("right_hip", _BONES),
    ("left_femur", _BONES),
    ("right_femur", _BONES),
    ("left_autochthonous_muscle", _BONES),
    ("right_autochthonous_muscle", _BONES),
    ("left_iliopsoas_muscle", _BONES),
    ("right_iliopsoas_muscle", _BONES),
    ("left_gluteus_maximus", _BONES),
    ("right_gluteus_maximus", _BONES),
    ("left_gluteus_medius", _BONES),
    ("right_gluteus_medius", _BONES),
    ("left_gluteus_minimus", _BONES),
    ("right_gluteus_minimus", _BONES),
)

ORGANS: Final[tuple[Organ, ...]] = tuple(
    Organ(label=label, name=name, region=region, side=_side(name))
    for label, (name, region) in enumerate(_TABLE, start=1)
)
ORGAN_BY_NAME: Final[dict[str, Organ]] = {organ.name: organ for organ in ORGANS}
N_ORGANS: Final = len(ORGANS)
PAIRS: Final[tuple[tuple[Organ, Organ], ...]] = tuple(
    (organ, ORGAN_BY_NAME[organ.name.replace("left_", "right_", 1)])
    for organ in ORGANS
    if organ.side is Side.LEFT
)
