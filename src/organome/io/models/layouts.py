"""Where in a folder a model lies: nnU-Net's results folders, or the model itself at any depth."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from organome.domain.errors import SetupError
from organome.io.models.checkpoints import CHECKPOINT

PLANS: Final = "plans.json"
DATASET: Final = "dataset.json"
VERSION: Final = "version.json"
NOTE: Final = "model.json"  # what was installed, from where; no part of the digest
TRAINING: Final = "training.json"  # what bundle-model wrote beside a model that was trained here
BEST_CHECKPOINT: Final = "checkpoint_best.pth"
MODEL_FILES: Final = frozenset({PLANS, DATASET, VERSION, NOTE, TRAINING, CHECKPOINT})
ALL: Final = "all"  # nnU-Net's fold that has learned from all cases
_MAX_DEPTH: Final = 5
_NAMED: Final = 4  # of several candidates, in the error


def find_model(folder: Path, *, inside: str | None, name: str) -> Path:
    """Find the one model in a folder.

    Args:
        folder: A model folder, a results folder of nnU-Net, or what an archive held.
        inside: Path within it, where it holds several models.
        name: What to call it in errors.

    Returns:
        The folder that holds plans.json, dataset.json and the folds.

    Raises:
        SetupError: There is none, or more than one.
    """
    if inside is not None:
        part = PurePosixPath(inside)
        if part.is_absolute() or ".." in part.parts or not (folder / part).is_dir():
            raise SetupError(f"{name}: no folder {inside!r} in it")
        folder = folder / part
    found = [one for one in _folders(folder) if (one / PLANS).is_file() and _folds(one, CHECKPOINT)]
    if len(found) > 1:
        listed = ", ".join(one.relative_to(folder).as_posix() for one in found[:_NAMED])
        raise SetupError(f"{name} holds {len(found)} models ({listed}): say which, with --inside")
    if not found:
        raise SetupError(f"{name}: {_what_is_missing(folder)}")
    if not (found[0] / DATASET).is_file():
        raise SetupError(f"{name}: no {DATASET} beside {PLANS}")
    return found[0]


def fold_checkpoints(folder: Path) -> list[Path]:
    """Find the checkpoints of all folds of a model, in the order of their numbers.

    Raises:
        SetupError: There are none; or one is missing that was there once, or was to be; or the
            network of all cases lies beside those of folds.
    """
    if not folder.is_dir():
        raise SetupError(f"model {folder}: no such folder")
    found = {fold_name(path): path for path in folder.glob(f"fold_*/{CHECKPOINT}")}
    if not found:
        raise SetupError(f"model {folder}: no fold_*/{CHECKPOINT}")
    begun = {path.name.removeprefix("fold_") for path in folder.glob("fold_*") if path.is_dir()}
    if len(found) > 1 and ALL in begun:
        raise SetupError(
            f"model {folder}: fold_{ALL} lies beside folds, and has learned from all their cases:"
            " move the one or the others away"
        )
    numbered = {str(number) for number in range(len(found))} if len(found) > 1 else set()
    missing = min((begun | numbered) - found.keys(), default=None)
    if missing is not None:
        raise SetupError(
            f"model {folder}: fold_{missing} has no {CHECKPOINT}, and folds {', '.join(found)}"
            " would be averaged without it: let it be trained, or move its folder away and number"
            " the others from 0 on"
        )
    return [found[name] for name in sorted(found, key=lambda name: (len(name), name))]


def fold_name(checkpoint: Path) -> str:
    """Return the name of the fold that a checkpoint is of, "0" for instance."""
    return checkpoint.parent.name.removeprefix("fold_")


def _what_is_missing(folder: Path) -> str:
    for one in _folders(folder):
        if _folds(one, BEST_CHECKPOINT):
            return (
                f"only {BEST_CHECKPOINT} in it: that is the state of a training under way; let it"
                f" end, or rename the file to {CHECKPOINT} if you mean it"
            )
    return f"no model of nnU-Net v2 in it ({PLANS} beside fold_*/{CHECKPOINT})"


def _folds(folder: Path, checkpoint: str) -> bool:
    return any(folder.glob(f"fold_*/{checkpoint}"))


def _folders(folder: Path) -> Iterator[Path]:
    for place, names, _ in os.walk(folder):
        path = Path(place)
        names.sort()
        if len(path.relative_to(folder).parts) >= _MAX_DEPTH:
            names.clear()
        yield path
