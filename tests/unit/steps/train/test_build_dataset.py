"""The dataset of nnU-Net: one orientation, 40 organs, and no person on two sides."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from doubles import datasets as layouts
from organome.domain.cases import Case, Role, Unlabelled
from organome.domain.errors import SetupError
from organome.domain.scans import Contrast
from organome.io.configs import read_config, read_schema
from organome.io.files.assets import asset
from organome.io.tables.cases import read_cases, write_cases
from organome.steps.train import build_dataset, list_cases
from organome.steps.train.splits import deal_folds, read_folds, write_splits

CONFIGURATIONS = sorted(
    [*asset("config/train").glob("*.yaml"), *asset("config/method").glob("train_*.yaml")]
)
RAW = Path("work", "raw", "Dataset001_Organome")


def case(number: int, *, person: int, contrast: Contrast = Contrast.CT, dataset: str = "a") -> Case:
    return Case(
        *(f"{dataset}_{number:05d}", dataset, Role.TRAIN, "p", f"{person}", "0", "0", contrast),
        *("image.nii.gz", "labels.nii.gz", "mrsegmentator"),
    )


def some_cases() -> list[Case]:
    """Thirty people of two datasets, each with one to four images."""
    shown = (Contrast.WATER, Contrast.FAT, Contrast.T1, Contrast.CT)
    return [
        case(10 * person + one, person=person, contrast=shown[one], dataset="ab"[person % 2])
        for person in range(30)
        for one in range(1 + person % 4)
    ]


def test_a_person_is_in_one_fold() -> None:
    cases = some_cases()
    folds = deal_folds(cases, n_folds=5, seed=1)
    assert folds.keys() == {one.case for one in cases}
    assert set(folds.values()) == set(range(5))
    of_person: dict[str, set[int]] = {}
    for one in cases:
        of_person.setdefault(one.person, set()).add(folds[one.case])
    assert all(len(found) == 1 for found in of_person.values())
    waters = [folds[one.case] for one in cases if one.contrast is Contrast.WATER]
    assert min(np.bincount(waters, minlength=5)) >= 4  # of six, were they alike


def test_same_seed_same_folds() -> None:
    assert deal_folds(some_cases(), n_folds=5, seed=3) == deal_folds(
        some_cases(), n_folds=5, seed=3
    )


def test_few_people_with_many_images_leave_no_fold_empty() -> None:
    cases = [case(10 * person + n, person=person) for person in range(3) for n in range(4)]
    assert set(deal_folds(cases, n_folds=3, seed=1).values()) == {0, 1, 2}


def test_every_kind_of_fewer_images_than_folds() -> None:
    shown = (Contrast.WATER, Contrast.T1, Contrast.CT)
    cases = [case(n, person=n, contrast=one) for n, one in enumerate(shown)]
    assert set(deal_folds(cases, n_folds=2, seed=1).values()) == {0, 1}


def test_fewer_people_than_folds() -> None:
    with pytest.raises(SetupError, match="2 people to train on, and 5 folds"):
        deal_folds([case(n, person=n % 2) for n in range(9)], n_folds=5, seed=1)


def test_one_fold_learns_from_everybody(tmp_path: Path) -> None:
    cases = some_cases()
    folds = deal_folds(cases, n_folds=1, seed=1)
    write_splits(tmp_path / "splits_final.json", folds)
    (split,) = json.loads((tmp_path / "splits_final.json").read_text())
    assert set(split["train"]) == {one.case for one in cases}
    assert read_folds(tmp_path / "splits_final.json", cases) == folds


def test_an_edited_split_that_leaks(tmp_path: Path) -> None:
    cases = [case(n, person=n // 2) for n in range(8)]
    path = tmp_path / "splits_final.json"
    sound = {one.case: int(one.participant) % 2 for one in cases}
    write_splits(path, sound)
    assert read_folds(path, cases) == sound
    write_splits(path, {one.case: n % 2 for n, one in enumerate(cases)})
    with pytest.raises(SetupError, match=r"4 participant\(s\) are in two folds"):
        read_folds(path, cases)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    layouts.amos22(tmp_path / "amos")
    layouts.totalsegmentator(tmp_path / "total")
    layouts.nako(tmp_path / "nako")
    layouts.ukb(tmp_path / "ukb")
    names = {"total": "totalsegmentator", "nako": "nako", "ukb": "ukb"}
    schemes = {"total": "totalsegmentator_ct", "nako": "mrsegmentator", "ukb": "mrsegmentator"}
    datasets = [
        {"name": name, "path": name, "layout": layout, "labels": schemes[name]}
        for name, layout in names.items()
    ]
    amos = {"path": "amos", "layout": "amos22", "labels": "amos22", "contrast": "t1"}
    config = layouts.config(tmp_path / "c.yaml", *datasets, {"name": "amos", **amos})
    list_cases.run(datasets=config, output=tmp_path)
    return tmp_path


def with_amos(here: Path, unlabelled: Unlabelled | None) -> Path:
    from dataclasses import replace

    cases = [
        replace(one, unlabelled=unlabelled) if one.dataset == "amos" and unlabelled else one
        for one in read_cases(here / "cases.parquet")
        if one.dataset != "amos" or unlabelled
    ]
    write_cases(here / "some.parquet", cases)
    return here / "some.parquet"


def values(path: Path) -> dict[int, int]:
    found = np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), return_counts=True)
    return dict(zip(*map(np.ndarray.tolist, found), strict=True))


def test_four_layouts_become_one_dataset(here: Path) -> None:
    summary = build_dataset.run(
        cases=with_amos(here, Unlabelled.IGNORE), output=Path("work"), n_folds=2
    )
    assert (summary.n_cases, summary.n_people, summary.n_left_out) == (22, 6, 0)
    description = json.loads((RAW / "dataset.json").read_text())
    assert description["labels"]["right_gluteus_minimus"] == 40
    assert description["labels"]["ignore"] == 41
    # 8 voxels a row: masks and labelmap of TotalSegmentator say the same; of AMOS22 spleen, kidneys
    # and postcava (14) remain, bladder, prostate and background teach nothing
    merged = {0: 480, 5: 8, 10: 16, 25: 8}
    assert values(RAW / "labelsTr" / "total_00001.nii.gz") == merged
    assert values(RAW / "labelsTr" / "total_00002.nii.gz") == merged
    amos = {1: 8, 2: 8, 3: 8, 14: 8, 41: 480}
    assert values(RAW / "labelsTr" / "amos_00001.nii.gz") == amos
    assert len(list((RAW / "imagesTr").iterdir())) == 22


def test_modalities(here: Path) -> None:
    summary = build_dataset.run(
        cases=with_amos(here, None), output=Path("work"), modalities=["mri"], n_folds=2
    )
    assert "ct" not in summary.cases_by_contrast
    assert summary.n_cases == 18


def test_a_scheme_that_lacks_organs_is_refused(here: Path) -> None:
    with pytest.raises(SetupError, match="lacks 27 of the 40 organs"):
        build_dataset.run(cases=with_amos(here, Unlabelled.REFUSE), output=Path("work"), n_folds=2)


def test_all_run_in_lps(here: Path) -> None:
    water = next((here / "nako").rglob("*water_vibe.nii.gz"))
    labels = water.with_name(water.name.replace(".nii.gz", "_seg.nii.gz"))
    before = sitk.GetArrayFromImage(sitk.ReadImage(str(water)))
    for path in (water, labels):
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "RAS"), str(path))
    build_dataset.run(cases=with_amos(here, None), output=Path("work"), n_folds=2)
    cases = {one.image: one.case for one in read_cases(here / "cases.parquet")}
    made = sitk.ReadImage(str(RAW / "imagesTr" / f"{cases[str(water)]}_0000.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(made), before)
    assert np.allclose(made.GetDirection(), np.eye(3).ravel())


def test_damaged_images(here: Path) -> None:
    for path in (here / "ukb").rglob("*_W.nii.gz"):
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SetupError, match="4 of 20 cases cannot be read, ukb_") as caught:
        build_dataset.run(cases=with_amos(here, None), output=Path("work"), n_folds=2)
    assert "1234567" not in str(caught.value)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda p: p.stem)
def test_shipped_configurations(path: Path) -> None:
    schema = read_schema(asset("workflow/schemas/train.schema.yaml"))
    assert read_config(path, schema)["train"]["name"]
