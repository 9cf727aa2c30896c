"""Class lists of other tools, in the order of their label values (the first is 1).

Source: the public class tables of TotalSegmentator 2 (tasks ``total`` and ``total_mr``) and AMOS22.
"""

from typing import Final


def _pairs(*stems: str) -> list[str]:
    """Name classes that come left then right, side last: TotalSegmentator's way."""
    return [f"{stem}_{side}" for stem in stems for side in ("left", "right")]


# Both tasks of TotalSegmentator begin with these nine.
_UPPER_ABDOMEN: Final = [
    *("spleen", "kidney_right", "kidney_left", "gallbladder", "liver", "stomach", "pancreas"),
    *("adrenal_gland_right", "adrenal_gland_left"),
]
_SHOULDERS: Final = _pairs("humerus", "scapula", "clavicula")
_GLUTEI: Final = _pairs("gluteus_maximus", "gluteus_medius", "gluteus_minimus")
_TRUNK_MUSCLES: Final = _pairs("autochthon", "iliopsoas")
_ILIAC_VESSELS: Final = _pairs("iliac_artery", "iliac_vena")
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

TOTALSEGMENTATOR_CT_CLASSES: Final = [
    *_UPPER_ABDOMEN,
    *LOBES,
    *("esophagus", "trachea", "thyroid_gland", "small_bowel", "duodenum", "colon"),
    *("urinary_bladder", "prostate", *_pairs("kidney_cyst"), "sacrum"),
    *VERTEBRAE,
    *("heart", "aorta", "pulmonary_vein", "brachiocephalic_trunk"),
    *("subclavian_artery_right", "subclavian_artery_left"),
    *("common_carotid_artery_right", "common_carotid_artery_left"),
    *(*_pairs("brachiocephalic_vein"), "atrial_appendage_left", "superior_vena_cava"),
    *("inferior_vena_cava", "portal_vein_and_splenic_vein"),
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
AMOS22_CLASSES: Final = [
    *("spleen", "right_kidney", "left_kidney", "gallbladder", "esophagus", "liver", "stomach"),
    *("aorta", "postcava", "pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum"),
    *("bladder", "prostate_or_uterus"),
]
