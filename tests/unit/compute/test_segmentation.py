from dataclasses import replace

import pytest

from doubles.inference import tiny_model
from organome.compute.segmentation import choose_device, load_segmenter
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
