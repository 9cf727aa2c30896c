import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from doubles.releases import of_the_numpy_1_era, write_stock_checkpoint
from organome.domain.errors import SetupError
from organome.io.models.checkpoints import CHECKPOINT, check_checkpoint, convert_checkpoint

ENTRIES = {
    *("network_weights", "trainer_name", "init_args", "inference_allowed_mirroring_axes"),
}


def checkpoint(folder: Path, **more: Any) -> Path:
    shared = torch.arange(1000.0)
    weights = {"encoder.weight": shared, "decoder.encoder.weight": shared.view(10, 100)}
    write_stock_checkpoint(folder / "fold_0" / CHECKPOINT, weights, **more)
    return folder / "fold_0" / CHECKPOINT


@pytest.mark.parametrize("numpy_1", [False, True], ids=["numpy 2", "numpy 1"])
def test_what_training_left_is_cut_down_to_what_inference_needs(
    tmp_path: Path, numpy_1: bool
) -> None:
    source, made = checkpoint(tmp_path), tmp_path / "made.pth"
    with pytest.raises(Exception, match="weights_only"):
        torch.load(source, weights_only=True)
    if numpy_1:
        of_the_numpy_1_era(source)
    convert_checkpoint(source, made)
    content = torch.load(made, weights_only=True)
    assert set(content) == ENTRIES
    assert content["init_args"] == {"configuration": "3d_fullres_bs8"}
    assert content["trainer_name"] == "nnUNetTrainerNoMirroring"
    assert content["inference_allowed_mirroring_axes"] is None
    assert content["network_weights"]["decoder.encoder.weight"].shape == (10, 100)


def test_tensors_that_share_memory_go_on_sharing_it(tmp_path: Path) -> None:
    made = tmp_path / "made.pth"
    convert_checkpoint(checkpoint(tmp_path), made)
    one, other = torch.load(made, weights_only=True)["network_weights"].values()
    assert one.data_ptr() == other.data_ptr()
    assert made.stat().st_size < 2 * one.numel() * one.element_size()


def test_the_bytes_do_not_depend_on_the_name_or_the_day(tmp_path: Path) -> None:
    source = checkpoint(tmp_path)
    convert_checkpoint(source, tmp_path / "one.pth")
    (tmp_path / "b").mkdir()
    convert_checkpoint(source, tmp_path / "b" / "other.pth")
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "b" / "other.pth").read_bytes()


def test_mirroring_axes_are_kept(tmp_path: Path) -> None:
    source = checkpoint(tmp_path, inference_allowed_mirroring_axes=[0, np.int64(2)])
    made = convert_checkpoint(source, tmp_path / "made.pth")
    assert made["inference_allowed_mirroring_axes"] == (0, 2)


class Planted:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    planted = Planted(os.system, f"touch '{trace}'")
    source = checkpoint(tmp_path, logging={"x": planted})
    with pytest.raises(SetupError, match=r"fold_0/checkpoint_final\.pth is refused: .*\.system"):
        convert_checkpoint(source, tmp_path / "made.pth")
    assert not trace.exists()
    assert not (tmp_path / "made.pth").exists()
    torch.load(source, weights_only=False)  # the plant works where pickles are trusted
    assert trace.exists()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fold_0" / CHECKPOINT
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SetupError, match="not a checkpoint of torch"):
        check_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([1], "no network_weights or init_args"),
        (torch.zeros(3), "no network_weights or init_args"),
        ({"network_weights": {}}, "no network_weights or init_args"),
        ({"network_weights": {}, "init_args": {}}, "name no configuration"),
        ({"network_weights": {}, "init_args": None}, "name no configuration"),
    ],
)
def test_checkpoints_of_others_are_refused_by_name(tmp_path: Path, content: Any, says: str) -> None:
    path = tmp_path / "fold_0" / CHECKPOINT
    path.parent.mkdir()
    torch.save(content, path)
    with pytest.raises(SetupError, match=rf"{CHECKPOINT}: .*{says}"):
        convert_checkpoint(path, tmp_path / "made.pth")


def test_weights_that_are_no_tensors_are_refused(tmp_path: Path) -> None:
    source = checkpoint(tmp_path, network_weights={"a": 1})
    with pytest.raises(SetupError, match="not tensors"):
        convert_checkpoint(source, tmp_path / "made.pth")
