"""What this machine is, read without loading torch: that takes seconds in every job."""

import ctypes
import platform
import re
import runpy
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from organome import __version__
from organome.domain.canaries import Machine
from organome.domain.errors import MachineFault
from organome.domain.inference import Device

_CPU_FACTS: Final = Path("/proc/cpuinfo")
_DRIVER_FACTS: Final = Path("/proc/driver/nvidia/version")
_LIBRARIES: Final = ("nnunetv2", "numpy", "scipy", "SimpleITK")
# Source: cuda.h, CUdevice_attribute.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


def read_machine(device: Device) -> Machine:
    """Return the kind of this machine.

    Args:
        device: Where networks run here; ``auto`` means on a GPU where torch would find one.

    Raises:
        MachineFault: ``cuda`` was asked for and there is no GPU.
    """
    build = _torch_build()
    versions = {"organome": __version__, **{name: version(name) for name in _LIBRARIES}}
    versions["torch"] = str(build["__version__"])  # with its build: 2.13.0+cpu
    gpu = None if device == "cpu" or build["cuda"] is None else _first_gpu()
    if gpu is None:
        if device == "cuda":
            raise MachineFault("device cuda was asked for, but there is no GPU on this machine")
        return Machine("cpu", _cpu_name(), None, None, versions)
    name, capability = gpu
    versions["cuda"] = str(build["cuda"])
    versions["cudnn"] = _cudnn_release(versions["cuda"])
    return Machine("cuda", name, capability, _driver_release(), versions)


def _torch_build() -> dict[str, Any]:
    """Read which torch is installed: ``__version__``, and ``cuda``, None without."""
    spec = find_spec("torch")
    assert spec is not None and spec.submodule_search_locations
    return runpy.run_path(str(Path(spec.submodule_search_locations[0]) / "version.py"))


def _first_gpu() -> tuple[str, str] | None:
    """Ask the driver, as torch does, for name and compute capability of this job's first GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    number, device, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number)) or not number.value:
        return None
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, len(name), device)
    capability = []
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        capability.append(str(number.value))
    return name.value.decode(), ".".join(capability)


def _cudnn_release(cuda: str) -> str:
    try:
        return version(f"nvidia-cudnn-cu{cuda.split('.')[0]}")
    except PackageNotFoundError:  # not from PyPI: only the library itself knows
        import torch

        return str(torch.backends.cudnn.version())


def _cpu_name() -> str:
    name = _found(r"^model name\s*:\s*(.+)$", _CPU_FACTS)
    return name or platform.processor() or platform.machine()


def _driver_release() -> str | None:
    return _found(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", _DRIVER_FACTS)


def _found(pattern: str, path: Path) -> str | None:
    """Find the first match in a file of the kernel, None where there is no such file or line."""
    try:
        match = re.search(pattern, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except OSError:
        return None
    return match[1].strip() if match else None
