from pathlib import Path

import pytest

from organome.domain.errors import SetupError
from organome.io.models.layouts import find_model


def model(folder: Path, checkpoint: str = "checkpoint_final.pth", *, dataset: bool = True) -> Path:
    for name in ("plans.json", *(["dataset.json"] if dataset else []), f"fold_0/{checkpoint}"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "within",
    [
        ".",
        "weights",
        "Dataset291_Organs/nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres",
        "nnUNet_results/Dataset001_A/nnUNetTrainer__nnUNetPlans__3d_fullres",
    ],
)
def test_a_model_is_found_at_any_depth(tmp_path: Path, within: str) -> None:
    made = model(tmp_path / within)
    assert find_model(tmp_path, inside=None, name="w") == made


def test_of_several_models_one_must_be_named(tmp_path: Path) -> None:
    one, _ = (model(tmp_path / "Dataset1_A" / f"nnUNetTrainer__p__{n}") for n in ("2d", "3d"))
    with pytest.raises(SetupError, match=r"w holds 2 models \(.*__2d, .*__3d\): .*--inside"):
        find_model(tmp_path, inside=None, name="w")
    inside = one.relative_to(tmp_path).as_posix()
    assert find_model(tmp_path, inside=inside, name="w") == one


@pytest.mark.parametrize("inside", ["../w", "/tmp", "nowhere"])
def test_what_is_named_must_lie_within(tmp_path: Path, inside: str) -> None:
    model(tmp_path / "w")
    with pytest.raises(SetupError, match="no folder"):
        find_model(tmp_path / "w", inside=inside, name="w")


def test_a_training_under_way_is_no_model(tmp_path: Path) -> None:
    model(tmp_path, "checkpoint_best.pth")
    with pytest.raises(SetupError, match=r"only checkpoint_best\.pth"):
        find_model(tmp_path, inside=None, name="w")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no model of nnU-Net v2 in it"):
        find_model(tmp_path, inside=None, name="w")
    model(tmp_path, dataset=False)
    with pytest.raises(SetupError, match=r"no dataset\.json beside"):
        find_model(tmp_path, inside=None, name="w")
