"""Exchanged fat and water, planted, looked for and put right, from underweight to class-3 obesity.

    python benchmarks/swaps.py [--n 200] [--processes 2]

Phantoms with a body mass index evenly spread over 16 to 50, in the six stations of UK Biobank with
half of its in-plane matrix. All stations are judged as they are (false alarms). Then fat and water
are exchanged in one of each body: the whole station, in a seventh of the bodies one leg. A station
is put right where all of it that has body is judged swapped and, exchanged back, sound, which is
what ``prepare.correct_swaps`` asks. A leg is found where its station is judged swapped, and nothing
puts it right. What is judged sound is missed, the rest unknown. The last line is one JSON object.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import numpy as np
import SimpleITK as sitk

from organome.compute.dixon.swaps import Slab, is_whole_swap, judge_slabs, overall_fat_water
from organome.domain.contrasts import FatWater
from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import station_grids
from organome.phantoms.rendering.render import render_dixon

BMI: Final = (16.0, 50.0)
CLASSES: Final = (18.5, 25.0, 30.0, 35.0, 40.0, np.inf)  # upper ends, kg/m2
REDUCE: Final = 2
N_STATIONS: Final = 6
LEG: Final = N_STATIONS  # a leg of the last station, instead of a whole one
STATES: Final = ("sound", "unknown", "swapped")
RESULTS: Final = ("put right", "found", "unknown", "missed")

FatAndWater = tuple[sitk.Image, sitk.Image]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=200, help="bodies")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    indices = np.linspace(*BMI, arguments.n)
    with ProcessPoolExecutor(arguments.processes) as pool:
        counted = list(pool.map(_try_body, range(arguments.n), indices.tolist()))
    print(f"{'':>7} {'':>6}  {'clean stations':^26}  {'exchanged stations':^34}  {'legs':^26}")
    head = [*(f"{one:>8}" for one in (*STATES, *RESULTS)), *(f"{one:>8}" for one in RESULTS[1:])]
    print(f"{'BMI to':>7} {'bodies':>6}  {' '.join(head)}")
    totals: Counter[str] = Counter()
    for low, high in zip((0.0, *CLASSES), CLASSES, strict=False):
        of_class = [one for bmi, one in zip(indices, counted, strict=True) if low <= bmi < high]
        total = sum(of_class, Counter[str]())
        totals += total
        print(f"{high:7} {len(of_class):6}  {' '.join(f'{total[one]:8}' for one in _COLUMNS)}")
    print(f"{'all':>7} {arguments.n:6}  {' '.join(f'{totals[one]:8}' for one in _COLUMNS)}")
    figures = {one.replace(" ", "_").replace(":", ""): totals[one] for one in _COLUMNS}
    print(json.dumps({"n_bodies": arguments.n, **figures}))


_COLUMNS: Final = (
    *(f"clean station: {one}" for one in STATES),
    *(f"exchanged station: {one}" for one in RESULTS),
    *(f"exchanged leg: {one}" for one in RESULTS[1:]),
)


def _try_body(seed: int, bmi_kg_m2: float) -> Counter[str]:
    body = draw_body(seed, bmi_kg_m2=bmi_kg_m2, spacing_xyz_mm=(4.0, 4.0, 5.0))
    rng = np.random.default_rng(seed)
    stations = []
    for grid in station_grids(reduce=REDUCE):
        images = render_dixon(body, grid, rng)
        stations.append((images[Contrast.FAT], images[Contrast.WATER]))
    clean = [judge_slabs(*one) for one in stations]
    counts = Counter(f"clean station: {overall_fat_water(one)}" for one in clean)
    part = seed % (N_STATIONS + 1)
    if part == LEG:
        found = overall_fat_water(judge_slabs(*_with_leg_exchanged(stations[-1])))
        counts[f"exchanged leg: {_result(found)}"] += 1
    else:
        fat, water = stations[part]
        counts[f"exchanged station: {_result_of_whole(judge_slabs(water, fat), clean[part])}"] += 1
    return counts


def _result_of_whole(found: Sequence[Slab], exchanged_back: Sequence[Slab]) -> str:
    if is_whole_swap(found) and overall_fat_water(exchanged_back) is FatWater.SOUND:
        return "put right"
    return _result(overall_fat_water(found))


def _result(found: FatWater) -> str:
    return {FatWater.SWAPPED: "found", FatWater.SOUND: "missed"}.get(found, "unknown")


def _with_leg_exchanged(station: FatAndWater) -> FatAndWater:
    """Exchange the halves of two images on one side of the body, which lies in the middle."""
    fat, water = (sitk.GetArrayFromImage(one) for one in station)
    half = fat.shape[2] // 2
    fat[..., :half], water[..., :half] = water[..., :half].copy(), fat[..., :half].copy()
    images = [sitk.GetImageFromArray(one) for one in (fat, water)]
    for image in images:
        image.CopyInformation(station[0])
    return images[0], images[1]


if __name__ == "__main__":
    main()
