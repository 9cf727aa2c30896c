"""Phantoms in each layout become nnU-Net's dataset without a hand edit, equal to their truth."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from doubles import datasets, phantom_datasets
from doubles.phantom_datasets import AMOS_ORGANS, Delivered, Truth
from doubles.shared import made_once
from organome.domain.cases import Case
from organome.domain.errors import SetupError
from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.domain.schemes import AMOS22
from organome.io.tables.cases import read_cases
from organome.io.tables.references import read_references
from organome.io.tables.schemes import find_scheme, write_published_scheme
from organome.steps.train import build_dataset, list_cases
from organome.steps.train.splits import read_folds

RAW = Path("nnunet", "raw", "Dataset001_Organome")
OURS = {"labels": "mrsegmentator"}
TOTAL = {"layout": "totalsegmentator", "labels": "totalsegmentator_ct"}
TOTAL_MR = {"layout": "totalsegmentator", "labels": "totalsegmentator_mr", "contrast": "t2"}
NNUNET = {**OURS, "layout": "nnunet", "contrast": "t1"}
AMOS = {"layout": "amos22", "labels": "amos22", "contrast": "t1", "unlabelled": "ignore"}
TAUGHT = [one.label for one in ORGANS if one.name in AMOS_ORGANS[:13]]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "phantoms_of_layouts", phantom_datasets.make)


@pytest.fixture(scope="session")
def of_run(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(
        tmp_path_factory, "run_of_layouts", partial(phantom_datasets.make_run, phantoms)
    )


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """List the cases of datasets and build nnU-Net's of them; return its cases by image."""
    monkeypatch.chdir(tmp_path)

    def built(*given: dict[str, Any]) -> dict[Path, Case]:
        config = datasets.config(tmp_path / "train.yaml", *given)
        list_cases.run(datasets=config, output=tmp_path)
        summary = build_dataset.run(
            cases=tmp_path / "cases.parquet", output=Path("nnunet"), n_folds=2
        )
        assert summary.n_left_out == 0
        return {Path(one.image): one for one in read_cases(tmp_path / "cases.parquet")}

    return built


def check(cases: dict[Path, Case], delivered: Delivered) -> None:
    """Compare nnU-Net's dataset with the truth: voxels, grid, orientation, people and folds."""
    assert cases.keys() == delivered.keys()
    folds = read_folds(RAW / "splits_final.json", list(cases.values()))
    of_person: dict[str, set[int]] = {}
    for path, truth in delivered.items():
        case = cases[path]
        assert (case.participant, case.contrast) == (truth.participant, truth.contrast)
        of_person.setdefault(truth.participant, set()).add(folds[case.case])
        image = sitk.ReadImage(str(RAW / "imagesTr" / f"{case.case}_0000.nii.gz"))
        labels = sitk.ReadImage(str(RAW / "labelsTr" / f"{case.case}.nii.gz"))
        for made, true in ((image, truth.image), (labels, truth.labels)):
            assert np.array_equal(sitk.GetArrayFromImage(made), sitk.GetArrayFromImage(true))
            assert np.allclose(made.GetDirection(), np.eye(3).ravel(), atol=1e-6)
            assert np.allclose(made.GetOrigin(), true.GetOrigin(), atol=1e-3)
            assert np.allclose(made.GetSpacing(), true.GetSpacing(), atol=1e-5)
    assert {len(found) for found in of_person.values()} == {1}
    assert set().union(*of_person.values()) == {0, 1}


def taught_by_amos(truth: Truth) -> Truth:
    """Mark as unknown what AMOS22 does not label."""
    voxels = sitk.GetArrayFromImage(truth.labels)
    labels = sitk.GetImageFromArray(np.where(np.isin(voxels, TAUGHT), voxels, 41))
    labels.CopyInformation(truth.labels)
    return Truth(truth.participant, truth.contrast, truth.image, labels)


# Images: of MRI, two people, the first of them at two visits, six images a visit; of CT, two.
@pytest.mark.parametrize(
    ("deliver", "dataset", "n_cases"),
    [
        (phantom_datasets.totalsegmentator, TOTAL, 2),
        (phantom_datasets.totalsegmentator_mr, TOTAL_MR, 2),
        (phantom_datasets.nnunet, NNUNET, 2),
        (partial(phantom_datasets.nnunet, suffix=".nrrd"), NNUNET, 2),
        (phantom_datasets.nako, {**OURS, "layout": "nako"}, 2 * 5),
        (partial(phantom_datasets.nako, beside=False), {**OURS, "layout": "nako"}, 2 * 5),
        # three stations: of four contrasts at instance 2, of water at instance 3
        (phantom_datasets.ukb, {**OURS, "layout": "ukb"}, 3 * (2 * 4 + 1)),
    ],
    ids=[
        *(
            "totalsegmentator",
            "totalsegmentator_mr",
            "nnunet",
            "nnunet_nrrd",
        ),
        *("nako", "nako_labels_for_images", "ukb"),
    ],
)
def test_labels_equal_the_truth(
    phantoms: Path,
    build: Any,
    deliver: Callable[[Path, Path], Delivered],
    dataset: dict[str, Any],
    n_cases: int,
) -> None:
    delivered = deliver(phantoms, Path("delivered").absolute())
    assert len(delivered) == n_cases
    check(build({**dataset, "name": "d", "path": "delivered"}), delivered)


def test_a_folder_of_phantoms(phantoms: Path, build: Any) -> None:
    cases = build({**OURS, "layout": "phantoms", "name": "d", "path": str(phantoms)})
    check(cases, {one.path: one.truth for one in phantom_datasets.images(phantoms)})


def test_amos22_teaches_its_13_organs_and_nothing_else(phantoms: Path, build: Any) -> None:
    delivered = phantom_datasets.amos22(phantoms, Path("delivered").absolute())
    assert len(delivered) == 4
    assert len(TAUGHT) == 13
    cases = build({**AMOS, "name": "d", "path": "delivered"})
    check(cases, {path: taught_by_amos(truth) for path, truth in delivered.items()})
    found = np.concatenate(
        [np.unique(sitk.GetArrayFromImage(truth.labels)) for truth in delivered.values()]
    )
    assert {24, *TAUGHT} <= set(found.tolist())  # there was a bladder, and every organ, to be lost


def test_a_run_folder_packed_or_not(phantoms: Path, of_run: Path, build: Any) -> None:
    assert len(list(of_run.rglob("labelmaps.zip"))) == 1
    assert len(list((of_run / "results" / "segment_organs").rglob("*_labels.nii.gz"))) == 10 + 1 - 4
    cases = build({**OURS, "layout": "run", "name": "d", "path": str(of_run)})
    assert len(cases) == 3 * 6 + 2
    check(cases, phantom_datasets.of_run(phantoms, of_run))


def test_people_of_two_datasets_of_one_biobank_are_in_one_fold(
    phantoms: Path, of_run: Path, build: Any
) -> None:
    delivered = phantom_datasets.ukb(phantoms, Path("stations").absolute())
    delivered |= phantom_datasets.of_run(phantoms, of_run)
    of_water = {path: one for path, one in delivered.items() if one.contrast is Contrast.WATER}
    both = {**OURS, "layout": "ukb", "people": "biobank", "contrasts": ["water"]}
    cases = build(
        {**both, "name": "d-1", "path": "stations"}, {**both, "name": "d-2", "path": str(of_run)}
    )
    assert len(cases) == 3 * 3 + 3
    check(cases, of_water)  # by pseudonym: those of the stations are those of the run
    assert len({one.person for one in cases.values()}) == 2


def test_packed_references_of_tests_are_unpacked(phantoms: Path, of_run: Path, build: Any) -> None:
    given = {**OURS, "layout": "run", "name": "d", "path": str(of_run), "role": "test"}
    list_cases.run(datasets=datasets.config(Path("test.yaml"), given), output=Path())
    truths = phantom_datasets.of_run(phantoms, of_run)
    cases = read_cases(Path("cases.parquet"))
    references = read_references(Path("test", "references.tsv"))
    assert len(cases) == len(references) == 3 * 6 + 2
    for case, reference in zip(cases, references, strict=True):
        found = sitk.GetArrayFromImage(sitk.ReadImage(reference.labelmap))
        true = sitk.GetArrayFromImage(truths[Path(case.image)].labels)
        assert np.array_equal(found, true)


def test_labels_of_a_run_are_its_structures_whatever_it_took(of_run: Path, build: Any) -> None:
    given = {"layout": "run", "labels": "totalsegmentator_ct", "name": "d", "path": str(of_run)}
    with pytest.raises(SetupError, match="give the dataset labels: mrsegmentator"):
        build(given)


@pytest.fixture
def amos_run(of_run: Path, tmp_path: Path) -> dict[str, Any]:
    """A run that took labelmaps of AMOS22 in its second shard."""
    run = shutil.copytree(of_run, tmp_path / "run")
    write_published_scheme(run / "results" / "segment_organs" / "0001", AMOS22)
    return {**OURS, "layout": "run", "name": "d", "path": str(run)}


def test_a_run_of_a_scheme_that_lacks_organs_is_refused(
    amos_run: dict[str, Any], build: Any
) -> None:
    with pytest.raises(SetupError, match=r"^dataset d: .* lacks 27 of the 40 organs"):
        build(amos_run)


def test_a_run_of_a_scheme_that_lacks_organs_teaches_the_others_and_nothing_else(
    phantoms: Path, amos_run: dict[str, Any], build: Any
) -> None:
    cases = build({**amos_run, "unlabelled": "ignore"})
    truths = phantom_datasets.of_run(phantoms, Path(amos_run["path"]))
    check(cases, {path: taught_by_amos(truth) for path, truth in truths.items()})


def test_a_run_of_a_scheme_that_lacks_organs_is_tested_on_the_others(
    amos_run: dict[str, Any], build: Any, tmp_path: Path
) -> None:
    given = {**amos_run, "role": "test"}
    list_cases.run(datasets=datasets.config(Path("test.yaml"), given), output=Path())
    (word,) = {one.scheme for one in read_references(Path("test", "references.tsv"))}
    assert word == str(tmp_path / "schemes" / "d" / "scheme.json")
    scheme = find_scheme(word)
    assert (scheme.name.split("@")[0], scheme.structures) == ("amos22", ORGANS)
    assert [organ.label for organ in ORGANS if scheme.covers(organ)] == TAUGHT


def test_a_run_that_kept_no_images_says_so(of_run: Path, build: Any, tmp_path: Path) -> None:
    for kept in ("scans", "results/segment_organs"):
        shutil.copytree(of_run / kept, tmp_path / "run" / kept)
    with pytest.raises(SetupError, match="11 labelmaps, and all images are gone"):
        build({**OURS, "layout": "run", "name": "d", "path": "run"})
