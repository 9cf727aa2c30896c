"""Sex and age of the people of a dataset, whose table may have a row for each visit."""

import pytest

from organome.cohorts.datasets import read_people
from organome.domain.covariates import Covariates, Sex


@pytest.mark.parametrize(
    ("ages", "age_years"),
    [
        (("50", "50"), 50),
        (("50", "56"), None),
        (("50", "56", "50"), None),
        (("50", "n/a"), 50),
        (("", "50"), 50),
        (("", ""), None),
    ],
)
def test_an_age_that_differs_between_rows_of_a_person_is_not_known(
    ages: tuple[str, ...], age_years: float | None
) -> None:
    rows = [{"participant_id": "sub-1", "sex": "F", "age": age} for age in ages]
    assert read_people(rows) == {"1": Covariates(sex=Sex.FEMALE, age_years=age_years)}


def test_a_sex_that_differs_between_rows_of_a_person_is_not_known() -> None:
    rows = [{"eid": name, "sex": sex} for name, sex in (("1", "F"), ("2", "M"), ("1", "M"))]
    assert read_people(rows) == {"1": Covariates(), "2": Covariates(sex=Sex.MALE)}
