"""What is remembered of a phantom visit once its files are written."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from organome.domain.scans import Contrast
from organome.phantoms.bodies.people import Covariates
from organome.phantoms.delivery.cohort import Visit
from organome.phantoms.delivery.defects import DEFECTS, Defect
from organome.phantoms.delivery.formats import Format


@dataclass(frozen=True, slots=True)
class DeliveredImage:
    """One file or folder as delivered.

    Attributes:
        path: Relative to the output.
        contrast: What it shows; None for an archive that holds several.
        labelmap: Labelmap delivered with it, relative to the output; None where there is none.
    """

    path: str
    contrast: Contrast | None = None
    labelmap: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveredScan:
    """One scan as delivered.

    Attributes:
        format: How it is delivered.
        protocol: ``dixon``, ``t1``, ``t2`` or ``ct``.
        images: Its files.
        defect: What was planted in it.
    """

    format: Format
    protocol: str
    images: tuple[DeliveredImage, ...]
    defect: Defect | None = None


@dataclass(frozen=True, slots=True)
class VisitRecord:
    """One visit as delivered, and what is true of it.

    Attributes:
        visit: Who and when.
        covariates: Sex, age, height, weight.
        volumes_ml: Volume by organ; absent organs are not in it.
        scans: What was delivered.
    """

    visit: Visit
    covariates: Covariates
    volumes_ml: Mapping[str, float]
    scans: tuple[DeliveredScan, ...]


def labelmap_name(visit: Visit, protocol: str) -> str:
    """File name of a true labelmap."""
    return f"{visit.participant}_{visit.instance}_{protocol}.nii.gz"


def planted(visit: Visit, one: Format) -> Defect | None:
    """Return which defect the visit gets in this format; None if it cannot have the visit's."""
    fits = visit.defect is not None and one in DEFECTS[visit.defect].formats
    return visit.defect if fits else None


def visit_rng(visit: Visit, stream: int) -> np.random.Generator:
    """Random numbers of a visit; each stream is independent of whether others are used."""
    return np.random.default_rng([visit.body_seed, int(visit.instance), stream])
