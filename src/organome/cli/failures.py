"""What a failed job leaves for the workflow, in ``work/`` of the run folder.

``work/failures/<step>.<shard>.jsonl`` gets a line for each attempt that ends with words of its own:
the next one needs no more memory. ``work/broken_nodes/<node>`` has the next attempts go elsewhere.
Whoever is killed leaves neither.
"""

import errno
import json
import os
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from organome.domain.errors import MachineFault

_OF_MEMORY: Final = re.compile("memory|died")  # who ends a process for memory does not say so
WORK: Final = Path(
    "work"
)  # rules run in the run folder; a command by hand elsewhere leaves nothing


def note_failure(tokens: Sequence[str], error: BaseException, *, code: int) -> None:
    """Note how a step of a shard ended; the file system may be what is at fault.

    Args:
        tokens: Sub-command and its flags.
        error: Why it ended.
        code: Exit code.
    """
    shards = [token.partition("=")[2] for token in tokens if token.startswith("--shard=")]
    if not WORK.is_dir() or not (shards or tokens[:1] == ["collect-tables"]):
        return
    step = tokens[0].replace("-", "_")
    place = WORK / "failures" / f"{step}.{Path(shards[0]).stem if shards else 'all'}.jsonl"
    memory = isinstance(error, MachineFault) and bool(_OF_MEMORY.search(str(error)))
    line = json.dumps({"code": code, "memory": memory, "message": str(error)})
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a", encoding="utf-8") as notes:
            notes.write(f"{line}\n")
    if isinstance(error, MachineFault) and _is_of_this_node(error):
        with suppress(OSError):
            (WORK / "broken_nodes").mkdir(exist_ok=True)
            (WORK / "broken_nodes" / _node()).touch()


def _is_of_this_node(fault: MachineFault) -> bool:
    """Decide whether other nodes may do better: not where a shared disk or memory is at fault."""
    cause = fault.__cause__
    is_full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(fault, "is_local", True) and not is_full and "memory" not in str(fault)


def _node() -> str:
    """Name this node as SLURM does, which only the environment of a job knows."""
    return os.environ.get("SLURMD_NODENAME") or platform.node()
