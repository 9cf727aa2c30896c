"""Codes and colours: each structure has its own, and codes mean what the dictionaries say."""

from itertools import combinations

import pytest
from pydicom.sr.codedict import codes

from organome.domain.organ_codes import PRIVATE, SNOMED, Code, codes_of, colour_of
from organome.domain.organs import BODY_COMPOSITION, ORGANS, Organ, Region, Side, numbered

STRUCTURES = (*ORGANS, *BODY_COMPOSITION)
# Not in DICOM's own context groups: from the mapping that TotalSegmentator and 3D Slicer share.
ELSEWHERE = {
    "110765007": "Portal vein and splenic vein",
    "244849004": "Deep muscle of back",
    "68455001": "Iliopsoas muscle",
    "181674001": "Gluteus maximus muscle",
    "78333006": "Gluteus medius muscle",
    "75297007": "Gluteus minimus muscle",
    "67769002": "Subcutaneous fatty tissue",
}
WITHOUT_SNOMED = {
    "visceral_fat",
    "rectus_abdominis",
    "oblique_muscle",
    "quadratus_lumborum",
    "abdominal_subcutaneous_fat",
    "gluteofemoral_fat",
}


def meanings() -> dict[str, str]:
    """Of all SNOMED CT codes that DICOM uses, in the words of its context groups."""
    found = {}
    for name in codes.SCT.dir():
        code = getattr(codes.SCT, name)
        if "(" not in code.meaning:  # the fully specified name, which DICOM does not use
            found[code.value] = code.meaning
    return found


def test_codes_mean_what_dicom_says() -> None:
    known = meanings()
    for structure in STRUCTURES:
        told = codes_of(structure)
        for code in filter(None, (told.category, told.kind, told.side)):
            if code.scheme == SNOMED:
                expected = known.get(code.value, ELSEWHERE.get(code.value))
                assert code.meaning == expected, structure.name


@pytest.mark.parametrize("structures", [ORGANS, BODY_COMPOSITION])
def test_each_structure_has_its_own_name_in_codes(structures: tuple[Organ, ...]) -> None:
    told = [codes_of(structure) for structure in structures]
    assert len({(one.kind, one.side) for one in told}) == len(structures)


def test_sides_differ_by_the_modifier_alone() -> None:
    by_name = {structure.name: structure for structure in STRUCTURES}
    for structure in STRUCTURES:
        side = codes_of(structure).side
        assert (side is None) == (structure.side is Side.NONE)
        if structure.partner_name is not None:
            partner = codes_of(by_name[structure.partner_name])
            assert partner.kind == codes_of(structure).kind
            assert partner.side != side


def test_no_code_is_made_up_where_there_is_none() -> None:
    private = {told.kind.value for told in map(codes_of, STRUCTURES) if told.kind.scheme == PRIVATE}
    assert private == WITHOUT_SNOMED
    (brought,) = numbered([("left_trachea_cuff", Region.OTHER)])
    assert codes_of(brought).kind == Code("trachea_cuff", PRIVATE, "Trachea cuff")
    assert codes_of(brought).side == codes_of(ORGANS[2]).side


@pytest.mark.parametrize("structures", [ORGANS, BODY_COMPOSITION])
def test_colours_can_be_told_apart(structures: tuple[Organ, ...]) -> None:
    shown = {structure.name: colour_of(structure) for structure in structures}
    for (name, one), (other_name, other) in combinations(shown.items(), 2):
        apart = sum(abs(a - b) for a, b in zip(one, other, strict=True))
        assert apart >= 20, f"{name} {other_name}"
    assert all(0 <= value <= 255 for colour in shown.values() for value in colour)


def test_structures_that_somebody_brings_along_have_colours() -> None:
    brought = numbered((f"thing_{chr(97 + n)}", Region.OTHER) for n in range(26))
    assert len({colour_of(one) for one in brought}) == len(brought)
