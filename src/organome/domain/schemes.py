"""Label schemes: what the voxel values of a labelmap mean, and which organ each becomes.

Labelmaps of other tools are mapped onto the 40 organs, or onto structures that the scheme brings
along. A scheme knows every class of its tool, those without an organ too, so that a value it does
not know is an error and not background.

Source: the public class tables of MRSegmentator 1.0 to 2.0, TotalSegmentator 2 (tasks ``total`` and
``total_mr``), AMOS22, and VIBESegmentator (model 100, README of its repository, where the numbers
have been the same since May 2024); merging as in Häntze et al. 2024, section 2.1.3.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from organome.domain.contrast_kinds import modality_of
from organome.domain.errors import SetupError
from organome.domain.organs import BODY_COMPOSITION, ORGAN_BY_NAME, ORGANS, Organ
from organome.domain.scans import Contrast, Modality

# Both tasks of TotalSegmentator begin with these nine.
_UPPER_ABDOMEN: Final = [
    *("spleen", "kidney_right", "kidney_left", "gallbladder", "liver", "stomach", "pancreas"),
    *("adrenal_gland_right", "adrenal_gland_left"),
]
LOBES: Final = {
    "lung_upper_lobe_left": "left_lung",
    "lung_lower_lobe_left": "left_lung",
    "lung_upper_lobe_right": "right_lung",
    "lung_middle_lobe_right": "right_lung",
    "lung_lower_lobe_right": "right_lung",
}
VERTEBRAE: Final = [
    *("vertebrae_S1", *(f"vertebrae_L{n}" for n in range(5, 0, -1))),
    *(f"vertebrae_T{n}" for n in range(12, 0, -1)),
    *(f"vertebrae_C{n}" for n in range(7, 0, -1)),
]
AMOS22_CLASSES: Final = [
    *("spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach"),
    *("aorta", "postcava", "pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum"),
    *("bladder", "prostate_or_uterus"),
]
_SAME_NAME: Final = {organ.name: organ.name for organ in ORGANS}
_TOTALSEGMENTATOR_ORGANS: Final = {
    **_SAME_NAME,
    **LOBES,
    **dict.fromkeys((*VERTEBRAE, "vertebrae"), "spine"),
    **{
        f"{theirs}_{side}": f"{side}_{ours}"
        for theirs, ours in (
            *((stem, stem) for stem in ("kidney", "adrenal_gland", "lung", "femur", "hip")),
            *((stem, stem) for stem in ("iliac_artery", "iliac_vena")),
            *((stem, stem) for stem in ("gluteus_maximus", "gluteus_medius", "gluteus_minimus")),
            ("autochthon", "autochthonous_muscle"),
            ("iliopsoas", "iliopsoas_muscle"),
        )
        for side in ("left", "right")
    },
}


def _pairs(*stems: str) -> list[str]:
    """Name classes that come left then right, side last: TotalSegmentator's way."""
    return [f"{stem}_{side}" for stem in stems for side in ("left", "right")]


_SHOULDERS: Final = _pairs("humerus", "scapula", "clavicula")
_GLUTEI: Final = _pairs("gluteus_maximus", "gluteus_medius", "gluteus_minimus")
_TRUNK_MUSCLES: Final = _pairs("autochthon", "iliopsoas")
_ILIAC_VESSELS: Final = _pairs("iliac_artery", "iliac_vena")
_CHEST_VESSELS: Final = [
    *("heart", "aorta", "pulmonary_vein", "brachiocephalic_trunk"),
    *("subclavian_artery_right", "subclavian_artery_left"),
    *("common_carotid_artery_right", "common_carotid_artery_left"),
    *(*_pairs("brachiocephalic_vein"), "atrial_appendage_left", "superior_vena_cava"),
    *("inferior_vena_cava", "portal_vein_and_splenic_vein"),
]

TOTALSEGMENTATOR_CT_CLASSES: Final = [
    *_UPPER_ABDOMEN,
    *LOBES,
    *("esophagus", "trachea", "thyroid_gland", "small_bowel", "duodenum", "colon"),
    *("urinary_bladder", "prostate", *_pairs("kidney_cyst"), "sacrum"),
    *(*VERTEBRAE, *_CHEST_VESSELS),
    *(*_ILIAC_VESSELS, *_SHOULDERS, *_pairs("femur", "hip"), "spinal_cord"),
    *(*_GLUTEI, *_TRUNK_MUSCLES, "brain", "skull"),
    *(f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)),
    *("sternum", "costal_cartilages"),
]
TOTALSEGMENTATOR_MR_CLASSES: Final = [
    *(*_UPPER_ABDOMEN, *_pairs("lung")),
    *("esophagus", "small_bowel", "duodenum", "colon", "urinary_bladder", "prostate"),
    *("sacrum", "vertebrae", "intervertebral_discs", "spinal_cord"),
    *("heart", "aorta", "inferior_vena_cava", "portal_vein_and_splenic_vein"),
    *(*_ILIAC_VESSELS, *_SHOULDERS, *_pairs("femur", "hip")),
    *(*_GLUTEI, *_TRUNK_MUSCLES, "brain"),
]


VIBESEGMENTATOR_CLASSES: Final = [
    *(*_UPPER_ABDOMEN, *LOBES, "esophagus", "trachea", "thyroid_gland", "intestine", "duodenum"),
    *("unused", "urinary_bladder", "prostate", "sacrum", *_CHEST_VESSELS),
    *(*_ILIAC_VESSELS, *_SHOULDERS, *_pairs("femur", "hip"), "spinal_cord"),
    *(*_GLUTEI, *_TRUNK_MUSCLES, "sternum", "costal_cartilages"),
    *("subcutaneous_fat", "muscle", "inner_fat", "IVD", "vertebra_body"),
    *("vertebra_posterior_elements", "spinal_channel", "bone_other"),
]


@dataclass(frozen=True, slots=True)
class LabelScheme:
    """Classes of one tool and the organs that they become.

    Attributes:
        name: Its name in the config and in the tables.
        classes: Source label -> the tool's own name of the class; background (0) is not in it.
        organ_labels: Source label -> label of the organ, only for classes that become one.
        notes: Organ name -> where the tool's definition differs from that of MRSegmentator.
        structures: What a run with this scheme measures, in order of label: the 40 organs, or
            structures of its own. Each scan has one organ row for each.
        modality: The only kind of image that the scheme is for; None: any.
    """

    name: str
    classes: Mapping[int, str]
    organ_labels: Mapping[int, int]
    notes: Mapping[str, str] = field(default_factory=dict)
    structures: tuple[Organ, ...] = ORGANS
    modality: Modality | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle plain mappings: Python refuses read-only ones."""
        plain = (dict(self.classes), dict(self.organ_labels), dict(self.notes))
        return LabelScheme, (self.name, *plain, self.structures, self.modality)

    def suits(self, contrast: Contrast) -> bool:
        """Return whether images of this contrast may be labelled in this scheme."""
        return self.modality in (None, modality_of(contrast))

    def covers(self, organ: Organ) -> bool:
        """Return whether any class of the scheme becomes this organ."""
        return organ.label in self.organ_labels.values()

    def without_missing(self, sources: "Iterable[LabelScheme]") -> "LabelScheme":
        """Return the scheme without the organs that its labelmaps cannot hold.

        Args:
            sources: Schemes that the labelmaps were made from, of whose structures the values of
                this one are labels; one that lacks organs gives its name to what is returned, for
                profiles of evaluation go by it.

        Returns:
            The very same where nothing is missing.
        """
        scheme = self
        for source in sources:
            known = set(source.organ_labels.values())
            kept = {value: organ for value, organ in scheme.organ_labels.items() if value in known}
            if len(kept) < len(scheme.organ_labels):
                scheme = replace(scheme, name=source.name, organ_labels=kept, notes={})
        return scheme

    @property
    def n_missing_organs(self) -> int:
        """How many of the 40 organs no class of the scheme becomes."""
        return sum(not self.covers(organ) for organ in ORGANS)


def scheme_by_name(name: str) -> LabelScheme:
    """Find a scheme by the name it has in the config.

    Raises:
        SetupError: If there is no such scheme.
    """
    if name not in SCHEMES:
        raise SetupError(
            f"label scheme {name!r} is unknown: one of {', '.join(SCHEMES)}, or a scheme file"
        )
    return SCHEMES[name]


def _scheme(
    name: str, classes: list[str], organs: Mapping[str, str], notes: Mapping[str, str]
) -> LabelScheme:
    named = dict(enumerate(classes, start=1))
    return LabelScheme(
        name=name,
        classes=MappingProxyType(named),
        organ_labels=MappingProxyType(
            {
                label: ORGAN_BY_NAME[organs[source]].label
                for label, source in named.items()
                if source in organs
            }
        ),
        notes=MappingProxyType(dict(notes)),
    )


MRSEGMENTATOR: Final = _scheme(
    "mrsegmentator",
    [organ.name for organ in ORGANS],
    _SAME_NAME,
    {
        "spine": "Vertebral bodies without arches and discs on MRI, whole vertebrae on CT: the "
        "two are not the same quantity.",
        "right_kidney": "May hold cysts.",
        "left_kidney": "May hold cysts.",
    },
)
TOTALSEGMENTATOR_CT: Final = _scheme(
    "totalsegmentator_ct",
    TOTALSEGMENTATOR_CT_CLASSES,
    _TOTALSEGMENTATOR_ORGANS,
    {
        "spine": "Whole vertebrae with their arches, vertebrae_S1 included; vertebral bodies alone "
        "on MRI.",
        "sacrum": "vertebrae_S1 is counted as spine.",
        "right_kidney": "Without cysts, which are a class of their own and are dropped.",
        "left_kidney": "Without cysts, which are a class of their own and are dropped.",
        "heart": "Without the left atrial appendage and the pulmonary veins, which are classes of "
        "their own and are dropped.",
        "left_lung": "Sum of two lobes.",
        "right_lung": "Sum of three lobes.",
        "small_bowel": "Where it ends and the colon begins is that tool's choice.",
        "colon": "Where it begins and the small bowel ends is that tool's choice.",
    },
)
TOTALSEGMENTATOR_MR: Final = _scheme(
    "totalsegmentator_mr",
    TOTALSEGMENTATOR_MR_CLASSES,
    _TOTALSEGMENTATOR_ORGANS,
    {
        "spine": "One class 'vertebrae'; the discs are a class of their own and are dropped.",
        "small_bowel": "Where it ends and the colon begins is that tool's choice.",
        "colon": "Where it begins and the small bowel ends is that tool's choice.",
    },
)
AMOS22: Final = _scheme(
    "amos22",
    AMOS22_CLASSES,
    {**_SAME_NAME, "postcava": "inferior_vena_cava"},
    {
        "urinary_bladder": "Left out, as in the evaluation of the paper: two scans only, one of "
        "them wrong, in the MRI part.",
        "inferior_vena_cava": "Called postcava there.",
    },
)
VIBESEGMENTATOR: Final = _scheme(
    "vibesegmentator",
    VIBESEGMENTATOR_CLASSES,
    {**_TOTALSEGMENTATOR_ORGANS, "vertebra_body": "spine"},
    {
        "spine": "Vertebral bodies; posterior elements and discs are classes of their own and are "
        "dropped.",
        "heart": "Without the left atrial appendage and the pulmonary veins, which are classes of "
        "their own and are dropped.",
        "left_lung": "Sum of two lobes.",
        "right_lung": "Sum of three lobes.",
        "small_bowel": "One class 'intestine' with the colon, which is dropped.",
        "colon": "One class 'intestine' with the small bowel, which is dropped.",
        "duodenum": "Where it ends and the intestine begins is that tool's choice.",
    },
)
BODY_COMPOSITION_SCHEME: Final = LabelScheme(
    name="body_composition",
    classes=MappingProxyType({one.label: one.name for one in BODY_COMPOSITION}),
    organ_labels=MappingProxyType({one.label: one.label for one in BODY_COMPOSITION}),
    notes=MappingProxyType(
        {
            "subcutaneous_fat": "What is labelled abdominal_subcutaneous_fat or gluteofemoral_fat "
            "is not in it: a voxel has one label.",
        }
    ),
    structures=BODY_COMPOSITION,
    modality=Modality.MRI,
)

SCHEMES: Final[Mapping[str, LabelScheme]] = MappingProxyType(
    {
        scheme.name: scheme
        for scheme in (
            *(MRSEGMENTATOR, TOTALSEGMENTATOR_CT, TOTALSEGMENTATOR_MR, AMOS22),
            *(VIBESEGMENTATOR, BODY_COMPOSITION_SCHEME),
        )
    }
)
