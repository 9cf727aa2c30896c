"""What this machine is."""

import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Final

from organome import __version__
from organome.domain.machines import Machine

_CPU_FACTS: Final = Path("/proc/cpuinfo")
_DRIVER_FACTS: Final = Path("/proc/driver/nvidia/version")
_LIBRARIES: Final = ("nnunetv2", "numpy", "scipy", "SimpleITK", "torch")


def read_machine(device: str) -> Machine:
    """Tell the kind of this machine.

    Args:
        device: Where networks run here: ``cuda`` or ``cpu``.

    Raises:
        RuntimeError: The GPU does not answer.
    """
    import torch

    versions = {"organome": __version__, **{name: version(name) for name in _LIBRARIES}}
    versions["torch"] = torch.__version__  # with its build: 2.13.0+cpu
    if device != "cuda":
        return Machine("cpu", _cpu_name(), None, None, versions)
    major, minor = torch.cuda.get_device_capability()
    versions["cuda"] = str(torch.version.cuda)
    versions["cudnn"] = str(torch.backends.cudnn.version())
    return Machine(
        "cuda", torch.cuda.get_device_name(), f"{major}.{minor}", _driver_release(), versions
    )


def _cpu_name() -> str:
    told = _found(r"^model name\s*:\s*(.+)$", _CPU_FACTS)
    return told or platform.processor() or platform.machine()


def _driver_release() -> str | None:
    return _found(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", _DRIVER_FACTS)


def _found(pattern: str, path: Path) -> str | None:
    """Find the first match in a file of the kernel, None where there is no such file or line."""
    try:
        match = re.search(pattern, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except OSError:
        return None
    return match[1].strip() if match else None
