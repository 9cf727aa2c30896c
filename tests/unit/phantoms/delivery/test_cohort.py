from dataclasses import replace

import pytest

from organome.domain.errors import SetupError
from organome.phantoms.delivery.cohort import PRESETS, plan_visits
from organome.phantoms.delivery.defects import Defect, Format

DEMO = PRESETS["demo"]


def test_the_demo_is_a_cohort_with_repeats_ct_and_defects() -> None:
    visits = plan_visits(DEMO)
    with_mri = [visit for visit in visits if not visit.with_ct]
    assert len({visit.participant for visit in with_mri}) >= 12
    assert len(with_mri) >= 14
    assert sum(visit.with_ct for visit in visits) == 2
    assert {visit.instance for visit in with_mri} == {"2", "3"}
    assert {visit.defect for visit in with_mri} >= {
        Defect.TRUNCATED_ZIP,
        Defect.MISSING_STATION,
        Defect.SHUFFLED_INSTANCES,
        Defect.SWAPPED_FAT_WATER,
    }


def test_the_same_seed_gives_the_same_cohort_and_another_gives_another() -> None:
    assert plan_visits(DEMO) == plan_visits(DEMO)
    others = {visit.body_seed for visit in plan_visits(replace(DEMO, seed=1))}
    assert not others & {visit.body_seed for visit in plan_visits(DEMO)}


def test_pseudonyms_are_seven_digits_and_one_person_each() -> None:
    visits = plan_visits(DEMO)
    assert all(len(visit.participant) == 7 and visit.participant.isdigit() for visit in visits)
    assert len({visit.participant for visit in visits}) == len(
        {visit.body_seed for visit in visits}
    )


def test_a_second_visit_is_the_same_person_later() -> None:
    visits = {(visit.participant, visit.instance): visit for visit in plan_visits(DEMO)}
    for (participant, instance), later in visits.items():
        if instance == "3":
            first = visits[participant, "2"]
            assert (later.body_seed, later.sex) == (first.body_seed, first.sex)
            assert later.started > first.started
            assert later.years_later > 0.0


def test_defects_spare_those_who_come_again() -> None:
    visits = plan_visits(DEMO)
    again = {visit.participant for visit in visits if visit.instance == "3"}
    assert not again & {visit.participant for visit in visits if visit.defect}


@pytest.mark.parametrize(
    "plan",
    [
        replace(DEMO, n_participants=0),
        replace(DEMO, n_repeats=13),
        replace(DEMO, n_ct=-1),
        replace(DEMO, n_participants=3, n_repeats=0),
    ],
)
def test_numbers_that_do_not_fit_are_refused(plan) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SetupError):
        plan_visits(plan)


def test_a_defect_that_no_delivery_can_have_is_refused() -> None:
    plan = replace(DEMO, formats=(Format.UKB,), defects=(Defect.NOT_FINITE,))
    with pytest.raises(SetupError, match="not_finite needs one of the formats bids, nifti"):
        plan_visits(plan)
