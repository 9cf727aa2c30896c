from pathlib import Path

import pytest
import torch

from organome import __version__
from organome.domain.errors import MachineFault
from organome.io.machine import machines
from organome.io.machine.machines import read_machine

DRIVER = """\
NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build  (dvs-builder)
GCC version:  gcc version 12.3.0
"""
PROCESSOR = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\ncache size\t: 1 KB\n"


def test_a_machine_without_a_gpu_is_known_by_its_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(PROCESSOR)
    monkeypatch.setattr(machines, "_CPU_FACTS", tmp_path / "cpuinfo")
    machine = read_machine("cpu")
    assert (machine.device, machine.name) == ("cpu", "Some CPU @ 2.0GHz")
    assert machine.versions["organome"] == __version__
    assert machine.versions["torch"] == torch.__version__
    assert machine == read_machine("cpu")
    assert machine.kind == read_machine("cpu").kind


def test_a_processor_that_has_no_name_still_makes_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "_CPU_FACTS", tmp_path / "none")
    assert read_machine("cpu").name


@pytest.mark.parametrize(
    ("facts", "driver"),
    [
        (DRIVER, "570.133.20"),
        (DRIVER.replace("Open ", "").replace("for x86_64", ""), "570.133.20"),
        ("", None),
    ],
)
def test_a_gpu_is_known_by_name_capability_and_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: str, driver: str | None
) -> None:
    (tmp_path / "version").write_text(facts)
    monkeypatch.setattr(machines, "_DRIVER_FACTS", tmp_path / "version")
    monkeypatch.setattr(machines, "_first_gpu", lambda: ("NVIDIA H200", "9.0"))
    build = {"__version__": "2.13.0+cu130", "cuda": "13.0"}
    monkeypatch.setattr(machines, "_torch_build", lambda: build)
    machine = read_machine("cuda")
    assert machine == read_machine("auto")
    assert (machine.device, machine.name, machine.compute_capability, machine.driver) == (
        "cuda",
        "NVIDIA H200",
        "9.0",
        driver,
    )
    assert {"cuda", "cudnn"} <= set(machine.versions)
    assert machine.kind != read_machine("cpu").kind


def test_a_gpu_that_was_asked_for_and_is_not_there_is_a_fault_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machines, "_first_gpu", lambda: None)
    with pytest.raises(MachineFault, match="no GPU"):
        read_machine("cuda")
    assert read_machine("auto") == read_machine("cpu")


@pytest.mark.parametrize("n_gpus", [0, 1])
def test_the_driver_is_asked_for_the_first_gpu(
    monkeypatch: pytest.MonkeyPatch, n_gpus: int
) -> None:
    class Driver:
        """Answers as libcuda does: through pointers."""

        cuInit = cuDeviceGet = staticmethod(lambda *_: 0)  # noqa: N815

        def cuDeviceGetCount(self, number) -> int:  # noqa: N802
            number._obj.value = n_gpus
            return 0

        def cuDeviceGetName(self, name, size, device) -> int:  # noqa: N802
            name.value = b"NVIDIA H100"
            return 0

        def cuDeviceGetAttribute(self, number, attribute, device) -> int:  # noqa: N802
            number._obj.value = {75: 9, 76: 0}[attribute]
            return 0

    monkeypatch.setattr(machines.ctypes, "CDLL", lambda _: Driver())
    assert machines._first_gpu() == (("NVIDIA H100", "9.0") if n_gpus else None)
