"""How much memory there is, for this job and in a process.

Source: cgroups(7); the kernel's cgroup-v1/memory and cgroup-v2 guides.
"""

from pathlib import Path
from typing import Final

import psutil

_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_LIMIT_FILES: Final = ("memory.max", "memory.limit_in_bytes")  # of the second and the first version


def job_memory_bytes(*, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Return how much memory all processes of this job may take together.

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


def process_memory_bytes(pid: int) -> int:
    """Return how much memory a process has taken, without what it shares or read from files.

    Returns:
        Bytes; 0 for a process that is gone.
    """
    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return 0
    return max(0, int(info.rss) - int(getattr(info, "shared", 0)))


def _control_groups(proc: Path, cgroups: Path) -> list[Path]:
    """Return the folders of this process's groups that limit memory, and of those above."""
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
