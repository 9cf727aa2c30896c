"""HD95 and surface Dice by one library: run by benchmarks/metrics.py in an environment of its own.

    python benchmarks/metrics_peers.py LIBRARY CASES.npz

Prints one JSON object: values of every case and label, and the CPU time of measuring them.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Measured = tuple[float, float]  # HD95 in mm, surface Dice


def monai(given: Mask, true: Mask, spacing: Any, tolerance: float) -> Measured:
    """Measure by MONAI: one channel at a time, which is kind to its memory."""
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    pair = [torch.from_numpy(mask)[None, None] for mask in (given, true)]
    hd95 = compute_hausdorff_distance(
        *pair, include_background=True, percentile=95, spacing=list(spacing)
    )
    surface = compute_surface_dice(
        *pair, class_thresholds=[tolerance], include_background=True, spacing=list(spacing)
    )
    return float(hd95), float(surface)


def surface_distance(given: Mask, true: Mask, spacing: Any, tolerance: float) -> Measured:
    """Measure by DeepMind's library: one set of distances for both metrics."""
    import surface_distance as library

    found = library.compute_surface_distances(true, given, spacing)
    return (
        float(library.compute_robust_hausdorff(found, 95)),
        float(library.compute_surface_dice_at_tolerance(found, tolerance)),
    )


def panoptica(given: Mask, true: Mask, spacing: Any, tolerance: float) -> Measured:
    """Measure by panoptica in the box of both masks, distances shared, as its evaluator does it."""
    from panoptica.metrics import _surface_distances as library

    places = np.nonzero(given | true)
    box = tuple(slice(int(each.min()), int(each.max()) + 1) for each in places)
    found = library._surface_distance_pair(true[box], given[box], voxelspacing=tuple(spacing))
    return (
        float(library._hd95_from_pair(*found)),
        float(library._nsd_from_pair(*found, threshold=tolerance)),
    )


def metrics_reloaded(given: Mask, true: Mask, spacing: Any, tolerance: float) -> Measured:
    """Measure by MetricsReloaded."""
    from MetricsReloaded.metrics.pairwise_measures import BinaryPairwiseMeasures

    found = BinaryPairwiseMeasures(
        given.astype(int),
        true.astype(int),
        pixdim=spacing,
        dict_args={"hd_perc": 95, "nsd": tolerance},
    )
    return float(found.measured_distance()[2]), float(found.normalised_surface_distance())


PEERS: dict[str, Callable[[Mask, Mask, Any, float], Measured]] = {
    "monai": monai,
    "surface_distance": surface_distance,
    "panoptica": panoptica,
    "metrics_reloaded": metrics_reloaded,
}


def main() -> None:
    """Measure all cases."""
    warnings.simplefilter("ignore")
    measure = PEERS[sys.argv[1]]
    cases = np.load(sys.argv[2])
    tolerance = float(cases["tolerance_mm"])
    tiny = np.eye(4, dtype=np.bool_)[None].repeat(4, 0)
    measure(tiny, tiny[:, ::-1].copy(), (1.0, 1.0, 1.0), tolerance)  # imports, first calls
    values, before = [], os.times()
    for given, true, spacing in zip(
        cases["predicted"], cases["reference"], cases["spacing_zyx_mm"], strict=True
    ):
        for label in cases["labels"]:
            values.append(measure(given == label, true == label, spacing, tolerance))
    after = os.times()
    cpu_s = after.user + after.system - before.user - before.system
    print(json.dumps({"cpu_s": cpu_s, "values": values}))


if __name__ == "__main__":
    main()
