"""Model folders of nnU-Net v2: plans.json, dataset.json, fold_N/checkpoint_final.pth."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import MachineFault, SetupError
from organome.domain.models import Model, ModelNote
from organome.domain.plans import current_plans
from organome.io.files.atomic import write_bytes_atomic, write_text_atomic
from organome.io.files.published import ask_again
from organome.io.models.checkpoints import read_checkpoint
from organome.io.models.layouts import NOTE, fold_checkpoints, fold_name

_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")


def read_model(
    folder: Path, *, expected_digest: str | None = None, known_digest: str | None = None
) -> Model:
    """Read a model folder.

    Args:
        folder: Holds plans.json, dataset.json and at least one ``fold_N/checkpoint_final.pth``.
        expected_digest: Digest the folder must have; checked before any checkpoint is opened.
        known_digest: Digest that this job found the folder to have; not worked out again.

    Raises:
        SetupError: Files are missing, the digest differs, or a checkpoint is not plain data.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    digest = known_digest or model_digest(folder)
    if expected_digest is not None and digest != expected_digest:
        raise SetupError(f"model {folder}: digest is {digest}, expected {expected_digest}")
    with _model_at_hand(folder):
        checkpoints = fold_checkpoints(folder)
        read = [read_checkpoint(path) for path in checkpoints]
        axes = read[0].get("inference_allowed_mirroring_axes")
        configuration = str(read[0]["init_args"]["configuration"])
        return Model(
            name=folder.name,
            digest=digest,
            plans=current_plans(read_json(folder / "plans.json"), configuration),
            dataset=read_json(folder / "dataset.json"),
            configuration=configuration,
            mirroring_axes=None if axes is None else tuple(int(axis) for axis in axes),
            folds=tuple(fold_name(path) for path in checkpoints),
            weights=tuple(checkpoint["network_weights"] for checkpoint in read),
        )


def read_dataset(folder: Path) -> dict[str, Any]:
    """Read ``dataset.json`` of a model folder: which class each label is.

    Raises:
        SetupError: It is not there, or not JSON.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    with _model_at_hand(folder):
        return read_json(folder / "dataset.json")


def read_plans(folder: Path) -> dict[str, Any]:
    """Read ``plans.json`` of a model folder as it is.

    Raises:
        SetupError: It is not there, or not JSON.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    with _model_at_hand(folder):
        return read_json(folder / "plans.json")


def fold_names(folder: Path) -> tuple[str, ...]:
    """Name the folds of a model folder.

    Raises:
        SetupError: It has none, or not all of them.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    with _model_at_hand(folder):
        return tuple(fold_name(path) for path in fold_checkpoints(folder))


def read_note(folder: Path) -> ModelNote | None:
    """Read what install-model noted of a model folder; None where it did not make it.

    Raises:
        SetupError: The note is damaged.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    with _model_at_hand(folder):
        if not (folder / NOTE).is_file():
            return None
        content = read_json(folder / NOTE)
    try:
        return ModelNote(**content)
    except TypeError as error:
        raise SetupError(f"model file {folder / NOTE}: not written by install-model") from error


def write_note(folder: Path, note: ModelNote) -> None:
    """Note what was installed."""
    write_text_atomic(folder / NOTE, json.dumps(asdict(note), indent=2) + "\n")


def check_unchanged(folder: Path, digest: str) -> None:
    """Refuse an installed model that is not what was installed.

    Args:
        folder: The model folder; one that install-model did not make is not judged.
        digest: Its digest as found.

    Raises:
        SetupError: It was changed, or damaged.
    """
    note = read_note(folder)
    if note is not None and note.digest != digest:
        raise SetupError(
            f"model {folder}: digest is {digest}, installed was {note.digest}:"
            " changed or damaged since, install it again"
        )


def read_weights(folder: Path, *, fold: int) -> Mapping[str, Any]:
    """Read only the weights of a fold of a model folder; of its only network, whatever the fold.

    Raises:
        SetupError: The model has several folds, and not this one; or it has none.
    """
    paths = fold_checkpoints(folder)
    if len(paths) > 1 and fold >= len(paths):
        raise SetupError(f"model {folder}: no fold {fold}, it has {len(paths)}")
    weights: Mapping[str, Any] = read_checkpoint(paths[fold if len(paths) > 1 else 0])[
        "network_weights"
    ]
    return weights


def model_digest(folder: Path) -> str:
    """Digest plans, dataset and checkpoints, with their names; SHA-256, hexadecimal.

    Raises:
        SetupError: The folder is not a model folder.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    with _model_at_hand(folder):
        digest = hashlib.sha256()
        for path in (folder / "plans.json", folder / "dataset.json", *fold_checkpoints(folder)):
            if not path.is_file():
                raise SetupError(f"model {folder}: no {path.name}")
            name = path.relative_to(folder).as_posix()
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


@contextmanager
def _model_at_hand(folder: Path) -> Iterator[None]:
    """Distinguish a model that is wrong from one that this machine cannot read.

    Raises:
        MachineFault: Reading failed, or the folder is not there and nothing else around it either.
    """
    try:
        yield
    except (OSError, SetupError) as error:
        of_system = next(
            (one for one in (error, error.__cause__) if isinstance(one, OSError) and one.errno),
            None,
        )
        if of_system is None and not _is_lost(folder):
            raise
        why = error if of_system is None else f"model {folder}: {of_system.strerror or of_system}"
        raise MachineFault(f"{why}; is its file system mounted on this machine?") from error


def _is_lost(folder: Path) -> bool:
    """Return whether folder or parent look like the mount point of a file system that is away."""
    place = folder if folder.is_dir() else folder.parent
    return not place.is_dir() or next(place.iterdir(), None) is None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a model.

    Raises:
        SetupError: It cannot be read, or is no JSON object.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"model file {path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise SetupError(f"model file {path}: holds no JSON object")
    return content


def write_pinned(path: Path, digest: str) -> None:
    """Note the digest of the model that a run is bound to; the same one only gets a new time.

    It is written twice: a damaged note must not pass for another model.
    """
    content = f"{digest}\n{digest}\n".encode()
    if path.is_file() and path.read_bytes() == content:
        os.utime(path)
    else:
        write_bytes_atomic(path, content)


def read_pinned(path: Path) -> str:
    """Read the digest of the model that a run is bound to.

    Raises:
        SetupError: There is no such file.
        DamagedFile: It is damaged: then it is asked for again.
    """
    try:
        digests = set(path.read_bytes().split())
    except FileNotFoundError as error:
        raise SetupError(f"{path}: no such file, pin the model first") from error
    if len(digests) != 1 or _DIGEST.fullmatch(digest := digests.pop()) is None:
        raise ask_again(path)
    return digest.decode()


def check_pinned(digest: str, *, pinned: Path) -> None:
    """Refuse a model that is not the one that the run is bound to.

    Args:
        digest: Digest of the model at hand.
        pinned: What ``write_pinned`` wrote.

    Raises:
        SetupError: The digests differ, or there is no such file.
        DamagedFile: It is damaged: then it is asked for again.
    """
    expected = read_pinned(pinned)
    if digest != expected:
        raise SetupError(
            f"the model is {digest[:12]}, the run is bound to {expected[:12]} ({pinned}):"
            " it was changed in between"
        )
