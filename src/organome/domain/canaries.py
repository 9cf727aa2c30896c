"""Canaries: reference scans that every kind of machine must label alike before it labels others."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from organome.domain.outcomes import JsonValue

_N_KIND_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Machine:
    """What of a machine may change a voxel; all nodes that have it in common are of one kind.

    Attributes:
        device: ``cuda`` or ``cpu``: where networks run.
        name: Model of the GPU, or of the CPU where networks run on it.
        compute_capability: Of the GPU, ``9.0`` for instance; None on a CPU.
        driver: Release of the GPU's driver; None on a CPU or where it is not known.
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
        content = json.dumps(asdict(self), sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()[:_N_KIND_DIGITS]


@dataclass(frozen=True, slots=True)
class ReferenceScan:
    """One scan of a canary.

    Attributes:
        scan: Key of the scan in the run that the canary was taken from.
        contrast: What the image shows.
        image: Name of the prepared image in the canary's folder.
        image_sha256: Digest of that file.
        labelmap: Name of the labelmap, labels of the 40 organs.
        labelmap_sha256: Digest of that file.
        volumes_ml: Volume in view of every organ that the labelmap has, by name, in mL.
    """

    scan: str
    contrast: str
    image: str
    image_sha256: str
    labelmap: str
    labelmap_sha256: str
    volumes_ml: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Canary:
    """Reference scans, and what their labelmaps depend on.

    Attributes:
        model_name: Name of the model that labelled them.
        model_digest: Its digest.
        settings: All other settings that change labels.
        labelled_on: Hosts that labelled them, sorted.
        packed_on: The machine that put the canary together; it need not be one of those.
        scans: The reference scans.
    """

    model_name: str
    model_digest: str
    settings: Mapping[str, JsonValue]
    labelled_on: tuple[str, ...]
    packed_on: Machine
    scans: tuple[ReferenceScan, ...]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a machine may be off.

    Attributes:
        min_dice: Lowest Dice coefficient of an organ.
        max_volume_change: Largest change of its volume, as a share of the reference.
        min_volume_ml: Smaller organs are not compared: there, single voxels are per cents.
    """

    min_dice: float
    max_volume_change: float
    min_volume_ml: float


@dataclass(frozen=True, slots=True)
class OrganDifference:
    """One organ in a reference labelmap and in that of another machine.

    Attributes:
        organ: Name of the organ.
        dice: Dice coefficient of the two; 0 for an organ that only one of them has.
        reference_ml: Volume in the reference in mL.
        volume_ml: Volume on the other machine in mL.
        scan: Key of the scan, empty where it does not matter.
    """

    organ: str
    dice: float
    reference_ml: float
    volume_ml: float
    scan: str = ""

    def is_compared(self, tolerance: Tolerance) -> bool:
        """Whether the reference has enough of it."""
        return self.reference_ml >= tolerance.min_volume_ml

    def drifts(self, tolerance: Tolerance) -> bool:
        """Whether the two are further apart than allowed.

        An organ too small to be compared drifts when it grows by more than an organ must have to
        be compared: then it has appeared.
        """
        if not self.is_compared(tolerance):
            return self.volume_ml - self.reference_ml > tolerance.min_volume_ml
        off = self.volume_change > tolerance.max_volume_change
        return off or self.dice < tolerance.min_dice

    @property
    def volume_change(self) -> float:
        """How far the volume is off, as a share of the reference; infinite where that is 0."""
        if self.reference_ml == 0:
            return float("inf") if self.volume_ml else 0.0
        return abs(self.volume_ml / self.reference_ml - 1)


class Judgement(StrEnum):
    """Whether a machine labels the reference scans as they were labelled."""

    HELD = "held"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Question:
    """What a check answers; another question needs another check.

    Attributes:
        canary_digest: Digest of the canary, and so of its model and settings.
        tolerance: How far a machine may be off.
    """

    canary_digest: str
    tolerance: Tolerance


@dataclass(frozen=True, slots=True)
class CanaryCheck:
    """What a check of one kind of machine found; it names neither a participant nor a path.

    Attributes:
        judgement: Held or drift.
        question: What was asked.
        model_digest: Digest of the model that was run.
        settings: All other settings that change labels.
        machine: The machine.
        n_scans: Reference scans that were labelled again.
        n_organs: Organs that were compared, over all scans.
        identical: Whether all labelmaps are the same to the last voxel.
        worst: The organ that is furthest off.
        min_dice: Lowest Dice coefficient of all compared organs.
        max_volume_change: Largest change of a volume of all compared organs, as a share.
    """

    judgement: Judgement
    question: Question
    model_digest: str
    settings: Mapping[str, JsonValue]
    machine: Machine
    n_scans: int
    n_organs: int
    identical: bool
    worst: OrganDifference
    min_dice: float
    max_volume_change: float

    def __str__(self) -> str:
        """Write it as one line."""
        worst, name = self.worst, f"{self.machine.name} ({self.machine.kind})"
        counted = f"{self.n_scans} reference scan{'' if self.n_scans == 1 else 's'}"
        found = f"canary {self.judgement} on {name}: {counted}"
        if self.identical:
            return f"{found}, labelmaps bit-identical"
        return (
            f"{found}, worst organ {worst.organ} of {worst.scan}: Dice {worst.dice:.4f},"
            f" {worst.volume_ml:.1f} mL instead of {worst.reference_ml:.1f} mL"
        )
