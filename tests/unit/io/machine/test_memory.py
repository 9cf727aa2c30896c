import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from organome.io.machine import memory
from organome.io.machine.memory import job_memory_bytes, process_memory_bytes

SMALL = 512 << 20
UNLIMITED = "9223372036854771712"  # what the first version of control groups says


def tree(folder: Path, group: str, limits: Mapping[str, str]) -> dict[str, Path]:
    """Write what the kernel tells, and the limits by the paths of their files."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(group)
    for name, limit in limits.items():
        path = folder / "cgroups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    return {"proc": folder / "proc", "cgroups": folder / "cgroups"}


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("0::/job_7/step_0\n", {"job_7/memory.max": f"{SMALL}", "job_7/step_0/memory.max": "max"}),
        ("0::/job_7\n", {"unified/job_7/memory.max": f"{SMALL}"}),
        (
            "5:cpu:/\n4:memory:/slurm/job_7\n0::/\n",
            {
                "memory/memory.limit_in_bytes": UNLIMITED,
                "memory/slurm/memory.limit_in_bytes": f"{SMALL}",
                "memory/slurm/job_7/memory.limit_in_bytes": f"{2 * SMALL}",
            },
        ),
        # in a container: the path is that of the machine outside
        ("4:memory:/docker/abc\n", {"memory/memory.limit_in_bytes": f"{SMALL}"}),
    ],
)
def test_lowest_limit_of_all_groups_counts(
    tmp_path: Path, group: str, limits: Mapping[str, str]
) -> None:
    assert job_memory_bytes(**tree(tmp_path, group, limits)) == SMALL


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("0::/job\n", {"job/memory.max": "max"}),
        ("4:memory:/job\n", {"memory/job/memory.limit_in_bytes": UNLIMITED}),
        ("", {}),
        ("5:cpu:/\n", {"memory/memory.limit_in_bytes": f"{SMALL}"}),
    ],
)
def test_without_a_limit_it_is_the_memory_of_the_machine(
    tmp_path: Path, group: str, limits: Mapping[str, str]
) -> None:
    assert job_memory_bytes(**tree(tmp_path, group, limits)) == psutil.virtual_memory().total


def test_a_kernel_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    there = job_memory_bytes(proc=tmp_path / "none", cgroups=tmp_path / "none")
    assert there == psutil.virtual_memory().total


def test_what_this_process_takes_grows_with_what_it_takes() -> None:
    before = process_memory_bytes(os.getpid())
    taken = bytearray(64 << 20)
    assert process_memory_bytes(os.getpid()) >= before + len(taken) // 2
    assert process_memory_bytes(os.getpid()) < memory.job_memory_bytes()
