"""Model folders of nnU-Net v2: plans.json, dataset.json, fold_N/checkpoint_final.pth.

Checkpoints are read as data: ``weights_only`` with an allow-list of NumPy scalars, so a pickle that
would run code is refused.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from organome.domain.errors import MachineFault, SetupError
from organome.domain.models import Model
from organome.io.atomic import write_bytes_atomic, write_text_atomic

CHECKPOINT: Final = "checkpoint_final.pth"


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
        read = [_read_checkpoint(path) for path in _checkpoints(folder)]
        axes = read[0].get("inference_allowed_mirroring_axes")
        return Model(
            name=folder.name,
            digest=digest,
            plans=_read_json(folder / "plans.json"),
            dataset=_read_json(folder / "dataset.json"),
            configuration=str(read[0]["init_args"]["configuration"]),
            mirroring_axes=None if axes is None else tuple(int(axis) for axis in axes),
            weights=tuple(checkpoint["network_weights"] for checkpoint in read),
        )


def read_weights(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """Read only the weights of a model folder, one mapping a fold."""
    return tuple(_read_checkpoint(path)["network_weights"] for path in _checkpoints(folder))


def model_digest(folder: Path) -> str:
    """Digest plans, dataset and checkpoints, with their names; SHA-256, hexadecimal.

    Raises:
        SetupError: The folder is no model folder.
        MachineFault: The folder cannot be read, or its mount is lost.
    """
    with _model_at_hand(folder):
        digest = hashlib.sha256()
        for path in (folder / "plans.json", folder / "dataset.json", *_checkpoints(folder)):
            if not path.is_file():
                raise SetupError(f"model {folder}: no {path.name}")
            name = path.relative_to(folder).as_posix()
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()


def write_model(
    folder: Path,
    *,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    configuration: str,
    weights: Sequence[Mapping[str, Any]],
) -> None:
    """Write a model folder that stock nnU-Net runs: no optimiser state, no mirroring.

    Args:
        folder: Made if absent; existing files are replaced one by one.
        plans: Content of plans.json.
        dataset: Content of dataset.json.
        configuration: Configuration the weights belong to.
        weights: State of the network, one mapping a fold.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "plans.json", json.dumps(plans, indent=2) + "\n")
    write_text_atomic(folder / "dataset.json", json.dumps(dataset, indent=2) + "\n")
    for fold, state in enumerate(weights):
        buffer = io.BytesIO()
        checkpoint = {
            "network_weights": dict(state),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": configuration},
            "inference_allowed_mirroring_axes": None,
        }
        torch.save(checkpoint, buffer)
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        write_bytes_atomic(folder / f"fold_{fold}" / CHECKPOINT, buffer.getvalue())


@contextmanager
def _model_at_hand(folder: Path) -> Iterator[None]:
    """Tell a model that is wrong from one that this machine cannot read.

    Raises:
        MachineFault: Reading failed, or the folder is not there and nothing else around it either.
    """
    try:
        yield
    except (OSError, SetupError) as error:
        of_system = next(
            (one for one in (error, error.__cause__) if isinstance(one, OSError)), None
        )
        if of_system is None and not _is_lost(folder):
            raise
        why = error if of_system is None else f"model {folder}: {of_system.strerror or of_system}"
        raise MachineFault(f"{why}; is its file system mounted on this machine?") from error


def _is_lost(folder: Path) -> bool:
    """Say whether folder or parent look like the mount point of a file system that is away."""
    place = folder if folder.is_dir() else folder.parent
    return not place.is_dir() or next(place.iterdir(), None) is None


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise SetupError(f"model {folder}: no such folder")
    found = sorted(folder.glob(f"fold_*/{CHECKPOINT}"))
    if not found:
        raise SetupError(f"model {folder}: no fold_*/{CHECKPOINT}")
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SetupError(f"model file {path}: cannot be read as JSON ({error})") from error
    return content


def _read_checkpoint(path: Path) -> dict[str, Any]:
    import numpy as np
    import torch

    scalar = np.float64(0).__reduce__()[0]
    plain: list[Any] = [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),  # name in files of the NumPy 1 era
        np.dtype,
        np.dtypes.Float64DType,
        np.dtypes.Float32DType,
    ]
    try:
        with torch.serialization.safe_globals(plain):
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or unsafe file
        raise SetupError(
            f"model file {path}: not a checkpoint of plain data ({type(error).__name__})"
        ) from error
    if "network_weights" not in content or "init_args" not in content:
        raise SetupError(f"model file {path}: no network_weights or init_args in it")
    return content
