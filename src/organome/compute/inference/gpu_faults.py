"""Whether the GPU is at fault: its errors apart from those of a scan, and a sum it must get right.

A broken GPU fails in three ways: calls raise a CUDA error, from then on for ever; results are
wrong without any error; or torch does not see it any more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from organome.domain.errors import MachineFault, ScanError
from organome.domain.outcomes import Reason

CHECK_SIZE: Final = 512
# Products and sums of numbers this small are whole numbers that every type on a GPU holds exactly,
# TF32 as well: 512 * 6 * 6 is below 2 ** 24.
CHECK_MODULUS: Final = 7
# Drivers and libraries raise plain RuntimeErrors; what they begin with is all that tells them.
_BEGINNINGS: Final = (
    "CUDA error",
    "CUDA driver error",
    "CUDA unknown error",
    "CUDNN_STATUS",
    "cuDNN error",
    "cuBLAS error",
    "CUBLAS_STATUS",
    "cuFFT error",
    "HIP error",
    "No CUDA GPUs are available",
    "Found no NVIDIA driver",
    "Unexpected error from cudaGetDeviceCount",
)
_NO_GPU_MEMORY: Final = (
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
)
# What torch says when all of cuDNN's ways failed, each for whatever reason. Most often none found
# memory: for the workspace, torch drops that error way by way. Else no way fits layer and GPU.
_NO_WAY: Final = (
    "nable to find an engine to execute this computation",  # after FIND was, GET was, U
    "Unable to find a valid cuDNN algorithm to run convolution",
)
# torch and ITK raise no MemoryError
_NO_CPU_MEMORY: Final = ("DefaultCPUAllocator", "Failed to allocate memory", "std::bad_alloc")


class NotFiniteError(ArithmeticError):
    """The network gave NaN or infinite logits."""


@contextmanager
def gpu_faults_stop_the_job() -> Iterator[None]:
    """Turn errors of the GPU into a MachineFault.

    Raises:
        MachineFault: Driver, device or one of their libraries failed; a lack of memory is none.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_gpu_fault(error):
            raise
        raise MachineFault(f"GPU: {_first_line(error)}") from error


@contextmanager
def out_of_memory_fails_the_scan() -> Iterator[None]:
    """Turn errors for a lack of memory, of any library, into a ScanError.

    Raises:
        ScanError: OUT_OF_MEMORY.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        fact = "the scan does not fit into the memory of the device"
        if _is_without_a_way(error):
            fact = (
                "cuDNN found no way to compute a layer: too little memory is free on the GPU, or it"
                " cannot compute this layer at all"
            )
        raise ScanError(Reason.OUT_OF_MEMORY, fact) from error


def is_gpu_fault(error: RuntimeError | MemoryError) -> bool:
    """Return whether the GPU, its driver or one of their libraries raised an error."""
    if lacks_memory(error):
        return False
    of_accelerator = getattr(torch, "AcceleratorError", ())  # torch 2.8 and newer
    return isinstance(error, of_accelerator) or str(error).startswith(_BEGINNINGS)


def lacks_memory(error: RuntimeError | MemoryError) -> bool:
    """Return whether memory, of the GPU or of the machine, did not suffice.

    So it is taken where cuDNN finds no way at all: what needs less memory is worth a try.
    """
    return (
        isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
        or str(error).startswith(_NO_GPU_MEMORY)
        or any(words in str(error) for words in _NO_CPU_MEMORY)
        or _is_without_a_way(error)
    )


def check_device(device: torch.device) -> None:
    """Have a device do a sum whose result is known.

    Raises:
        MachineFault: It cannot, for whatever reason, or the result is wrong.
    """
    numbers = torch.arange(CHECK_SIZE * CHECK_SIZE).remainder(CHECK_MODULUS)
    left = numbers.reshape(CHECK_SIZE, CHECK_SIZE).double()
    expected = left @ left.T
    try:
        there = left.float().to(device)
        product = there @ there.T
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        right = torch.equal(product.cpu().double(), expected)
    except (RuntimeError, MemoryError) as error:
        raise MachineFault(f"{device}: {_first_line(error)}") from error
    if not right:
        raise MachineFault(f"{device}: the product of two small matrices is wrong")


def _is_without_a_way(error: RuntimeError | MemoryError) -> bool:
    return any(words in str(error) for words in _NO_WAY)


def _first_line(error: RuntimeError | MemoryError) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
