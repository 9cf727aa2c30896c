"""A broken GPU stops the job and is never taken for a bad scan; no GPU is needed to see that."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from doubles.places import REPOSITORY
from organome.compute.inference.gpu_faults import (
    check_device,
    gpu_faults_stop_the_job,
    is_gpu_fault,
    lacks_memory,
)
from organome.compute.inference.loading import choose_device, load_segmenter, segment
from organome.domain.errors import MachineFault, ScanError
from organome.domain.outcomes import Reason
from organome.io.models.folders import read_model

MODEL = REPOSITORY / "models" / "phantom"
N_LABELS = 41
CPU = torch.device("cpu")

OF_THE_GPU = [
    RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors ..."),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA driver error: unknown error"),
    RuntimeError("No CUDA GPUs are available"),
    torch.AcceleratorError("uncorrectable ECC error encountered"),
]
OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate"),
    RuntimeError("itk::ERROR: Failed to allocate memory for image."),
    MemoryError("Unable to allocate 2.00 GiB for an array"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
]
NO_WAY = [
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find an engine to execute this computation"),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
]
OF_A_BUG = RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")


@pytest.mark.parametrize("error", OF_THE_GPU)
def test_errors_of_the_gpu_stop_the_job(error: RuntimeError) -> None:
    with pytest.raises(MachineFault) as caught, gpu_faults_stop_the_job():
        raise error
    assert str(caught.value) == f"GPU: {str(error).splitlines()[0]}"


@pytest.mark.parametrize("error", [*OF_MEMORY, *NO_WAY, OF_A_BUG])
def test_a_lack_of_memory_and_a_bug_are_no_fault_of_the_gpu(error: RuntimeError) -> None:
    assert not is_gpu_fault(error)
    assert lacks_memory(error) == (error is not OF_A_BUG)
    with pytest.raises((RuntimeError, MemoryError)) as caught, gpu_faults_stop_the_job():
        raise error
    assert caught.value is error


def test_a_device_that_does_its_sums_passes() -> None:
    check_device(CPU)


def test_a_device_that_does_not_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    multiply = torch.Tensor.__matmul__

    def wrong_in_one_place(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        product = multiply(left, right)
        if left.dtype == torch.float32:  # on the device, not where the expected result is made
            product[17, 4] += 1
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", wrong_in_one_place)
    with pytest.raises(MachineFault, match="is wrong"):
        check_device(CPU)


@pytest.mark.parametrize("error", [*OF_THE_GPU, *OF_MEMORY])
def test_a_device_that_cannot_do_sums_is_found(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(torch.Tensor, "to", fail)
    with pytest.raises(MachineFault, match="cpu: "):
        check_device(CPU)


def test_a_missing_gpu_is_a_fault_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MachineFault, match="no GPU"):
        choose_device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert choose_device("cuda") == torch.device("cuda")
    assert choose_device("auto", number=1) == torch.device("cuda:1")
    for device in ("auto", "cuda"):
        with pytest.raises(MachineFault, match="4 GPUs were asked for, but torch sees 2"):
            choose_device(device, number=3)
    assert choose_device("cpu", number=3) == CPU


class Network(torch.nn.Module):
    """Gives noise for logits, after what it is told to do by the number of its call."""

    def __init__(self, happens: Callable[[int], float]) -> None:
        super().__init__()
        self._happens = happens
        self.n_calls = 0

    def forward(self, patch: torch.Tensor) -> torch.Tensor:
        self.n_calls += 1
        told = self._happens(self.n_calls)
        logits = torch.linspace(-1, 1, N_LABELS).reshape(1, -1, 1, 1, 1) + patch
        logits[0, 3, 2, 2, 2] += told
        return logits


def label(happens: Callable[[int], float]) -> sitk.Image:
    segmenter = load_segmenter(read_model(MODEL), device="cpu", tile_step_size=1.0)
    segmenter.networks[:] = [Network(happens)]
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(100, 9, (30, 50, 60)))
    image.SetSpacing((3.5, 3.5, 4.0))
    return segment(image, segmenter)


def fails(error: Exception, *, at: int | None = None) -> Callable[[int], float]:
    def happen(n_calls: int) -> float:
        if at is None or n_calls == at:
            raise error
        return 0.0

    return happen


@pytest.mark.parametrize("error", OF_THE_GPU)
def test_an_error_of_the_gpu_while_a_scan_is_labelled_stops_the_job(error: RuntimeError) -> None:
    with pytest.raises(MachineFault):
        label(fails(error, at=1))


@pytest.mark.parametrize("error", OF_MEMORY)
def test_a_scan_that_does_not_fit_into_memory_fails_alone(error: RuntimeError) -> None:
    with pytest.raises(ScanError) as caught:
        label(fails(error))
    assert caught.value.reason is Reason.OUT_OF_MEMORY


@pytest.mark.parametrize("error", NO_WAY)
def test_a_scan_for_which_cudnn_finds_no_way_is_tried_with_less_memory(error: RuntimeError) -> None:
    labelmap = label(fails(error, at=1))
    assert (sitk.GetArrayViewFromImage(labelmap) == N_LABELS - 1).all()


@pytest.mark.parametrize("error", NO_WAY)
def test_a_network_for_which_cudnn_never_finds_a_way_ends_and_says_so(error: RuntimeError) -> None:
    n_asked = []

    def happen(n_calls: int) -> float:
        n_asked.append(n_calls)
        raise error

    with pytest.raises(ScanError, match="cuDNN found no way") as caught:
        label(happen)
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert len(n_asked) == 2  # as set, and lean


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(RuntimeError, match="must match") as caught:
        label(fails(OF_A_BUG))
    assert caught.value is OF_A_BUG


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_never_finite_fail_the_scan(value: float) -> None:
    with pytest.raises(ScanError) as caught:
        label(lambda _: value)
    assert caught.value.reason is Reason.NOT_FINITE


def test_logits_that_are_finite_the_second_time_are_a_fault_of_the_machine() -> None:
    with pytest.raises(MachineFault, match="NaN at first and numbers the second time"):
        label(lambda n_calls: float("nan") if n_calls == 1 else 0.0)


def test_logits_that_are_finite_give_labels() -> None:
    labelmap = label(lambda _: 0.0)
    assert (sitk.GetArrayViewFromImage(labelmap) == N_LABELS - 1).all()
