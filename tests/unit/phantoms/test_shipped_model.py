"""The model in models/phantom: a stock nnU-Net folder, and what it does here."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from doubles.places import REPOSITORY
from organome.compute.inference.loading import load_segmenter, segment
from organome.compute.labelmaps.overlap import count_confusion, dice_by_organ
from organome.domain.organs import ORGANS
from organome.domain.scans import Contrast
from organome.io.models.folders import read_model
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.render import SampledGrid, render_dixon, truth_labelmap

ROOT = REPOSITORY
MODEL = ROOT / "models" / "phantom"
REAL = ROOT / ".." / "shared" / "data" / "real"
ABDOMEN = SampledGrid((112, 87, 60), (4.46, 4.46, 4.5), (-247.5, -191.8, 100.0))


def test_it_is_small_and_says_what_it_is() -> None:
    size = sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file())
    assert size <= 15_000_000
    card = (MODEL / "README.md").read_text()
    assert "what it labels in people has no meaning" in card
    assert all(f"| {organ.name} |" in card for organ in ORGANS)


def test_its_labels_are_the_organs() -> None:
    labels = json.loads((MODEL / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0} | {organ.name: organ.label for organ in ORGANS}


def test_it_holds_no_optimiser_state_and_no_mirroring() -> None:
    checkpoint = torch.load(MODEL / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert set(checkpoint) == {
        "network_weights",
        "trainer_name",
        "init_args",
        "inference_allowed_mirroring_axes",
    }
    assert checkpoint["inference_allowed_mirroring_axes"] is None


@pytest.fixture(scope="module")
def abdomen() -> tuple[sitk.Image, sitk.Image]:
    body = draw_body(7)
    image = render_dixon(body, ABDOMEN, np.random.default_rng(0))[Contrast.WATER]
    return image, truth_labelmap(body, ABDOMEN)


@pytest.fixture(scope="module")
def labelled(abdomen: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    segmenter = load_segmenter(read_model(MODEL), device="cpu", tile_step_size=0.5)
    return segment(abdomen[0], segmenter)


def test_it_finds_the_organs_of_an_unseen_phantom(
    abdomen: tuple[sitk.Image, sitk.Image], labelled: sitk.Image
) -> None:
    dice = dice_by_organ(count_confusion(abdomen[1], labelled))
    for organ in ("liver", "spleen", "left_kidney", "right_kidney"):
        assert dice[organ] > 0.85, organ


def test_stock_nnunet_runs_the_folder_with_the_same_labels(
    abdomen: tuple[sitk.Image, sitk.Image], labelled: sitk.Image, tmp_path: Path
) -> None:
    # Stock loading, reading, prediction and writing. Not its command line, which hands arrays to
    # workers through queues and now and then waits for them for ever.
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    image, _ = abdomen
    sitk.WriteImage(image, str(tmp_path / "case_0000.nii.gz"))
    stock = nnUNetPredictor(
        device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False
    )
    stock.initialize_from_trained_model_folder(str(MODEL), (0,), "checkpoint_final.pth")
    stock.predict_from_files_sequential(
        [[str(tmp_path / "case_0000.nii.gz")]], [str(tmp_path / "case")]
    )
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "case.nii.gz")))
    assert np.array_equal(theirs, sitk.GetArrayViewFromImage(labelled))


@pytest.mark.parametrize("name", ["example_ct_sm.nii.gz", "example_mr_sm.nii.gz"])
def test_real_images_go_through_though_the_labels_mean_nothing(name: str) -> None:
    if not (REAL / name).exists():
        pytest.skip("the real images are not beside this checkout")
    image = sitk.ReadImage(str(REAL / name))
    segmenter = load_segmenter(read_model(MODEL), device="cpu", tile_step_size=0.5)
    labelmap = segment(image, segmenter)
    assert labelmap.GetSize() == image.GetSize()
    assert labelmap.GetDirection() == image.GetDirection()
    assert sitk.GetArrayViewFromImage(labelmap).max() <= len(ORGANS)
