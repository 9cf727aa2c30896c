"""A model as delivered -> a folder that Organome and stock nnU-Net run, with a note beside."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from organome import __version__
from organome.compute.inference.network import load_networks
from organome.domain.errors import SetupError
from organome.domain.known_models import ModelOrigin
from organome.domain.models import ModelNote, check_labels, model_classes
from organome.domain.plans import check_plans
from organome.domain.schemes import LabelScheme
from organome.io.files.atomic import write_text_atomic
from organome.io.models.checkpoints import CHECKPOINT, convert_checkpoint
from organome.io.models.folders import read_json, read_model, read_note, write_note
from organome.io.models.layouts import DATASET, NOTE, PLANS, TRAINING, VERSION, fold_checkpoints
from organome.io.models.phantoms import is_for_phantoms


def convert_model(
    delivered: Path, made: Path, *, origin: ModelOrigin, scheme: LabelScheme | None
) -> ModelNote:
    """Convert a model, and make sure that it can be run.

    Args:
        delivered: Folder that holds plans.json, dataset.json and the folds.
        made: Folder to make.
        origin: Where the model is from.
        scheme: Label scheme that its classes must be those of, None for any.

    Returns:
        The note that was written beside the model.

    Raises:
        SetupError: It cannot be run, is another one than its name says, has not all of its folds,
            or a checkpoint is more than plain data.
    """
    version = _version(delivered, origin)
    checkpoints = fold_checkpoints(delivered)
    _check_n_folds(delivered, len(checkpoints), origin)
    plans, dataset = read_json(delivered / PLANS), read_json(delivered / DATASET)
    dataset, labels_as_delivered = _named_labels(dataset, origin, scheme)
    made.mkdir(parents=True)
    (made / PLANS).write_bytes((delivered / PLANS).read_bytes())
    if labels_as_delivered is None:
        (made / DATASET).write_bytes((delivered / DATASET).read_bytes())
    else:
        write_text_atomic(made / DATASET, json.dumps(dataset, indent=4) + "\n")
    folds = [_convert_fold(path, made, plans) for path in checkpoints]
    model = replace(read_model(made), name=origin.name)
    load_networks(model)
    note = ModelNote(
        name=origin.name,
        digest=model.digest,
        source=origin.source,
        archive_sha256=origin.archive_sha256,
        verified=origin.verified,
        version=version,
        configuration=model.configuration,
        trainer_name=folds[0]["trainer_name"],
        n_folds=len(folds),
        mirroring_axes=model.mirroring_axes,
        scheme=None if scheme is None else scheme.name,
        labels_as_delivered=labels_as_delivered,
        licence=None if origin.known is None else origin.known.licence,
        citation=None if origin.known is None else origin.known.citation,
        made_with={"organome": __version__, "torch": str(torch.__version__)},
        for_phantoms=is_for_phantoms(delivered),
    )
    write_note(made, note)
    return note


def _version(delivered: Path, origin: ModelOrigin) -> str | None:
    """Read the version of the weights, and hold it to that of the published model."""
    if not (delivered / VERSION).is_file():
        return None
    published = read_json(delivered / VERSION).get("weights_version")
    version = None if published is None else str(published)
    expected = None if origin.known is None else origin.known.version
    if version is not None and expected is not None and version != expected:
        raise SetupError(f"{origin.source} holds weights {version}, not {expected}: {origin.name}")
    return version


def _check_n_folds(delivered: Path, n_folds: int, origin: ModelOrigin) -> None:
    """Hold the number of folds to what is known of it: a gap shows, a missing last one does not."""
    note, expected = read_note(delivered), {}
    if origin.known is not None and origin.known.n_folds is not None:
        expected[f"{origin.name} was published with"] = origin.known.n_folds
    if note is not None:
        expected[f"its {NOTE} names"] = note.n_folds
    with suppress(SetupError):  # of that name by chance: a model of others
        trained = read_json(delivered / TRAINING).get("folds")
        if isinstance(trained, list):
            expected[f"its {TRAINING} names"] = len(trained)
    for who, n in expected.items():
        if n != n_folds:
            raise SetupError(
                f"{origin.source} holds {n_folds} fold(s), {who} {n}: the others are missing, and"
                " an average without them has other labels. Get the whole model; to use these"
                f" alone, copy {PLANS}, {DATASET} and the folds, and give another --name"
            )


def _named_labels(
    dataset: dict[str, Any], origin: ModelOrigin, scheme: LabelScheme | None
) -> tuple[dict[str, Any], Mapping[str, int] | None]:
    """Hold the classes to the scheme; of the very archive that was published, name them by it.

    What an output of a published model means is known from its authors' label table, however its
    training data called it.
    """
    classes = model_classes(dataset, model=origin.name)
    if scheme is None:
        return dataset, None
    published = origin.known is not None and origin.known.sha256 == origin.archive_sha256
    if not published or list(classes) != list(scheme.classes):
        check_labels(dataset, scheme, model=origin.name)
        return dataset, None
    if classes == dict(scheme.classes):
        return dataset, None
    named = {"background": 0, **{name: label for label, name in scheme.classes.items()}}
    return {**dataset, "labels": named}, dataset["labels"]


def _convert_fold(source: Path, made: Path, plans: dict[str, Any]) -> Mapping[str, Any]:
    folder = made / source.parent.name
    folder.mkdir()
    checkpoint = convert_checkpoint(source, folder / CHECKPOINT)
    check_plans(plans, checkpoint["init_args"]["configuration"])
    return checkpoint
