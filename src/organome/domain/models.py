"""Models: a folder of plans and weights, known by its digest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from organome.domain.errors import SetupError
from organome.domain.schemes import LabelScheme

_BACKGROUND: Final = "background"
_IGNORE: Final = "ignore"  # nnU-Net's name for voxels that nobody annotated; never an output
_MAX_LABELS: Final = 256  # that a byte can tell apart, background included
_NAMED: Final = 3  # of the classes that differ, in the error


@dataclass(frozen=True)
class Model:
    """A segmentation model in the layout of nnU-Net v2.

    Attributes:
        name: Name of its folder.
        digest: SHA-256 over plans, dataset and all checkpoints: the identity of the model.
        plans: Content of ``plans.json``, its configuration in the current format.
        dataset: Content of ``dataset.json``.
        configuration: Configuration that the weights were trained with.
        mirroring_axes: Axes that inference may mirror, None where the model was trained without.
        folds: Names of its folds, "0" or "all" for instance.
        weights: State of the network, one mapping a fold.
    """

    name: str
    digest: str
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    configuration: str
    mirroring_axes: tuple[int, ...] | None
    folds: tuple[str, ...]
    weights: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ModelNote:
    """What was installed, and where it is from.

    Attributes:
        name: Name of the model.
        digest: Digest of the model as installed.
        source: URL, or name of the local file or folder.
        archive_sha256: SHA-256 of the archive, or digest of the folder, that it was made from.
        verified: Whether that was compared with a digest that was known before.
        version: What ``version.json`` of the archive says of the weights, None without one.
        configuration: Configuration of nnU-Net that the weights were trained with.
        trainer_name: Who trained it.
        n_folds: Networks whose outputs are averaged.
        mirroring_axes: Axes that inference may mirror, None for none.
        scheme: Label scheme that its classes were compared with, None if with none.
        labels_as_delivered: Names of the classes as delivered, where they were replaced by those of
            the authors' label table.
        licence: Licence of the weights, as far as known.
        citation: What to cite, as far as known.
        made_with: Releases of Organome and torch: the bytes of a checkpoint depend on the latter.
        for_phantoms: Whether it was trained on phantoms, so that its labels of people mean nothing.
    """

    name: str
    digest: str
    source: str
    archive_sha256: str
    verified: bool
    version: str | None
    configuration: str
    trainer_name: str
    n_folds: int
    mirroring_axes: Sequence[int] | None
    scheme: str | None
    labels_as_delivered: Mapping[str, int] | None
    licence: str | None
    citation: str | None
    made_with: Mapping[str, str]
    for_phantoms: bool = False


def model_classes(dataset: Mapping[str, Any], *, model: str) -> dict[int, str]:
    """Read which class each output of a model is, background left out.

    Args:
        dataset: Content of ``dataset.json``.
        model: Name of the model, for errors.

    Raises:
        SetupError: It names no labels, or was trained on regions of several labels; or its labels
            are not 1, 2, 3 and so on, or more than fit a labelmap.
    """
    labels = dataset.get("labels")
    if not isinstance(labels, Mapping) or not labels:
        raise SetupError(f"model {model}: dataset.json names no labels")
    if dataset.get("regions_class_order") or any(
        not isinstance(label, int) for label in labels.values()
    ):
        raise SetupError(f"model {model}: was trained on regions, whose outputs may overlap")
    classes = {
        label: name
        for name, label in sorted(labels.items(), key=lambda item: item[1])
        if name not in (_BACKGROUND, _IGNORE)
    }
    if list(classes) != list(range(1, len(classes) + 1)):
        missing = min(set(range(1, len(classes) + 2)) - classes.keys())
        raise SetupError(
            f"model {model}: its labels are not background 0 and classes from 1 on without a gap:"
            f" no class has label {missing}"
        )
    if len(classes) >= _MAX_LABELS:
        raise SetupError(
            f"model {model}: {len(classes) + 1} outputs, at most {_MAX_LABELS} fit a labelmap"
        )
    return classes


def check_one_channel(dataset: Mapping[str, Any], *, model: str) -> None:
    """Refuse a model that looks at several images at once.

    Raises:
        SetupError: If it does.
    """
    channels = dataset.get("channel_names", dataset.get("modality", {}))
    if len(channels) != 1:
        raise SetupError(f"model {model}: takes {len(channels)} images at once, not one")


def check_labels(dataset: Mapping[str, Any], scheme: LabelScheme, *, model: str) -> None:
    """Refuse a model whose classes are not those of a label scheme.

    Spelling counts up to case, spaces and hyphens.

    Args:
        dataset: Content of the model's ``dataset.json``.
        scheme: What its labels are taken to mean.
        model: Name of the model, for errors.

    Raises:
        SetupError: If so, with what differs.
    """
    classes = model_classes(dataset, model=model)
    if len(classes) != len(scheme.classes):
        raise SetupError(
            f"model {model} has {len(classes)} classes, label scheme {scheme.name} has"
            f" {len(scheme.classes)}: name the model's own scheme (segment.scheme)"
        )
    differing = [
        f"{label} is {name}, not {scheme.classes.get(label, 'in the scheme')}"
        for label, name in classes.items()
        if _plain(name) != _plain(scheme.classes.get(label, ""))
    ]
    if differing:
        more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
        raise SetupError(
            f"model {model} and label scheme {scheme.name} differ: label"
            f" {', '.join(differing[:_NAMED])}{more}"
        )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.casefold())
