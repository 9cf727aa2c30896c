"""Checkpoints of nnU-Net, read as data: a pickle that would run code is refused.

What third parties publish is what training left: optimiser state, logs, NumPy scalars. It is
converted once to the four entries that inference needs, which torch reads without any allow-list.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from organome.domain.errors import SetupError
from organome.io.files.packs import ZIP_DAMAGES
from organome.io.models.archives import check_offsets

CHECKPOINT: Final = "checkpoint_final.pth"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        SetupError: It is damaged, or holds anything but plain data; or it is not a checkpoint of
            nnU-Net.
    """
    import torch

    _check_whole(path)
    try:
        with torch.serialization.safe_globals(_plain_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or unsafe file
        raise SetupError(
            f"model file {path}: not a checkpoint of plain data ({type(error).__name__})"
        ) from error
    if not isinstance(content, dict) or not content.keys() >= {"network_weights", "init_args"}:
        raise SetupError(f"model file {path}: no network_weights or init_args in it")
    arguments = content["init_args"]
    if not isinstance(arguments, Mapping) or "configuration" not in arguments:
        raise SetupError(f"model file {path}: its init_args name no configuration")
    return content


def _check_whole(path: Path) -> None:
    """Refuse a checkpoint that was cut short or in which a bit is wrong: torch does not look.

    Raises:
        SetupError: If so.
    """
    name = f"{path.parent.name}/{path.name}"
    try:
        with ZipFile(path) as archive:
            check_offsets(archive.infolist())
            damaged = archive.testzip()
    except ZIP_DAMAGES as error:
        raise SetupError(f"{name} is not a checkpoint of torch, or is not whole") from error
    if damaged is not None:
        raise SetupError(f"{name} is damaged: bytes in it are not those that were written")


def check_checkpoint(path: Path) -> None:
    """Look through a checkpoint for what it would call, without unpickling a byte.

    Raises:
        SetupError: It names anything but plain data, or is not a file that ``torch.save`` wrote.
    """
    import torch

    _check_whole(path)
    try:
        with torch.serialization.safe_globals(_plain_globals()):
            found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except OSError:
        raise
    except Exception as error:  # of many kinds, for a damaged file
        raise SetupError(f"{path.parent.name}/{path.name} is not a checkpoint of torch") from error
    if found:
        raise SetupError(
            f"{path.parent.name}/{path.name} is refused: reading it would call"
            f" {', '.join(sorted(found))}"
        )


def convert_checkpoint(
    source: Path, destination: Path, *, trainer_name: str | None = None
) -> Mapping[str, Any]:
    """Cut a checkpoint down to what inference needs.

    Tensors that share memory go on sharing it.

    Args:
        source: A checkpoint of any origin; looked through before it is read.
        destination: The file to write.
        trainer_name: Trainer to name instead of its own, which stock nnU-Net may not know.

    Returns:
        What was written.

    Raises:
        SetupError: The checkpoint is not of plain data, or not of nnU-Net.
    """
    import torch

    check_checkpoint(source)
    content = read_checkpoint(source)
    weights = content["network_weights"]
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in weights.items()
    ):
        raise SetupError(f"{source.parent.name}/{source.name}: its weights are not tensors")
    made = minimal_checkpoint(
        weights,
        configuration=str(content["init_args"]["configuration"]),
        trainer_name=trainer_name or str(content.get("trainer_name", "nnUNetTrainer")),
        mirroring_axes=content.get("inference_allowed_mirroring_axes"),
    )
    with destination.open("wb") as file:  # by a path its name would go into the bytes
        torch.save(made, file)
    return made


def minimal_checkpoint(
    weights: Mapping[str, Any],
    *,
    configuration: str,
    trainer_name: str = "nnUNetTrainer",
    mirroring_axes: Any = None,
) -> dict[str, Any]:
    """Make the content of a checkpoint that stock nnU-Net runs.

    Args:
        weights: State of the network.
        configuration: Configuration that the weights belong to.
        trainer_name: Who trained it; only nnU-Net's own prediction looks.
        mirroring_axes: Axes that inference may mirror, None for none.
    """
    return {
        "network_weights": dict(weights),
        "trainer_name": trainer_name,
        "init_args": {"configuration": configuration},
        "inference_allowed_mirroring_axes": (
            None if mirroring_axes is None else tuple(int(axis) for axis in mirroring_axes)
        ),
    }


def _plain_globals() -> list[Any]:
    """Name what the logs of nnU-Net's trainers hold besides tensors: NumPy scalars."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    return [
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),  # name in files of the NumPy 1 era
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *(np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Float16DType),
        *(np.dtypes.Int64DType, np.dtypes.Int32DType, np.dtypes.BoolDType),
    ]
