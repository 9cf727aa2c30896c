"""Exchanged fat and water, planted and looked for, over bodies from underweight to class-3 obesity.

    python benchmarks/swaps.py [--n 200] [--processes 2]

Phantoms with a body mass index evenly spread over 16 to 50, in Dixon images of the head-to-knee
field of view with half of UK Biobank's in-plane matrix. Each body is judged as it is (false
alarms), and with fat and water exchanged in one part: a sixth of its height, or a leg. A part
counts as found where every height that lies wholly in it is judged swapped, as missed where one is
judged sound, else as unknown. The last line is one JSON object.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from organome.compute.dixon.swaps import judge_slabs
from organome.domain.contrasts import FatWater
from organome.domain.scans import Contrast
from organome.phantoms.bodies.anatomy import draw_body
from organome.phantoms.rendering.fields_of_view import stitched_grid
from organome.phantoms.rendering.render import render_dixon

BMI: Final = (16.0, 50.0)
CLASSES: Final = (18.5, 25.0, 30.0, 35.0, 40.0, np.inf)  # upper ends, kg/m2
REDUCE: Final = 2
PARTS: Final = (*(f"station {number}" for number in range(1, 7)), "leg")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=200, help="bodies")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    indices = np.linspace(*BMI, arguments.n)
    with ProcessPoolExecutor(arguments.processes) as pool:
        found = list(pool.map(_try_body, range(arguments.n), indices.tolist()))
    print(f"{'BMI to':>7} {'bodies':>7}  heights of sound bodies      parts exchanged")
    totals: Counter[str] = Counter()
    for low, high in zip((0.0, *CLASSES), CLASSES, strict=False):
        counts = [one for bmi, one in zip(indices, found, strict=True) if low <= bmi < high]
        total = sum(counts, Counter[str]())
        totals += total
        print(f"{high:7} {len(counts):7}  {_words(total, 'sound body')}   {_words(total, 'part')}")
    print(json.dumps({"n_bodies": arguments.n, **dict(sorted(totals.items()))}))


def _words(counts: Counter[str], what: str) -> str:
    names = {"sound body": ("sound", "unknown", "swapped"), "part": ("found", "unknown", "missed")}
    return ", ".join(f"{counts[f'{what}: {name}']} {name}" for name in names[what])


def _try_body(seed: int, bmi_kg_m2: float) -> Counter[str]:
    body = draw_body(seed, bmi_kg_m2=bmi_kg_m2, spacing_xyz_mm=(4.0, 4.0, 5.0))
    images = render_dixon(body, stitched_grid(reduce=REDUCE), np.random.default_rng(seed))
    fat, water = images[Contrast.FAT], images[Contrast.WATER]
    counts = Counter(f"sound body: {slab.fat_water}" for slab in judge_slabs(fat, water))
    part = PARTS[seed % len(PARTS)]
    swapped, span_mm = _exchange(fat, water, part)
    inside = [
        slab.fat_water
        for slab in judge_slabs(*swapped)
        if span_mm[0] - 1 <= slab.bottom_mm and slab.top_mm <= span_mm[1] + 1  # rounding
    ]
    counts[f"part: {_judge(inside)}"] += 1
    return counts


def _judge(inside: Sequence[FatWater]) -> str:
    if FatWater.SOUND in inside:
        return "missed"
    return "found" if inside and set(inside) == {FatWater.SWAPPED} else "unknown"


def _exchange(
    fat: sitk.Image, water: sitk.Image, part: str
) -> tuple[tuple[sitk.Image, sitk.Image], tuple[float, float]]:
    """Exchange the names within a part; return the images and the heights of the part in mm."""
    arrays: list[Any] = [sitk.GetArrayFromImage(one) for one in (fat, water)]
    n_slices, _, n_columns = arrays[0].shape
    thick = n_slices // 6
    if part == "leg":
        slices, columns = slice(0, thick), slice(0, n_columns // 2)
    else:
        bottom = n_slices - int(part.split()[1]) * thick
        slices, columns = slice(bottom, bottom + thick), slice(None)
    region = (slices, slice(None), columns)
    arrays[0][region], arrays[1][region] = arrays[1][region].copy(), arrays[0][region].copy()
    swapped = []
    for voxels in arrays:
        image = sitk.GetImageFromArray(voxels)
        image.CopyInformation(fat)
        swapped.append(image)
    bottom_mm, step_mm = fat.GetOrigin()[2], fat.GetSpacing()[2]
    ends = (bottom_mm + (slices.start - 0.5) * step_mm, bottom_mm + (slices.stop - 0.5) * step_mm)
    return (swapped[0], swapped[1]), ends


if __name__ == "__main__":
    main()
