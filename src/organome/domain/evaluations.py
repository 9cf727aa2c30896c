"""Evaluation against references: what is compared, under which profile, and the tables of it.

A profile is a way to evaluate as a paper, or a script, did: where its numbers and others differ,
the profile says why. All that a profile decides stands here.

Source: Häntze et al. 2024, sections 2.1.5 and 3.3; the evaluation script that its authors released.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.covariates import Sex
from organome.domain.errors import SetupError
from organome.domain.organs import ORGAN_BY_NAME, ORGANS, Organ, Region
from organome.domain.scans import Contrast, Modality, Scan
from organome.domain.schemes import AMOS22, LabelScheme


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference labelmap of one scan, and what is known of the scan.

    Attributes:
        participant: Pseudonym, as in the list of scans.
        instance: Visit, likewise.
        array: Repeat, likewise.
        protocol: What was acquired, likewise.
        labelmap: File of the reference.
        scheme: Name or file of the label scheme of the reference.
        dataset: Where the scan comes from; scans of one dataset are summarised together.
        modality: Kind of scanner.
        contrast: What the image shows; None: the one that was labelled.
        sex: Sex, None if not known.
        age_years: Age, None if not known.
        fold: Fold of a cross-validation that predicted the scan, None if there is none.
        station: Table position where stations are scans of their own.
    """

    participant: str
    instance: str
    array: str
    protocol: str
    labelmap: str
    scheme: str
    dataset: str
    modality: Modality
    contrast: Contrast | None = None
    sex: Sex | None = None
    age_years: float | None = None
    fold: str | None = None
    station: int | None = None

    @property
    def identity(self) -> tuple[str, str, str, str, int]:
        """What makes it the reference of this scan and of no other."""
        return (self.participant, self.instance, self.array, self.protocol, self.station or 0)


def reference_identity(scan: Scan) -> tuple[str, str, str, str, int]:
    """Return the identity that the reference of a scan has."""
    return scan.identity[1:]


class FailedScans(StrEnum):
    """What becomes of scans that have a reference and whose labelling failed."""

    MISSED = "missed"
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class Profile:
    """A way to evaluate.

    Attributes:
        name: Its name in the configuration.
        meaning: What it is, for the reader of the results.
        spacing_xyz_mm: Both labelmaps are put onto a grid of this spacing, along the axes as
            stored, by nearest neighbour, before they are compared; None: onto none.
        counts_falsely_added: Whether an organ that the reference lacks and the prediction has
            counts with a Dice of 0; if not, it is dropped from the means.
        failed_scans: What becomes of scans whose labelling failed.
        excluded: Organs that are not evaluated, by name of the label scheme of the reference.
    """

    name: str
    meaning: str
    spacing_xyz_mm: tuple[float, float, float] | None
    counts_falsely_added: bool
    failed_scans: FailedScans
    excluded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def organs(self, reference: LabelScheme, prediction: LabelScheme) -> tuple[Organ, ...]:
        """Return the organs that are evaluated: those that both schemes have, but the excluded."""
        name = reference.name.split("@", 1)[0]  # a scheme from a file carries its digest
        excluded = self.excluded.get(name, ())
        return tuple(
            organ
            for organ in reference.structures
            if reference.covers(organ) and prediction.covers(organ) and organ.name not in excluded
        )


# Two scans of AMOS22's MRI part have a bladder, one of them wrong; a prostate is not one of the 40.
_EXCLUDED: Final = {AMOS22.name: ("urinary_bladder",)}
PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(
            name="mrsegmentator-paper",
            meaning="As the paper defines its metrics: on the grid of the image; an organ that was "
            "missed or falsely added has a Dice of 0; AMOS22 with 13 organs. Scans whose labelling "
            "failed count with every organ missed.",
            spacing_xyz_mm=None,
            counts_falsely_added=True,
            failed_scans=FailedScans.MISSED,
            excluded=_EXCLUDED,
        ),
        Profile(
            name="mrsegmentator-released",
            meaning="As the script that its authors released: nearest neighbours on a grid of 1.5 "
            "x 1.5 x 3 mm; an organ that the reference lacks is dropped from the means, whatever "
            "the prediction has; scans whose labelling failed are left out; AMOS22 with 13 organs.",
            spacing_xyz_mm=(1.5, 1.5, 3.0),
            counts_falsely_added=False,
            failed_scans=FailedScans.LEFT_OUT,
            excluded=_EXCLUDED,
        ),
    )
}


def profile_by_name(name: str) -> Profile:
    """Find a profile.

    Raises:
        SetupError: If there is no such profile.
    """
    if name not in PROFILES:
        raise SetupError(f"profile {name!r} is unknown: one of {', '.join(PROFILES)}")
    return PROFILES[name]


AMOS22_ORGANS: Final = tuple(organ for organ in ORGANS if AMOS22.covers(organ))
VESSELS: Final = tuple(organ for organ in ORGANS if organ.region is Region.VESSELS)


def is_vessel(organ: Organ) -> bool:
    """Return whether an organ is a tube, whose centreline says more than its voxels."""
    return ORGAN_BY_NAME.get(organ.name) in VESSELS


class Compared(StrEnum):
    """How far the evaluation of a scan came."""

    COMPARED = "compared"
    FAILED_COUNTED = "failed_counted"
    FAILED_LEFT_OUT = "failed_left_out"
    NO_REFERENCE = "no_reference"
    NOT_COMPARABLE = "not_comparable"


_STRING, _, _INT8, _, _INT64, _FLOAT = ColumnType
_SCAN: Final = Column("scan", _STRING, "Key of the scan: shard and place in it.", nullable=False)

ORGAN_METRICS: Final = Table(
    name="organ_metrics",
    row="One row per scan that was evaluated and organ that its reference knows.",
    key=("scan", "label"),
    columns=(
        _SCAN,
        Column("label", _INT8, "Label of the organ.", nullable=False),
        Column("organ", _STRING, "Name of the organ.", nullable=False),
        Column(
            "presence",
            _STRING,
            "In which of the two labelmaps the organ is: both, missed (in the reference only), "
            "falsely_added (in the prediction only), both_absent.",
            nullable=False,
        ),
        Column("n_voxels_reference", _INT64, "Voxels in the reference.", "voxels"),
        Column("n_voxels_predicted", _INT64, "Voxels in the prediction.", "voxels"),
        Column("volume_reference_ml", _FLOAT, "Volume in the reference.", "mL"),
        Column("volume_predicted_ml", _FLOAT, "Volume in the prediction.", "mL"),
        Column(
            "dice",
            _FLOAT,
            "Dice similarity coefficient; 0 where missed or falsely added, null where both lack "
            "the organ.",
            "fraction, 0 to 1",
        ),
        Column(
            "hd95_mm",
            _FLOAT,
            "Hausdorff distance, the greater of the two directed 95th percentiles; null where "
            "either lacks the organ.",
            "mm",
        ),
        Column(
            "hd95_penalised_mm",
            _FLOAT,
            "The same, and the diagonal of the image where missed or falsely added.",
            "mm",
        ),
        Column(
            "surface_dice",
            _FLOAT,
            "Normalised surface Dice at the tolerance of the settings; 0 and null as Dice.",
            "fraction, 0 to 1",
        ),
        Column(
            "centreline_dice",
            _FLOAT,
            "clDice, of vessels only; 0 and null as Dice.",
            "fraction, 0 to 1",
        ),
    ),
)

EVALUATED_SCANS: Final = Table(
    name="evaluated_scans",
    row="One row per listed scan of the shard.",
    key=("scan",),
    columns=(
        _SCAN,
        Column(
            "compared",
            _STRING,
            "'compared'; 'failed_counted', its labelling failed and every organ counts as missed; "
            "'failed_left_out', likewise, and it is left out; 'no_reference'; 'not_comparable', "
            "the reference cannot be read or lies on another grid.",
            nullable=False,
            levels=tuple(Compared),
        ),
        Column("reason", _STRING, "Why it failed or cannot be compared; null otherwise."),
        Column("fact", _STRING, "What was found, in one line; null otherwise."),
        Column("contrast", _STRING, "Contrast that was labelled."),
    ),
)
