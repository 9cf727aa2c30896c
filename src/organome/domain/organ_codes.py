"""What other programs know structures by: SNOMED CT codes, sides, and colours to show them in.

Left and right share the code of the organ and differ by its modifier, as in DICOM: never one code
for both sides without it. A structure without an entry here, of a scheme that somebody brought
along, gets a private code made of its name: a code that is nearly right would be read as right.

Private codes are also given where SNOMED CT has no concept of just that, or we know of none:
visceral fat, the oblique muscles as one, fat by region.

Source: codes as in DICOM PS3.16 (context groups 4, 244, 7150, 7151, 7192, by pydicom's dictionary),
for muscles of hip and back and for portal and splenic vein as in the public SNOMED mapping of
TotalSegmentator, which 3D Slicer uses. Where that is narrower than the class we take the wider
one: its iliac vessels are the common ones, our class is all that is seen of them.
"""

from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import Final

from organome.domain.organs import Organ, Side

SNOMED: Final = "SCT"
PRIVATE: Final = "99ORGANOME"

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Code:
    """A concept of a coding scheme.

    Attributes:
        value: The code.
        scheme: Designator of the coding scheme, as DICOM has it.
        meaning: What it means, in English.
    """

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class StructureCodes:
    """The concepts that name a structure.

    Attributes:
        category: Kind of thing.
        kind: The thing, whichever side it is on.
        side: Side of the body, None where there is only one.
    """

    category: Code
    kind: Code
    side: Code | None


ANATOMICAL_STRUCTURE: Final = Code("91723000", SNOMED, "Anatomical Structure")
TISSUE: Final = Code("85756007", SNOMED, "Tissue")
_SIDES: Final = {
    Side.LEFT: Code("7771000", SNOMED, "Left"),
    Side.RIGHT: Code("24028007", SNOMED, "Right"),
}
_SNOMED_CODES: Final = {
    "spleen": ("78961009", "Spleen"),
    "kidney": ("64033007", "Kidney"),
    "gallbladder": ("28231008", "Gallbladder"),
    "liver": ("10200004", "Liver"),
    "stomach": ("69695003", "Stomach"),
    "pancreas": ("15776009", "Pancreas"),
    "adrenal_gland": ("23451007", "Adrenal gland"),
    "lung": ("39607008", "Lung"),
    "heart": ("80891009", "Heart"),
    "aorta": ("15825003", "Aorta"),
    "inferior_vena_cava": ("64131007", "Inferior vena cava"),
    "portal_vein_and_splenic_vein": ("110765007", "Portal vein and splenic vein"),
    "iliac_artery": ("10293006", "Iliac artery"),
    "iliac_vena": ("244411005", "Iliac vein"),
    "esophagus": ("32849002", "Esophagus"),
    "small_bowel": ("30315005", "Small intestine"),
    "duodenum": ("38848004", "Duodenum"),
    "colon": ("71854001", "Colon"),
    "urinary_bladder": ("89837001", "Bladder"),
    "spine": ("421060004", "Spine"),
    "sacrum": ("54735007", "Sacrum"),
    "hip": ("29836001", "Hip"),
    "femur": ("71341001", "Femur"),
    "autochthonous_muscle": ("244849004", "Deep muscle of back"),
    "iliopsoas_muscle": ("68455001", "Iliopsoas muscle"),
    "gluteus_maximus": ("181674001", "Gluteus maximus muscle"),
    "gluteus_medius": ("78333006", "Gluteus medius muscle"),
    "gluteus_minimus": ("75297007", "Gluteus minimus muscle"),
    "subcutaneous_fat": ("67769002", "Subcutaneous fatty tissue"),
}
_FATS: Final = frozenset(
    {"subcutaneous_fat", "visceral_fat", "abdominal_subcutaneous_fat", "gluteofemoral_fat"}
)

# Chosen to differ as far as they can within a region of the body, also for those who lack a kind of
# cone; of the vessels, arteries are reddish and veins blue.
_COLOURS: Final[dict[str, Colour]] = {
    "spleen": (209, 115, 209),
    "kidney": (255, 191, 0),
    "gallbladder": (191, 255, 0),
    "liver": (255, 0, 0),
    "stomach": (255, 140, 226),
    "pancreas": (209, 209, 115),
    "adrenal_gland": (209, 63, 173),
    "lung": (0, 124, 166),
    "heart": (255, 140, 169),
    "aorta": (209, 115, 139),
    "inferior_vena_cava": (140, 198, 255),
    "portal_vein_and_splenic_vein": (0, 157, 209),
    "iliac_artery": (166, 91, 91),
    "iliac_vena": (77, 121, 255),
    "esophagus": (255, 226, 140),
    "small_bowel": (121, 77, 255),
    "duodenum": (255, 255, 140),
    "colon": (77, 255, 255),
    "urinary_bladder": (166, 166, 91),
    "spine": (209, 186, 115),
    "sacrum": (140, 255, 198),
    "hip": (166, 137, 50),
    "femur": (209, 139, 115),
    "autochthonous_muscle": (169, 140, 255),
    "iliopsoas_muscle": (255, 210, 77),
    "gluteus_maximus": (255, 0, 128),
    "gluteus_medius": (115, 209, 186),
    "gluteus_minimus": (209, 0, 157),
    "subcutaneous_fat": (250, 224, 132),
    "visceral_fat": (242, 148, 58),
    "rectus_abdominis": (188, 62, 70),
    "oblique_muscle": (146, 88, 150),
    "quadratus_lumborum": (86, 124, 186),
    "abdominal_subcutaneous_fat": (252, 240, 176),
    "gluteofemoral_fat": (222, 188, 108),
}
_RIGHT_SHADE: Final = 0.78  # right ones are darker
_TURN: Final = 0.618034  # of the colour circle: the golden section never repeats


def codes_of(structure: Organ) -> StructureCodes:
    """Name a structure by concepts that other programs know."""
    stem = _stem(structure)
    if stem in _SNOMED_CODES:
        value, meaning = _SNOMED_CODES[stem]
        kind = Code(value, SNOMED, meaning)
    else:
        kind = Code(stem, PRIVATE, stem.replace("_", " ").capitalize())
    return StructureCodes(
        category=TISSUE if stem in _FATS else ANATOMICAL_STRUCTURE,
        kind=kind,
        side=_SIDES.get(structure.side),
    )


def colour_of(structure: Organ) -> Colour:
    """Choose the colour to show a structure in; the sides of a pair are shades of one."""
    colour = _COLOURS.get(_stem(structure)) or _made_up(structure.label)
    if structure.side is not Side.RIGHT:
        return colour
    red, green, blue = (round(_RIGHT_SHADE * value) for value in colour)
    return red, green, blue


def is_dashed(structure: Organ) -> bool:
    """Whether its outline is dashed: of a pair the left one is, whatever colours one can tell."""
    return structure.side is Side.LEFT


def _stem(structure: Organ) -> str:
    """Name it without its side."""
    if structure.side is Side.NONE:
        return structure.name
    return structure.name.removeprefix(f"{structure.side.value}_")


def _made_up(label: int) -> Colour:
    red, green, blue = (round(255 * one) for one in hsv_to_rgb(label * _TURN % 1.0, 0.6, 0.95))
    return red, green, blue
