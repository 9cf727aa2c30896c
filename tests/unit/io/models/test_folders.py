import errno
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from doubles.plans import write_model
from organome.domain.errors import MachineFault, SetupError
from organome.io.models.checkpoints import CHECKPOINT
from organome.io.models.folders import model_digest, read_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weights = [{"layer.weight": torch.arange(6.0)}, {"layer.weight": torch.ones(6)}]
    write_model(
        tmp_path / "model",
        plans={"plans_name": "p"},
        dataset={"labels": {"background": 0}},
        configuration="3d_fullres",
        weights=weights,
    )
    return tmp_path / "model"


def test_what_is_written_is_read(folder: Path) -> None:
    model = read_model(folder)
    assert (model.name, model.configuration, model.mirroring_axes) == ("model", "3d_fullres", None)
    assert model.plans == {"plans_name": "p"}
    assert [fold["layer.weight"].tolist() for fold in model.weights] == [
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        [1.0] * 6,
    ]


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", f"fold_1/{CHECKPOINT}"])
def test_the_digest_knows_every_file(folder: Path, name: str) -> None:
    before = model_digest(folder)
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert model_digest(folder) != before


def test_the_digest_does_not_depend_on_where_the_folder_lies(folder: Path) -> None:
    before = model_digest(folder)
    assert model_digest(folder.rename(folder.parent / "elsewhere")) == before


def test_a_differing_digest_is_refused_before_any_checkpoint_is_opened(folder: Path) -> None:
    (folder / "fold_0" / CHECKPOINT).write_bytes(b"never opened")
    with pytest.raises(SetupError, match="expected abc"):
        read_model(folder, expected_digest="abc")


class Planted:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_a_checkpoint_that_would_run_code_is_refused(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    torch.save({"network_weights": Planted(trace)}, folder / "fold_0" / CHECKPOINT)
    with pytest.raises(SetupError, match="not a checkpoint of plain data"):
        read_model(folder)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Planted(trace)))  # the plant works where pickles are trusted
    assert trace.exists()


def test_numpy_scalars_of_stock_trainers_are_plain_data(folder: Path) -> None:
    import numpy as np

    path = folder / "fold_0" / CHECKPOINT
    content = torch.load(path, weights_only=True) | {"_best_ema": np.float64(0.5)}
    torch.save(content, path)
    assert read_model(folder).configuration == "3d_fullres"


def test_missing_parts_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no such folder"):
        read_model(tmp_path / "nowhere")
    (folder / "plans.json").unlink()
    with pytest.raises(SetupError, match=r"no plans\.json"):
        read_model(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match="fold_"):
        read_model(tmp_path / "empty")


def test_broken_json_is_named(folder: Path) -> None:
    (folder / "plans.json").write_text(json.dumps({})[:-1])
    with pytest.raises(SetupError, match=r"plans\.json"):
        read_model(folder)


def test_a_known_digest_is_not_worked_out_again(folder: Path) -> None:
    assert read_model(folder, known_digest="abc").digest == "abc"


def test_a_model_that_is_there_but_wrong_is_no_fault_of_the_machine(folder: Path) -> None:
    (folder / "plans.json").write_text("{")
    with pytest.raises(SetupError) as wrong:
        read_model(folder)
    (folder / "plans.json").unlink()
    with pytest.raises(SetupError) as absent:
        read_model(folder)
    with pytest.raises(SetupError) as misspelt:
        read_model(folder.with_name("modle"))
    assert {type(caught.value) for caught in (wrong, absent, misspelt)} == {SetupError}


@pytest.mark.parametrize("mount_point", ["model", ".", ".."])
def test_a_model_on_a_lost_mount_is_a_fault_of_the_machine(folder: Path, mount_point: str) -> None:
    lost = (folder.parent / "shared" / "models" / "model").resolve()
    (lost.parent.parent if mount_point == ".." else lost.parent).mkdir(parents=True)
    if mount_point == "model":
        lost.mkdir()
    for read in (read_model, model_digest):
        with pytest.raises(MachineFault, match="mounted"):
            read(lost)


@pytest.mark.parametrize("name", ["plans.json", f"fold_0/{CHECKPOINT}"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOENT])
def test_a_model_that_cannot_be_read_is_a_fault_of_the_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    digest = model_digest(folder)

    def failing_for_one(read: Any) -> Any:
        def fail(path: Path, *arguments: Any, **more: Any) -> Any:
            if path == folder / name:
                raise OSError(number, os.strerror(number), str(path))
            return read(path, *arguments, **more)

        return fail

    monkeypatch.setattr(Path, "open", failing_for_one(Path.open))
    monkeypatch.setattr(torch, "load", failing_for_one(torch.load))
    for read in (lambda: model_digest(folder), lambda: read_model(folder, known_digest=digest)):
        with pytest.raises(MachineFault, match=os.strerror(number)):
            read()


@pytest.mark.parametrize("n_bytes", [3, 100, -30, -1])
def test_a_checkpoint_that_was_cut_short_is_no_fault_of_the_machine(
    folder: Path, n_bytes: int
) -> None:
    path = folder / "fold_1" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(SetupError, match="is not whole"):
        read_model(folder)


def test_a_bit_that_flipped_is_found(folder: Path) -> None:
    path = folder / "fold_1" / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(6).numpy().tobytes()) + 5] ^= 4
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["network_weights"]["layer.weight"].sum() != 6
    with pytest.raises(SetupError, match=r"fold_1/.* is damaged"):
        read_model(folder)


@pytest.mark.parametrize(
    ("moved", "says"),
    [
        ({"fold_0": "fold_all"}, "fold_all lies beside folds"),
        ({"fold_1": "fold_2"}, "fold_1 has no checkpoint_final"),  # one of three is missing
        ({f"fold_1/{CHECKPOINT}": "fold_1/checkpoint_best.pth"}, "fold_1 has no checkpoint_final"),
    ],
)
def test_no_fold_is_left_out_or_added_silently(
    folder: Path, moved: dict[str, str], says: str
) -> None:
    for one, other in moved.items():
        (folder / one).rename(folder / other)
    for read in (read_model, model_digest):
        with pytest.raises(SetupError, match=says):
            read(folder)


def test_folds_are_named_in_the_order_of_their_numbers(folder: Path) -> None:
    assert read_model(folder).folds == ("0", "1")
    for number in range(2, 11):
        shutil.copytree(folder / "fold_0", folder / f"fold_{number}")
    assert read_model(folder).folds == tuple(str(number) for number in range(11))
    for number in range(10):
        shutil.rmtree(folder / f"fold_{number}")
    assert read_model(folder).folds == ("10",)  # one network misses nothing
    (folder / "fold_10").rename(folder / "fold_all")
    assert read_model(folder).folds == ("all",)
