"""bundle_model: the folds -> a model folder that ``organome install-model`` takes.

```
<output>/plans.json, dataset.json, fold_N/checkpoint_final.pth     the model
<output>/scheme.json       what its labels mean
<output>/training.json     what it was made from and how; no participant, no path
<output>/README.md         the model card
<output>/model.json        for a model trained on phantoms: that it labels nobody else
<cross_validation>/scans.tsv, references.tsv     each case, labelled by the fold that did not see it
```

Folds that started from a model have no cross-validation: people are dealt anew for each training,
and whom its weights have learned from is not known here.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from organome import __version__
from organome.domain.cases import Case, Unlabelled
from organome.domain.errors import SetupError
from organome.domain.models import ModelNote
from organome.domain.schemes import MRSEGMENTATOR
from organome.domain.wording import counted
from organome.io.files.atomic import replace_folder, write_text_atomic
from organome.io.images.image_files import read_image, write_image
from organome.io.models.checkpoints import CHECKPOINT, convert_checkpoint
from organome.io.models.folders import model_digest, read_json, write_note
from organome.io.models.layouts import DATASET, PLANS, TRAINING
from organome.io.tables.cases import (
    REFERENCES_FILE,
    SCANS_FILE,
    read_cases,
    write_references,
)
from organome.io.tables.schemes import find_scheme, write_published_scheme
from organome.steps.train.nnunet import CONFIGURATION, FILE_ENDING, IGNORE_LABEL, Folders
from organome.steps.train.nnunet import PLANS as PLANS_NAME
from organome.steps.train.references import covered_scheme
from organome.steps.train.splits import SPLITS_FILE, read_folds

CARD: Final = "README.md"
STOCK_TRAINER: Final = "nnUNetTrainer"  # the only one that nnU-Net finds without torchvision
Tier = Literal["research", "phantom"]
_DISTRIBUTIONS: Final = ("nnunetv2", "torch", "numpy", "SimpleITK", "batchgeneratorsv2")

_CARD_TEXT: Final = """\
# {name}

nnU-Net, {networks}; 40 organs in the labels of `mrsegmentator`.
Trained without mirroring by `snakemake train` of Organome {organome}.

- Licence: {licence}
- Tier: {tier}
- Digest: `{digest}`
{begun_with}
| dataset | role | people | images by contrast |
|---|---|---|---|
{datasets}

| fold | epochs | learned from | validated on | Dice of nnU-Net's validation |
|---|---|---|---|---|
{folds}

{validation} Whatever
else is known of the model comes from `snakemake evaluate`.
{warning}"""
_FOR_PHANTOMS: Final = """
**This model was trained on phantoms. It labels phantoms; what it labels in people has no meaning.**
"""


class Validated(StrEnum):
    """Whom the folds were validated on."""

    UNSEEN = "people that the fold did not see"
    PERHAPS_SEEN = "people that the model it started from may have learned from"
    NOBODY = "nobody"


_SAID: Final[Mapping[Validated, str]] = {
    Validated.UNSEEN: (
        "Dice here is nnU-Net's mean over cases and classes, on people that the fold did not see."
    ),
    Validated.PERHAPS_SEEN: (
        "Dice here is nnU-Net's mean over cases and classes. It is no cross-validation: the model"
        " that the folds started from may have learned from the people they are validated on."
    ),
    Validated.NOBODY: "It learned from everybody, so nobody was left to validate it on.",
}


@dataclass(frozen=True, slots=True)
class BundleSummary:
    """What was bundled.

    Attributes:
        folder: The model folder.
        digest: Digest of the model.
        n_folds: Folds.
        validation_dice: Mean over folds of nnU-Net's validation.
    """

    folder: Path
    digest: str
    n_folds: int
    validation_dice: float | None


def run(
    *,
    cases: Path,
    folders: Path,
    folds: Sequence[Path],
    output: Path,
    cross_validation: Path,
    name: str,
    licence: str = "not stated",
    tier: Tier = "research",
    settings: str = "{}",
) -> BundleSummary:
    """Bundle a model, and list its cross-validation.

    Args:
        cases: Table of cases.
        folders: Folder of nnU-Net's folders.
        folds: What each fold wrote of itself.
        output: The model folder; an older one is replaced.
        cross_validation: Folder for the lists of predictions and references. There are none where
            one fold learned from everybody, or folds started from a model; older ones are removed.
        name: Name of the model.
        licence: Licence of the weights.
        tier: ``phantom`` for a model that must not label people.
        settings: Settings of the training as JSON, for the record.

    Raises:
        SetupError: A fold is missing, or folds differ in their epochs.
    """
    places = Folders(folders)
    listed = read_cases(cases)
    dealt = read_folds(places.preprocessed / SPLITS_FILE, listed)
    records = sorted((read_json(path) for path in folds), key=lambda one: int(one["fold"]))
    _check_folds(records, n_folds=len(set(dealt.values())))
    growing = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    _write_model(places, growing, [int(one["fold"]) for one in records])
    digest = model_digest(growing)
    kept = [case for case in listed if case.case in dealt]
    record = {
        "name": name,
        "digest": digest,
        "licence": licence,
        "tier": tier,
        "configuration": CONFIGURATION,
        "validated_on": _validated_on(records),
        "n_people": len({case.person for case in kept}),
        "datasets": _datasets(kept),
        "folds": records,
        "settings": _without_paths(json.loads(settings)),
        "versions": {"organome": __version__} | {one: version(one) for one in _DISTRIBUTIONS},
    }
    write_text_atomic(growing / TRAINING, json.dumps(record, indent=1) + "\n")
    write_text_atomic(growing / CARD, _card(record))
    write_published_scheme(growing, MRSEGMENTATOR)
    if tier == "phantom":
        _mark_phantom(growing, record)
    if record["validated_on"] is Validated.UNSEEN:
        _write_cross_validation(places, kept, dealt, cross_validation)
    else:
        _remove_cross_validation(cross_validation)
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(growing, output)
    shutil.rmtree(growing, ignore_errors=True)
    return BundleSummary(output, digest, len(records), _mean_dice(records))


def _check_folds(records: Sequence[Mapping[str, Any]], *, n_folds: int) -> None:
    found = [int(one["fold"]) for one in records]
    if found != list(range(n_folds)):
        raise SetupError(f"folds {found} are trained, and there are {n_folds}, from 0 on")
    if len({one["n_epochs"] for one in records}) > 1:
        epochs = ", ".join(str(one["n_epochs"]) for one in records)
        raise SetupError(f"the folds saw {epochs} epochs; train those that saw fewer again")


def _write_model(places: Folders, folder: Path, folds: Sequence[int]) -> None:
    plans = read_json(places.preprocessed / f"{PLANS_NAME}.json")
    write_text_atomic(folder / PLANS, json.dumps(plans, indent=1) + "\n")
    dataset = read_json(places.raw / "dataset.json")
    write_text_atomic(folder / DATASET, json.dumps(dataset, indent=1) + "\n")
    for fold in folds:
        made = folder / f"fold_{fold}"
        made.mkdir()
        source = places.fold(fold) / CHECKPOINT
        convert_checkpoint(source, made / CHECKPOINT, trainer_name=STOCK_TRAINER)


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out where the model lies that it starts from: each fold has its digest."""
    train = {key: one for key, one in settings.get("train", {}).items() if key != "start_from"}
    return settings | ({"train": train} if train else {})


def _datasets(cases: Sequence[Case]) -> dict[str, Any]:
    """Count people and images of each dataset; nothing that names anybody."""
    return {
        name: {
            "scheme": find_scheme(next(c.scheme for c in cases if c.dataset == name)).name,
            "n_people": len({case.person for case in cases if case.dataset == name}),
            "n_images": dict(Counter(c.contrast.value for c in cases if c.dataset == name)),
        }
        for name in dict.fromkeys(case.dataset for case in cases)
    }


def _validated_on(records: Sequence[Mapping[str, Any]]) -> Validated:
    if not all(one["n_validation"] for one in records):
        return Validated.NOBODY
    has_started_from_model = any(one["start_from"] for one in records)
    return Validated.PERHAPS_SEEN if has_started_from_model else Validated.UNSEEN


def _mean_dice(records: Sequence[Mapping[str, Any]]) -> float | None:
    found = [one["validation_dice"] for one in records if one["validation_dice"] is not None]
    return sum(found) / len(found) if found else None


def _card(record: Mapping[str, Any]) -> str:
    datasets = [
        f"| {name} | train | {one['n_people']} | "
        + ", ".join(f"{contrast} {n}" for contrast, n in one["n_images"].items())
        + " |"
        for name, one in record["datasets"].items()
    ]
    folds = [
        f"| {one['fold']} | {one['n_epochs']} | {one['n_train']} | {one['n_validation']} | "
        + ("-" if one["validation_dice"] is None else f"{one['validation_dice']:.3f}")
        + " |"
        for one in record["folds"]
    ]
    first = record["folds"][0]
    begun_with = first["start_from"]
    return _CARD_TEXT.format(
        **{key: record[key] for key in ("name", "licence", "tier", "digest")},
        networks=f"{counted(len(folds), 'fold')} of {counted(first['n_epochs'], 'epoch')}",
        begun_with=f"- Trained on from model `{begun_with}`\n" if begun_with else "",
        validation=_SAID[record["validated_on"]],
        organome=__version__,
        datasets="\n".join(datasets),
        folds="\n".join(folds),
        warning=_FOR_PHANTOMS if record["tier"] == "phantom" else "",
    )


def _mark_phantom(folder: Path, record: Mapping[str, Any]) -> None:
    note = ModelNote(
        name=record["name"],
        digest=record["digest"],
        source="snakemake train",
        archive_sha256=record["digest"],
        verified=True,
        version=None,
        configuration=CONFIGURATION,
        trainer_name=STOCK_TRAINER,
        n_folds=len(record["folds"]),
        mirroring_axes=None,
        scheme=MRSEGMENTATOR.name,
        labels_as_delivered=None,
        licence=record["licence"],
        citation=None,
        made_with={"organome": __version__, "torch": record["versions"]["torch"]},
        for_phantoms=True,
    )
    write_note(folder, note)


def _remove_cross_validation(folder: Path) -> None:
    """Remove the lists of an earlier training in this run folder: they are of another model."""
    for name in (SCANS_FILE, REFERENCES_FILE):
        (folder / name).unlink(missing_ok=True)


def _write_cross_validation(
    places: Folders, cases: Sequence[Case], dealt: Mapping[str, int], folder: Path
) -> None:
    """List each case with the labelmap of the fold that did not see its person.

    Images and labelmaps are those of the raw dataset: 40 organs in one orientation. What was
    ignored in training is background again, under a scheme of the organs that are labelled.
    """
    predictions = {
        case.case: places.fold(dealt[case.case]) / "validation" / f"{case.case}{FILE_ENDING}"
        for case in cases
    }
    n_missing = sum(not path.is_file() for path in predictions.values())
    if n_missing:
        raise SetupError(f"{n_missing} of {len(cases)} cases have no validation by their fold")
    references = {
        case.case: places.raw / "labelsTr" / f"{case.case}{FILE_ENDING}" for case in cases
    }
    schemes = dict.fromkeys(references, MRSEGMENTATOR.name)
    for case in cases:
        if case.unlabelled is Unlabelled.IGNORE:
            known = [find_scheme(case.scheme)]
            there = folder.absolute() / "references" / case.dataset
            there.mkdir(parents=True, exist_ok=True)
            schemes[case.case] = covered_scheme(MRSEGMENTATOR.name, known, there)
            labels = read_image(references[case.case], constant=True)
            references[case.case] = there / f"{case.case}{FILE_ENDING}"
            write_image(references[case.case], labels * (labels != IGNORE_LABEL))
    images = {
        case.case: str((places.raw / "imagesTr" / f"{case.case}_0000{FILE_ENDING}").absolute())
        for case in cases
    }
    write_references(
        folder,
        [replace(one, image=images[one.case], scheme=schemes[one.case]) for one in cases],
        references={key: path.absolute() for key, path in references.items()},
        predictions={key: path.absolute() for key, path in predictions.items()},
        folds=dealt,
    )
