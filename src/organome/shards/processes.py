"""Which process: a name that holds across hosts, containers and reboots.

A process number alone says little: containers count their own, and the kernel gives numbers away
again. Boot, namespace and start time beside it make the name of one process and no other.

Source: proc(5), pid_namespaces(7).
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_STATE, _STARTED = 0, 19  # places in /proc/<pid>/stat after the name of the program
_ENDED: Final = frozenset("ZX")  # a zombie runs nothing, it waits for its parent to ask


@dataclass(frozen=True, slots=True)
class ProcessName:
    """The name of a process.

    Attributes:
        host: Name of its machine.
        boot: Identity of the boot of that machine, empty where it cannot be told.
        namespace: Where its number counts, empty where it cannot be told.
        pid: Its number.
        started: When it started, in clock ticks since the boot, empty where it cannot be told.
    """

    host: str
    boot: str
    namespace: str
    pid: int
    started: str


def this_process() -> ProcessName:
    """Name the process that asks."""
    stat = _stat("self")
    return ProcessName(
        host=socket.gethostname(),
        boot=_boot(),
        namespace=_namespace(),
        pid=os.getpid(),
        started=stat[_STARTED] if stat else "",
    )


def is_running(process: ProcessName) -> bool | None:
    """Say whether a process is there.

    Returns:
        None where that cannot be told: it is of another machine, another container or another
        boot, or the system does not say.
    """
    here = this_process()
    if not (here.boot and here.namespace and process.started and process.pid > 0):
        return None
    if (process.host, process.boot, process.namespace) != (here.host, here.boot, here.namespace):
        return None
    try:
        os.kill(process.pid, 0)  # sends nothing; /proc can be mounted so that it hides processes
    except ProcessLookupError:
        return False
    except PermissionError:
        return None
    stat = _stat(str(process.pid))
    if not stat:
        return None
    return stat[_STARTED] == process.started and stat[_STATE] not in _ENDED


def _stat(process: str) -> list[str]:
    try:
        text = (_PROC / process / "stat").read_text(errors="replace")
    except OSError:
        return []
    # The name of the program stands in brackets, and may have blanks and brackets in it.
    return text.rpartition(")")[2].split()


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
