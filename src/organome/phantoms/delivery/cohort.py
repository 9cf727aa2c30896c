"""Who is in a phantom cohort, with which defects, and what was delivered of whom."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

import numpy as np

from organome.domain.errors import SetupError
from organome.domain.scans import Contrast
from organome.phantoms.bodies.people import Covariates, Sex
from organome.phantoms.delivery.defects import DEFECTS, Defect, Format

Preset = Literal["demo", "tiny"]

FIRST_INSTANCE: Final = "2"  # UK Biobank's first imaging visit
REPEAT_INSTANCE: Final = "3"
FIRST_DAY: Final = datetime(2015, 1, 5, 8, 0)  # any day of the past; nothing depends on it
REPEAT_AFTER_YEARS: Final = 2.5
PSEUDONYMS: Final = range(1_000_000, 6_000_000)  # UK Biobank's, seven digits


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """What a phantom cohort consists of.

    Attributes:
        n_participants: Participants with MRI.
        n_repeats: So many of them are seen again at instance 3.
        n_ct: Further participants, with CT.
        formats: How all of it is delivered; each format is a cohort of its own.
        defects: Each is planted in one scan.
        reduce: In-plane pixels are so many times larger and fewer; 1 is the true matrix.
        labelmaps: Whether the nifti format comes with labelmaps, as a cohort that is already
            segmented.
        seed: Another seed gives other people.
    """

    n_participants: int
    n_repeats: int
    n_ct: int
    formats: tuple[Format, ...]
    defects: tuple[Defect, ...]
    reduce: int = 1
    labelmaps: bool = False
    seed: int = 20201


@dataclass(frozen=True, slots=True)
class Visit:
    """One participant at one instance.

    Attributes:
        participant: Pseudonym.
        instance: Visit as the biobank counts it.
        body_seed: What ``draw_body`` makes the person from; the same at all instances.
        sex: ``female`` or ``male``.
        years_later: Years since the first visit.
        started: Day and time.
        with_ct: A CT of the trunk is taken; MRI otherwise.
        defect: What is planted, None: nothing.
    """

    participant: str
    instance: str
    body_seed: int
    sex: Sex
    years_later: float
    started: datetime
    with_ct: bool
    defect: Defect | None = None


PRESETS: Final[dict[Preset, CohortPlan]] = {
    "demo": CohortPlan(
        n_participants=12,
        n_repeats=3,
        n_ct=2,
        formats=(Format.UKB, Format.CT),
        defects=(
            Defect.TRUNCATED_ZIP,
            Defect.MISSING_STATION,
            Defect.SHUFFLED_INSTANCES,
            Defect.SWAPPED_FAT_WATER,
        ),
    ),
    "tiny": CohortPlan(
        n_participants=3,
        n_repeats=1,
        n_ct=1,
        formats=tuple(Format),
        defects=(Defect.TRUNCATED_ZIP,),
        reduce=4,
        labelmaps=True,
    ),
}


def plan_visits(plan: CohortPlan) -> tuple[Visit, ...]:
    """Draw pseudonyms and seeds, and deal defects out.

    Returns:
        All visits: those with MRI by person and instance, then those with CT. The first people are
        those who come again. The sexes alternate. Defects go to the last people with MRI, so that
        those seen twice stay sound as long as possible.

    Raises:
        SetupError: If numbers do not fit together, or a defect fits none of the formats.
    """
    _check(plan)
    n_people = plan.n_participants + plan.n_ct
    pseudonyms = np.random.default_rng([plan.seed, 1]).choice(
        len(PSEUDONYMS), size=n_people, replace=False
    )
    first = [_first_visit(plan, index, int(pseudonyms[index])) for index in range(n_people)]
    with_mri, with_ct = first[: plan.n_participants], first[plan.n_participants :]
    spoilt = dict(zip([visit.participant for visit in with_mri[::-1]], plan.defects, strict=False))
    visits = [replace(visit, defect=spoilt.get(visit.participant)) for visit in with_mri]
    again = [_come_again(visit) for visit in with_mri[: plan.n_repeats]]
    by_person = sorted(visits + again, key=lambda visit: (visit.participant, visit.instance))
    return (*by_person, *with_ct)


def _check(plan: CohortPlan) -> None:
    if plan.n_participants < 1 or not 0 <= plan.n_repeats <= plan.n_participants or plan.n_ct < 0:
        raise SetupError(
            f"{plan.n_participants} participants, {plan.n_repeats} seen twice, {plan.n_ct} with CT:"
            " impossible numbers"
        )
    if len(plan.defects) > plan.n_participants:
        raise SetupError(f"{len(plan.defects)} defects for {plan.n_participants} participants")
    for defect in plan.defects:
        if not DEFECTS[defect].formats & set(plan.formats):
            fitting = ", ".join(sorted(DEFECTS[defect].formats))
            raise SetupError(f"defect {defect} needs one of the formats {fitting}")


def _first_visit(plan: CohortPlan, index: int, pseudonym: int) -> Visit:
    # Far from the small seeds that anyone else draws bodies with: these people are unseen.
    body_seed = int(np.random.SeedSequence([plan.seed, index]).generate_state(1)[0])
    return Visit(
        participant=str(PSEUDONYMS[pseudonym]),
        instance=FIRST_INSTANCE,
        body_seed=body_seed,
        sex="female" if index % 2 == 0 else "male",
        years_later=0.0,
        started=FIRST_DAY + timedelta(days=3 * index, minutes=30 * (index % 16)),
        with_ct=index >= plan.n_participants,
    )


def _come_again(visit: Visit) -> Visit:
    return replace(
        visit,
        instance=REPEAT_INSTANCE,
        years_later=REPEAT_AFTER_YEARS,
        started=visit.started + timedelta(days=round(365.25 * REPEAT_AFTER_YEARS)),
    )


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
