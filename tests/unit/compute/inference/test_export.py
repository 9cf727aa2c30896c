"""Labels on the image's grid against logits that were interpolated everywhere."""

from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy.ndimage import gaussian_filter

from doubles.inference import SKIMAGE
from doubles.models import tiny_plans
from doubles.plans import CONFIGURATION
from organome.compute.inference.logits_interpolation import (
    LogitsInterpolation,
    interpolate_logits,
    linear,
)
from organome.compute.inference.sums import DeviceSums, HostSums, TileSums
from organome.compute.inference.tiling import Tiling, place_tiles

N_LABELS = 11
CPU = torch.device("cpu")
SHAPE = (14, 20, 18)
NATIVES = [(31, 17, 40), (14, 20, 18), (5, 41, 18), (1, 9, 60)]


def rough_logits(*, noise: float) -> torch.Tensor:
    rng = np.random.default_rng(5)
    smooth = gaussian_filter(rng.normal(size=(N_LABELS, *SHAPE)), (0, 3, 3, 3)) * 100
    return torch.from_numpy(smooth + noise * rng.normal(size=smooth.shape)).half()


def one_tile() -> Tiling:
    return place_tiles(SHAPE, SHAPE, 1.0)


def holding(logits: torch.Tensor, *, on_device: bool) -> TileSums:
    """Sums that hold given logits."""
    ones = np.ones(SHAPE, dtype=np.float16)
    sums: TileSums = HostSums(one_tile(), len(logits), ones)
    if on_device:
        sums = DeviceSums(one_tile(), len(logits), ones, CPU)
    sums.open(0)
    sums.add(logits, (0, 0, 0))
    sums.finish(0, SHAPE[0])
    return sums


def exported(
    logits: torch.Tensor, interpolation: LogitsInterpolation, *, on_device: bool = False
) -> np.ndarray:
    shape = tuple(len(axis.lower) for axis in interpolation.axes)
    found = np.zeros(shape, dtype=np.uint8)
    holding(logits, on_device=on_device).export(interpolation, 0, found)
    return found


def interpolated(logits: torch.Tensor, interpolation: LogitsInterpolation) -> np.ndarray:
    """Interpolate in double precision, all labels everywhere."""
    values = logits.double().numpy()
    for number, axis in enumerate(interpolation.axes, start=1):
        shape = [1] * 4
        shape[number] = -1
        weight = axis.weight.astype(np.float64).reshape(shape)
        values = np.take(values, axis.lower, number) * (1 - weight) + (
            np.take(values, axis.upper, number) * weight
        )
    return values


@pytest.mark.parametrize("noise", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("native", NATIVES)
def test_every_voxel_has_the_label_of_its_interpolated_logits(
    native: tuple[int, int, int], noise: float
) -> None:
    logits = rough_logits(noise=noise)
    z, y, x = (linear(n, m) for n, m in zip(SHAPE, native, strict=True))
    interpolation = LogitsInterpolation((z, y, x), rounds_to_half=False)
    expected = interpolated(logits, interpolation).argmax(0)
    assert len(np.unique(expected)) > 5
    assert np.array_equal(exported(logits, interpolation), expected)
    assert np.array_equal(exported(logits, interpolation, on_device=True), expected)


@pytest.mark.parametrize("rounds", [False, True])
def test_the_lowest_label_wins(rounds: bool) -> None:
    logits = torch.zeros((4, *SHAPE), dtype=torch.half)
    logits[2, ::2], logits[1, 1::2] = 1.0, 1.0  # half way between rows both are 0.5
    logits[3] = 0.5
    z, y, x = (linear(n, m) for n, m in zip(SHAPE, (SHAPE[0] * 3, *SHAPE[1:]), strict=True))
    interpolation = LogitsInterpolation((z, y, x), rounds_to_half=rounds)
    for on_device in (False, True):
        found = exported(logits, interpolation, on_device=on_device)
        expected = interpolated(logits, interpolation).astype(np.float32).argmax(0)
        assert np.array_equal(found, expected)


TORCH = {
    "resampling_fn_probabilities": "resample_torch_fornnunet",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "force_separate_z": None},
}
SPACINGS = {
    "alike": ([2.0, 2.0, 2.0], [1.3, 2.1, 1.7]),
    "thick slices": ([2.0, 2.0, 2.0], [9.0, 2.1, 1.7]),
    "thick sagittal slices": ([2.0, 2.0, 2.0], [1.3, 2.1, 11.0]),
    "a model of thick slices": ([2.0, 11.0, 2.0], [1.3, 2.1, 1.7]),
    "two thick axes": ([2.0, 2.0, 2.0], [9.0, 9.0, 1.7]),
}


def configuration_with(changes: dict[str, Any]) -> Any:
    plans = tiny_plans()
    plans["configurations"][CONFIGURATION] |= changes
    return PlansManager(plans).get_configuration(CONFIGURATION)


@pytest.mark.parametrize("native", [(31, 17, 40), (14, 20, 18), (7, 40, 9)])
@pytest.mark.parametrize("case", SPACINGS)
@pytest.mark.parametrize("function", [SKIMAGE, TORCH], ids=["skimage", "torch"])
def test_labels_are_those_of_the_function_of_the_plans(
    function: dict[str, Any], case: str, native: tuple[int, int, int]
) -> None:
    configuration = configuration_with(function)
    logits = rough_logits(noise=1.0)
    theirs = configuration.resampling_fn_probabilities(logits, native, *SPACINGS[case])
    interpolation = interpolate_logits(
        SHAPE, native, spacings=SPACINGS[case], configuration=configuration
    )
    assert interpolation is not None
    expected = np.asarray(theirs).argmax(0)
    assert np.array_equal(exported(logits, interpolation), expected)
    assert np.array_equal(exported(logits, interpolation, on_device=True), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"order": 0, "order_z": 0},
        {"order": 3, "order_z": 0},
        {"order": 1, "order_z": 1, "force_separate_z": True},
    ],
)
def test_other_functions_are_left_to_nnunet(changes: dict[str, Any]) -> None:
    settings = {"is_seg": False, **changes}
    configuration = configuration_with({**SKIMAGE, "resampling_fn_probabilities_kwargs": settings})
    spacings = SPACINGS["a model of thick slices"]
    found = interpolate_logits(SHAPE, SHAPE, spacings=spacings, configuration=configuration)
    assert found is None
