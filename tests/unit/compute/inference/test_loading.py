from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from doubles.inference import tiny_model
from organome.compute.inference.loading import choose_device, gpu_budget_bytes, load_segmenter
from organome.domain.errors import MachineFault, SetupError


def test_a_gpu_job_does_not_crawl_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(MachineFault, match="no GPU"):
        choose_device("cuda")


def test_weights_of_another_network_are_refused() -> None:
    model = tiny_model()
    cut = dict(list(model.weights[0].items())[:-1])
    with pytest.raises(SetupError, match="do not fit the plans"):
        load_segmenter(replace(model, weights=(cut,)), device="cpu")


def test_all_folds_are_loaded_and_no_weight_is_held_twice() -> None:
    model = tiny_model(n_folds=2)
    segmenter = load_segmenter(model, device="cpu")
    assert len(segmenter.networks) == 2
    for network, weights in zip(segmenter.networks, model.weights, strict=True):
        state = network.state_dict()
        assert {name: value.data_ptr() for name, value in state.items()} == {
            name: value.data_ptr() for name, value in weights.items()
        }


def test_a_processor_has_no_room_of_its_own() -> None:
    assert gpu_budget_bytes(torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("free", "reserved", "in_use", "n_sharing", "room"),
    [
        (70, 10, 5, 1, 75),  # what is free, and what it holds without using it
        (70, 10, 5, 2, 35),  # half of 80
        (10, 10, 5, 2, 15),  # others have taken most
        (0, 5, 9, 1, 0),
    ],
)
def test_processes_share_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    reserved: int,
    in_use: int,
    n_sharing: int,
    room: int,
) -> None:
    cuda = SimpleNamespace(
        mem_get_info=lambda _: (free, 80),
        memory_reserved=lambda _: reserved,
        memory_allocated=lambda _: in_use,
    )
    monkeypatch.setattr(torch, "cuda", cuda)
    assert gpu_budget_bytes(torch.device("cuda", 0), n_sharing=n_sharing) == room
