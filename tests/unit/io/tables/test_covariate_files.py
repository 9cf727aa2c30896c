from pathlib import Path

import pandas as pd
import pytest

from organome.domain.errors import SetupError
from organome.io.tables.covariate_files import at_visits, read_covariates

VISITS = pd.DataFrame({"participant": ["001", "001", "002"], "instance": ["2", "3", "2"]})


def at(path: Path, text: str | None = None) -> list[dict[str, object]]:
    if text is not None:
        path.write_text(text, encoding="utf-8")
    found = at_visits(read_covariates(path), VISITS).astype(object)
    rows = found.where(found.notna(), None).to_dict("records")
    return [{name: row[name] for name in row if row[name] is not None} for row in rows]


@pytest.mark.parametrize(
    "header",
    [
        "eid,p31,p34,p52,p21003_i2,p21003_i3,p50_i2,p21002_i3,p54_i2,p53_i2",
        "eid,31-0.0,34-0.0,52-0.0,21003-2.0,21003-3.0,50-2.0,21002-3.0,54-2.0,53-2.0",
        "f.eid,f.31.0.0,f.34.0.0,f.52.0.0,f.21003.2.0,f.21003.3.0,f.50.2.0,f.21002.3.0,f.54.2.0,f.53.2.0",
        "eid,x31_0_0,x34_0_0,x52_0_0,x21003_2_0,x21003_3_0,x50_2_0,x21002_3_0,x54_2_0,x53_2_0",
    ],
    ids=["research platform", "csv", "r", "letters"],
)
def test_fields_of_uk_biobank_are_known_in_every_spelling(header: str, tmp_path: Path) -> None:
    rows = at(
        tmp_path / "ukb.csv",
        f"{header}\n001,0,1950,6,66,69,164.5,-1,11025,2016-05-03\n002,1,1951,,65,,-3,70,11026,\n",
    )
    person = {"sex": "female", "birth_year": 1950, "birth_month": 6}
    assert rows == [
        {
            **{**person, "age_years": 66, "height_m": pytest.approx(1.645), "centre": "11025"},
            "scan_date": pd.Timestamp("2016-05-03"),
        },
        {**person, "age_years": 69},
        {"sex": "male", "birth_year": 1951, "age_years": 65, "centre": "11026"},
    ]


def test_names_of_nako_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    text = "ID;basis_sex;basis_age;a_anthro_groe;a_anthro_gew;StudZ\n002;2;51;171,5;7777;12\n"
    path = tmp_path / "nako.csv"
    rows = at(path, text + "003;1;40;180;80,5;12\n")
    assert rows[2] == {
        **{"sex": "female", "age_years": 51, "height_m": pytest.approx(1.715), "centre": "12"}
    }
    assert read_covariates(path).n_unreadable == {"a_anthro_gew": 1}


def test_what_is_of_one_visit_is_nobodys_at_two(tmp_path: Path) -> None:
    text = "participant_id\tsex\tage\theight_m\tweight\tscan_date\n"
    rows = at(
        tmp_path / "p.tsv",
        text + "sub-001\tF\t60\t1.7\t70\t2016-01-01\nsub-002\tM\t50\t1.8\t80\t\n",
    )
    assert rows[0] == rows[1] == {"sex": "female", "height_m": 1.7}
    assert rows[2] == {"sex": "male", "age_years": 50, "height_m": 1.8, "weight_kg": 80}


def test_parquet_gives_the_same_as_text(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            **{"participant": ["001", "001", "002"], "instance": [2, 3, 2]},
            **{"sex": ["female", "female", None], "age_years": [60.5, 63.5, None]},
        }
    )
    frame.to_parquet(tmp_path / "p.parquet")
    frame.to_csv(tmp_path / "p.tsv", sep="\t", index=False)
    rows = at(tmp_path / "p.parquet")
    assert rows == at(tmp_path / "p.tsv")
    assert rows[:2] == [{"sex": "female", "age_years": 60.5}, {"sex": "female", "age_years": 63.5}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("who\tsex\n1\tF\n", "no column participant"),
        ("participant\tshoe_size\n1\t40\n", "none of sex, age_years"),
        ("participant\tsex\n1\t1\n2\t2\n", "column sex: not one sex in it; write female and male"),
        ("participant\theight_cm\n1\t1.7\n2\t1.8\n", "column height_cm: not one height_cm in it"),
        ("participant\tage\n1\t50\n1\t51\n", "twice at one visit"),
        (
            "participant\tage\tage_years\n1\t50\t51\n",
            "age and age_years both say age_years",
        ),
        ("eid,p31,sex\n1,0,F\n", "both say sex"),
        ("id,participant_id,sex\n1,1,F\n", "id and participant_id both say participant"),
        ("eid,visit,session_id,sex\n1,2,2,F\n", "visit and session_id both say instance"),
        ("eid,height_m,height_cm\n1,1.7,171\n", "height_m and height_cm both say height"),
    ],
)
def test_mistake_is_one_line_without_a_name(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(text)
    with pytest.raises(SetupError, match=said) as error:
        read_covariates(tmp_path / "people.csv")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_table(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_text("not Parquet")
    for name in ("nowhere.tsv", "p.parquet"):
        with pytest.raises(SetupError, match="cannot be read as a table"):
            read_covariates(tmp_path / name)
