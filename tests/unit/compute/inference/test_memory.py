"""Predicted memory against what a process took."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch

from doubles.inference import SKIMAGE, tiny_model
from doubles.models import tiny_plans
from doubles.places import TESTS
from doubles.plans import CONFIGURATION
from organome.compute.inference.loading import load_segmenter
from organome.compute.inference.memory import ModelSize, count_activations, predict_memory
from organome.compute.inference.network import build_network
from organome.compute.inference.resampling import known_rule
from organome.domain.inference import InferenceSettings

MIB = 1 << 20
# Large enough that what was taken before the image can be told from it.
SCRIPT = """
import json
import sys
from dataclasses import replace
from math import prod
from pathlib import Path
import torch
from doubles.inference import soft_image, tiny_model
from organome.compute.inference.loading import load_segmenter
from organome.domain.inference import InferenceSettings

def bytes_of(line):
    for text in Path("/proc/self/status").read_text().splitlines():
        if text.startswith(line):
            return 1024 * int(text.split()[1])

torch.set_num_threads(1)
batch, configuration, size, spacing, stages = json.loads(sys.argv[1])
segmenter = load_segmenter(
    tiny_model(**{"spacing": [2.0, 2.0, 2.0], "patch_size": [32, 64, 64], **configuration}),
    device="cpu",
    settings=InferenceSettings(tile_step_size=1.0, tile_batch=batch),
)
small = soft_image((40, 40, 40), [1.05 * mm for mm in spacing])
for stage in stages:
    small = getattr(segmenter, stage)(small)
need = segmenter.predicted_memory_bytes(size, spacing)
image = soft_image(size, spacing)
for stage in stages:
    before = bytes_of("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    image = getattr(segmenter, stage)(image)
    held = {"prepare": 2, "infer": 0, "restore": 1}[stage] * size[0] * size[1] * size[2]
    print(stage, held + bytes_of("VmHWM") - before, getattr(need, stage + "_bytes"))
"""
SOFT = (160, 150, 100), (1.5, 1.5, 2.5)
IN_SLICES = SKIMAGE | {"spacing": [6.0, 1.5, 1.5]}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    "asked",
    [
        (1, {}, *SOFT, ["prepare", "infer", "restore"]),
        (3, {}, *SOFT, ["prepare", "infer", "restore"]),
        (1, {"use_mask_for_norm": [True]}, (260, 240, 200), (2.0, 2.0, 2.0), ["prepare"]),
        # Slices are resized first, though fewer of them would be less work.
        (1, IN_SLICES, (180, 180, 250), (2.1, 2.1, 2.0), ["prepare"]),
    ],
    ids=["plain", "batch", "masked", "separate"],
)
def test_no_stage_takes_more_than_was_predicted(asked: tuple[Any, ...]) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(asked)],
        cwd=TESTS,
        env={
            "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent / 'src'}",
            "OMP_NUM_THREADS": "1",
            "MALLOC_MMAP_THRESHOLD_": "65536",  # so that what is freed is given back
        },
        capture_output=True,
        text=True,
        check=True,
    )
    taken = {}
    for line in answer.stdout.splitlines():
        if line.startswith(("prepare", "infer", "restore")):
            stage, measured, predicted = line.split()
            taken[stage] = (int(measured), int(predicted))
    assert list(taken) == asked[-1]
    for stage, (measured, predicted) in taken.items():
        assert MIB < measured <= predicted, stage
        assert predicted <= 2 * measured + 64 * MIB, stage


SIZE = ModelSize(
    n_labels=41,
    n_folds=5,
    patch=(128, 128, 128),
    spacing_zyx_mm=(2.0, 2.0, 2.0),
    transpose_forward=(0, 1, 2),
    interpolates_labels=True,
    image_rule=known_rule("resample_data_or_seg_to_shape", {}),
    is_norm_masked=False,
    n_activations=32 << 21,
    n_parameters=30_000_000,
    is_mirrored=False,
)
CT = ((512, 512, 300), (0.8, 0.8, 1.5))


def need(device: str, **settings: object):
    return predict_memory(
        *CT, model=SIZE, device=torch.device(device), settings=InferenceSettings(**settings)
    )


def test_settings_move_memory_to_where_it_is_taken() -> None:
    host, gpu = need("cpu"), need("cuda")
    assert host.device_bytes == 0
    sums = 6 * 2 * 41 * 129 * 205 * 205  # of the mean and five folds
    assert sums < gpu.device_bytes < 1.2 * sums + 4 * SIZE.n_activations * 10  # no weights: there
    assert gpu.infer_bytes < host.infer_bytes
    lean = InferenceSettings(tile_batch=4).lean(SIZE.n_folds)
    leaner = predict_memory(*CT, model=SIZE, device=torch.device("cuda"), settings=lean)
    assert leaner.device_bytes < gpu.device_bytes
    assert leaner.infer_bytes > gpu.infer_bytes
    assert need("cuda", tile_batch=4).device_bytes > gpu.device_bytes
    assert need("cpu", fold_labels=True).infer_bytes > host.infer_bytes
    assert host.host_bytes == max(host.prepare_bytes, host.infer_bytes)


def test_weights_that_come_fold_by_fold_are_in_the_batch_that_was_measured() -> None:
    def on_gpu(batch_bytes: int | None, *, resident: bool) -> int:
        ask = {
            "device": torch.device("cuda"),
            "settings": InferenceSettings(folds_resident=resident, sums_on_device=False),
        }
        model = replace(SIZE, batch_bytes=batch_bytes)
        return predict_memory(*CT, model=model, **ask).device_bytes

    weights = 4 * SIZE.n_parameters
    assert on_gpu(None, resident=False) - on_gpu(None, resident=True) == weights
    assert on_gpu(weights + 99, resident=False) == on_gpu(weights + 99, resident=True)


def test_what_a_mask_and_slices_take_is_added_in_preparing_alone() -> None:
    def prepared(size: tuple[int, int, int], **changed: Any) -> int:
        spacing = (2.1, 2.1, 2.0)
        model = replace(SIZE, spacing_zyx_mm=(6.0, 1.5, 1.5), **changed)
        ask = {"device": torch.device("cpu"), "settings": InferenceSettings()}
        return predict_memory(size, spacing, model=model, **ask).prepare_bytes

    size = (180, 180, 250)
    in_slices = known_rule("resample_data_or_seg_to_shape", {"force_separate_z": None})
    separate = prepared(size, image_rule=in_slices)
    assert separate - prepared(size) == 4 * 250 * 252 * (180 + 252) - 4 * 83 * 252 * (180 + 252)
    assert prepared(size, image_rule=in_slices, is_norm_masked=True) == separate
    assert prepared(size, is_norm_masked=True) > prepared(size)


def test_slices_more_than_a_tile_cost_no_logits() -> None:
    long = predict_memory(
        (512, 512, 1500),
        CT[1],
        model=SIZE,
        device=torch.device("cuda"),
        settings=InferenceSettings(),
    )
    voxels = 4 * (1500 - 300) * 1.5 / 2 * 205 * 205
    assert long.device_bytes - need("cuda").device_bytes < 1.05 * voxels


@pytest.mark.parametrize("n_outputs", [41, 64])  # 64: as many as channels of a stage
@pytest.mark.parametrize(
    ("patch", "strides"),
    [
        ((32, 64, 96), [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]]),
        ((8, 40, 24), [[1, 1, 1], [1, 2, 2], [2, 2, 2]]),  # 5 voxels deep down
        ((8, 8, 8), [[1, 1, 1], [2, 2, 2], [2, 2, 2]]),
    ],
)
def test_the_largest_tensor_is_known_from_the_smallest_tile(
    patch: tuple[int, int, int], strides: list[list[int]], n_outputs: int
) -> None:
    n = len(strides)
    plans = tiny_plans()
    plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"] |= {
        "n_stages": n,
        "features_per_stage": [4, 64, 70, 80, 90][:n],  # largest in the middle, where it was halved
        "kernel_sizes": [[3, 3, 3]] * n,
        "strides": strides,
        "n_conv_per_stage": [1] * n,
        "n_conv_per_stage_decoder": [1] * (n - 1),
    }
    network = build_network(plans, CONFIGURATION, n_outputs=n_outputs).eval()
    sizes: list[int] = []

    def note(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        sizes.append(output.numel())

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    with torch.inference_mode():
        network(torch.zeros((1, 1, *patch)))
    *between, _ = sizes
    assert count_activations(network, patch, strides=strides) == max(between)


def test_it_is_asked_of_a_segmenter_in_the_axes_of_the_image() -> None:
    segmenter = load_segmenter(tiny_model(), device="cpu")
    one = segmenter.predicted_memory_bytes((40, 50, 60), (2.0, 2.0, 4.0))
    resampled = (round(40 * 2 / 3.5), round(50 * 2 / 3.5), 60)
    other = segmenter.predicted_memory_bytes(resampled, (3.5, 3.5, 4.0))
    n_voxels_more = 40 * 50 * 60 - prod(resampled)  # of the image and its labels
    assert one.infer_bytes - other.infer_bytes == (4 + 1) * n_voxels_more


def test_logits_that_nnunet_resamples_count_whole() -> None:
    whole = predict_memory(
        *CT,
        model=replace(SIZE, interpolates_labels=False),
        device=torch.device("cpu"),
        settings=InferenceSettings(),
    )
    assert whole.infer_bytes > 41 * prod(CT[0]) * 8
    own = load_segmenter(tiny_model(), device="cpu")
    changed = SKIMAGE | {"resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 2}}
    stock = load_segmenter(tiny_model(**changed), device="cpu")
    image = (90, 80, 70), (2.0, 2.0, 4.0)
    assert (
        stock.predicted_memory_bytes(*image).infer_bytes
        > own.predicted_memory_bytes(*image).infer_bytes
    )
