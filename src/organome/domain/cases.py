"""Cases: images with a reference labelmap, from which a model learns or on which it is tested."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from organome.domain.columns import Column, ColumnType, Table
from organome.domain.contrast_kinds import modality_of
from organome.domain.covariates import Sex
from organome.domain.scans import DIXON_CONTRASTS, Contrast, Modality

NO_INSTANCE: Final = "0"  # where a dataset counts neither visits nor repeats


class Role(StrEnum):
    """What a case is for."""

    TRAIN = "train"
    TEST = "test"


class Unlabelled(StrEnum):
    """What becomes of organs that the label scheme of a dataset does not have."""

    REFUSE = "refuse"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Case:
    """One image and its reference.

    Attributes:
        case: Key, ``<dataset>_NNNN``: names its files and log lines, so that no participant is
            named there.
        dataset: Name of the dataset, as configured.
        role: Whether a model learns from it.
        people: Name of the set of people; datasets of one biobank share it, because the same
            participant may be in several of them.
        participant: Pseudonym, unique within ``people``.
        instance: Visit.
        array: Repeat within the visit.
        contrast: What the image shows.
        image: Path of the image.
        reference: Path of the reference labelmap, or folder of one mask a class.
        scheme: Label scheme of the reference: a built-in one, or a file.
        station: Table position from the head, None where there is one image.
        unlabelled: What background of a scheme that lacks organs means.
        sex: Sex.
        age_years: Age at the scan.
    """

    case: str
    dataset: str
    role: Role
    people: str
    participant: str
    instance: str
    array: str
    contrast: Contrast
    image: str
    reference: str
    scheme: str
    station: int | None = None
    unlabelled: Unlabelled = Unlabelled.REFUSE
    sex: Sex | None = None
    age_years: float | None = None

    @property
    def person(self) -> str:
        """The person, in one word: equal for all series and visits, in whatever dataset."""
        return f"{self.people}.{self.participant}"

    @property
    def protocol(self) -> str:
        """What was acquired. Every image is a scan of its own: each is labelled and scored."""
        is_dixon = self.contrast in DIXON_CONTRASTS
        words = f"dixon_{self.contrast}" if is_dixon else self.contrast.value
        return words if self.station is None else f"{words}_station-{self.station}"

    @property
    def modality(self) -> Modality:
        """Kind of scanner."""
        return modality_of(self.contrast)


_TEXT, _NUMBER = ColumnType.STRING, ColumnType.FLOAT64
CASES: Final = Table(
    name="cases",
    row="one image with its reference",
    key=("case",),
    columns=(
        Column("case", _TEXT, "Key of the case.", nullable=False),
        Column("dataset", _TEXT, "Dataset, as configured.", nullable=False),
        Column("role", _TEXT, "What it is for.", nullable=False, levels=tuple(Role)),
        Column("people", _TEXT, "Set of people that the participant is of.", nullable=False),
        Column("participant", _TEXT, "Pseudonym.", nullable=False),
        Column("instance", _TEXT, "Visit.", nullable=False),
        Column("array", _TEXT, "Repeat within the visit.", nullable=False),
        Column("contrast", _TEXT, "What the image shows.", nullable=False, levels=tuple(Contrast)),
        Column("image", _TEXT, "Path of the image.", nullable=False),
        Column("reference", _TEXT, "Path of labelmap or folder of masks.", nullable=False),
        Column("scheme", _TEXT, "Label scheme of the reference.", nullable=False),
        Column("station", ColumnType.INT8, "Table position from the head; null: one image."),
        Column(
            "unlabelled",
            _TEXT,
            "What background means where the scheme lacks organs.",
            nullable=False,
            levels=tuple(Unlabelled),
        ),
        Column("sex", _TEXT, "Sex.", levels=tuple(Sex)),
        Column("age_years", _NUMBER, "Age at the scan.", "years"),
    ),
)

# What `test/references.tsv` and `cross_validation/references.tsv` hold, a row a scan: the identity
# of the scan as in the scans.tsv beside it, and what it is compared with.
REFERENCE_COLUMNS: Final = (
    *("participant", "instance", "array", "protocol", "dataset", "modality", "contrast"),
    *("reference", "scheme", "sex", "age_years"),
)
