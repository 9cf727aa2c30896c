from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from doubles.inference import tiny_model
from doubles.plans import CONFIGURATION
from organome.compute.inference import loading
from organome.compute.inference.loading import choose_device, gpu_budget_bytes, load_segmenter
from organome.domain.errors import MachineFault, SetupError
from organome.domain.inference import InferenceSettings, Precision
from organome.domain.models import Model


def test_a_gpu_job_does_not_crawl_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(MachineFault, match="no GPU"):
        choose_device("cuda")


def test_cudnn_chooses_by_rule_and_not_by_the_clock() -> None:
    with torch.backends.cudnn.flags(benchmark=True, deterministic=False, allow_tf32=True):
        loading._set_cudnn()
        cudnn = torch.backends.cudnn
        assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == (False, True, False)


def spoilt(model: Model, what: str) -> Model:
    """Spoil a model so that it cannot be run."""
    dataset, weights = deepcopy(dict(model.dataset)), dict(model.weights[0])
    labels = dataset["labels"]
    plans = deepcopy(dict(model.plans))
    match what:
        case "fewer weights":
            weights.popitem()
        case "NaN":
            name, value = next(iter(weights.items()))
            weights[name] = value.clone().fill_(torch.nan)
        case "regions":
            labels["liver"] = [5, 6]
        case "a gap":
            labels["liver"] = 77
        case "no background":
            labels["air"] = labels.pop("background")
        case "many":
            labels.update({str(number): number for number in range(41, 300)})
        case "two channels":
            dataset["channel_names"] = {"0": "T1", "1": "T2"}
        case "a patch that cannot be halved":
            plans["configurations"][CONFIGURATION]["patch_size"] = [16, 31, 32]
        case "too few strides":
            plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]["strides"] = [1]
        case "colours":
            plans["configurations"][CONFIGURATION]["normalization_schemes"] = [
                "RGBTo01Normalization"
            ]
    return replace(model, dataset=dataset, plans=plans, weights=(weights,))


@pytest.mark.parametrize(
    ("what", "says"),
    {
        "fewer weights": "weights of fold 0 are not those of a network of its plans",
        "NaN": "weights of fold 0 are NaN or infinite",
        "regions": "regions",
        "a gap": "no class has label 5",
        "no background": "background 0",
        "many": "300 outputs, at most 256",
        "two channels": "2 images at once",
        "colours": "normalisation 'RGBTo01Normalization'",
        "a patch that cannot be halved": (
            "patch of 16 x 31 x 32 voxels must be a multiple of 2 x 2 x 2"
        ),
        "too few strides": "weights of fold 0 are not those of a network of its plans",
    }.items(),
)
def test_a_model_that_cannot_be_run_is_refused(what: str, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        load_segmenter(spoilt(tiny_model(), what), device="cpu")


def test_strides_may_be_numbers() -> None:
    model = tiny_model()
    plans = deepcopy(dict(model.plans))
    arguments = plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
    assert arguments["strides"] == [[1, 1, 1], [2, 2, 2]]
    arguments["strides"] = [1, 2]
    size = (40, 50, 60), (2.0, 2.0, 4.0)
    found = [
        load_segmenter(one, device="cpu").predicted_memory_bytes(*size)
        for one in (model, replace(model, plans=plans))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("feature", ["avx512bf16", "amx-bf16", "bf16", "avx2"])
def test_bfloat16_is_refused_where_it_would_be_emulated(
    monkeypatch: pytest.MonkeyPatch, feature: str
) -> None:
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: {feature: True})
    settings = InferenceSettings(precision=Precision.BFLOAT16)
    refused = feature == "avx2"
    with pytest.raises(SetupError, match="no instructions") if refused else nullcontext():
        load_segmenter(tiny_model(), device="cpu", settings=settings)


def test_all_folds_are_loaded_and_no_weight_is_held_twice() -> None:
    model = tiny_model(n_folds=2)
    segmenter = load_segmenter(model, device="cpu")
    assert len(segmenter.networks) == 2
    for network, weights in zip(segmenter.networks, model.weights, strict=True):
        state = network.state_dict()
        assert {name: value.data_ptr() for name, value in state.items()} == {
            name: value.data_ptr() for name, value in weights.items()
        }


def test_a_model_that_the_gpu_has_no_room_for_is_a_fault_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loading, "FoldNetworks", fail)
    with pytest.raises(MachineFault, match="too little memory is free to load the model"):
        loading._brought_to(torch.device("cuda"), [], tiny_model(), InferenceSettings())


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
