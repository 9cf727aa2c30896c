"""Datasets as they are delivered are listed without a hand edit, and no person is on both sides."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import yaml

from doubles import datasets as layouts
from organome.cohorts.folder import parse_table
from organome.domain.errors import SetupError
from organome.domain.evaluations import profile_by_name
from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.domain.schemes import MRSEGMENTATOR
from organome.io.tables.cases import read_cases
from organome.io.tables.references import read_references
from organome.io.tables.scan_lists import listed_shards, read_shard
from organome.io.tables.schemes import find_scheme
from organome.steps.evaluate.evaluate_labels import read_reference
from organome.steps.listing import list_scans
from organome.steps.train import list_cases

AMOS = {"name": "amos", "path": "amos", "layout": "amos22", "labels": "amos22", "contrast": "t1"}
TOTAL = {
    "name": "total",
    "path": "total",
    "layout": "totalsegmentator",
    "labels": "totalsegmentator_ct",
}
NAKO = {"name": "nako", "path": "nako", "layout": "nako", "labels": "mrsegmentator"}
UKB = {"name": "ukb", "path": "ukb", "layout": "ukb", "labels": "mrsegmentator"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    layouts.amos22(tmp_path / "amos")
    layouts.totalsegmentator(tmp_path / "total")
    layouts.nako(tmp_path / "nako")
    layouts.ukb(tmp_path / "ukb")
    return tmp_path


def listed(here: Path, *datasets: dict):
    """List as the workflow does: where one stands."""
    summary = list_cases.run(datasets=layouts.config(here / "c.yaml", *datasets), output=Path())
    return summary, read_cases(here / "cases.parquet")


def test_all_layouts(here: Path) -> None:
    summary, cases = listed(here, {**AMOS, "role": "test"}, TOTAL, NAKO, UKB)
    assert summary.by_dataset == {"amos": 2, "total": 2, "nako": 2, "ukb": 16}
    assert (summary.n_train, summary.n_test, summary.n_people) == (20, 2, 6)
    amos = {case.participant: case for case in cases if case.dataset == "amos"}
    assert {name: case.contrast for name, case in amos.items()} == {
        "amos_0001": Contrast.CT,
        "amos_0507": Contrast.T1,
    }
    assert (amos["amos_0001"].sex, amos["amos_0001"].age_years) == ("male", 54)
    assert (amos["amos_0507"].sex, amos["amos_0507"].age_years) == ("female", 61)
    total = [case for case in cases if case.dataset == "total"]
    assert [(case.sex, case.age_years) for case in total] == [("male", 71), ("female", None)]
    nako = [case for case in cases if case.dataset == "nako"]
    assert {case.contrast for case in nako} == {Contrast.WATER, Contrast.FAT}
    assert {(case.participant, case.sex, case.age_years) for case in nako} == {
        ("100001", "female", 50)
    }
    ukb = [case for case in cases if case.dataset == "ukb"]
    assert Counter((case.instance, case.station) for case in ukb) == {
        (instance, station): 4 for instance in ("2", "3") for station in (1, 2)
    }
    assert {case.person for case in ukb} == {"ukb.1234567"}


def test_lists_of_tests_are_a_cohort(here: Path) -> None:
    listed(here, {**AMOS, "role": "test"}, {**TOTAL, "role": "test"}, UKB)
    scans = here / "test" / "scans.tsv"
    images = parse_table(scans.read_text().splitlines(True), name="scans.tsv", root=scans.parent)
    with (here / "test" / "references.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    identity = ("participant", "instance", "array", "protocol")
    assert [tuple(row[name] for name in identity) for row in rows] == [
        tuple(getattr(image, name) for name in identity) for image in images
    ]
    assert {row["scheme"] for row in rows} == {"amos22", "totalsegmentator_ct", "mrsegmentator"}
    merged = next(row for row in rows if row["scheme"] == "mrsegmentator")
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(merged["reference"]))
    # two lobes are one lung (10), L1 is spine (25), the trachea is nothing, the liver is 5
    counts = dict(zip(*map(np.ndarray.tolist, np.unique(voxels, return_counts=True)), strict=True))
    assert counts == {0: 512 - 32, 5: 8, 10: 16, 25: 8}


def test_a_damaged_test_case_is_listed_without_a_reference(
    here: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mask = here / "total" / "s0011" / "segmentations" / "liver.nii.gz"
    mask.write_bytes(mask.read_bytes()[:-20])
    summary, _ = listed(here, {**TOTAL, "role": "test"})
    references = read_references(here / "test" / "references.tsv")
    assert summary.n_test == len(references) == 2
    assert [Path(one.labelmap).is_file() for one in references] == [False, True]
    assert "case=total_00001" in caplog.text
    assert "s0011" not in caplog.text


def test_a_merged_reference_is_made_again_when_cases_get_other_numbers(here: Path) -> None:
    listed(here, {**TOTAL, "role": "test"})
    first = here / "total" / "s0002"  # comes before s0011, which was number 1
    shutil.copytree(here / "total" / "s0011", first)
    shutil.copy(first / "segmentations" / "spleen.nii.gz", first / "segmentations" / "liver.nii.gz")
    listed(here, {**TOTAL, "role": "test"})
    references = read_references(here / "test" / "references.tsv")
    held = [
        bool((sitk.GetArrayFromImage(sitk.ReadImage(one.labelmap)) == 5).any())
        for one in references[:2]
    ]
    assert held == [False, True]


def own_scheme(here: Path, **more: object) -> dict:
    """Name TotalSegmentator's masks by a scheme of one organ."""
    classes = {1: {"class": "liver", "becomes": "liver"}, 2: {"class": "table", "becomes": None}}
    (here / "own.yaml").write_text(yaml.safe_dump({"name": "own", "classes": classes, **more}))
    return {**TOTAL, "labels": "own.yaml", "role": "test"}


def test_merged_masks_are_compared_on_the_organs_of_their_scheme_alone(here: Path) -> None:
    listed(here, own_scheme(here))
    merged = read_references(here / "test" / "references.tsv")[0]
    scheme = find_scheme(merged.scheme)
    assert (scheme.name.split("@")[0], scheme.structures) == ("own", ORGANS)
    assert Path(merged.scheme).is_relative_to(here / "test")
    organs = profile_by_name("mrsegmentator-paper").organs(scheme, MRSEGMENTATOR)
    assert [organ.name for organ in organs] == ["liver"]
    voxels = sitk.GetArrayFromImage(read_reference(merged, scheme, None))
    assert np.unique(voxels).tolist() == [0, 5]


def test_masks_of_other_structures_are_refused(here: Path) -> None:
    dataset = own_scheme(here, structures=["liver"])
    with pytest.raises(SetupError, match=r"^dataset total: .* not about the 40 organs"):
        listed(here, dataset)


def test_lists_of_tests_go_when_nobody_is_tested_any_more(here: Path) -> None:
    test = here / "test"
    listed(here, {**TOTAL, "role": "test"}, UKB)
    assert {path.name for path in test.iterdir()} == {"scans.tsv", "references.tsv", "references"}
    listed(here, TOTAL, UKB)
    assert not test.exists()


def test_what_others_keep_beside_the_lists_of_tests_stays(here: Path) -> None:
    listed(here, {**TOTAL, "role": "test"}, UKB)
    kept = here / "test" / "config.yaml"
    kept.touch()
    listed(here, TOTAL, UKB)
    assert list(kept.parent.iterdir()) == [kept]


def test_a_dataset_that_lies_in_test_stays(here: Path) -> None:
    layouts.bodies(here / "test", 1)
    before = sorted((here / "test").rglob("*"))
    listed(here, {**layouts.BODIES, "path": "test"})
    assert sorted((here / "test").rglob("*")) == before


def test_two_datasets_of_one_name_are_refused(here: Path) -> None:
    with pytest.raises(SetupError, match="datasets: name ukb is there twice"):
        listed(here, UKB, {**NAKO, "name": "ukb"})
    assert not (here / "cases.parquet").exists()


def test_a_row_of_people_with_a_cell_too_many_is_named_by_its_line(here: Path) -> None:
    (here / "people.tsv").write_text("eid\tsex\tage\n1234567\tF\t50\t56\n")
    with pytest.raises(SetupError, match=r"^people\.tsv, line 2: more fields") as caught:
        listed(here, {**UKB, "participants": "people.tsv"})
    assert "1234567" not in str(caught.value)


def test_a_row_of_people_that_is_cut_short_is_nobodys(here: Path) -> None:
    (here / "people.tsv").write_text("age\teid\n50\t1234567\n61\n")
    _, cases = listed(here, {**UKB, "participants": "people.tsv"})
    assert {case.age_years for case in cases} == {50}


def test_ages_of_two_visits_are_not_given_to_both(here: Path) -> None:
    (here / "people.tsv").write_text("eid\tsex\tage\n1234567\tF\t50\n1234567\tF\t56\n")
    _, cases = listed(here, {**UKB, "participants": "people.tsv"})
    assert {(case.sex, case.age_years) for case in cases} == {("female", None)}


def test_modality_of_a_dataset(here: Path) -> None:
    _, cases = listed(here, {**AMOS, "modality": "mri"})
    assert [case.participant for case in cases] == ["amos_0507"]


def test_person_in_training_and_test(here: Path) -> None:
    other = {**UKB, "name": "again", "role": "test", "people": "ukb"}
    with pytest.raises(SetupError, match=r"^1 participant\(s\)") as caught:
        listed(here, UKB, other)
    assert "1234567" not in str(caught.value)


def test_equal_numbers_of_two_biobanks_are_two_people(here: Path) -> None:
    summary, _ = listed(here, UKB, {**UKB, "name": "other", "role": "test"})
    assert summary.n_people == 2


def test_images_that_show_the_same_are_scans_of_their_own_in_the_list_of_tests(here: Path) -> None:
    folder = here / "nako" / "sub-100001" / "T2haste"
    for direction in ("ax", "cor"):
        stem = f"sub-100001_acq-{direction}_T2haste"
        layouts.write(folder / f"{stem}.nii.gz", layouts.intensities(3))
        layouts.write(folder / f"{stem}_seg.nii.gz", layouts.labels(5))
    again = {**NAKO, "name": "again", "path": str(here / "nako")}
    both = [{**one, "role": "test", "people": "nako"} for one in (NAKO, again)]
    listed(here, *both)
    root = here / "test" / "scans.tsv"
    list_scans.run(kind="folder", cohort="c", root=root, scans=here / "scans")
    scans = [one for _, path in listed_shards(here / "scans") for one in read_shard(path)]
    with (here / "test" / "references.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    # fat, water and two of T2, in two datasets of one biobank
    assert len({one.identity for one in scans}) == 8
    identity = ("participant", "instance", "array", "protocol")
    assert {tuple(getattr(one, name) for name in identity) for one in scans} == {
        tuple(row[name] for name in identity) for row in rows
    }


@pytest.fixture
def own(here: Path) -> dict[str, str]:
    """Two images of one person and one of another, named as nnU-Net has it, and whose they are."""
    for number, name in enumerate(("a_T1", "b_T1", "b_T2")):
        layouts.write(
            here / "own" / "imagesTr" / f"{name}_0000.nii.gz", layouts.intensities(number)
        )
        layouts.write(here / "own" / "labelsTr" / f"{name}.nii.gz", layouts.labels(5))
    rows = ("case\tparticipant\tage", "b_T1\tsub-2\t50", "b_T2\t2\t50", "a_T1\t10\t61")
    (here / "whose.tsv").write_text("\n".join(rows) + "\n")
    own = {"name": "own", "path": "own", "layout": "nnunet", "labels": "mrsegmentator"}
    return {**own, "contrast": "t1", "cases": "whose.tsv", "participants": "whose.tsv"}


def test_a_table_says_whose_the_images_are(here: Path, own: dict[str, str]) -> None:
    summary, cases = listed(here, own)
    assert summary.n_people == 2
    about = [(case.person, Path(case.image).name[:4], case.age_years) for case in cases]
    assert about == [("own.10", "a_T1", 61), ("own.2", "b_T1", 50), ("own.2", "b_T2", 50)]
    (here / "of_amos.csv").write_text("case,participant\namos_0001,x\namos_0507,x\n")
    _, cases = listed(here, {**AMOS, "cases": "of_amos.csv"})
    assert {(case.person, case.age_years) for case in cases} == {("amos.x", 54), ("amos.x", 61)}
    test = {**own, "name": "test", "people": "own", "path": "more", "role": "test"}
    shutil.copytree(here / "own", here / "more")
    with pytest.raises(SetupError, match=r"^2 participant\(s\) are in"):
        listed(here, own, test)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("case\tparticipant\nb_T1\tp2\na_T1\tp1\n", "1 of 3 cases are not in whose"),
        ("case\tparticipant\n", "3 of 3 cases are not in whose"),
        ("case\tparticipant\nb_T1\tp2\nb_T1\tp1\n", "row 2: its case is there already"),
        ("case\tparticipant\nb_T1\t\n", "row 1: no case, or no participant"),
        ("case\tperson\nb_T1\tp2\n", "row 1: no case, or no participant"),
    ],
)
def test_a_table_that_does_not_say_whose_all_images_are_is_refused(
    here: Path, own: dict[str, str], rows: str, said: str
) -> None:
    (here / "whose.tsv").write_text(rows)
    with pytest.raises(SetupError, match=said) as caught:
        listed(here, own)
    assert "p2" not in str(caught.value)


def test_whose_an_image_is_that_names_its_person_is_not_for_a_table(here: Path) -> None:
    with pytest.raises(SetupError, match="layout nako says itself whose"):
        listed(here, {**NAKO, "cases": "whose.tsv"})


def test_rows_of_a_table_that_show_nobody_knows_what_are_not_dropped(here: Path) -> None:
    layouts.bodies(here / "bodies", 2)
    with (here / "bodies" / "scans.tsv").open("a") as file:
        file.write("p7\tdicom\tlabels/0.nii.gz\t\n")
    table = here / "bodies" / "scans.tsv"
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([f"{head}\tprotocol", *(f"{row}\tabdomen" for row in rows)]) + "\n")
    with pytest.raises(SetupError, match=r"scans\.tsv: DICOM \(1 of its rows\) .* dataset's contr"):
        listed(here, layouts.BODIES)
    _, cases = listed(here, {**layouts.BODIES, "contrast": "t1"})
    assert [case.contrast for case in cases] == [Contrast.CT, Contrast.CT, Contrast.T1]


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({**AMOS, "contrast": "ct", "path": "nako"}, "no image with a reference"),
        ({key: AMOS[key] for key in AMOS if key != "contrast"}, "give the dataset's contrast"),
        ({**AMOS, "path": "gone"}, "gone is not there"),
        ({**AMOS, "labels": "amos23"}, "label scheme 'amos23' is unknown"),
    ],
)
def test_refused(here: Path, dataset: dict, said: str) -> None:
    with pytest.raises(SetupError, match=said):
        listed(here, dataset)
