"""Is the software there, does it load, does it see a GPU, is it what was tested?"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from organome.steps.doctor.findings import Finding, Grade, fail, ok, skipped, warn

_OLDEST_PYTHON: Final = (3, 11)
_COMMANDS: Final = ("organome", "snakemake")
_LOADED: Final = ("torch", "SimpleITK", "nnunetv2", "pyarrow", "snakemake")
_LOAD_S: Final = 300  # a cold network file system
_GPU_FACTS: Final = (
    "import torch; n = torch.cuda.device_count();"
    "names = sorted({torch.cuda.get_device_name(i) for i in range(n)});"
    "n and torch.zeros(1, device='cuda').item();"
    "print(n, *names, sep='|')"
)


def check_software(*, constraints: Path) -> Iterator[Finding]:
    """Check Python, the packages and the commands that rules call.

    Args:
        constraints: Versions that are tested, as pip's ``-c`` reads them.
    """
    found_version = platform.python_version()
    if sys.version_info >= _OLDEST_PYTHON:
        yield ok("python", found_version)
    else:
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        yield fail("python", found_version, f"{oldest} or newer is needed")
    yield from _check_versions(_tested(constraints))
    yield from map(_check_loading, _LOADED)
    for command in _COMMANDS:
        place = shutil.which(command)
        if place is None:
            yield fail(f"command {command}", "not on the PATH", "activate the environment")
        elif Path(place).parent != Path(sys.executable).parent:
            yield warn(
                f"command {command}", place, "not of this environment: is another one active?"
            )
        else:
            yield ok(f"command {command}", place)


def check_gpu(*, wanted: bool) -> Finding:
    """Check whether PyTorch can compute on a GPU here; a login node needs none."""
    done = _python(_GPU_FACTS)
    if done.returncode != 0:
        return fail("gpu", _last_line(done.stderr), "the driver, or the CUDA build of torch")
    n_gpus, *names = done.stdout.strip().splitlines()[-1].split("|")
    if n_gpus != "0":
        return ok("gpu", f"{n_gpus} x {', '.join(names)}")
    if wanted:
        return fail("gpu", "none visible", "does the job ask for one? is torch a CUDA build?")
    return skipped("gpu", "none visible", "look on a GPU node: --canary-job")


def check_device(subject: str, device: str) -> Finding:
    """Check whether a device that the configuration asks for is here.

    Args:
        subject: The key that asks.
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    if device != "cuda":
        return ok(subject, device)
    if check_gpu(wanted=False).grade is Grade.OK:
        return ok(subject, "cuda, and there is a GPU")
    return warn(
        *(subject, "cuda, and there is no GPU here"),
        "run it where one is (--workflow-profile profiles/slurm), or set auto",
    )


def _check_versions(tested: Mapping[str, str]) -> Iterator[Finding]:
    others = []
    for text in requires("organome") or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            yield fail(needed.name, "not installed", "pip install organome")
            continue
        if not needed.specifier.contains(found, prereleases=True):
            yield fail(needed.name, found, f"{needed.specifier} is needed")
        elif tested.get(canonicalize_name(needed.name), found) not in (
            found,
            found.partition("+")[0],
        ):
            others.append(
                f"{needed.name} {found} (tested: {tested[canonicalize_name(needed.name)]})"
            )
    if others:
        yield warn("versions", ", ".join(others), "make a canary, or install what is tested")
    elif tested:
        yield ok("versions", "as tested")
    else:
        yield skipped("versions", "no list of tested versions", "--constraints FILE")


def _check_loading(package: str) -> Finding:
    # In a process of its own: a binary for another CPU ends with a signal, not with an exception.
    done = _python(f"import {package}")
    if done.returncode == 0:
        return ok(f"import {package}", version(package))
    if done.returncode < 0:
        return fail(
            f"import {package}", f"signal {-done.returncode}", "a build for another kind of CPU?"
        )
    return fail(f"import {package}", _last_line(done.stderr), "install it again")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=_LOAD_S, check=False
    )


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no word of why"


def _tested(constraints: Path) -> Mapping[str, str]:
    if not constraints.is_file():
        return {}
    pinned = re.findall(r"^([\w.-]+)==([\w.+!-]+)", constraints.read_text(), flags=re.MULTILINE)
    return {canonicalize_name(name): release for name, release in pinned}
