"""From where a fold goes on, and when it ends; the trainer only pretends."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from doubles.places import REPOSITORY
from organome.compute.inference.network import build_network
from organome.domain.errors import SetupError
from organome.io.models.checkpoints import CHECKPOINT
from organome.io.models.folders import read_dataset, read_model
from organome.shards.signals import listening
from organome.steps.train.train_fold import LATEST, _take_weights, _train

PHANTOM = REPOSITORY / "models" / "phantom"


class Trainer:
    """Counts epochs; a checkpoint is the number of its epochs."""

    fold = 1

    def __init__(self, n_epochs: int) -> None:
        self.current_epoch = 0
        self.num_epochs = n_epochs
        self.calls: list[str] = []

    def load_checkpoint(self, path: str) -> None:
        self.current_epoch = int(Path(path).read_text())

    def run_training(self) -> None:
        self.calls.append(f"from {self.current_epoch}")
        self.current_epoch = self.num_epochs

    def on_train_end(self) -> None:
        self.calls.append("end")


def train(folder: Path, n_epochs: int, **checkpoints: int) -> list[str]:
    for name, seen in checkpoints.items():
        (folder / {"final": CHECKPOINT, "latest": LATEST}[name]).write_text(str(seen))
    trainer = Trainer(n_epochs)
    with listening() as requests:
        _train(trainer, folder, requests, None)
    assert trainer.current_epoch == n_epochs
    return trainer.calls


def test_it_goes_on_from_its_newest_checkpoint(tmp_path: Path) -> None:
    assert train(tmp_path, 1500, final=1000, latest=1200) == ["from 1200"]


def test_a_fold_that_is_through_is_not_trained_again(tmp_path: Path) -> None:
    assert train(tmp_path, 1000, final=1000) == []


@pytest.mark.parametrize("earlier", [{}, {"final": 400}])
def test_one_that_has_seen_as_many_epochs_as_are_asked_for_now_ends(
    tmp_path: Path, earlier: dict[str, int]
) -> None:
    assert train(tmp_path, 600, latest=600, **earlier) == ["end"]


@pytest.mark.parametrize("held", ["final", "latest"])
def test_one_that_has_seen_more_is_refused(tmp_path: Path, held: str) -> None:
    with pytest.raises(SetupError, match=r"fold 1 has seen 600 epochs, and train\.n_epochs asks"):
        train(tmp_path, 500, **{held: 600})


def network(n_outputs: int) -> torch.nn.Module:
    model = read_model(PHANTOM)
    return build_network(model.plans, model.configuration, n_outputs=n_outputs)


def take(wrapped: Any, labels: dict[str, int]) -> None:
    _take_weights(
        SimpleNamespace(network=wrapped, dataset_json={"labels": labels}, fold=0), PHANTOM
    )


class Compiled(torch.nn.Module):
    """A network as ``torch.compile`` wraps it: names of its weights begin with ``_orig_mod``."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self._orig_mod = network


def test_a_compiled_network_takes_weights_and_what_is_ignored_is_no_output() -> None:
    fresh = network(41)
    take(Compiled(fresh), read_dataset(PHANTOM)["labels"] | {"ignore": 41})
    (weights,) = read_model(PHANTOM).weights
    state = fresh.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights.items())


def test_weights_of_other_labels_or_another_network_are_refused() -> None:
    labels = read_dataset(PHANTOM)["labels"]
    with pytest.raises(SetupError, match="its labels are not those"):
        take(network(41), labels | {"left_lung": 2})
    with pytest.raises(SetupError, match="its network is another one"):
        take(network(5), labels)
