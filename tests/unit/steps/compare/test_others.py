import json
import re
import traceback
from pathlib import Path

import pandas as pd
import pytest

from doubles.places import SHARED_DATA
from organome.domain.errors import SetupError
from organome.steps.compare.others import read_others


def volumes(frame: pd.DataFrame) -> dict[tuple[str, str | None, str], float | None]:
    plain = frame.astype(object).where(frame.notna(), None)
    names = ["participant", "instance", "organ"]
    return {
        tuple(row[name] for name in names): row["volume_ml"] for row in plain.to_dict("records")
    }


@pytest.mark.parametrize("names", [("21080-2.0", "21082-3.0"), ("p21080_i2", "p21082_i3")])
def test_returned_fields_of_ukb_are_organs_of_a_visit(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "ukb.csv"
    path.write_text(f"eid,31-0.0,{names[0]},{names[1]}\n0123,1,1500.5,\n7,0,,150\n")
    found = volumes(read_others(path))
    assert found == {
        ("0123", "2", "liver"): 1500.5,
        ("7", "2", "liver"): None,
        ("0123", "3", "right_kidney"): None,
        ("7", "3", "right_kidney"): 150.0,
    }


def test_sides_of_kidneys_are_those_of_the_fields(tmp_path: Path) -> None:
    path = tmp_path / "ukb.tsv"
    path.write_text("f.eid\tf.21081.2.0\tf.21082.2.0\n1\t160\t150\n")
    assert volumes(read_others(path)) == {
        ("1", "2", "left_kidney"): 160.0,
        ("1", "2", "right_kidney"): 150.0,
    }


def test_tables_of_rows_and_of_columns(tmp_path: Path) -> None:
    rows, columns = tmp_path / "rows.tsv", tmp_path / "columns.csv"
    rows.write_text("participant\tinstance\torgan\tvolume_ml\na\t2\tliver\t1.5\na\t2\ttrachea\t9\n")
    columns.write_text("participant,instance,liver_volume_ml\na,2,1.5\nb,3,0\n")
    assert volumes(read_others(rows, unit="l")) == {("a", "2", "liver"): 1500.0}
    assert volumes(read_others(columns)) == {("a", "2", "liver"): 1.5, ("b", "3", "liver"): None}


@pytest.mark.parametrize("head", ["organ,volume_ml", "liver_volume_ml"])
def test_a_visit_that_a_row_does_not_say_is_null(tmp_path: Path, head: str) -> None:
    path = tmp_path / "table.csv"
    ml = "liver,1.5" if head.startswith("organ") else "1.5"
    path.write_text(f"participant,instance,{head}\na,,{ml}\nb,3,{ml}\n")
    assert volumes(read_others(path)) == {("a", None, "liver"): 1.5, ("b", "3", "liver"): 1.5}


def test_statistics_of_totalsegmentator_are_merged_and_a_zero_is_no_number(tmp_path: Path) -> None:
    lobes = {"lung_upper_lobe_left": 1e6, "lung_lower_lobe_left": 5e5, "liver": 0.0, "spleen": 2e5}
    content = {name: {"volume": mm3, "intensity": 1.0} for name, mm3 in lobes.items()}
    (tmp_path / "p1_2.json").write_text(json.dumps(content))
    (tmp_path / "p2").mkdir()
    (tmp_path / "p2" / "statistics.json").write_text(json.dumps({"spleen": {"volume": 1e5}}))
    assert volumes(read_others(tmp_path)) == {
        ("p1", "2", "left_lung"): 1500.0,
        ("p1", "2", "liver"): None,
        ("p1", "2", "spleen"): 200.0,
        ("p2", None, "spleen"): 100.0,
    }


@pytest.mark.parametrize("lower", [{}, {"lung_lower_lobe_left": 0.0}])
def test_a_lung_that_lacks_a_lobe_has_no_volume_and_a_spine_of_some_vertebrae_has(
    tmp_path: Path, lower: dict[str, float]
) -> None:
    classes = {"lung_upper_lobe_left": 1e6, "vertebrae_L1": 5e4, "vertebrae_L2": 0.0, **lower}
    content = {name: {"volume": mm3} for name, mm3 in classes.items()}
    (tmp_path / "p1_2.json").write_text(json.dumps(content))
    assert volumes(read_others(tmp_path)) == {
        ("p1", "2", "left_lung"): None,
        ("p1", "2", "spine"): 50.0,
    }


def test_measurements_of_boa_are_ml_and_what_is_not_present_is_no_number(tmp_path: Path) -> None:
    def of(**volumes_ml: float | None) -> dict[str, dict[str, object]]:
        return {
            name: {"present": False} if ml is None else {"present": True, "volume_ml": ml}
            for name, ml in volumes_ml.items()
        }

    total = of(liver=1500.5, spleen=None, lung_upper_lobe_left=900.0, lung_lower_lobe_left=600.0)
    # what BOA measures beside the classes: a pair taken together, fat of the lungs
    more = of(autochthon=800.0, ct_pfav_lung_upper_lobe_left=3.0)
    content = {
        "segmentations": {"total": total | more, "liver_vessels": of(liver_tumor=1.0)},
        "info": {"autochthon_mean": 50.0, "autochthon_std": 12.0},
        "cnr_adjusted": of(liver=1200.0),
    }
    for name in ("p1_2", "p2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "total-measurements.json").write_text(json.dumps(content))
        (tmp_path / name / "bca-measurements.json").write_text('{"aggregated": []}')
        (tmp_path / name / "vertebrae.json").write_text("[]")
    expected = {"liver": 1500.5, "spleen": None, "left_lung": 1500.0}
    whole = {
        (*of, organ): ml for of in (("p1", "2"), ("p2", None)) for organ, ml in expected.items()
    }
    assert volumes(read_others(tmp_path)) == whole
    only = tmp_path / "p1_2" / "total-measurements.json"
    assert volumes(read_others(only)) == {key: ml for key, ml in whole.items() if key[0] == "p1"}


@pytest.mark.parametrize("name", ["statistics.json", "total-measurements.json"])
def test_statistics_of_the_folder_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "p1_2").mkdir()
    monkeypatch.chdir(tmp_path / "p1_2")
    boa = {"segmentations": {"total": {"spleen": {"present": True, "volume_ml": 100.0}}}}
    Path(name).write_text(json.dumps({"spleen": {"volume": 1e5}} if name[0] == "s" else boa))
    for given in (Path(), Path(name)):
        assert volumes(read_others(given)) == {("p1", "2", "spleen"): 100.0}


def test_boa_without_its_task_total_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_2.json").write_text('{"segmentations": {"body": {}}, "info": {}}')
    with pytest.raises(SetupError, match="statistics file 1") as caught:
        read_others(tmp_path)
    assert "secret" not in str(caught.value)


def test_a_number_in_the_name_of_a_participant_is_no_visit(tmp_path: Path) -> None:
    for name in ("sub_01", "sub_02"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"spleen": {"volume": 1e5}}))
    known = {("sub_01", None, "spleen"): 100.0, ("sub_02", None, "spleen"): 100.0}
    assert volumes(read_others(tmp_path, participants=["sub_01", "sub_02"])) == known
    with pytest.raises(SetupError, match="a participant, or a visit") as caught:
        read_others(tmp_path, participants=["sub", "sub_01"])
    assert "sub_0" not in str(caught.value)


def test_the_file_of_the_tool_itself_is_read() -> None:
    path = SHARED_DATA / "real" / "example_seg_fast_statistics.json"
    if not path.is_file():
        pytest.skip("no real statistics in ../shared/data/real")
    found = volumes(read_others(path))
    content = json.loads(path.read_text())
    (name,) = {key[0] for key in found}
    spleen = found[(name, None, "spleen")]
    assert spleen == pytest.approx(content["spleen"]["volume"] / 1000)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("eid,31-0.0\n1,2\n", "neither fields of UK Biobank"),
        ("participant,organ,volume_ml\na,liver,1\na,liver,2\n", "twice"),
    ],
)
def test_what_is_wrong_is_said_without_a_participant(tmp_path: Path, text: str, fact: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(SetupError, match=fact):
        read_others(path)


def test_a_broken_file_of_statistics_is_not_named_by_its_participant(tmp_path: Path) -> None:
    (tmp_path / "secret_2.json").write_text("{")
    with pytest.raises(SetupError, match=re.escape("statistics file 1")) as caught:
        read_others(tmp_path)
    assert "secret" not in "".join(traceback.format_exception(caught.value))
