"""What radiomics costs: this engine beside pyradiomics, and beside reading the files.

Every engine runs in a process of its own on one core, reads the same two files and measures the
same labels; what is told is CPU time, the least of the repetitions for ours and one run for the
others. A label limit keeps pyradiomics within reason on large images: then all engines are measured
on those labels only, spread evenly over the sizes. The last line is one JSON object.

    python benchmarks/radiomics.py --sizes station
    python benchmarks/radiomics.py --sizes station stitched ct --limits ct=8
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

from organome.compute.phantoms.anatomy import Body, draw_body
from organome.compute.phantoms.fields_of_view import axial_grid
from organome.compute.phantoms.rendering import render_dixon, render_image, truth_labelmap
from organome.compute.phantoms.stations import station_grids, stitched_grid
from organome.compute.radiomics.extraction import measure_features
from organome.compute.radiomics.regions import labels_present
from organome.domain.radiomics_settings import TextureSettings
from organome.domain.scans import Contrast
from organome.io.images import write_image

SIZES: Final = ("station", "stitched", "ct")
SEED: Final = 7
REPETITIONS: Final = 3
EQUAL: Final = 1e-6
ZERO: Final = 1e-9
BINNINGS: Final[dict[str, tuple[TextureSettings, dict[str, float]]]] = {
    "width25": (TextureSettings(), {}),
    "width5": (TextureSettings(bin_width=5), {"binWidth": 5}),
    "count32": (TextureSettings(bin_count=32), {"binCount": 32}),
}
Values = Mapping[int, Mapping[str, float]]


def main() -> None:
    """Run what was asked for."""
    # This file would be taken for the package of the same name.
    sys.path = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["station"])
    parser.add_argument("--limits", nargs="*", default=[], help="size=labels, e.g. ct=8")
    parser.add_argument("--binnings", nargs="+", choices=BINNINGS, default=["width25"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--scaling", action="store_true", help="time by labels and voxels too")
    parser.add_argument("--work", type=Path, help="keep the phantoms there")
    parser.add_argument("--worker", nargs=4, metavar=("ENGINE", "BINNING", "PREFIX", "OUTPUT"))
    arguments = parser.parse_args()
    if arguments.worker:
        _work(*arguments.worker)
        return
    limits = {size: int(n) for size, n in (limit.split("=") for limit in arguments.limits)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        _draw_phantoms(folder, arguments.sizes, limits)
        figures: dict[str, float] = {}
        for size in arguments.sizes:
            for binning in arguments.binnings:
                figures |= _compare(folder / size, size, binning, arguments.engines)
            if arguments.scaling:
                figures |= _scaling(folder / size, size)
    summary = dict(figures)
    for name, choose in (("equal_share", min), ("max_rel_diff", max)):
        found = [value for key, value in figures.items() if key.startswith(f"{name}_")]
        if found:
            summary["equal_share_min" if name == "equal_share" else name] = choose(found)
    print(json.dumps({key: float(f"{value:.4g}") for key, value in summary.items()}))


def _draw_phantoms(folder: Path, sizes: Iterable[str], limits: Mapping[str, int]) -> None:
    body: Body | None = None
    for size in sizes:
        if not (folder / f"{size}_image.nii.gz").exists():
            body = body or draw_body(SEED)
            image, labelmap = _draw(body, size)
            write_image(folder / f"{size}_image.nii.gz", image)
            write_image(folder / f"{size}_all.nii.gz", labelmap)
        labelmap = sitk.ReadImage(str(folder / f"{size}_all.nii.gz"))
        labels_zyx = sitk.GetArrayFromImage(labelmap)
        counts = np.bincount(labels_zyx.ravel(), minlength=256)
        present = np.flatnonzero(counts[1:]) + 1
        kept = present
        if limits.get(size, len(present)) < len(present):
            by_size = present[np.argsort(counts[present])]
            places = np.linspace(0, len(by_size) - 1, limits[size]).round().astype(int)
            kept = np.sort(by_size[places])
            labels_zyx[~np.isin(labels_zyx, kept)] = 0
        limited = sitk.GetImageFromArray(labels_zyx)
        limited.CopyInformation(labelmap)
        write_image(folder / f"{size}_labels.nii.gz", limited)
        print(
            f"{size}: {'x'.join(map(str, labelmap.GetSize()))}, {len(kept)} of {len(present)} "
            f"labels, {counts[kept].sum()} voxels"
        )


def _draw(body: Body, size: str) -> tuple[sitk.Image, sitk.Image]:
    chance = np.random.default_rng(SEED)
    if size == "ct":
        grid = axial_grid(
            size_xyz=(512, 512, 300), pixel_mm=500 / 512, slice_mm=2.4, bottom_mm=-110.0
        )
        return render_image(body, Contrast.CT, grid, chance), truth_labelmap(body, grid)
    grid = station_grids()[2] if size == "station" else stitched_grid()
    return render_dixon(body, grid, chance)[Contrast.WATER], truth_labelmap(body, grid)


def _compare(prefix: Path, size: str, binning: str, engines: Iterable[str]) -> dict[str, float]:
    runs = {engine: _run(engine, binning, prefix) for engine in engines}
    ours = runs.get("ours")
    figures: dict[str, float] = {}
    print(f"{size} {binning}:   CPU s  wall s   MB  n labels  times ours  equal within 1e-6")
    for engine, run in runs.items():
        if "missing" in run:
            print(f"  {engine:14} {run['missing']}")
            continue
        line = f"  {engine:14} {run['cpu_s']:8.3f} {run['wall_s']:7.2f} {run['peak_mb']:5.0f}"
        line += f" {len(run['values']):6}"
        if ours and engine != "ours":
            key = f"{size}" if binning == "width25" else f"{size}_{binning}"
            ratio = run["cpu_s"] / ours["cpu_s"]
            share, worst, where = _equality(run["values"], ours["values"])
            line += f" {ratio:12.1f}  {share:.4f}, worst {worst:.1e} {where}"
            figures[f"ratio_{engine}_{key}"] = ratio
            if engine == "naive":
                figures |= {f"equal_share_{key}": share, f"max_rel_diff_{key}": worst}
        print(line, flush=True)
    if ours:
        ratio = ours["cpu_s"] / ours["read_s"]
        print(f"  reading both files {ours['read_s']:.3f} s; ours / reading {ratio:.2f}")
        if binning == "width25":
            figures |= {f"ratio_read_{size}": ratio, f"ours_cpu_s_{size}": ours["cpu_s"]}
            figures[f"ours_peak_mb_{size}"] = ours["peak_mb"]
    return figures


def _equality(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[float, float, str]:
    """Share of values that are equal, the greatest relative difference, and where that is."""
    n, n_equal, worst, where = 0, 0, 0.0, ""
    for label, reference in theirs.items():
        for name, value in reference.items():
            found = ours[label].get(name, math.nan)
            n += 1
            if (math.isnan(found) and math.isnan(value)) or abs(found - value) <= ZERO:
                n_equal += 1
                continue
            relative = abs(found - value) / max(abs(value), ZERO)
            n_equal += relative <= EQUAL
            if not relative <= worst:
                worst, where = relative, f"{name} of {label}"
    return (n_equal / n if n else math.nan), worst, where


def _scaling(prefix: Path, size: str) -> dict[str, float]:
    """Time by number of labels on the whole image, and by number of slices with all labels."""
    image, labelmap = (sitk.ReadImage(f"{prefix}_{part}.nii.gz") for part in ("image", "all"))
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    present = np.flatnonzero(np.bincount(labels_zyx.ravel())[1:]) + 1
    print(f"{size}: labels  voxels of them  CPU s")
    for n_labels in (1, 5, 10, 20, len(present)):
        kept = np.where(np.isin(labels_zyx, present[:n_labels]), labels_zyx, 0)
        some = sitk.GetImageFromArray(kept)
        some.CopyInformation(labelmap)
        cpu_s = _least_cpu_s(lambda some=some: measure_features(image, some))  # type: ignore[misc]
        print(f"  {n_labels:12} {np.count_nonzero(kept):15} {cpu_s:6.3f}")
    merged = sitk.GetImageFromArray((labels_zyx > 0).astype(np.uint8))
    merged.CopyInformation(labelmap)
    one_s = _least_cpu_s(lambda: measure_features(image, merged))
    all_s = _least_cpu_s(lambda: measure_features(image, labelmap))
    print(f"  the same voxels as 1 label {one_s:.3f} s, as {len(present)} labels {all_s:.3f} s")
    print(f"{size}: slices  labelled voxels  CPU s  ns a voxel")
    n_slices = labelmap.GetSize()[2]
    for share in (0.25, 0.5, 1.0):
        end = max(2, round(share * n_slices))
        part, part_labels = image[:, :, :end], labelmap[:, :, :end]
        n_voxels = int(np.count_nonzero(sitk.GetArrayViewFromImage(part_labels)))
        cpu_s = _least_cpu_s(lambda a=part, b=part_labels: measure_features(a, b))  # type: ignore[misc]
        print(f"  {end:12} {n_voxels:16} {cpu_s:6.3f} {1e9 * cpu_s / max(n_voxels, 1):8.0f}")
    return {f"labels_{len(present)}_over_1_{size}": all_s / one_s}


def _least_cpu_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def _run(engine: str, binning: str, prefix: Path) -> dict[str, Any]:
    module = ENGINES[engine][1]
    if find_spec(module) is None:
        return {"missing": f"{module} is not installed"}
    one_core = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        done = subprocess.run(
            [sys.executable, __file__, "--worker", engine, binning, str(prefix), output.name],
            env={**os.environ, **one_core},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return {"missing": f"failed: {done.stderr.strip().splitlines()[-1:]}"}
        result: dict[str, Any] = json.loads(Path(output.name).read_text())
    return result


def _work(engine: str, binning: str, prefix: str, output: str) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    start_s = time.process_time()
    image, labelmap = (sitk.ReadImage(f"{prefix}_{part}.nii.gz") for part in ("image", "labels"))
    read_s = time.process_time() - start_s
    labels = labels_present(sitk.GetArrayViewFromImage(labelmap))
    measure = ENGINES[engine][0](binning)
    corner = [min(size, 8) for size in image.GetSize()]
    patch = sitk.Image(corner, sitk.sitkUInt8) + 1
    patch[0, 0, 0] = 0
    measure(
        sitk.GetImageFromArray(np.arange(np.prod(corner), dtype=np.int16).reshape(corner[::-1])),
        patch,
        [1],
    )
    cpu_s, wall_s = math.inf, math.inf
    for _ in range(REPETITIONS if engine == "ours" else 1):
        start_s, wall_start_s = time.process_time(), time.perf_counter()
        values = measure(image, labelmap, labels)
        cpu_s = min(cpu_s, time.process_time() - start_s)
        wall_s = min(wall_s, time.perf_counter() - wall_start_s)
    peak_mb = _peak_mb()
    result = {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "read_s": read_s,
        "peak_mb": peak_mb,
        "values": values,
    }
    Path(output).write_text(json.dumps(result))


def _peak_mb() -> float:
    # getrusage would tell the peak of the parent, which goes on counting through fork and exec.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


Measure = Callable[[sitk.Image, sitk.Image, list[int]], Values]


def _ours(binning: str) -> Measure:
    settings = BINNINGS[binning][0]

    def measure(image: sitk.Image, labelmap: sitk.Image, _labels: list[int]) -> Values:
        found = measure_features(image, labelmap, settings)
        return {label: of_label.values for label, of_label in found.items()}

    return measure


def _pyradiomics(binning: str, *, cropped: bool) -> Measure:
    import logging

    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL + 1)
    np.seterr(all="ignore")
    extractor = featureextractor.RadiomicsFeatureExtractor(
        additionalInfo=not cropped, **BINNINGS[binning][1]
    )

    def measure(image: sitk.Image, labelmap: sitk.Image, labels: list[int]) -> Values:
        values: dict[int, dict[str, float]] = {}
        boxes = sitk.LabelShapeStatisticsImageFilter()
        if cropped:
            boxes.Execute(labelmap)
        for label in labels:
            pair = (image, labelmap)
            if cropped:
                pair = _crop(image, labelmap, boxes.GetBoundingBox(label))
            try:
                found = extractor.execute(*pair, label=label)
            except ValueError:
                values[label] = {}
                continue
            values[label] = {
                name: float(np.real(value))
                for name, value in found.items()
                if name.startswith("original_")
            }
        return values

    return measure


def _crop(
    image: sitk.Image, labelmap: sitk.Image, box: tuple[int, ...]
) -> tuple[sitk.Image, sitk.Image]:
    low = [max(0, start - 1) for start in box[:3]]
    high = [
        min(size, start + extent + 1)
        for size, start, extent in zip(image.GetSize(), box[:3], box[3:], strict=True)
    ]
    span = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return image[span], labelmap[span]


ENGINES: Final[dict[str, tuple[Callable[[str], Measure], str]]] = {
    "ours": (_ours, "numba"),
    "naive": (lambda binning: _pyradiomics(binning, cropped=False), "radiomics"),
    "cropped": (lambda binning: _pyradiomics(binning, cropped=True), "radiomics"),
}


if __name__ == "__main__":
    main()
