"""Machines: what of a machine may change a voxel of a labelmap."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

_N_KIND_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine: all nodes that have this in common count as one.

    Attributes:
        device: ``cuda`` or ``cpu``: where networks run.
        name: Model of the GPU, or of the CPU where networks run on it.
        compute_capability: Of the GPU, ``9.0`` for instance; None on a CPU.
        driver: Release of the GPU's driver; None on a CPU or where it cannot be told.
        versions: Release of each library that has a part in a labelmap, by name.
    """

    device: str
    name: str
    compute_capability: str | None
    driver: str | None
    versions: Mapping[str, str]

    @property
    def kind(self) -> str:
        """A short digest of all of it."""
        told = json.dumps(asdict(self), sort_keys=True).encode()
        return hashlib.sha256(told).hexdigest()[:_N_KIND_DIGITS]
