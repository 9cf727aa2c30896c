"""The engines of the benchmark of radiomics, each run in a fresh process on one core.

Run as a program, one engine measures one image, label by label where it knows no other way, and
writes what it found and what that took. Other programs live in an environment of their own, that
looks into this one for what they need: their pins would replace the libraries of this one.
"""

import argparse
import json
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sysconfig import get_path
from typing import Any, Final

import numpy as np
import SimpleITK as sitk

REPOSITORY: Final = Path(__file__).parents[1]
_ITK: Final = ("", "-core", "-filtering", "-io", "-numerics", "-registration", "-segmentation")
# Programs of other people, with what they need beside what is here.
PACKAGES: Final[dict[str, tuple[str, ...]]] = {
    "flash": ("flash-radiomics==1.0.0", "h5py"),
    "mirp": ("mirp==2.7.0", *(f"itk{part}==5.4.5" for part in _ITK)),
    "zrad": ("z-rad==26.9.0",),
    "fastrad": ("fastrad==1.0.0",),
}
BINNINGS: Final[dict[str, dict[str, float]]] = {
    "width25": {"binWidth": 25},
    "width5": {"binWidth": 5},
    "count32": {"binCount": 32},
}
_ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
Values = Mapping[int, Mapping[str, float]]
Measure = Callable[[sitk.Image, sitk.Image, list[int]], Values]


@dataclass(frozen=True, slots=True)
class EngineRun:
    """What one process found.

    Attributes:
        cpu_s: CPU time of measuring, the least of the repetitions; reading is not in it.
        read_s: CPU time of reading both files, likewise.
        label_cpu_s: CPU time by label, where labels are measured one by one.
        peak_mb: Peak memory of the process.
        values: Features by label and name.
    """

    cpu_s: float
    read_s: float
    label_cpu_s: Mapping[str, float]
    peak_mb: float
    values: Mapping[str, Mapping[str, float]]


def run_engine(
    engine: str,
    paths: tuple[Path, Path],
    *,
    binning: str,
    labels: Sequence[int],
    repetitions: int,
    python: Path | None = None,
) -> EngineRun:
    """Run an engine in a process of its own.

    Raises:
        RuntimeError: If it fails, with its last line.
    """
    with tempfile.NamedTemporaryFile(suffix=".json") as output:
        done = subprocess.run(
            [
                str(python or sys.executable),
                *("-m", "benchmarks.radiomics_engines", engine, binning, *map(str, paths)),
                *(output.name, str(repetitions), *map(str, labels)),
            ],
            cwd=REPOSITORY,
            env={**os.environ, **_ONE_THREAD},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError("".join(done.stderr.strip().splitlines()[-1:]))
        return EngineRun(**json.loads(Path(output.name).read_text()))


def make_environment(folder: Path, program: str) -> Path:
    """Install a program beside this environment; return its Python.

    Raises:
        RuntimeError: If that fails, with pip's last line.
    """
    folder = folder / program
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, symlinks=True, clear=True)
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        beside = folder / "lib" / version / "site-packages" / "beside.pth"
        beside.write_text(f"{get_path('purelib')}\n")
        done = subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES[program]],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError("".join(done.stderr.strip().splitlines()[-1:]))
        (folder / "complete").touch()
    return python


def _work() -> None:
    parser = argparse.ArgumentParser()
    for name in ("engine", "binning", "image", "labelmap", "output"):
        parser.add_argument(name)
    parser.add_argument("repetitions", type=int)
    parser.add_argument("labels", type=int, nargs="+")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    spent: dict[int, float] = {}
    measure = _ENGINES[arguments.engine](BINNINGS[arguments.binning], spent)
    _warm_up(measure)
    read_s, cpu_s = math.inf, math.inf
    label_cpu_s: dict[int, float] = {}
    for _ in range(arguments.repetitions):
        start_s = time.process_time()
        image, labelmap = sitk.ReadImage(arguments.image), sitk.ReadImage(arguments.labelmap)
        read_s = min(read_s, time.process_time() - start_s)
        spent.clear()
        start_s = time.process_time()
        values = measure(image, labelmap, arguments.labels)
        taken_s = time.process_time() - start_s
        if taken_s < cpu_s:
            cpu_s, label_cpu_s = taken_s, dict(spent)
    result = {
        "cpu_s": cpu_s,
        "read_s": read_s,
        "label_cpu_s": label_cpu_s,
        "peak_mb": _peak_mb(),
        "values": values,
    }
    Path(arguments.output).write_text(json.dumps(result))


def _warm_up(measure: Measure) -> None:
    labels_zyx = np.ones((8, 8, 8), np.uint8)
    labels_zyx[0] = 0
    voxels_zyx = np.arange(512, dtype=np.int16).reshape(8, 8, 8)
    measure(sitk.GetImageFromArray(voxels_zyx), sitk.GetImageFromArray(labels_zyx), [1])


def _peak_mb() -> float:
    # getrusage would tell the peak of the parent, which goes on counting through fork and exec.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _ours(setting: Mapping[str, float], spent: dict[int, float]) -> Measure:  # noqa: ARG001
    from organome.compute.radiomics.extraction import extract_features
    from organome.domain.radiomics_parameters import read_parameters

    settings = read_parameters({"setting": dict(setting)}, source="benchmark")

    def measure(image: sitk.Image, labelmap: sitk.Image, _labels: list[int]) -> Values:
        found = extract_features(image, labelmap, settings)
        return {label: dict(of_label.values) for label, of_label in found.items()}

    return measure


def _pyradiomics(
    setting: Mapping[str, float], spent: dict[int, float], *, cropped: bool
) -> Measure:
    from radiomics import featureextractor

    logging.disable(logging.CRITICAL)
    np.seterr(all="ignore")
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=not cropped, **setting)
    return _by_label(extractor.execute, spent, cropped=cropped, refusals=(ValueError,))


def _flash(setting: Mapping[str, float], spent: dict[int, float]) -> Measure:
    from flash_radiomics import RadiomicsFeatureExtractor

    logging.disable(logging.CRITICAL)
    np.seterr(all="ignore")
    extractor = RadiomicsFeatureExtractor(
        backend="cpu", num_threads=1, additionalInfo=False, **setting
    )
    folder = tempfile.TemporaryDirectory()  # it always writes a file

    def execute(image: sitk.Image, labelmap: sitk.Image, label: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = extractor.execute(
            image, labelmap, label=label, output_hdf5_path=f"{folder.name}/{label}.h5"
        )
        return found

    return _by_label(execute, spent, cropped=True, refusals=(ValueError,))


def _mirp(setting: Mapping[str, float], spent: dict[int, float]) -> Measure:
    from mirp import extract_features

    logging.disable(logging.CRITICAL)
    # Without morphology: nearly all of its time goes into Moran's I, which none of the others has.
    families = ["stat", "glcm", "glrlm", "glszm", "ngtdm", "ngldm"]

    def execute(image: sitk.Image, labelmap: sitk.Image, label: int) -> Mapping[str, Any]:
        voxels_zyx = sitk.GetArrayFromImage(image).astype(float)
        (found,) = extract_features(
            image=voxels_zyx,
            mask=(sitk.GetArrayFromImage(labelmap) == label).astype(np.uint8),
            image_spacing=image.GetSpacing()[::-1],
            base_feature_families=families,
            base_discretisation_method="fixed_bin_size",
            base_discretisation_bin_width=float(setting["binWidth"]),
            resegmentation_intensity_range=[float(voxels_zyx.min()), float(voxels_zyx.max())],
            write_features=False,
            export_features=True,
        )
        numbers = found.select_dtypes("number").iloc[0].to_dict()
        return {f"original_{name}": value for name, value in numbers.items()}

    return _by_label(execute, spent, cropped=True)


def _zrad(setting: Mapping[str, float], spent: dict[int, float]) -> Measure:
    from zrad.exceptions import DataStructureError
    from zrad.image import Image
    from zrad.preprocessing import IntensityMaskBuilder, Resegmenter, RoiData, TextureDiscretizer
    from zrad.radiomics import Radiomics

    def execute(image: sitk.Image, labelmap: sitk.Image, label: int) -> Mapping[str, Any]:
        # Its own families but for the curve, whose levels are no part of the settings compared.
        mask = sitk.Cast(labelmap == label, sitk.sitkFloat64)
        roi = RoiData(
            image=Image._from_sitk_image(sitk.Cast(image, sitk.sitkFloat64)),
            morphological_mask=Image._from_sitk_image(mask),
        )
        least = float(sitk.GetArrayViewFromImage(image).min())  # where its levels begin
        for each in (
            IntensityMaskBuilder(),
            Resegmenter((least, np.inf)),
            TextureDiscretizer(bin_size=setting["binWidth"]),
        ):
            roi = each.apply(roi)
        found = Radiomics().extract_features(roi_data=roi)
        return {f"original_{name}": value for name, value in found.items()}

    return _by_label(execute, spent, cropped=True, refusals=(DataStructureError,))


def _fastrad(setting: Mapping[str, float], spent: dict[int, float]) -> Measure:
    import torch
    from fastrad import FeatureExtractor, FeatureSettings, Mask, MedicalImage

    torch.set_num_threads(1)

    def execute(image: sitk.Image, labelmap: sitk.Image, label: int) -> Mapping[str, Any]:
        spacing_zyx_mm = image.GetSpacing()[::-1]
        settings = FeatureSettings(
            bin_width=setting["binWidth"], device="cpu", spacing=spacing_zyx_mm
        )
        voxels = torch.from_numpy(sitk.GetArrayFromImage(image).astype(np.float32))
        inside = torch.from_numpy((sitk.GetArrayFromImage(labelmap) == label).astype(np.float32))
        found = FeatureExtractor(settings).extract(
            MedicalImage(voxels, spacing_zyx_mm), Mask(inside, spacing_zyx_mm)
        )
        return {f"original_{name}": value for name, value in found.items()}

    return _by_label(execute, spent, cropped=True)


def _by_label(
    execute: Callable[..., Mapping[str, Any]],
    spent: dict[int, float],
    *,
    cropped: bool,
    refusals: tuple[type[Exception], ...] = (),
) -> Measure:
    def measure(image: sitk.Image, labelmap: sitk.Image, labels: list[int]) -> Values:
        values: dict[int, dict[str, float]] = {}
        boxes = sitk.LabelShapeStatisticsImageFilter()
        if cropped:
            boxes.Execute(labelmap)
        for label in labels:
            start_s, pair = time.process_time(), (image, labelmap)
            if cropped:
                pair = _crop(image, labelmap, boxes.GetBoundingBox(label))
            try:
                found = execute(*pair, label=label)
            except refusals:
                found = {}
            values[label] = {
                name: float(np.real(value))
                for name, value in found.items()
                if name.startswith("original_")
            }
            spent[label] = time.process_time() - start_s
        return values

    return measure


def _crop(
    image: sitk.Image, labelmap: sitk.Image, box: tuple[int, ...]
) -> tuple[sitk.Image, sitk.Image]:
    # A margin, because pyradiomics takes a box that the label fills for one without labels.
    span = tuple(
        slice(max(0, start - 1), min(size, start + extent + 1))
        for size, start, extent in zip(image.GetSize(), box[:3], box[3:], strict=True)
    )
    return image[span], labelmap[span]


_ENGINES: Final[dict[str, Callable[[Mapping[str, float], dict[int, float]], Measure]]] = {
    "ours": _ours,
    "naive": lambda setting, spent: _pyradiomics(setting, spent, cropped=False),
    "cropped": lambda setting, spent: _pyradiomics(setting, spent, cropped=True),
    "flash": _flash,
    "mirp": _mirp,
    "zrad": _zrad,
    "fastrad": _fastrad,
}


if __name__ == "__main__":
    _work()
