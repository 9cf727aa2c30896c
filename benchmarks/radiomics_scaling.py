"""How the time of radiomics grows with labels and with voxels."""

import time
from collections.abc import Callable
from typing import Final

import numpy as np
import SimpleITK as sitk
from benchmarks.radiomics_phantoms import draw, like
from threadpoolctl import threadpool_limits

from organome.compute.radiomics.extraction import extract_features
from organome.domain.radiomics_settings import RadiomicsSettings

N_LABELS: Final = (1, 2, 5, 10, 20, 40)
SHARES: Final = (0.125, 0.25, 0.5, 1.0)
REPETITIONS: Final = 5
DEFAULTS: Final = RadiomicsSettings()


def scaling() -> dict[str, float]:
    """Time by number of labels and by number of voxels, on the stitched phantom."""
    image, labelmap = draw("stitched")
    with threadpool_limits(1):
        return _by_labels(image, labelmap) | _by_voxels(image, labelmap)


def _by_labels(image: sitk.Image, labelmap: sitk.Image) -> dict[str, float]:
    """The same voxels, in more and more labels."""
    labels_zyx = sitk.GetArrayFromImage(labelmap)
    present = np.flatnonzero(np.bincount(labels_zyx.ravel())[1:]) + 1
    print(f"\nstitched, the same {np.count_nonzero(labels_zyx)} voxels:  labels  CPU s")
    taken_s = []
    for n_labels in N_LABELS:
        merged = np.zeros(256, np.uint8)
        # Neighbours in the list are neighbours in the body.
        merged[present] = 1 + np.arange(len(present)) * n_labels // len(present)
        some = like(labelmap, merged[labels_zyx])
        taken_s.append(_least_cpu_s(lambda some=some: extract_features(image, some, DEFAULTS)))  # type: ignore[misc]
        print(f"  {n_labels:45} {taken_s[-1]:6.3f}", flush=True)
    slope_ms = 1e3 * np.polyfit(N_LABELS, taken_s, 1)[0]
    print(
        f"  {slope_ms:.2f} ms for each label more; 40 labels over 1: {taken_s[-1] / taken_s[0]:.2f}"
    )
    return {"ms_per_label": float(slope_ms), "labels_40_over_1": taken_s[-1] / taken_s[0]}


def _by_voxels(image: sitk.Image, labelmap: sitk.Image) -> dict[str, float]:
    """The same body on finer and finer grids."""
    print("stitched, on coarser grids:  labelled voxels  CPU s  ns a voxel")
    sizes, taken_s = [], []
    for share in SHARES:
        factor = share ** (1 / 3)
        part, part_labels = (
            _resampled(each, factor, nearest=nearest)
            for each, nearest in ((image, False), (labelmap, True))
        )
        sizes.append(int(np.count_nonzero(sitk.GetArrayViewFromImage(part_labels))))
        taken_s.append(
            _least_cpu_s(lambda a=part, b=part_labels: extract_features(a, b, DEFAULTS))  # type: ignore[misc]
        )
        print(
            f"  {sizes[-1]:42} {taken_s[-1]:6.3f} {1e9 * taken_s[-1] / sizes[-1]:8.0f}",
            flush=True,
        )
    slope_s, start_s = np.polyfit(sizes, taken_s, 1)
    worst = max(
        abs(taken - (start_s + slope_s * size)) / taken
        for size, taken in zip(sizes, taken_s, strict=True)
    )
    print(
        f"  {1e3 * start_s:.0f} ms and {1e9 * slope_s:.0f} ns a voxel; "
        f"off a straight line by at most {100 * worst:.0f} %"
    )
    return {"ns_per_voxel": float(1e9 * slope_s), "off_linear_max": float(worst)}


def _resampled(image: sitk.Image, factor: float, *, nearest: bool) -> sitk.Image:
    size = [max(4, round(n * factor)) for n in image.GetSize()]
    spacing = [
        old * n / new for old, n, new in zip(image.GetSpacing(), image.GetSize(), size, strict=True)
    ]
    interpolator = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    resampled: sitk.Image = sitk.Resample(
        image,
        size,
        sitk.Transform(),
        interpolator,
        image.GetOrigin(),
        spacing,
        image.GetDirection(),
        0,
        image.GetPixelID(),
    )
    return resampled


def _least_cpu_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPETITIONS):
        start_s = time.process_time()
        call()
        times.append(time.process_time() - start_s)
    return min(times)
