"""A small model in nnU-Net's own format: its plans, its dataset, its folder."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from doubles.places import REPOSITORY
from organome.domain.organs import BACKGROUND, ORGANS
from organome.io.files.atomic import write_bytes_atomic, write_text_atomic
from organome.io.models.checkpoints import CHECKPOINT, minimal_checkpoint

CONFIGURATION: Final = "3d_fullres"
SPACING_ZYX_MM: Final = (4.0, 3.5, 3.5)


def phantom_plans() -> dict[str, Any]:
    """Return the plans of the phantom model: one configuration, z-scored input, no cascade."""
    return dict(json.loads((REPOSITORY / "models" / "phantom" / "plans.json").read_text()))


def phantom_dataset(n_cases: int) -> dict[str, Any]:
    """Write ``dataset.json``: one channel, the 40 organs by MRSegmentator's ids."""
    return {
        "channel_names": {"0": "MR_or_CT"},
        "labels": {"background": BACKGROUND} | {organ.name: organ.label for organ in ORGANS},
        "numTraining": n_cases,
        "file_ending": ".nii.gz",
    }


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
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(folder / "plans.json", json.dumps(plans, indent=2) + "\n")
    write_text_atomic(folder / "dataset.json", json.dumps(dataset, indent=2) + "\n")
    for fold, state in enumerate(weights):
        buffer = io.BytesIO()
        torch.save(minimal_checkpoint(state, configuration=configuration), buffer)
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        write_bytes_atomic(folder / f"fold_{fold}" / CHECKPOINT, buffer.getvalue())
