"""Flip a bit of a file, cut it short, or lose its last blocks, while nothing works in the run."""

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

Damage = Callable[[bytes, random.Random], bytes]


def _flip(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _blank(content: bytes, chance: random.Random) -> bytes:
    # What a file system leaves that wrote down the length of a file and not yet its last blocks.
    n_kept = chance.randrange(len(content))
    return content[:n_kept] + bytes(len(content) - n_kept)


DAMAGES: Final[Mapping[str, Damage]] = {"flip": _flip, "cut": _cut, "blank": _blank}
# By how often each is meant. Whoever finds a damaged lease waits for two minutes until it has stood
# still for long enough.
TARGETS: Final = {"journal": 3, "ledger": 3, "lease": 1, "published": 3}
_CONTROLLER: Final = ("work", "controller")  # its lease is watched for five minutes


def target_of(path: Path) -> str | None:
    """Return which kind of file this is, by its place in the run folder; None: not meant here."""
    if path.parts[:2] == _CONTROLLER:
        return None
    if "lease" in path.parts:
        return "lease"
    if path.suffix == ".jsonl":
        return "journal"
    if path.name == "ledger.parquet":
        return "ledger"
    if path.parts[0] == "results" and path.parts[1] != "tables":
        return "published"
    return None


def damage_one(folder: Path, *, damage: str, chance: random.Random) -> tuple[str, Path] | None:
    """Damage a file of a run folder; its time stays, as when a disk forgets.

    Returns:
        The kind of the file and its path in the run folder; None where there is no file to damage.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(path for top in ("results", "work") for path in (folder / top).rglob("*")):
        kind = target_of(path.relative_to(folder))
        if kind is not None and path.is_file() and path.stat().st_size:
            found.setdefault(kind, []).append(path)
    if not found:
        return None
    kinds = sorted(found)
    kind = chance.choices(kinds, [TARGETS[kind] for kind in kinds])[0]
    path = chance.choice(found[kind])
    times = path.stat()
    path.write_bytes(DAMAGES[damage](path.read_bytes(), chance))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return kind, path.relative_to(folder)
