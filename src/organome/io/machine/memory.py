"""How much memory there is: of this machine, of the job's control group.

Source: cgroups(7); the kernel's cgroup-v1/memory and cgroup-v2 guides.
"""

from pathlib import Path
from typing import Final

import psutil

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_LIMIT_FILES: Final = ("memory.max", "memory.limit_in_bytes")  # of the second and the first version


def job_memory_bytes(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Say how much memory all processes of this job may take together.

    Args:
        proc: Where the kernel tells of processes.
        cgroups: Where control groups are mounted.

    Returns:
        The memory of the machine, or the lowest limit of the control groups that this process is
        in. A batch system that sets no such limit is not known here.
    """
    limits = [_limit(folder) for folder in _control_groups(proc, cgroups)]
    machine = int(psutil.virtual_memory().total)
    return min([machine, *(one for one in limits if one is not None)])


def own_memory_bytes() -> int:
    """Say how much memory this process has taken, without what it shares or read from files."""
    told = psutil.Process().memory_info()
    return max(0, int(told.rss) - int(getattr(told, "shared", 0)))


def _control_groups(proc: Path, cgroups: Path) -> list[Path]:
    """Name the folders of the groups that limit the memory of this process, and of those above."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        number, controllers, place = line.split(":", 2)
        if number == "0":
            mounts = [cgroups, cgroups / "unified"]
        elif "memory" in controllers.split(","):
            mounts = [cgroups / "memory"]
        else:
            continue
        inside = Path(place.lstrip("/"))
        # In a container the path may be that of the machine outside, and only the mount be there.
        folders += [mount / part for mount in mounts for part in (inside, *inside.parents)]
    return folders


def _limit(folder: Path) -> int | None:
    for name in _LIMIT_FILES:
        try:
            text = (folder / name).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return None
