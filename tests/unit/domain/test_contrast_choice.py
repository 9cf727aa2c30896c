import pytest

from organome.domain.contrast_choice import choose_contrasts, suitable_contrasts
from organome.domain.contrasts import BEST_CONTRASTS, ChoiceReason, Combine, LeftOut
from organome.domain.errors import ScanError
from organome.domain.outcomes import Reason
from organome.domain.scans import DIXON_CONTRASTS, Contrast
from organome.domain.schemes import scheme_by_name

WATER, IN_PHASE, OPPOSED, FAT = (
    Contrast.WATER,
    Contrast.IN_PHASE,
    Contrast.OPPOSED_PHASE,
    Contrast.FAT,
)
DIXON = [contrast.value for contrast in DIXON_CONTRASTS]


@pytest.mark.parametrize(
    ("available", "is_swapped", "chosen", "reason"),
    [
        (DIXON, False, WATER, ChoiceReason.PREFERRED),
        (["fat", "in_phase"], False, IN_PHASE, ChoiceReason.PREFERRED_MISSING),
        (DIXON, True, IN_PHASE, ChoiceReason.PREFERRED_SWAPPED),
        (["fat", "water"], True, WATER, ChoiceReason.SWAPPED_NO_ALTERNATIVE),
        (["t2"], False, Contrast.T2, ChoiceReason.ONLY_IMAGE),
        (["fat"], False, FAT, ChoiceReason.ONLY_IMAGE),
    ],
)
def test_the_first_that_is_wanted_and_sound_is_chosen(
    available: list[str], is_swapped: bool, chosen: Contrast, reason: ChoiceReason
) -> None:
    choice = choose_contrasts(available, (WATER, IN_PHASE), is_swapped=is_swapped)
    assert choice.contrasts == (chosen,)
    assert choice.reason is reason
    assert choice.left_out == {}


def test_contrasts_of_other_kinds_of_scans_are_not_missed() -> None:
    for available in (DIXON, ["t1"], ["t2"], ["ct"]):
        choice = choose_contrasts(available, BEST_CONTRASTS)
        assert choice.reason is ChoiceReason.PREFERRED
    assert choose_contrasts(DIXON, BEST_CONTRASTS).contrasts == (WATER,)


def test_none_that_is_wanted_and_more_than_one_other_is_a_failure() -> None:
    with pytest.raises(ScanError) as caught:
        choose_contrasts(["t2", "t1"], (WATER, IN_PHASE))
    assert caught.value.reason is Reason.CONTRAST_MISSING
    with pytest.raises(ScanError, match="no image"):
        choose_contrasts([], (WATER,))


def test_all_that_are_wanted_vote_in_order_of_preference() -> None:
    choice = choose_contrasts(
        ["fat", "in_phase", "water"], (WATER, OPPOSED, IN_PHASE), combine=Combine.CONSENSUS
    )
    assert choice.contrasts == (WATER, IN_PHASE)
    assert choice.left_out == {OPPOSED: LeftOut.MISSING}


def test_swapped_contrasts_do_not_vote() -> None:
    choice = choose_contrasts(DIXON, BEST_CONTRASTS, combine=Combine.CONSENSUS, is_swapped=True)
    assert choice.contrasts == (OPPOSED, IN_PHASE)
    assert choice.left_out == {WATER: LeftOut.SWAPPED, FAT: LeftOut.SWAPPED}
    assert choice.reason is ChoiceReason.PREFERRED_SWAPPED


def test_every_contrast_has_its_place_among_the_best() -> None:
    assert sorted(BEST_CONTRASTS) == sorted(Contrast)


def test_a_scheme_for_one_modality_leaves_the_others_out() -> None:
    body_composition = scheme_by_name("body_composition")
    assert suitable_contrasts(["ct", "water"], body_composition) == ["water"]
    with pytest.raises(ScanError) as caught:
        suitable_contrasts(["ct"], body_composition)
    assert caught.value.reason is Reason.CONTRAST_MISSING
