"""HD95 and surface Dice against MONAI, surface-distance, panoptica and MetricsReloaded.

    python benchmarks/metrics.py --peers PYTHON [--pairs 200]

PYTHON is that of an environment with monai 1.6.1, surface-distance 0.1, panoptica 2.1.7 and
MetricsReloaded (from its repository). Three kinds of work, each given to all in the same run: the
two planted cases, random pairs with unequal spacing, and the 40 organs of a phantom on the grid of
a stitched UK Biobank scan against themselves bent by a few millimetres. Every library runs in a
process of its own with one thread. Time is CPU time, so that a busy machine hardly matters; of
importing and of reading nothing is counted. The last line is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import scipy.ndimage
import SimpleITK as sitk
from numpy.typing import NDArray

from organome.compute.metrics.distances import HD_DEFINITION, SURFACE_DICE_DEFINITION
from organome.compute.metrics.label_metrics import compare_labelmaps
from organome.domain.organs import N_ORGANS
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import stitched_grid
from organome.phantoms.rendering.render import truth_labelmap

SEED: Final = 50_000
TOLERANCE_MM: Final = 3.0
BEND_MM: Final = 4.0  # standard deviation of displacements, at knots 20 to 30 voxels apart
PEERS: Final = ("monai", "metrics_reloaded", "surface_distance", "panoptica")
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
NOTES: Final = """\
Why they differ:
  monai              same definition; float32 percentile of float64 distances.
  metrics_reloaded   same definition.
  surface_distance   surface elements between voxels, weighted by area, instead of border voxels.
  panoptica          95th percentile of both directions together; surface Dice is the mean of the
                     two shares, not their share together.
"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peers", type=Path, help="Python of the environment of the peers")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        print(json.dumps(measure(arguments.ours)))
        return
    print(HD_DEFINITION, SURFACE_DICE_DEFINITION, f"Tolerance: {TOLERANCE_MM} mm.", "", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        planted = compare(arguments.peers, planted_cases(Path(folder)), PEERS)
        print("Planted, 2.232 x 2.232 x 4.5 mm; HD95 in mm:  shift   leak")
        for name, found in planted.items():
            shift, leak = found["values"][:, 0]
            print(f"  {name:42} {shift:6.2f} {leak:6.2f}")
        random = compare(arguments.peers, random_cases(Path(folder), arguments.pairs), PEERS)
        print(f"\n{arguments.pairs} random pairs with unequal spacing")
        show(random)
        organs = compare(
            arguments.peers,
            organ_cases(Path(folder)),
            tuple(name for name in PEERS if name != "metrics_reloaded"),
        )
        print(f"\n{N_ORGANS} organs, 224 x 174 x 370, one core")
        show(organs)
    print("\n" + NOTES)
    ours = organs["organome"]
    apart = [
        np.abs(found["monai"]["values"] - found["organome"]["values"]).max(axis=0)
        for found in (random, organs)
    ]
    result = {
        "organome_cpu_s": round(ours["cpu_s"], 3),
        **{
            f"ratio_{name}": round(found["cpu_s"] / ours["cpu_s"], 1)
            for name, found in organs.items()
            if name != "organome"
        },
        "max_abs_diff_mm": float(max(each[0] for each in apart)),
        "max_abs_diff_surface_dice": float(max(each[1] for each in apart)),
        "n_random_pairs": arguments.pairs,
    }
    print(json.dumps(result))


def show(found: dict[str, dict[str, Any]]) -> None:
    """Print CPU time, and how far each library is from ours."""
    print(
        f"  {'':18} {'CPU s':>8} {'times ours':>10}  {'HD95 mm: median':>15} {'max':>10}"
        f"  {'surface Dice: median':>20} {'max':>10}"
    )
    ours = found["organome"]
    for name, one in found.items():
        apart = np.abs(one["values"] - ours["values"])
        (hd, dice), (worst_hd, worst_dice) = np.median(apart, axis=0), apart.max(axis=0)
        print(
            f"  {name:18} {one['cpu_s']:8.2f} {one['cpu_s'] / ours['cpu_s']:10.1f}"
            f"  {hd:15.3g} {worst_hd:10.3g}  {dice:20.3g} {worst_dice:10.3g}"
        )


def compare(python: Path, cases: Path, peers: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Measure cases by ourselves and by each peer, one process after the other."""
    script = Path(__file__).with_name("metrics_peers.py")
    commands: dict[str, list[Any]] = {"organome": [sys.executable, __file__, "--ours", cases]}
    commands |= {name: [python, script, name, cases] for name in peers}
    found = {}
    for name, command in commands.items():
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD
        )
        one = json.loads(done.stdout.splitlines()[-1])
        found[name] = {"cpu_s": one["cpu_s"], "values": np.array(one["values"])}
    return found


def measure(path: Path) -> dict[str, Any]:
    """Measure all cases by Organome; values as ``metrics_peers.py`` gives them."""
    cases = np.load(path)
    labels, pairs = cases["labels"].tolist(), []
    for given, true, spacing in zip(
        cases["predicted"], cases["reference"], cases["spacing_zyx_mm"], strict=True
    ):
        images = sitk.GetImageFromArray(given), sitk.GetImageFromArray(true)
        for image in images:
            image.SetSpacing(spacing[::-1].tolist())
        pairs.append(images)
    first, second = pairs[0]
    compare_labelmaps(first, second, labels[:1], tolerance_mm=TOLERANCE_MM)
    before = os.times()
    found = [
        compare_labelmaps(given, true, labels, tolerance_mm=TOLERANCE_MM) for given, true in pairs
    ]
    after = os.times()
    values = [(one.hd95_mm, one.surface_dice) for pair in found for one in pair]
    cpu_s = after.user + after.system - before.user - before.system
    return {"cpu_s": cpu_s, "values": values}


def planted_cases(folder: Path) -> Path:
    """Make an ellipsoid shifted by 4 mm and a slice, and one that leaks to one side."""
    z, y, x = np.ogrid[-20:21, -30:31, -40:41]

    def shifted(dx_mm: float, dz_mm: float) -> NDArray[np.bool_]:
        in_plane = ((x * 2.232 - dx_mm) / 70) ** 2 + (y * 2.232 / 45) ** 2
        return np.asarray(in_plane + ((z * 4.5 - dz_mm) / 35) ** 2 <= 1)

    small = np.asarray((z / 8) ** 2 + (y / 12) ** 2 + (x / 11) ** 2 <= 1)
    leaking = small.copy()
    leaking[19:21, 27:33, 40 : 40 + 11 + 28] = True
    predicted, reference = (shifted(4, 4.5), leaking), (shifted(0, 0), small)
    return save(folder / "planted.npz", predicted, reference, [(4.5, 2.232, 2.232)] * 2, [1])


def random_cases(folder: Path, n_pairs: int) -> Path:
    """Make pairs of smooth random shapes that overlap in part, some of them with specks."""
    chance = np.random.default_rng(2405)
    predicted, reference, spacings = [], [], []
    for _ in range(n_pairs):
        smooth = chance.uniform(0.8, 3.0)
        first, second = scipy.ndimage.gaussian_filter(
            chance.normal(size=(2, 24, 28, 32)), (0, smooth, smooth, smooth)
        )
        mixed = first + chance.uniform(0.1, 1.0) * second
        share = chance.uniform(0.6, 0.99)
        reference.append(first > np.quantile(first, share))
        predicted.append(mixed > np.quantile(mixed, share))
        predicted[-1] |= chance.random(first.shape) < chance.choice([0.0, 0.001])
        spacings.append(chance.uniform(0.6, 5.0, 3).tolist())
    return save(folder / "random.npz", predicted, reference, spacings, [1])


def organ_cases(folder: Path) -> Path:
    """Draw an unseen phantom, and bend its labelmap."""
    truth = truth_labelmap(draw_body(SEED), stitched_grid())
    knots = np.random.default_rng(1).normal(0, BEND_MM, (3, 12, 8, 8))
    size_zyx = truth.GetSize()[::-1]
    bend = [scipy.ndimage.zoom(one, np.divide(size_zyx, one.shape)) for one in knots]
    field = sitk.GetImageFromArray(np.stack(bend, axis=-1), isVector=True)
    field.CopyInformation(truth)
    bent = sitk.Resample(
        truth, truth, sitk.DisplacementFieldTransform(field), sitk.sitkNearestNeighbor
    )
    predicted, reference = ([sitk.GetArrayFromImage(one)] for one in (bent, truth))
    labels = list(range(1, N_ORGANS + 1))
    spacings = [truth.GetSpacing()[::-1]]
    return save(folder / "organs.npz", predicted, reference, spacings, labels)


def save(path: Path, predicted: Any, reference: Any, spacings: Any, labels: list[int]) -> Path:
    """Write cases as one file."""
    np.savez(
        path,
        predicted=np.asarray(predicted, np.uint8),
        reference=np.asarray(reference, np.uint8),
        spacing_zyx_mm=np.asarray(spacings, np.float64),
        labels=labels,
        tolerance_mm=TOLERANCE_MM,
    )
    return path


if __name__ == "__main__":
    main()
