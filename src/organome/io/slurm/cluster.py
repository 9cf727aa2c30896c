"""What a SLURM cluster offers: its settings, its partitions, what sbatch would take.

As in ``io.slurm``: None where the controller is away.

Source: scontrol(1), sinfo(1), sbatch(1) of SLURM 22.05.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from organome.io.slurm.queue import ask


@dataclass(frozen=True, slots=True)
class Partition:
    """What a partition offers.

    Attributes:
        name: Its name.
        is_up: Whether it takes jobs.
        n_usable_nodes: Nodes that are not down, drained or failing.
        gres: Generic resources of its nodes as sinfo writes them, ``gpu:a100:4`` for instance.
    """

    name: str
    is_up: bool
    n_usable_nodes: int
    gres: frozenset[str]


def refusal(flags: Sequence[str]) -> str | None:
    """Ask whether a job would be taken, without submitting it.

    Returns:
        Why not; None if it would be taken.
    """
    answer = ask("sbatch", "--test-only", *flags, "--wrap", "true")
    return None if answer.code == 0 else answer.complaint


def cluster_settings() -> Mapping[str, str] | None:
    """Read the configuration of the controller, name to value; None if it is away."""
    answer = ask("scontrol", "show", "config")
    if answer.code != 0:
        return None
    return dict(re.findall(r"^(\w+)\s*= ?(.*?)\s*$", answer.output, flags=re.MULTILINE))


def partitions() -> Mapping[str, Partition] | None:
    """Look up the partitions by name; None if the controller is away."""
    answer = ask("sinfo", "--noheader", "--Node", "--format=%R|%a|%T|%G")
    if answer.code != 0:
        return None
    found: dict[str, Partition] = {}
    for line in answer.output.splitlines():
        name, available, node_state, gres = line.strip().split("|", 3)
        before = found.get(name, Partition(name, False, 0, frozenset()))
        found[name] = Partition(
            name,
            before.is_up or available == "up",
            before.n_usable_nodes + bool(re.match(r"(idle|mix|alloc|comp)", node_state)),
            before.gres | set(_split_gres(gres)),
        )
    return found


def seconds(value: str) -> int | None:
    """Read a duration of the configuration, ``300 sec`` for instance; None if it is none."""
    match = re.match(r"(\d+)\s*(?:sec|s|$)", value)
    return int(match[1]) if match else None


def _split_gres(gres: str) -> list[str]:
    # gpu:a100:4(S:0-1),shard:8: the sockets in brackets may hold commas themselves.
    plain = re.sub(r"\([^)]*\)", "", gres)
    return [entry for entry in plain.split(",") if entry and entry != "null"]
