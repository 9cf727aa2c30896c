"""The 40 organs that Organome measures, and the structures of body composition.

Ids and names are those of MRSegmentator's label table, unchanged from weights 1.0 to 2.0; regions
are Table 2 of the paper. Two traps of that table are kept as they are, because every published
model uses them: kidneys and adrenal glands come right then left while all other pairs come left
then right, and the veins are spelt ``iliac_vena``.

Source: Häntze et al. 2024, "MRSegmentator: robust multi-modality segmentation of 40 classes in MRI
and CT sequences", Table 2; the label tables of the released models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BACKGROUND: Final = 0


class Region(StrEnum):
    """Body region of a structure; for the 40 organs one of the first five, as in Table 2."""

    CHEST = "chest"
    GASTROINTESTINAL_TRACT = "gastrointestinal_tract"
    RETROPERITONEUM = "retroperitoneum"
    MUSCULOSKELETAL = "musculoskeletal"
    VESSELS = "vessels"
    ADIPOSE_TISSUE = "adipose_tissue"
    OTHER = "other"


class Side(StrEnum):
    """Side of the participant's body, never of the picture."""

    LEFT = "left"
    RIGHT = "right"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Organ:
    """One structure that is measured: one of the 40 organs, or one that a scheme brings along.

    Attributes:
        label: Voxel value in every labelmap that Organome writes: 1 to 40, or its place among the
            structures of its scheme.
        name: MRSegmentator's name, or the scheme's.
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


def side_of(name: str) -> Side:
    """Return the side of a structure by the first word of its name."""
    return Side(name.split("_", 1)[0]) if name.startswith(("left_", "right_")) else Side.NONE


def numbered(structures: Iterable[tuple[str, Region]]) -> tuple[Organ, ...]:
    """Give structures their labels: 1, 2, ... in the order in which they come."""
    return tuple(
        Organ(label=label, name=name, region=region, side=side_of(name))
        for label, (name, region) in enumerate(structures, start=1)
    )


def pairs_of(structures: Sequence[Organ]) -> tuple[tuple[Organ, Organ], ...]:
    """Find the pairs, left first, of which both sides are there."""
    by_name = {structure.name: structure for structure in structures}
    return tuple(
        (structure, by_name[structure.partner_name])
        for structure in structures
        if structure.side is Side.LEFT and structure.partner_name in by_name
    )


_CHEST, _GUT, _RETRO, _BONES, _VESSELS = tuple(Region)[:5]
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

ORGANS: Final = numbered(_TABLE)
ORGAN_BY_NAME: Final[dict[str, Organ]] = {organ.name: organ for organ in ORGANS}
N_ORGANS: Final = len(ORGANS)
PAIRS: Final = pairs_of(ORGANS)

# Labels of the body composition model, in the order of its label table. One voxel has one label:
# what counts as abdominal or gluteofemoral is not counted as subcutaneous fat.
BODY_COMPOSITION: Final = numbered(
    (
        ("subcutaneous_fat", Region.ADIPOSE_TISSUE),
        ("visceral_fat", Region.ADIPOSE_TISSUE),
        ("left_rectus_abdominis", _BONES),
        ("right_rectus_abdominis", _BONES),
        ("left_oblique_muscle", _BONES),
        ("right_oblique_muscle", _BONES),
        ("left_quadratus_lumborum", _BONES),
        ("right_quadratus_lumborum", _BONES),
        ("abdominal_subcutaneous_fat", Region.ADIPOSE_TISSUE),
        ("gluteofemoral_fat", Region.ADIPOSE_TISSUE),
    )
)


# Unpaired and in the middle in everybody. Not the aorta: it lies left of the middle.
MIDLINE_ORGANS: Final = frozenset({"spine", "sacrum"})
# Unpaired, and on this side in all but one in ten thousand people (situs inversus).
USUAL_SIDES: Final = {"liver": Side.RIGHT, "spleen": Side.LEFT}


class SideFinding(StrEnum):
    """Why the side of an organ is suspect. Values stand in published tables: never rename one."""

    CROSSED = "crossed"
    OTHER_SIDE = "other_side"
    PIECES_ACROSS = "pieces_across"
    REACHES_ACROSS = "reaches_across"


SIDE_FINDING_MEANINGS: Final[dict[SideFinding, str]] = {
    SideFinding.CROSSED: "The left one of the pair lies to the right of the right one.",
    SideFinding.OTHER_SIDE: (
        "The middle of the organ lies on the other side of the body; for liver and spleen: on "
        "the side where hardly anybody has it."
    ),
    SideFinding.PIECES_ACROSS: "Separate pieces of the organ lie clearly on the other side.",
    SideFinding.REACHES_ACROSS: (
        "A large part of the organ lies on the other side, in one piece with the rest."
    ),
}
