"""Sex, age, month and site: read where they are plain, else null."""

import pytest

from organome.domain.covariates import (
    Covariate,
    Covariates,
    age_at,
    read_age_years,
    read_month,
    read_sex,
    read_site,
)


@pytest.mark.parametrize(
    ("text", "sex"),
    [("F", "female"), ("male", "male"), (" M ", "male"), ("O", "other"), ("W", "female")]
    + [(text, None) for text in ("", "1", "2", "n/a", "unknown", None)],
)
def test_sex_is_a_word_and_never_a_code(text: str | None, sex: str | None) -> None:
    assert read_sex(text) == sex


@pytest.mark.parametrize(
    ("text", "years"),
    [("61", 61), ("61.5", 61.5), ("61,5", 61.5), ("045Y", 45), ("018M", 1.5), ("001Y", 1)]
    + [(text, None) for text in ("0", "000Y", "121", "89+", "-3", "n/a", "nan", "1e1", "", None)],
)
def test_an_age_is_in_years_and_plausible(text: str | None, years: float | None) -> None:
    assert read_age_years(text) == years


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("20160503", "2016-05"),
        ("20160503101500.000000", "2016-05"),
        ("2016-05-03T10:15:00", "2016-05"),
        ("2016-05", "2016-05"),
        *((one, None) for one in ("20161303", "1904-05-03", "03.05.2016", "n/a", "2016", "", None)),
        ("\u0662\u0660\u0661\u0666-\u0660\u0665", None),
    ],
)
def test_of_a_date_the_month_is_kept(text: str | None, month: str | None) -> None:
    assert read_month(text) == month


@pytest.mark.parametrize(
    ("birth", "scan", "years"),
    [
        ("19500601", "20160531", 65),
        ("19500601", "20160601", 66),
        ("1950", "20160601", None),
        ("19000101", "20160601", None),  # as tools write it that take identities out
        ("", "20160601", None),
        ("20200101", "20160601", None),
        ("19500601", None, None),
    ],
)
def test_age_by_two_dates(birth: str, scan: str | None, years: float | None) -> None:
    assert age_at(birth, scan) == years


@pytest.mark.parametrize(
    ("text", "site"),
    [("A1", "A1"), ("site-03", "site-03"), ("n/a", None), ("NA", None), ("", None)]
    + [(text, None) for text in ("1 Main Street", "University Hospital", "x" * 17, None)],
)
def test_a_site_is_a_code_and_never_a_text(text: str | None, site: str | None) -> None:
    assert read_site(text) == site


def test_only_what_is_asked_for_leaves() -> None:
    known = Covariates(None, 61, "2016-05", "A")
    assert known.asked_for(frozenset()) == {}
    assert known.asked_for(frozenset({Covariate.AGE})) == {"age_years": 61}
    assert Covariates(site="B").or_else(known) == Covariates(None, 61, "2016-05", "B")
