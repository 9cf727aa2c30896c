"""What the settings that trade labels for time change, beside the defaults of the same engine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks.segmentation_agreement import compare
from benchmarks.segmentation_peers import SUFFIX

LEVERS: Final[dict[str, Mapping[str, Any]]] = {
    "default": {},
    "linear": {"resampling": "linear"},
    "skip_air": {"skip_air": True},
    "batch4": {"tile_batch": 4},
    "bfloat16": {"precision": "bfloat16"},
    "step0.75": {"tile_step_size": 0.75},
}


def line_of_lever(changed: Path, stock: Path) -> tuple[str, dict[str, float]]:
    """Compare the labelmaps of two folders, scan by scan.

    Returns:
        A line, and its figures: least share of equal voxels of a scan, mean and least Dice of an
        organ.
    """
    scans = [compare(path, stock / path.name) for path in sorted(changed.glob(f"*{SUFFIX}"))]
    mean = float(np.mean([dice for scan in scans for dice in scan.dice.values()]))
    worst = min(scans, key=lambda scan: scan.dice_min)
    share = min(scan.share for scan in scans)
    line = f"{100 * share:.4f} % equal, Dice {mean:.5f}, least {worst.dice_min:.5f} ({worst.worst})"
    return line, {"share": share, "dice_mean": mean, "dice_min": worst.dice_min}
