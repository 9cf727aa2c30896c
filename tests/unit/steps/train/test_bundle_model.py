"""What is written beside a model: its record, and the lists of its cross-validation."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from doubles.inference import soft_image
from organome.domain.cases import Case, Role, Unlabelled
from organome.domain.organs import ORGAN_BY_NAME
from organome.domain.scans import Contrast
from organome.io.images.image_files import write_image
from organome.io.tables.cases import write_cases
from organome.io.tables.schemes import find_scheme
from organome.steps.train import bundle_model
from organome.steps.train.bundle_model import _without_paths, _write_cross_validation
from organome.steps.train.nnunet import IGNORE_LABEL, Folders
from organome.steps.train.splits import SPLITS_FILE, write_splits

WHOLE = Case(
    *("a_00001", "a", Role.TRAIN, "p", "1", "0", "0", Contrast.CT),
    *("image.nii.gz", "labels.nii.gz", "mrsegmentator"),
)
OF_AMOS = replace(
    WHOLE,
    case="b_00001",
    dataset="b",
    participant="2",
    scheme="amos22",
    unlabelled=Unlabelled.IGNORE,
)

REFUSE = Unlabelled.REFUSE


def test_what_was_ignored_is_background_of_a_scheme_of_the_labelled_organs(tmp_path: Path) -> None:
    places, image = Folders(tmp_path / "work"), soft_image((60, 50, 40), (1.0, 1.0, 1.0))
    labels_zyx = np.zeros((40, 50, 60), np.uint8)
    labels_zyx[10], labels_zyx[20] = ORGAN_BY_NAME["liver"].label, IGNORE_LABEL
    labels = sitk.GetImageFromArray(labels_zyx)
    for case in (WHOLE, OF_AMOS):
        for folder, name in (
            (places.raw / "labelsTr", case.case),
            (places.raw / "imagesTr", f"{case.case}_0000"),
            (places.fold(0) / "validation", case.case),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f"{name}.nii.gz", image if "imagesTr" in folder.name else labels)
    dealt = {WHOLE.case: 0, OF_AMOS.case: 0}
    _write_cross_validation(places, [WHOLE, OF_AMOS], dealt, tmp_path / "cv")
    with (tmp_path / "cv" / "references.tsv").open() as file:
        whole, of_amos = csv.DictReader(file, delimiter="\t")
    assert whole["scheme"] == "mrsegmentator"
    found = sitk.GetArrayFromImage(sitk.ReadImage(of_amos["reference"]))
    assert np.array_equal(found, np.where(labels_zyx == IGNORE_LABEL, 0, labels_zyx))
    scheme = find_scheme(of_amos["scheme"])
    assert set(scheme.organ_labels.values()) == set(find_scheme("amos22").organ_labels.values())
    assert scheme.organ_labels[ORGAN_BY_NAME["liver"].label] == ORGAN_BY_NAME["liver"].label


@pytest.mark.parametrize("start_from", [None, "0123abcd"])
def test_folds_that_started_from_a_model_claim_no_unseen_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_from: str | None
) -> None:
    places, cases = Folders(tmp_path / "work"), [WHOLE, replace(OF_AMOS, unlabelled=REFUSE)]
    dealt = {case.case: fold for fold, case in enumerate(cases)}
    write_cases(tmp_path / "cases.parquet", cases)
    write_splits(places.preprocessed / SPLITS_FILE, dealt)
    folds = [tmp_path / f"{fold}.json" for fold in range(2)]
    for case, path in zip(cases, folds, strict=True):
        about = {"n_train": 1, "n_validation": 1, "validation_dice": 0.9, "n_epochs": 3}
        path.write_text(json.dumps({"fold": dealt[case.case], "start_from": start_from, **about}))
        predicted = places.fold(dealt[case.case]) / "validation" / f"{case.case}.nii.gz"
        predicted.parent.mkdir(parents=True)
        predicted.touch()
    monkeypatch.setattr(bundle_model, "_write_model", lambda *_: None)
    monkeypatch.setattr(bundle_model, "model_digest", lambda _: "d1")
    lists = [tmp_path / "cv" / name for name in ("scans.tsv", "references.tsv")]
    lists[0].parent.mkdir()
    lists[0].write_text("of an earlier training in this run folder")
    bundle_model.run(
        cases=tmp_path / "cases.parquet",
        folders=places.root,
        folds=folds,
        output=tmp_path / "model",
        cross_validation=tmp_path / "cv",
        name="m",
    )
    card = (tmp_path / "model" / "README.md").read_text()
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    is_validated = start_from is None
    assert ("on people that the fold did not see" in card) is is_validated
    assert ("no cross-validation" in card) is not is_validated
    assert ("did not see" in record["validated_on"]) is is_validated
    assert [path.exists() for path in lists] == [is_validated] * 2


def test_a_record_says_nothing_of_where_files_lie() -> None:
    settings = {"train": {"start_from": "/home/me/models/mine", "n_epochs": 3}, "plan": {}}
    assert _without_paths(settings) == {"train": {"n_epochs": 3}, "plan": {}}
    assert _without_paths({}) == {}
