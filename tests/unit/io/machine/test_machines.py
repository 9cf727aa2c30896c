from pathlib import Path

import pytest
import torch

from organome import __version__
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
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    machine = read_machine("cuda")
    assert (machine.device, machine.name, machine.compute_capability, machine.driver) == (
        "cuda",
        "NVIDIA H200",
        "9.0",
        driver,
    )
    assert {"cuda", "cudnn"} <= set(machine.versions)
    assert machine.kind != read_machine("cpu").kind
