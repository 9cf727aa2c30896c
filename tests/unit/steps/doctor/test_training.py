"""The doctor in the run folder of a training."""

import shutil
from pathlib import Path

import pytest

from doubles import datasets, trainings
from organome.domain.schemes import AMOS22, MRSEGMENTATOR
from organome.io.runs import Run
from organome.io.tables.scan_lists import shard_path, write_shard
from organome.io.tables.schemes import write_published_scheme
from organome.steps.doctor import doctor, software
from organome.steps.doctor.findings import Finding, Grade, skipped
from organome.steps.doctor.training import check_training


def found(run: Path, *, on_cluster: bool = False) -> dict[str, Finding]:
    return {one.subject: one for one in check_training(Run(run), on_cluster=on_cluster)}


def test_a_training_that_can_be_run_passes(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    assert [(one.subject, one.grade.value) for one in found(tmp_path).values()] == [
        ("configuration", "ok"),
        ("dataset bodies", "ok"),
        ("train.device", "ok"),
        ("space for the training", "skipped"),
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"path": "gone"}, "not there"),
        ({"path": "void"}, "empty"),
        ({"labels": "mrsegmentatr"}, "mrsegmentatr"),
        ({"labels": "amos22"}, "lacks 27 of the 40 organs"),  # 13 of the 40 are labelled
        ({"labels": "own.yaml"}, "own.yaml"),
        ({"participants": "people.tsv"}, "people.tsv: not there"),
        ({"cases": "whose.tsv"}, "whose.tsv: not there"),
        ({"role": "test"}, "all are of role test"),
    ],
)
def test_what_is_wrong_with_a_dataset_is_found(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    trainings.configured(tmp_path)
    (tmp_path / "void").mkdir()
    dataset = {"name": "bodies", "path": "bodies", "layout": "table", "labels": "mrsegmentator"}
    datasets.config(tmp_path / "config.yaml", dataset | changed)
    failed = [one for one in found(tmp_path, on_cluster=True).values() if not one.holds]
    assert len(failed) == 1
    assert said in failed[0].fact


@pytest.mark.parametrize("changed", [{"unlabelled": "ignore"}, {"role": "test"}])
def test_a_scheme_that_lacks_organs_is_right_where_nothing_is_learned_of_them(
    tmp_path: Path, changed: dict[str, str]
) -> None:
    trainings.configured(tmp_path)
    own = {"name": "amos", "path": "bodies", "layout": "amos22", "labels": "amos22"}
    datasets.config(tmp_path / "config.yaml", own | changed)
    assert found(tmp_path, on_cluster=True)["dataset amos"].holds


@pytest.fixture
def amos_run(tmp_path: Path) -> dict[str, str]:
    """A run folder that took labelmaps of AMOS22 in its second shard."""
    for shard, scheme in enumerate((MRSEGMENTATOR, AMOS22)):
        write_shard(shard_path(tmp_path / "labelled" / "scans", shard), [])
        of_shard = tmp_path / "labelled" / "results" / "segment_organs" / f"{shard:04d}"
        write_published_scheme(of_shard, scheme)
    return {"name": "d", "path": "labelled", "labels": "mrsegmentator"}


@pytest.mark.parametrize("layout", ["run", "ukb"])
def test_a_run_folder_whose_labelmaps_lack_organs_is_found(
    tmp_path: Path, amos_run: dict[str, str], layout: str
) -> None:
    trainings.configured(tmp_path)
    given = amos_run | {"layout": layout}
    datasets.config(tmp_path / "config.yaml", given)
    lacking = found(tmp_path, on_cluster=True)["dataset d"]
    assert (lacking.grade, lacking.fact) == (Grade.FAIL, "amos22 lacks 27 of the 40 organs")
    datasets.config(tmp_path / "config.yaml", given | {"unlabelled": "ignore"})
    assert found(tmp_path, on_cluster=True)["dataset d"].grade is Grade.OK
    datasets.config(tmp_path / "config.yaml", given | {"labels": "amos22"})
    other = found(tmp_path, on_cluster=True)["dataset d"]
    assert (other.grade, "give the dataset labels" in other.fact) == (Grade.FAIL, True)


def test_a_misspelt_key_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("train: {nam: x}\ndatasets: []\n")
    assert "did you mean train.name" in found(tmp_path)["configuration"].fact


def test_a_gpu_is_missed_where_the_folds_would_be_trained_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "check_gpu", lambda *, wanted: skipped("gpu", f"none {wanted}"))
    trainings.configured(tmp_path, device="cuda")
    assert found(tmp_path)["train.device"].grade is Grade.WARN
    assert "train.device" not in found(tmp_path, on_cluster=True)


def test_listed_images_need_space_and_are_missed(tmp_path: Path) -> None:
    trainings.configured(tmp_path)
    trainings.listed(tmp_path, n_train=2, n_test=1)
    lost = found(tmp_path)["images"]
    assert (lost.holds, lost.fact) == (False, "2 of 2 images that are listed are not there")
    for number in range(2):
        with (tmp_path / "bodies" / f"{number}.nii.gz").open("wb") as file:
            file.truncate(300_000_000)  # a hole: takes no space
    fact = found(tmp_path)["space for the training"].fact
    assert fact.startswith("2 images need more than 1.2 GB")


def test_the_whole_doctor_asks_for_no_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "check_software", lambda **_flags: [])
    trainings.configured(tmp_path)
    diagnosis = doctor.run(tmp_path)
    assert diagnosis.holds, diagnosis
    assert "dataset bodies" in str(diagnosis)
    shutil.rmtree(tmp_path / "bodies")
    assert not doctor.run(tmp_path).holds
